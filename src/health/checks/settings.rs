//! What somebody has set, here or in the cloud: the clock, the configuration, how events are
//! reported, reconciliation. Never a reason not to be ready, since the daemon does its work.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::event::AppId;
use crate::format::{foreign, time};
use crate::health::check::HealthCheck;
use crate::health::daemon_health::{DaemonHealth, EventConfigProblem, LastReload};
use crate::reconcile::{ReconcileProgress, Skipped};
use crate::sanitize;

/// A difference of clocks that people notice in the times of events, in seconds.
pub const MAX_CLOCK_OFFSET: i64 = 60;

impl DaemonHealth {
    pub(in crate::health) fn setting_checks(&self, _now: DateTime<Utc>) -> Vec<HealthCheck> {
        let mut checks = vec![clock(self.clock_offset()), self.reload_check()];
        checks.extend(self.event_config_checks());
        checks.push(self.reconcile_check());
        checks
    }

    fn reload_check(&self) -> HealthCheck {
        let Some(LastReload { at, mistakes }) = self.last_reload() else {
            return HealthCheck::fine("reload", "none since the start");
        };
        let when = at.format("%Y-%m-%d %H:%M:%S UTC");
        match mistakes.as_slice() {
            [] => HealthCheck::fine("reload", format!("the last one, at {when}, was taken over")),
            [first, more @ ..] => {
                let more = if more.is_empty() { "" } else { " (and more)" };
                HealthCheck::degraded(
                    "reload",
                    format!(
                        "last reload rejected at {when}: {}{more}; the previous configuration is \
                         active",
                        foreign(first)
                    ),
                )
                .briefly(format!("last reload rejected at {when}"))
                .since(Some(at))
                .remedy("sprited check names each mistake: correct them and run sprited reload, or restart where it says so")
            }
        }
    }

    /// How the cloud reports events.
    fn event_config_checks(&self) -> Vec<HealthCheck> {
        let problem = |app: &AppId| {
            let EventConfigProblem { what, remedy } = self.event_config_problem(*app)?;
            let detail = format!("the application's settings keep events away: {}", foreign(&what));
            let detail = self.of_app(*app, &detail);
            let subject = (self.apps().len() > 1).then(|| app.to_string());
            let check = HealthCheck::degraded("event_config", detail).of(subject);
            Some(
                check
                    .briefly(self.of_app(*app, "the settings keep events away"))
                    .remedy(sanitize::one_line(&remedy)),
            )
        };
        let problems: Vec<_> = self.apps().iter().filter_map(problem).collect();
        if problems.is_empty() { vec![HealthCheck::fine("event_config", "ok")] } else { problems }
    }

    fn reconcile_check(&self) -> HealthCheck {
        let is_failing = |(_, progress): &(AppId, ReconcileProgress)| progress.failure.is_some();
        let Some(detail) = self.reconcile_state() else {
            return HealthCheck::fine("reconcile", "off");
        };
        match self.reconcile().iter().any(is_failing) {
            true => HealthCheck::degraded("reconcile", format!("reconciling: {detail}"))
                .briefly("reconciling fails"),
            false => HealthCheck::fine("reconcile", detail),
        }
    }

    /// Returns how reconciling goes, in words; `None` while it is off.
    #[must_use]
    pub fn reconcile_state(&self) -> Option<String> {
        let all = self.reconcile();
        let each = all.iter().map(|(app, progress)| self.of_app(*app, &foreign(&state(progress))));
        let each: Vec<_> = each.collect();
        (!each.is_empty()).then(|| each.join("; "))
    }
}

/// `ahead` is how far the cloud's clock is ahead of this machine's, in seconds.
fn clock(ahead: i64) -> HealthCheck {
    let offset = time(ahead.unsigned_abs() as f64);
    if ahead.abs() <= MAX_CLOCK_OFFSET {
        return HealthCheck::fine("clock", format!("{offset} off the cloud's"));
    }
    let way = if ahead > 0 { "behind" } else { "ahead of" };
    HealthCheck::degraded(
        "clock",
        format!(
            "this machine's clock is {offset} {way} the cloud's; the times that events are stored \
             and delivered with are as wrong"
        ),
    )
    .briefly(format!("this machine's clock is {offset} {way} the cloud's"))
    .remedy("set this machine's clock, for instance by NTP")
}

/// How reconciling one application goes.
fn state(progress: &ReconcileProgress) -> String {
    let shown = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut state = match (&progress.failure, progress.until) {
        (Some(failure), _) => format!("fails: {failure}"),
        _ if progress.is_waiting => "waits until the queue was found empty".to_owned(),
        (None, Some(until)) => format!("done up to {}", shown(until)),
        (None, None) => "nothing compared yet".to_owned(),
    };
    if let Some(Skipped { from, until }) = progress.skipped {
        let (from, until) = (shown(from), shown(until));
        state.push_str(&format!("; tasks that finished from {from} to {until} are not compared"));
    }
    state
}
