//! Whether commits can be trusted again after some have failed.
//!
//! On a disk that is nearly full small commits succeed between large ones that fail. So the journal
//! counts as unwritable until no commit has failed for a while, and until an append has succeeded
//! if one has failed: whoever pulled those events tries again.

use tokio::time::Instant;

use crate::journal::error::JournalError;
use crate::journal::health::JournalHealth;
use crate::limits::IntermittentOutage;

/// Commits that fail, until they can be trusted again.
#[derive(Debug)]
pub(super) struct CommitOutage {
    health: JournalHealth,
    outage: IntermittentOutage,
    /// Whether the last commit failed.
    is_failing: bool,
    /// Whether the last append of events failed.
    lacks_append: bool,
}

impl CommitOutage {
    pub(super) fn new(health: JournalHealth) -> Self {
        let outage = IntermittentOutage::default();
        Self { health, outage, is_failing: false, lacks_append: false }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// When it is over if nothing fails until then.
    pub(super) fn over_at(&self) -> Option<Instant> {
        self.outage.over_at()
    }

    /// Something was committed, with or without events.
    pub(super) fn written(&mut self, with_events: bool) {
        self.is_failing = false;
        self.lacks_append &= !with_events;
        if !self.lacks_append {
            self.outage.worked();
        }
        self.review();
    }

    /// Reports its end, if it is over by now.
    pub(super) fn review(&mut self) {
        if let Some(report) = self.outage.recovered(Instant::now()) {
            let lasted_seconds = report.lasted.as_secs();
            tracing::info!(lasted_seconds, "journal writable again");
            self.health.writable();
        }
    }

    /// A write failed, with or without events.
    pub(super) fn unwritable(&mut self, error: &JournalError, with_events: bool) {
        self.health.failed(error);
        if error.is_final() {
            return;
        }
        self.is_failing = true;
        self.lacks_append |= with_events;
        if let Some(report) = self.outage.failed(Instant::now()) {
            let failures = report.failures;
            tracing::error!(%error, failures, "journal write failed; retrying");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn after(outage: &mut CommitOutage, seconds: u64) -> bool {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        outage.review();
        outage.health.is_unwritable()
    }

    #[tokio::test(start_paused = true)]
    async fn small_commits_between_failing_appends_end_no_outage() {
        let full = JournalError::Sqlite("database or disk is full".into());
        let mut outage = CommitOutage::new(JournalHealth::default());
        for _ in 0..20 {
            outage.unwritable(&full, true);
            assert!(outage.is_failing());
            outage.written(false);
            assert!(!outage.is_failing());
            assert!(after(&mut outage, 60).await, "no append has succeeded");
        }
        outage.written(true);
        assert!(!outage.health.is_unwritable());

        outage.unwritable(&full, true);
        outage.written(true);
        assert!(after(&mut outage, 9).await);
        outage.unwritable(&full, false);
        outage.written(false);
        assert!(after(&mut outage, 9).await);
        assert!(!after(&mut outage, 1).await);
        assert_eq!(outage.over_at(), None);
    }
}
