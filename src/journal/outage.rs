//! What is told of commits that fail.
//!
//! On a disk that is nearly full small commits succeed between large ones that fail. So the journal
//! counts as unwritable until no commit has failed for a while, and until an append has succeeded if
//! one has failed: whoever pulled those events tries again.

use tokio::time::Instant;

use super::{JournalError, JournalHealth};
use crate::outage::IntermittentOutage;

/// Commits that fail, until they can be trusted again.
#[derive(Debug)]
pub(super) struct CommitOutage {
    condition: JournalHealth,
    outage: IntermittentOutage,
    /// Whether the last commit failed.
    is_failing: bool,
    /// Whether the last append of events failed.
    owes_append: bool,
}

impl CommitOutage {
    pub(super) fn new(condition: JournalHealth) -> Self {
        let outage = IntermittentOutage::default();
        Self { condition, outage, is_failing: false, owes_append: false }
    }

    /// Whether the last commit failed, and another may succeed.
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
        self.owes_append &= !with_events;
        if !self.owes_append {
            self.outage.worked();
        }
        self.review();
    }

    /// Tells if it is over by now.
    pub(super) fn review(&mut self) {
        if let Some(report) = self.outage.recovered(Instant::now()) {
            let lasted_seconds = report.lasted.as_secs();
            tracing::info!(lasted_seconds, "the journal can be written again");
            self.condition.writable();
        }
    }

    /// A write failed, with or without events.
    pub(super) fn unwritable(&mut self, error: &JournalError, with_events: bool) {
        self.condition.failed(error);
        if error.is_final() {
            return;
        }
        self.is_failing = true;
        self.owes_append |= with_events;
        if let Some(report) = self.outage.failed(Instant::now()) {
            let failures = report.failures;
            tracing::error!(%error, failures, "the journal cannot be written; tries until it can");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn after(trouble: &mut CommitOutage, seconds: u64) -> bool {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        trouble.review();
        trouble.condition.is_unwritable()
    }

    #[tokio::test(start_paused = true)]
    async fn small_commits_between_failing_appends_end_no_outage() {
        let full = JournalError::Sqlite("database or disk is full".into());
        let mut trouble = CommitOutage::new(JournalHealth::default());
        for _ in 0..20 {
            trouble.unwritable(&full, true);
            assert!(trouble.is_failing());
            trouble.written(false);
            assert!(!trouble.is_failing());
            assert!(after(&mut trouble, 60).await, "an append is owed");
        }
        trouble.written(true);
        assert!(!trouble.condition.is_unwritable());

        trouble.unwritable(&full, true);
        trouble.written(true);
        assert!(after(&mut trouble, 9).await);
        trouble.unwritable(&full, false);
        trouble.written(false);
        assert!(after(&mut trouble, 9).await);
        assert!(!after(&mut trouble, 1).await);
        assert_eq!(trouble.over_at(), None);
    }
}
