//! Whether the daemon is alive and ready, from what its loops tell.

use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::journal::Condition;
use crate::poller::{Pacing, Progress};
use crate::vod::Advice;

/// The last good pull may be this old where pulls come at short intervals.
const MAX_PULL_AGE: Duration = Duration::from_secs(60);
/// Beyond the interval between two pulls: one takes 5 s at the most when all is well.
const PULL_TIME: Duration = Duration::from_secs(20);

/// The health of a daemon.
#[derive(Debug)]
pub struct Health {
    progress: watch::Receiver<Progress>,
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
    pub fn new(
        progress: watch::Receiver<Progress>,
        journal: Condition,
        pacing: watch::Receiver<Pacing>,
    ) -> Self {
        Self { progress, journal, pacing, stuck: RwLock::default(), is_draining: false.into() }
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

    /// What to do about the last pull, if it failed.
    #[must_use]
    pub fn trouble(&self) -> Option<Advice> {
        self.progress.borrow().trouble
    }

    /// Whether a pull was good since the start.
    #[must_use]
    pub fn has_pulled(&self) -> bool {
        self.progress.borrow().last_good.is_some()
    }

    /// Whether the daemon does its work now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let progress = *self.progress.borrow();
        let max_pull_age = MAX_PULL_AGE.max(self.pacing.borrow().settings.interval + PULL_TIME);
        let age = progress.last_good.map(|at| Instant::now().duration_since(at));
        let lasting = progress.trouble.filter(|advice| {
            matches!(advice, Advice::Clock | Advice::Credentials | Advice::Refused)
        });
        let is_draining = self.is_draining();
        let journal = self.journal.trouble();
        let stuck = self.stuck();
        let checks = vec![
            Check {
                name: "last_good_pull",
                ok: age.is_some_and(|age| age <= max_pull_age),
                detail: age.map_or("none yet".to_owned(), |age| {
                    format!("{:.1} s ago, at most {} s", age.as_secs_f64(), max_pull_age.as_secs())
                }),
            },
            Check {
                name: "cloud",
                ok: lasting.is_none(),
                detail: lasting.map_or("ok".to_owned(), |advice| {
                    format!("refuses our requests ({}); the log says why", advice.name())
                }),
            },
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
