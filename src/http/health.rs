//! Whether the daemon is alive and ready, from what its loops tell.

use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::event::AppId;
use crate::journal::Condition;
use crate::poller::{Pacing, Pulling};
use crate::vod::Advice;

/// The last good pull may be this old where pulls come at short intervals.
const MAX_PULL_AGE: Duration = Duration::from_secs(60);
/// Beyond the interval between two pulls: one takes 5 s at the most when all is well.
const PULL_TIME: Duration = Duration::from_secs(20);

/// The health of a daemon.
#[derive(Debug)]
pub struct Health {
    /// From each application, one at least.
    pulling: Vec<Pulling>,
    journal: Condition,
    pacing: watch::Receiver<Pacing>,
    stuck: RwLock<Vec<String>>,
    is_draining: std::sync::atomic::AtomicBool,
}

/// Whether a daemon does its work.
#[derive(Debug, Serialize)]
pub struct Readiness {
    /// Whether every check is good.
    pub ready: bool,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Whether it is good.
    pub ok: bool,
    /// Its number, or what is wrong.
    pub detail: String,
}

impl Health {
    /// The health of a daemon that pulls like this, by this pacing, into a journal that does like
    /// this.
    #[must_use]
    pub fn new(pulling: Vec<Pulling>, journal: Condition, pacing: watch::Receiver<Pacing>) -> Self {
        Self { pulling, journal, pacing, stuck: RwLock::default(), is_draining: false.into() }
    }

    /// How its journal does.
    #[must_use]
    pub fn journal(&self) -> &Condition {
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
        let trouble = |of: &Pulling| Some((of.app, of.progress.borrow().trouble?));
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
        let age = |of: &Pulling| {
            let last_good = of.progress.borrow().last_good;
            (of.app, last_good.map(|at| Instant::now().duration_since(at)))
        };
        self.pulling.iter().map(age).collect()
    }

    fn last_good_pull(&self) -> Check {
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
        Check { name: "last_good_pull", ok, detail }
    }

    fn cloud(&self) -> Check {
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
        Check { name: "cloud", ok: lasting.is_empty(), detail }
    }

    /// Whether the daemon does its work now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let is_draining = self.is_draining();
        let journal = self.journal.trouble();
        let stuck = self.stuck();
        let checks = vec![
            self.last_good_pull(),
            self.cloud(),
            Check {
                name: "journal",
                ok: journal.is_none(),
                detail: journal.map_or("ok".to_owned(), |error| error.to_string()),
            },
            Check {
                name: "loops",
                ok: stuck.is_empty(),
                detail: if stuck.is_empty() { "ok".to_owned() } else { stuck.join(", ") },
            },
            Check {
                name: "draining",
                ok: !is_draining,
                detail: if is_draining { "the daemon stops" } else { "no" }.to_owned(),
            },
        ];
        Readiness { ready: checks.iter().all(|check| check.ok), checks }
    }
}
