//! What readiness is made of.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use tokio::time::Instant;

use super::daemon_health::DaemonHealth;
use crate::event::AppId;
use crate::format::{foreign, time};
use crate::journal::Overview;
use crate::puller::ApplicationProgress;
use crate::reconcile::{ReconcileProgress, Skipped};

/// The last good pull may be this old where pulls come at short intervals.
const MAX_PULL_AGE: Duration = Duration::from_secs(60);
/// Added to the interval between two pulls: one takes 5 s at most when all is well.
const PULL_MARGIN: Duration = Duration::from_secs(20);
/// A commit takes milliseconds; one that takes longer than this shows a problem of the disk.
const SLOW_COMMIT: Duration = Duration::from_secs(1);
/// Under way for longer, it may never end.
const MAX_COMMIT: Duration = Duration::from_secs(30);
/// A sink that is up gets what is due within this time.
const MAX_DELIVERY_DELAY: Duration = Duration::from_secs(60);

/// Whether a daemon does its work.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// Whether every check is good.
    pub ready: bool,
    /// Whether a check is degraded.
    pub degraded: bool,
    /// One by one.
    pub checks: Vec<HealthCheck>,
}

/// A part of the daemon's health.
#[derive(Debug, Serialize)]
pub struct HealthCheck {
    /// Its name.
    pub name: &'static str,
    /// Whether the daemon can be ready.
    pub ok: bool,
    /// Whether something does not work as it should; on its own no reason not to be ready.
    pub degraded: bool,
    /// The age that it looks at, in seconds; `None` if there is nothing of an age.
    pub seconds: Option<f64>,
    /// Its figure, or what is wrong.
    pub detail: String,
}

impl HealthCheck {
    fn new(name: &'static str, ok: bool, detail: String) -> Self {
        Self { name, ok, degraded: false, seconds: None, detail }
    }
}

impl DaemonHealth {
    /// The age of the last good pull from each application, in the order of the configuration.
    fn ages(&self) -> Vec<(AppId, Option<Duration>)> {
        let age = |of: &ApplicationProgress| {
            let last_good = of.progress.borrow().last_good;
            (of.app, last_good.map(|at| Instant::now().duration_since(at)))
        };
        self.progress().iter().map(age).collect()
    }

    fn last_successful_pull(&self) -> HealthCheck {
        let max_age = MAX_PULL_AGE.max(self.pull_interval() + PULL_MARGIN);
        let is_good = |age: &Option<Duration>| age.is_some_and(|age| age <= max_age);
        let ages = self.ages();
        if ages.is_empty() {
            let detail = "[vod] pull is false".to_owned();
            return HealthCheck::new("last_successful_pull", true, detail);
        }
        let text = |age: &Option<Duration>| {
            age.map_or("none yet".to_owned(), |age| {
                format!("{:.1} s ago, at most {} s", age.as_secs_f64(), max_age.as_secs())
            })
        };
        let ok = ages.iter().all(|(_, age)| is_good(age));
        // Those that are wrong, or else the oldest.
        let detail = match ages.as_slice() {
            [(_, age)] => text(age),
            _ if ok => ages.iter().map(|(_, age)| age).max().map(text).unwrap_or_default(),
            _ => {
                let wrong = ages.iter().filter(|(_, age)| !is_good(age));
                let each: Vec<_> =
                    wrong.map(|(app, age)| format!("application {app}: {}", text(age))).collect();
                each.join("; ")
            }
        };
        let oldest: Option<Vec<Duration>> = ages.iter().map(|(_, age)| *age).collect();
        let oldest = oldest.and_then(|ages| ages.into_iter().max());
        HealthCheck {
            seconds: oldest.map(|age| age.as_secs_f64()),
            ..HealthCheck::new("last_successful_pull", ok, detail)
        }
    }

    /// Failures that last: others show by the age of the last good pull.
    fn cloud(&self) -> HealthCheck {
        let failures = self.pull_failures().into_iter();
        let lasting = failures.filter(|(_, advice)| advice.is_lasting());
        let lasting = lasting.map(|(app, advice)| self.of_app(app, advice.reason()));
        let lasting: Vec<_> = lasting.collect();
        HealthCheck::new("cloud", lasting.is_empty(), joined(&lasting, "; "))
    }

    /// How the cloud reports events: never a reason not to be ready, since this daemon does its
    /// work.
    fn event_config(&self) -> HealthCheck {
        let apps = self.apps().iter().copied();
        let problems = apps
            .filter_map(|app| Some(self.of_app(app, &foreign(&self.event_config_problem(app)?))));
        let problems: Vec<_> = problems.collect();
        HealthCheck {
            degraded: !problems.is_empty(),
            ..HealthCheck::new("event_config", true, joined(&problems, "; "))
        }
    }

    /// Reconciliation: never a reason not to be ready, since events arrive without it.
    fn reconcile_check(&self) -> HealthCheck {
        let is_failing = |(_, progress): &(AppId, ReconcileProgress)| progress.failure.is_some();
        HealthCheck {
            degraded: self.reconcile().iter().any(is_failing),
            ..HealthCheck::new(
                "reconcile",
                true,
                self.reconcile_state().unwrap_or_else(|| "off".to_owned()),
            )
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

    /// Says of which application that is, where there are several.
    fn of_app(&self, app: AppId, detail: &str) -> String {
        match self.apps().len() {
            1 => detail.to_owned(),
            _ => format!("application {app}: {detail}"),
        }
    }

    /// Returns whether the daemon does its work at `now`; `overview` is of its journal, if that can
    /// be read, `down` are the sinks that are.
    #[must_use]
    pub fn readiness(
        &self,
        overview: Option<&Overview>,
        down: &[String],
        now: DateTime<Utc>,
    ) -> Readiness {
        let is_draining = self.is_draining();
        let (journal, stalled) = (self.journal().error(), self.stalled_tasks());
        let checks = vec![
            self.last_successful_pull(),
            self.cloud(),
            self.event_config(),
            self.reconcile_check(),
            HealthCheck::new(
                "journal",
                journal.is_none(),
                journal.map_or("ok".to_owned(), |error| error.to_string()),
            ),
            commit(self.journal().committing()),
            deliveries(overview, now),
            sinks(down),
            HealthCheck::new("tasks", stalled.is_empty(), joined(&stalled, ", ")),
            HealthCheck::new(
                "draining",
                !is_draining,
                if is_draining { "the daemon is stopping" } else { "no" }.to_owned(),
            ),
        ];
        Readiness {
            ready: checks.iter().all(|check| check.ok),
            degraded: checks.iter().any(|check| check.degraded),
            checks,
        }
    }
}

/// How reconciling one application goes.
fn state(progress: &ReconcileProgress) -> String {
    let shown = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut state = match (&progress.failure, progress.until) {
        _ if progress.is_waiting => "waits until the queue was found empty".to_owned(),
        (Some(failure), _) => format!("fails: {failure}"),
        (None, Some(until)) => format!("done up to {}", shown(until)),
        (None, None) => "nothing compared yet".to_owned(),
    };
    if let Some(Skipped { from, until }) = progress.skipped {
        let (from, until) = (shown(from), shown(until));
        state.push_str(&format!("; tasks that finished from {from} to {until} are not compared"));
    }
    state
}

/// Returns the parts in one line; `ok` if there is none.
fn joined(parts: &[String], separator: &str) -> String {
    if parts.is_empty() { "ok".to_owned() } else { parts.join(separator) }
}

fn commit(age: Option<Duration>) -> HealthCheck {
    let detail = age.map_or("no commit under way".to_owned(), |age| {
        let (age, most) = (age.as_secs_f64(), MAX_COMMIT.as_secs());
        format!("commit under way for {age:.1} s, at most {most} s")
    });
    HealthCheck {
        degraded: age.is_some_and(|age| age > SLOW_COMMIT),
        seconds: age.map(|age| age.as_secs_f64()),
        ..HealthCheck::new("commit", age.is_none_or(|age| age <= MAX_COMMIT), detail)
    }
}

/// What is due: never a reason not to be ready, since the sinks account for it.
fn deliveries(overview: Option<&Overview>, now: DateTime<Utc>) -> HealthCheck {
    let Some(overview) = overview else {
        let detail = "the journal cannot be read".to_owned();
        return HealthCheck { degraded: true, ..HealthCheck::new("deliveries", true, detail) };
    };
    let due = overview.sinks.iter().filter(|sink| sink.sink.active);
    let oldest = due.filter_map(|sink| Some((sink.oldest_due?, &sink.sink.name))).min();
    let Some((since, sink)) = oldest else {
        return HealthCheck::new("deliveries", true, "none due".to_owned());
    };
    let age = (now - since).to_std().unwrap_or_default();
    let detail = format!("deliveries to {} are {} late", foreign(sink), time(age.as_secs_f64()));
    HealthCheck {
        degraded: age > MAX_DELIVERY_DELAY,
        seconds: Some(age.as_secs_f64()),
        ..HealthCheck::new("deliveries", true, detail)
    }
}

/// Their events wait in the journal: no reason not to be ready.
fn sinks(down: &[String]) -> HealthCheck {
    let names: Vec<_> = down.iter().map(|sink| foreign(sink)).collect();
    let detail = match names.as_slice() {
        [] => "none is down".to_owned(),
        [name] => format!("{name} is down"),
        _ => format!("{} are down", names.join(", ")),
    };
    HealthCheck { degraded: !down.is_empty(), ..HealthCheck::new("sinks", true, detail) }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::journal::{JournalHealth, KnownSink, SinkId, SinkOverview, StateCounts};
    use crate::puller::{PollPacing, PullProgress};
    use crate::vod::Advice;

    /// A daemon whose last pulls from the applications 7, 8 and so on ended just now, and what
    /// tells how they go.
    fn daemon(
        applications: u64,
        interval: Duration,
    ) -> (DaemonHealth, JournalHealth, Vec<watch::Sender<PullProgress>>) {
        let last_good = Some(Instant::now());
        let good = PullProgress { last_good, ..PullProgress::default() };
        let (told, pulling) = (7..7 + applications)
            .map(|app| {
                let (tell, progress) = watch::channel(good);
                (tell, ApplicationProgress { app: AppId(app), progress })
            })
            .unzip();
        let settings = crate::puller::PollSettings { interval, ..Default::default() };
        let (_, pacing) = watch::channel(PollPacing {
            settings,
            good_for: Duration::from_secs(28),
            lease: Duration::from_secs(30),
            max_circulating: None,
        });
        let journal = JournalHealth::default();
        let apps = (7..7 + applications).map(AppId).collect();
        (DaemonHealth::new(apps, pulling, journal.clone(), pacing), journal, told)
    }

    /// Whether it is ready and degraded so many seconds later, and the check of this name.
    async fn after(health: &DaemonHealth, wait: f64, name: &str) -> (bool, bool, HealthCheck) {
        tokio::time::advance(Duration::from_secs_f64(wait)).await;
        let overview = Overview::default();
        let Readiness { ready, degraded, checks } =
            health.readiness(Some(&overview), &[], Utc::now());
        // A check that is wrong is the one that was asked for, and says so.
        let wrong: Vec<_> =
            checks.iter().filter(|check| !check.ok).map(|check| check.name).collect();
        assert_eq!(wrong, if ready { vec![] } else { vec![name] });
        let check = checks.into_iter().find(|check| check.name == name).unwrap();
        assert_eq!(check.ok, ready);
        (ready, degraded, check)
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_under_way_for_half_a_minute_is_no_readiness() {
        let (health, journal, _told) = daemon(1, Duration::from_secs(1));
        let seen = async |wait: f64| {
            let (ready, degraded, check) = after(&health, wait, "commit").await;
            (ready, degraded, check.seconds)
        };
        assert_eq!(seen(0.0).await, (true, false, None));
        journal.begins();
        assert_eq!(seen(1.0).await, (true, false, Some(1.0)));
        assert_eq!(seen(29.0).await, (true, true, Some(30.0)));
        assert_eq!(seen(1.0).await, (false, true, Some(31.0)));
        journal.ends();
        assert_eq!(seen(0.0).await, (true, false, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_last_successful_pull_older_than_a_minute_is_no_readiness() {
        let (health, _journal, told) = daemon(1, Duration::from_secs(1));
        let seen = async |wait: f64| {
            let (ready, degraded, check) = after(&health, wait, "last_successful_pull").await;
            (ready, degraded, check.seconds, check.detail)
        };
        let detail = |age: &str| format!("{age} s ago, at most 60 s");
        assert_eq!(seen(0.0).await, (true, false, Some(0.0), detail("0.0")));
        assert_eq!(seen(60.0).await, (true, false, Some(60.0), detail("60.0")));
        assert_eq!(seen(0.5).await, (false, false, Some(60.5), detail("60.5")));
        assert_eq!(seen(900.0).await, (false, false, Some(960.5), detail("960.5")));
        told[0].send_modify(|progress| progress.last_good = Some(Instant::now()));
        assert_eq!(seen(1.0).await, (true, false, Some(1.0), detail("1.0")));
        told[0].send_modify(|progress| progress.last_good = None);
        assert_eq!(seen(0.0).await, (false, false, None, "none yet".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn pulls_at_long_intervals_have_the_time_of_one_on_top() {
        let (health, _journal, _told) = daemon(1, Duration::from_secs(600));
        assert!(after(&health, 620.0, "last_successful_pull").await.0);
        let (ready, _, check) = after(&health, 1.0, "last_successful_pull").await;
        assert_eq!((ready, check.detail.as_str()), (false, "621.0 s ago, at most 620 s"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_application_without_a_good_pull_is_no_readiness() {
        let (health, _journal, told) = daemon(2, Duration::from_secs(1));
        let (ready, _, check) = after(&health, 40.0, "last_successful_pull").await;
        assert_eq!((ready, check.seconds), (true, Some(40.0)));
        told[0].send_modify(|progress| progress.last_good = Some(Instant::now()));
        let (ready, _, check) = after(&health, 30.0, "last_successful_pull").await;
        let detail = "application 8: 70.0 s ago, at most 60 s";
        assert_eq!((ready, check.seconds, check.detail.as_str()), (false, Some(70.0), detail));
        told[1].send_modify(|progress| progress.last_good = Some(Instant::now()));
        let (ready, _, check) = after(&health, 1.0, "last_successful_pull").await;
        assert_eq!((ready, check.detail.as_str()), (true, "31.0 s ago, at most 60 s"));
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_the_cloud_will_go_on_refusing_is_no_readiness() {
        let (health, _journal, told) = daemon(2, Duration::from_secs(1));
        let advices = [
            (Advice::Throttled, true),
            (Advice::Clock, false),
            (Advice::Credentials, false),
            (Advice::Refused, false),
            (Advice::InvalidParameters, true),
            (Advice::Service, true),
            (Advice::Transport, true),
            (Advice::Answer, true),
        ];
        for (advice, ready) in advices {
            told[1].send_modify(|progress| progress.trouble = Some(advice));
            let (seen, _, check) = after(&health, 0.0, "cloud").await;
            assert_eq!(seen, ready, "{advice:?}");
            let detail = format!("application 8: {}", advice.reason());
            assert_eq!(check.detail, if ready { "ok" } else { detail.as_str() });
        }
        told[1].send_modify(|progress| progress.trouble = None);
        assert!(after(&health, 0.0, "cloud").await.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_task_and_a_stop_are_no_readiness() {
        let (health, _journal, _told) = daemon(1, Duration::from_secs(1));
        health.set_stalled_tasks(vec!["puller".to_owned(), "sink a".to_owned()]);
        let (ready, _, check) = after(&health, 0.0, "tasks").await;
        assert_eq!((ready, check.detail.as_str()), (false, "puller, sink a"));
        health.set_stalled_tasks(Vec::new());
        assert!(after(&health, 0.0, "tasks").await.0);
        health.drain();
        assert!(!after(&health, 0.0, "draining").await.0);
    }

    #[test]
    fn a_sink_that_is_down_degrades_and_no_more() {
        let check = |down: &[&str]| {
            let down: Vec<_> = down.iter().map(|name| (*name).to_owned()).collect();
            let check = sinks(&down);
            (check.ok, check.degraded, check.detail)
        };
        assert_eq!(check(&[]), (true, false, "none is down".to_owned()));
        assert_eq!(check(&["hook"]), (true, true, "hook is down".to_owned()));
        assert_eq!(check(&["a", "b"]), (true, true, "a, b are down".to_owned()));
    }

    #[test]
    fn what_is_due_for_long_degrades_and_no_more() {
        let now = Utc::now();
        let sink = |id, name: &str, active, age: Option<i64>| SinkOverview {
            sink: KnownSink { id: SinkId(id), name: name.to_owned(), active },
            events: StateCounts::default(),
            oldest_pending: None,
            oldest_due: age.map(|age| now - chrono::TimeDelta::seconds(age)),
            failing: Vec::new(),
            dead_letters: Default::default(),
        };
        let check = |sinks| {
            let check = deliveries(Some(&Overview { sinks, ..Overview::default() }), now);
            (check.ok, check.degraded, check.detail)
        };
        let good = (true, false, "none due".to_owned());
        assert_eq!(check(vec![sink(1, "a", true, None), sink(2, "gone", false, Some(900))]), good);
        let late = (true, true, "deliveries to hook are 3 min late".to_owned());
        assert_eq!(
            check(vec![sink(1, "a", true, Some(5)), sink(2, "hook", true, Some(190))]),
            late
        );
    }
}
