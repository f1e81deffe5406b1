//! What is told of commits that fail.

use tokio::time::Instant;

use super::{Condition, Error};
use crate::outage::Outage;

/// Commits that fail, until one succeeds.
#[derive(Debug)]
pub(super) struct Trouble {
    condition: Condition,
    outage: Outage,
}

impl Trouble {
    pub(super) fn new(condition: Condition) -> Self {
        Self { condition, outage: Outage::default() }
    }

    /// Whether the last commit failed, and another may succeed.
    pub(super) fn lasts(&self) -> bool {
        self.outage.lasts()
    }

    pub(super) fn written(&mut self) {
        self.condition.committed();
        if let Some(report) = self.outage.recovered(Instant::now()) {
            let lasted_seconds = report.lasted.as_secs();
            tracing::info!(lasted_seconds, "the journal can be written again");
        }
    }

    pub(super) fn unwritable(&mut self, error: &Error) {
        self.condition.failed(error);
        if matches!(error, Error::Gone(_)) {
            return;
        }
        if let Some(report) = self.outage.failed(Instant::now()) {
            let failures = report.failures;
            tracing::error!(%error, failures, "the journal cannot be written; tries until it can");
        }
    }
}
