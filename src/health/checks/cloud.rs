//! Whether each application is pulled from, its events are confirmed, and posted ones are taken.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::own::SLOW_COMMIT;
use crate::confirmer::ApplicationConfirms;
use crate::event::AppId;
use crate::format::{foreign, seconds, time};
use crate::health::check::HealthCheck;
use crate::health::daemon_health::{DaemonHealth, ReadyRule};
use crate::puller::PullProgress;
use crate::receiver::ReceiveProgress;
use crate::vod::{Advice, CallFailure};

/// The last good pull may be this old where pulls come at short intervals.
const MAX_PULL_AGE: Duration = Duration::from_secs(60);
/// Added to the interval between two pulls: one takes 5 s at most when all is well.
const PULL_MARGIN: Duration = Duration::from_secs(20);
/// A posted event that was turned away is news for so long.
const NEWS: Duration = Duration::from_secs(600);
/// A pause by hand this long is about to lose events.
const PAUSED_TOO_LONG: Duration = Duration::from_secs(3 * 86_400);
/// Being throttled for less is how the rate is found.
const THROTTLED_FOR: Duration = Duration::from_secs(10);

/// How pulling from one application goes.
enum Pulling {
    Good,
    /// It was paused by hand, and the next answer tells: as good as it was.
    Resumed,
    /// Nothing is known to be wrong, and the next answer tells.
    Awaited,
    /// For less than a minute.
    Failing,
    Bad,
}

impl Pulling {
    fn is_good(&self) -> bool {
        matches!(self, Self::Good | Self::Resumed | Self::Failing)
    }
}

impl DaemonHealth {
    pub(in crate::health) fn cloud_checks(&self, now: DateTime<Utc>) -> Vec<HealthCheck> {
        if self.progress().is_empty() {
            return vec![HealthCheck::fine("cloud", "[vod] pull is false")];
        }
        if let Some(since) = self.pulling_paused() {
            return vec![paused(since, now)];
        }
        let all: Vec<_> = self
            .progress()
            .iter()
            .map(|of| {
                let progress = of.progress.borrow().clone();
                (of.app, self.pulling(&progress, now), progress)
            })
            .collect();
        let is_good = |(_, pulling, of): &(_, Pulling, PullProgress)| {
            pulling.is_good() && (of.last_good.is_some() || has_just_resumed(of))
        };
        let is_ready = match self.ready_rule() {
            ReadyRule::Any => all.iter().any(is_good),
            ReadyRule::All => all.iter().all(is_good),
        };
        // Where one may yet show that the daemon does its work, the others do not say that it does not.
        let is_open = self.ready_rule() == ReadyRule::Any
            && all.iter().any(|(_, pulling, _)| matches!(pulling, Pulling::Awaited));
        let check = |(app, pulling, progress): &(AppId, Pulling, PullProgress)| {
            let subject = (self.apps().len() > 1).then(|| app.to_string());
            self.cloud_check(*app, pulling, progress, is_ready, is_open)
                .of(subject)
                .aged(age(progress).map(|age| age.as_secs_f64()))
        };
        all.iter().map(check).collect()
    }

    /// `is_ready` is whether the daemon can be ready, with as many applications as are good;
    /// `is_open`, whether one of them may yet be.
    fn cloud_check(
        &self,
        app: AppId,
        pulling: &Pulling,
        progress: &PullProgress,
        is_ready: bool,
        is_open: bool,
    ) -> HealthCheck {
        let of = |detail: &str| self.of_app(app, detail);
        let wrong = |detail: String| match pulling {
            Pulling::Bad if !is_ready && !is_open => HealthCheck::not_ready("cloud", detail),
            _ => HealthCheck::degraded("cloud", detail).ready_if(is_ready),
        };
        match (pulling, progress.failure.as_deref()) {
            (Pulling::Good, _) => HealthCheck::fine("cloud", of(&self.last_pull(progress))),
            (Pulling::Resumed, _) => {
                let since = progress.resumed.map_or(Duration::ZERO, |at| at.elapsed());
                let since = time(since.as_secs_f64());
                let detail = format!("pulling was resumed {since} ago; its answer is awaited");
                HealthCheck::fine("cloud", of(&detail))
            }
            (Pulling::Awaited, _) if self.takes_no_events() => {
                let detail = of("not pulled while the journal takes no events");
                HealthCheck::fine("cloud", detail).ready_if(is_ready)
            }
            (Pulling::Awaited, _) => {
                HealthCheck::fine("cloud", of("its answer is awaited")).ready_if(is_ready)
            }
            (_, Some(failure)) => failed(wrong(of(&self.failing(failure))), failure)
                .briefly(of(failure.advice.reason())),
            (_, None) => {
                let silent = age(progress).unwrap_or_else(|| self.started().elapsed());
                wrong(of(&format!("nothing was pulled for {}", time(silent.as_secs_f64()))))
                    .briefly(of("nothing is pulled"))
                    .remedy("restart the daemon; if it happens again, report it with the log of that time")
            }
        }
    }

    /// Events whose confirmation fails are pulled again: no reason not to be ready.
    pub(in crate::health) fn confirm_checks(&self) -> Vec<HealthCheck> {
        let check = |of: &ApplicationConfirms| {
            let failure = of.failure.borrow().clone()?;
            let failing = self.failing(&failure);
            let detail = self.of_app(of.app, &format!("confirmations fail: {failing}"));
            let subject = (self.apps().len() > 1).then(|| of.app.to_string());
            let brief = self.of_app(of.app, "confirmations fail");
            let check = failed(HealthCheck::degraded("confirms", detail), &failure);
            Some(check.of(subject).briefly(brief))
        };
        let failing: Vec<_> = self.confirming().iter().filter_map(check).collect();
        if failing.is_empty() { vec![HealthCheck::fine("confirms", "ok")] } else { failing }
    }

    /// Posted events that were turned away: never a reason not to be ready, since others are taken.
    pub(in crate::health) fn receive_check(&self, now: DateTime<Utc>) -> HealthCheck {
        let Some(ReceiveProgress { lost, unstored }) = self.receiving() else {
            return HealthCheck::fine("receive", "off");
        };
        let is_news = |at: &DateTime<Utc>| (now - *at).to_std().unwrap_or_default() < NEWS;
        let ago = |at: DateTime<Utc>| time(seconds(now - at));
        match (unstored.filter(is_news), lost.filter(is_news)) {
            (Some(at), _) => HealthCheck::degraded(
                "receive",
                format!(
                    "posted events could not be stored within 8 s, the last one {} ago; the cloud may \
                     not post them again",
                    ago(at)
                ),
            )
            .briefly("posted events could not be stored")
            .remedy("repair the journal's disk; [reconcile] every adds what was lost"),
            (None, Some(at)) => HealthCheck::degraded(
                "receive",
                format!(
                    "posted events are refused for their signature, the last one {} ago; the cloud may \
                     not post them again",
                    ago(at)
                ),
            )
            .briefly("posted events are refused for their signature")
            .remedy(
                "correct [receive] sign_key, or set verify = \"log\" until then; [reconcile] every adds \
                 what was lost",
            ),
            (None, None) => HealthCheck::fine("receive", "ok"),
        }
    }

    fn pulling(&self, progress: &PullProgress, now: DateTime<Utc>) -> Pulling {
        let is_recent = age(progress).is_some_and(|age| age <= self.max_pull_age());
        let Some(failure) = progress.failure.as_deref() else {
            let is_asked = progress.started.is_some_and(|at| at.elapsed() <= MAX_PULL_AGE);
            return match is_recent {
                true => Pulling::Good,
                false if has_just_resumed(progress) => Pulling::Resumed,
                // The next answer tells.
                false if is_asked || self.takes_no_events() || self.has_just_started() => {
                    Pulling::Awaited
                }
                false => Pulling::Bad,
            };
        };
        let lasted = (now - failure.since).to_std().unwrap_or_default();
        match failure.advice {
            advice if advice.is_lasting() => Pulling::Bad,
            Advice::Throttled if lasted < THROTTLED_FOR => match is_recent {
                true => Pulling::Good,
                false => Pulling::Awaited,
            },
            _ if lasted <= MAX_PULL_AGE => Pulling::Failing,
            _ => Pulling::Bad,
        }
    }

    /// Whether nothing can be pulled, since it could not be stored.
    fn takes_no_events(&self) -> bool {
        let journal = self.journal();
        let hangs = journal.committing().is_some_and(|age| age > SLOW_COMMIT);
        journal.error().is_some() || hangs || self.is_draining()
    }

    fn max_pull_age(&self) -> Duration {
        MAX_PULL_AGE.max(self.pull_interval() + PULL_MARGIN)
    }

    /// Whether less than a minute has passed since the start.
    fn has_just_started(&self) -> bool {
        self.started().elapsed() < MAX_PULL_AGE
    }

    fn last_pull(&self, progress: &PullProgress) -> String {
        age(progress).map_or("none yet".to_owned(), |age| {
            let (age, most) = (age.as_secs_f64(), self.max_pull_age().as_secs());
            format!("last successful pull {} ago, at most {most} s", time(age))
        })
    }

    /// What fails, where, and what was answered.
    fn failing(&self, failure: &CallFailure) -> String {
        let CallFailure { advice, code, message, request_id, .. } = failure;
        let message = foreign(message.trim_end_matches('.'));
        let id = request_id.as_ref().map_or(String::new(), |id| format!(" (RequestId {id})"));
        match (advice, code) {
            // What cannot be reached is named in the message: it may be a proxy.
            (Advice::Transport, _) => format!("{}: {message}", advice.reason()),
            // The cloud was not asked, or not this service of it.
            (Advice::Credentials, None) => {
                format!("there are no usable credentials: {message}{id}")
            }
            (_, code) => {
                let code = code.as_ref().map_or(String::new(), |code| format!("{code}: "));
                format!("{} ({}): {code}{message}{id}", advice.reason(), self.endpoint())
            }
        }
    }

    /// Says of which application that is, where there are several.
    pub(in crate::health) fn of_app(&self, app: AppId, detail: &str) -> String {
        match self.apps().len() {
            1 => detail.to_owned(),
            _ => format!("application {app}: {detail}"),
        }
    }
}

/// Pulling is paused by hand.
fn paused(since: DateTime<Utc>, now: DateTime<Utc>) -> HealthCheck {
    let detail = "pulling is paused by hand (the cloud keeps an event for 4 days)";
    let lasted = (now - since).to_std().unwrap_or_default();
    let check = match lasted < PAUSED_TOO_LONG {
        true => HealthCheck::degraded("cloud", detail),
        false => HealthCheck::not_ready("cloud", detail),
    };
    check
        .briefly("pulling is paused by hand")
        .since(Some(since))
        .aged(Some(lasted.as_secs_f64()))
        .remedy("sprited resume")
}

/// The same check, with what is known of the failure.
fn failed(check: HealthCheck, failure: &CallFailure) -> HealthCheck {
    check
        .answered(failure.code.clone(), failure.request_id.clone())
        .since(Some(failure.since))
        .next_try(failure.next_try)
        .remedy(failure.remedy)
}

/// Whether less than a minute has passed since it was paused by hand.
fn has_just_resumed(progress: &PullProgress) -> bool {
    progress.resumed.is_some_and(|at| at.elapsed() < MAX_PULL_AGE)
}

/// The age of the last good pull.
fn age(progress: &PullProgress) -> Option<Duration> {
    progress.last_good.map(|at| Instant::now().duration_since(at))
}
