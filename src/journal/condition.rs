//! How a journal does, for whoever watches it from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

/// Bounds of the time of a commit, in seconds.
const SECONDS: [f64; 9] = [0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0];

/// Whether a journal can be written, and how fast. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Condition {
    is_failing: Arc<AtomicBool>,
    commits: Histogram,
}

impl Default for Condition {
    fn default() -> Self {
        Self { is_failing: Arc::default(), commits: Histogram::new(SECONDS) }
    }
}

impl Condition {
    /// Whether the last commit failed; more are tried until one succeeds.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// The time of each commit in seconds, failed ones included.
    #[must_use]
    pub fn commits(&self) -> &Histogram {
        &self.commits
    }

    pub(super) fn set_failing(&self, is_failing: bool) {
        self.is_failing.store(is_failing, Ordering::Relaxed);
    }

    pub(super) fn note_commit(&self, time: Duration) {
        self.commits.observe(time.as_secs_f64());
    }
}
