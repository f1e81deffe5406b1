//! How a journal does, for whoever watches it from outside: keeps no journal open.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::Times;

use super::Error;

/// Bounds of the time of a commit, in seconds.
const SECONDS: [f64; 9] = [0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0];

/// Whether a journal takes events, and how fast. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Condition {
    trouble: Arc<Mutex<Option<Error>>>,
    writing_since: Arc<Mutex<Option<Instant>>>,
    commits: Times,
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            trouble: Arc::default(),
            writing_since: Arc::default(),
            commits: Times::new(SECONDS),
        }
    }
}

impl Condition {
    /// Why the journal takes no events; `None` while it does.
    #[must_use]
    pub fn trouble(&self) -> Option<Error> {
        locked(&self.trouble).clone()
    }

    /// How long the commit under way has taken up to now; `None` if there is none.
    #[must_use]
    pub fn committing(&self) -> Option<Duration> {
        locked(&self.writing_since).map(|since| since.elapsed())
    }

    /// The time of each commit, failed ones included.
    #[must_use]
    pub fn commits(&self) -> &Times {
        &self.commits
    }

    pub(super) fn failed(&self, error: &Error) {
        *locked(&self.trouble) = Some(error.clone());
    }

    /// Something was committed: a journal that is full is full all the same.
    pub(super) fn committed(&self) {
        let mut trouble = locked(&self.trouble);
        if !matches!(*trouble, Some(Error::Full { .. })) {
            *trouble = None;
        }
    }

    /// Events were taken.
    pub(super) fn appended(&self) {
        *locked(&self.trouble) = None;
    }

    /// A commit is under way, from its first write on.
    pub(crate) fn begins(&self) {
        *locked(&self.writing_since) = Some(Instant::now());
    }

    /// It has ended, whatever came of it.
    pub(crate) fn ends(&self) {
        *locked(&self.writing_since) = None;
    }

    pub(super) fn note_commit(&self, time: Duration) {
        self.commits.observe(time);
    }
}

/// For a few instructions only.
fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
