//! What reaches a confirmer, and what it finds out by itself.

use tokio::sync::{mpsc, watch};

use crate::journal::{EventId, Journal};
use crate::lease::Lease;

/// Events that the journal is asked for at once, so that appends come between.
const SETTLED_BATCH: usize = 1000;

/// What reaches a confirmer.
#[derive(Debug)]
pub struct Inbox {
    /// Handles, by the puller: those of an answer at once.
    pub leases: mpsc::Receiver<Vec<Lease>>,
    /// Events that no sink has to take any more, by the deliveries.
    pub settled: mpsc::Receiver<Vec<EventId>>,
    /// Changes when events may have been settled without a delivery: somebody else discarded them,
    /// or their sink is gone. A lease on its way meanwhile is missed: its event comes once more.
    pub changed: watch::Receiver<u64>,
}

/// Those of `events` that no sink has to take any more, though no delivery reported it: they were
/// discarded, or their sink is gone. As far as the journal can be read; what is not found out
/// comes again.
pub(super) async fn settled(journal: Journal, events: Vec<EventId>) -> Vec<EventId> {
    let mut settled = Vec::new();
    for part in events.chunks(SETTLED_BATCH) {
        match journal.settled(part.to_vec()).await {
            Ok(part) => settled.extend(part),
            Err(error) => tracing::debug!(%error, "events settled by others not read"),
        }
    }
    settled
}
