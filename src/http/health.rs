//! Whether the daemon is alive and ready, from what its loops tell.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::format::{foreign, time};
use crate::event::AppId;
use crate::journal::{JournalHealth, Overview};
use crate::puller::{ApplicationProgress, PollPacing};
use crate::vod::Advice;

/// The last good pull may be this old where pulls come at short intervals.
const MAX_PULL_AGE: Duration = Duration::from_secs(60);
/// Beyond the interval between two pulls: one takes 5 s at the most when all is well.
const PULL_TIME: Duration = Duration::from_secs(20);
/// A commit takes milliseconds; one that takes so long shows that the disk is in trouble.
const SLOW_COMMIT: Duration = Duration::from_secs(1);
/// Under way for longer, it may never end.
const MAX_COMMIT: Duration = Duration::from_secs(30);
/// A sink that is well gets what is due within this time.
const LATE: Duration = Duration::from_secs(60);

/// The health of a daemon.
#[derive(Debug)]
pub struct DaemonHealth {
    /// From each application, one at least.
    pulling: Vec<ApplicationProgress>,
    journal: JournalHealth,
    pacing: watch::Receiver<PollPacing>,
    stuck: RwLock<Vec<String>>,
    /// What keeps the events of applications away, by the cloud's own word.
    reporting_faults: RwLock<BTreeMap<AppId, String>>,
    is_draining: std::sync::atomic::AtomicBool,
}

/// Whether a daemon does its work.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// Whether every check is good.
    pub ready: bool,
    /// Whether a check says that something does not work as it should, and yet the daemon does.
    pub degraded: bool,
    /// What was looked at.
    pub checks: Vec<HealthCheck>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct HealthCheck {
    /// Its name.
    pub name: &'static str,
    /// Whether it is good: if not, the daemon is not ready.
    pub ok: bool,
    /// Whether something does not work as it should; on its own no reason not to be ready.
    pub degraded: bool,
    /// The age that it looks at, in seconds; `None` if there is nothing of an age.
    pub seconds: Option<f64>,
    /// Its number, or what is wrong.
    pub detail: String,
}

impl HealthCheck {
    /// One that is good or not.
    fn new(name: &'static str, ok: bool, detail: String) -> Self {
        Self { name, ok, degraded: false, seconds: None, detail }
    }
}

impl DaemonHealth {
    /// The health of a daemon that pulls like this, by this pacing, into a journal that does like
    /// this.
    #[must_use]
    pub fn new(
        pulling: Vec<ApplicationProgress>,
        journal: JournalHealth,
        pacing: watch::Receiver<PollPacing>,
    ) -> Self {
        let (stuck, reporting_faults) = Default::default();
        Self { pulling, journal, pacing, stuck, reporting_faults, is_draining: false.into() }
    }

    /// How its journal does.
    #[must_use]
    pub fn journal(&self) -> &JournalHealth {
        &self.journal
    }

    /// The loops that did not come round.
    #[must_use]
    pub fn stuck(&self) -> Vec<String> {
        self.stuck.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells which loops did not come round.
    pub fn set_stuck(&self, stuck: Vec<String>) {
        *self.stuck.write().unwrap_or_else(PoisonError::into_inner) = stuck;
    }

    /// What keeps the events of an application away, by the cloud's own word.
    #[must_use]
    pub fn reporting_fault(&self, app: AppId) -> Option<String> {
        let faults = self.reporting_faults.read().unwrap_or_else(PoisonError::into_inner);
        faults.get(&app).cloned()
    }

    /// Tells what keeps the events of an application away; `None` if nothing is known.
    pub fn set_reporting_fault(&self, app: AppId, fault: Option<String>) {
        let mut faults = self.reporting_faults.write().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => drop(faults.insert(app, fault)),
            None => drop(faults.remove(&app)),
        }
    }

    /// The daemon stops.
    pub fn drain(&self) {
        self.is_draining.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Whether the daemon stops.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The applications from which the last pull failed, and what to do about it.
    #[must_use]
    pub fn troubles(&self) -> Vec<(AppId, Advice)> {
        let trouble = |of: &ApplicationProgress| Some((of.app, of.progress.borrow().trouble?));
        self.pulling.iter().filter_map(trouble).collect()
    }

    /// The applications that are pulled from.
    #[must_use]
    pub fn apps(&self) -> Vec<AppId> {
        self.pulling.iter().map(|of| of.app).collect()
    }

    /// How a sentence goes on that is true of these applications; it need not if that is all.
    #[must_use]
    pub fn from(&self, apps: &[AppId]) -> String {
        if apps.len() == self.pulling.len() {
            return String::new();
        }
        let noun = if apps.len() == 1 { "application" } else { "applications" };
        let apps: Vec<_> = apps.iter().map(AppId::to_string).collect();
        format!(" from {noun} {}", apps.join(", "))
    }

    /// Whether a pull from each application was good since the start.
    #[must_use]
    pub fn has_pulled(&self) -> bool {
        self.pulling.iter().all(|of| of.progress.borrow().last_good.is_some())
    }

    /// The age of the last good pull from each application, in the order of the configuration.
    fn ages(&self) -> Vec<(AppId, Option<Duration>)> {
        let age = |of: &ApplicationProgress| {
            let last_good = of.progress.borrow().last_good;
            (of.app, last_good.map(|at| Instant::now().duration_since(at)))
        };
        self.pulling.iter().map(age).collect()
    }

    fn last_good_pull(&self) -> HealthCheck {
        let max_age = MAX_PULL_AGE.max(self.pacing.borrow().settings.interval + PULL_TIME);
        let is_good = |age: &Option<Duration>| age.is_some_and(|age| age <= max_age);
        let ages = self.ages();
        let said = |age: &Option<Duration>| {
            age.map_or("none yet".to_owned(), |age| {
                format!("{:.1} s ago, at most {} s", age.as_secs_f64(), max_age.as_secs())
            })
        };
        let ok = ages.iter().all(|(_, age)| is_good(age));
        // Those that are wrong, or else the oldest.
        let detail = match ages.as_slice() {
            [(_, age)] => said(age),
            _ if ok => ages.iter().map(|(_, age)| age).max().map(said).unwrap_or_default(),
            _ => {
                let wrong = ages.iter().filter(|(_, age)| !is_good(age));
                let each: Vec<_> =
                    wrong.map(|(app, age)| format!("application {app}: {}", said(age))).collect();
                each.join("; ")
            }
        };
        let oldest: Option<Vec<Duration>> = ages.iter().map(|(_, age)| *age).collect();
        let oldest = oldest.and_then(|ages| ages.into_iter().max());
        HealthCheck {
            seconds: oldest.map(|age| age.as_secs_f64()),
            ..HealthCheck::new("last_good_pull", ok, detail)
        }
    }

    fn cloud(&self) -> HealthCheck {
        let lasting: Vec<_> = self
            .troubles()
            .into_iter()
            .filter(|(_, advice)| {
                matches!(advice, Advice::Clock | Advice::Credentials | Advice::Refused)
            })
            .map(|(app, advice)| match self.pulling.len() {
                1 => advice.name().to_owned(),
                _ => format!("application {app}: {}", advice.name()),
            })
            .collect();
        let detail = match lasting.as_slice() {
            [] => "ok".to_owned(),
            _ => format!("refuses our requests ({}); the log says why", lasting.join(", ")),
        };
        HealthCheck::new("cloud", lasting.is_empty(), detail)
    }

    /// What the cloud says of its reporting: never a reason not to be ready, since this daemon does
    /// its work.
    fn reporting(&self) -> HealthCheck {
        let faults = self.pulling.iter().filter_map(|of| {
            let fault = foreign(&self.reporting_fault(of.app)?);
            Some(match self.pulling.len() {
                1 => fault,
                _ => format!("application {}: {fault}", of.app),
            })
        });
        let faults: Vec<_> = faults.collect();
        let detail = if faults.is_empty() { "ok".to_owned() } else { faults.join("; ") };
        HealthCheck {
            degraded: !faults.is_empty(),
            ..HealthCheck::new("event_config", true, detail)
        }
    }

    /// Whether the daemon does its work at `now`; `overview` is of its journal, if that can be
    /// read, `down` are the sinks that are.
    #[must_use]
    pub fn readiness(
        &self,
        overview: Option<&Overview>,
        down: &[String],
        now: DateTime<Utc>,
    ) -> Readiness {
        let is_draining = self.is_draining();
        let journal = self.journal.error();
        let stuck = self.stuck();
        let checks = vec![
            self.last_good_pull(),
            self.cloud(),
            self.reporting(),
            HealthCheck::new(
                "journal",
                journal.is_none(),
                journal.map_or("ok".to_owned(), |error| error.to_string()),
            ),
            commit(self.journal.committing()),
            deliveries(overview, now),
            sinks(down),
            HealthCheck::new(
                "loops",
                stuck.is_empty(),
                if stuck.is_empty() { "ok".to_owned() } else { stuck.join(", ") },
            ),
            HealthCheck::new(
                "draining",
                !is_draining,
                if is_draining { "the daemon stops" } else { "no" }.to_owned(),
            ),
        ];
        Readiness {
            ready: checks.iter().all(|check| check.ok),
            degraded: checks.iter().any(|check| check.degraded),
            checks,
        }
    }
}

/// The commit under way.
fn commit(age: Option<Duration>) -> HealthCheck {
    let detail = age.map_or("none under way".to_owned(), |age| {
        let (age, most) = (age.as_secs_f64(), MAX_COMMIT.as_secs());
        format!("under way for {age:.1} s, at most {most} s")
    });
    HealthCheck {
        degraded: age.is_some_and(|age| age > SLOW_COMMIT),
        seconds: age.map(|age| age.as_secs_f64()),
        ..HealthCheck::new("commit", age.is_none_or(|age| age <= MAX_COMMIT), detail)
    }
}

/// What is to be delivered: never a reason not to be ready, since that is the sinks' affair.
fn deliveries(overview: Option<&Overview>, now: DateTime<Utc>) -> HealthCheck {
    let Some(overview) = overview else {
        let detail = "the journal cannot be read beside its writer".to_owned();
        return HealthCheck { degraded: true, ..HealthCheck::new("deliveries", true, detail) };
    };
    let due = overview.sinks.iter().filter(|sink| sink.sink.active);
    let oldest = due.filter_map(|sink| Some((sink.oldest_due?, &sink.sink.name))).min();
    let Some((since, sink)) = oldest else {
        return HealthCheck::new("deliveries", true, "none due".to_owned());
    };
    let age = (now - since).to_std().unwrap_or_default();
    let detail = format!("the oldest is due for {} at {}", time(age.as_secs_f64()), foreign(sink));
    HealthCheck {
        degraded: age > LATE,
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
    use super::*;
    use crate::journal::{KnownSink, SinkId, SinkOverview, StateCounts};
    use crate::puller::PullProgress;

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
        (DaemonHealth::new(pulling, journal.clone(), pacing), journal, told)
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
    async fn a_last_good_pull_older_than_a_minute_is_no_readiness() {
        let (health, _journal, told) = daemon(1, Duration::from_secs(1));
        let seen = async |wait: f64| {
            let (ready, degraded, check) = after(&health, wait, "last_good_pull").await;
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
        assert!(after(&health, 620.0, "last_good_pull").await.0);
        let (ready, _, check) = after(&health, 1.0, "last_good_pull").await;
        assert_eq!((ready, check.detail.as_str()), (false, "621.0 s ago, at most 620 s"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_application_without_a_good_pull_is_no_readiness() {
        let (health, _journal, told) = daemon(2, Duration::from_secs(1));
        let (ready, _, check) = after(&health, 40.0, "last_good_pull").await;
        assert_eq!((ready, check.seconds), (true, Some(40.0)));
        told[0].send_modify(|progress| progress.last_good = Some(Instant::now()));
        let (ready, _, check) = after(&health, 30.0, "last_good_pull").await;
        let detail = "application 8: 70.0 s ago, at most 60 s";
        assert_eq!((ready, check.seconds, check.detail.as_str()), (false, Some(70.0), detail));
        told[1].send_modify(|progress| progress.last_good = Some(Instant::now()));
        let (ready, _, check) = after(&health, 1.0, "last_good_pull").await;
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
            let name = format!("refuses our requests (application 8: {})", advice.name());
            assert_eq!(check.detail.contains(&name), !ready, "{}", check.detail);
        }
        told[1].send_modify(|progress| progress.trouble = None);
        assert!(after(&health, 0.0, "cloud").await.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_is_stuck_and_a_stop_are_no_readiness() {
        let (health, _journal, _told) = daemon(1, Duration::from_secs(1));
        health.set_stuck(vec!["puller".to_owned(), "sink a".to_owned()]);
        let (ready, _, check) = after(&health, 0.0, "loops").await;
        assert_eq!((ready, check.detail.as_str()), (false, "puller, sink a"));
        health.set_stuck(Vec::new());
        assert!(after(&health, 0.0, "loops").await.0);
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
        };
        let check = |sinks| {
            let check = deliveries(Some(&Overview { sinks, ..Overview::default() }), now);
            (check.ok, check.degraded, check.detail)
        };
        let good = (true, false, "none due".to_owned());
        assert_eq!(check(vec![sink(1, "a", true, None), sink(2, "gone", false, Some(900))]), good);
        let late = (true, true, "the oldest is due for 3 min at hook".to_owned());
        assert_eq!(
            check(vec![sink(1, "a", true, Some(5)), sink(2, "hook", true, Some(190))]),
            late
        );
    }
}
