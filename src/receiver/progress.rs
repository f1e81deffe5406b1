//! What became of posted events that may not come again, counted and for whoever watches.

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::metrics::Metrics;

/// When the receiver last turned events away that the cloud may not post again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveProgress {
    /// For their signature.
    pub lost: Option<DateTime<Utc>>,
    /// Since they could not be stored in time.
    pub unstored: Option<DateTime<Utc>>,
}

/// Where the receiver records them. Clones share it.
#[derive(Clone, Debug)]
pub struct PostLosses {
    metrics: Metrics,
    progress: watch::Sender<ReceiveProgress>,
}

impl PostLosses {
    /// None so far; they are counted in `metrics`.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, progress: watch::Sender::default() }
    }

    /// Returns a watch on them.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<ReceiveProgress> {
        self.progress.subscribe()
    }

    /// Records that an event was refused for its signature.
    pub(super) fn lost(&self) {
        self.metrics.received_lost.inc();
        self.progress.send_modify(|progress| progress.lost = Some(Utc::now()));
    }

    /// Records that an event could not be stored in time.
    pub(super) fn unstored(&self) {
        self.metrics.received_unstored.inc();
        self.progress.send_modify(|progress| progress.unstored = Some(Utc::now()));
    }
}
