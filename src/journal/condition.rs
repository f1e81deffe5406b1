//! How a journal does, for whoever watches it from outside: keeps no journal open.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::metrics::Times;

use super::Error;

/// Bounds of the time of a commit, in seconds.
const SECONDS: [f64; 9] = [0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0];

/// Whether a journal takes events, and how fast. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Condition {
    trouble: Arc<Mutex<Option<Error>>>,
    commits: Times,
}

impl Default for Condition {
    fn default() -> Self {
        Self { trouble: Arc::default(), commits: Times::new(SECONDS) }
    }
}

impl Condition {
    /// Why the journal takes no events; `None` while it does.
    #[must_use]
    pub fn trouble(&self) -> Option<Error> {
        self.lock().clone()
    }

    /// The time of each commit, failed ones included.
    #[must_use]
    pub fn commits(&self) -> &Times {
        &self.commits
    }

    pub(super) fn failed(&self, error: &Error) {
        *self.lock() = Some(error.clone());
    }

    /// Something was committed: a journal that is full is full all the same.
    pub(super) fn committed(&self) {
        let mut trouble = self.lock();
        if !matches!(*trouble, Some(Error::Full { .. })) {
            *trouble = None;
        }
    }

    /// Events were taken.
    pub(super) fn appended(&self) {
        *self.lock() = None;
    }

    pub(super) fn note_commit(&self, time: Duration) {
        self.commits.observe(time);
    }

    /// For a few instructions only.
    fn lock(&self) -> MutexGuard<'_, Option<Error>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
