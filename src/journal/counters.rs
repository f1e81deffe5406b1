//! What is counted over the life of a journal, in the transactions of the rows it counts.

use super::SinkId;

/// What is counted, summed over the life of the journal. `audit` holds it against the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counter {
    Received,
    SeenAgain,
    Unrouted,
    Confirmed,
    Pruned,
    Routed(SinkId),
    Delivered(SinkId),
    Dead(SinkId),
}

impl Counter {
    /// Its row in the table of counters.
    pub(super) fn row(self) -> (&'static str, i64) {
        match self {
            Self::Received => ("received", 0),
            Self::SeenAgain => ("seen_again", 0),
            Self::Unrouted => ("unrouted", 0),
            Self::Confirmed => ("confirmed", 0),
            Self::Pruned => ("pruned", 0),
            Self::Routed(sink) => ("routed", sink.0),
            Self::Delivered(sink) => ("delivered", sink.0),
            Self::Dead(sink) => ("dead", sink.0),
        }
    }
}

/// Sums over the journal's life, and what its rows say now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Events stored, each once.
    pub received: u64,
    /// Times that a known event came again.
    pub seen_again: u64,
    /// Events that no sink wanted.
    pub unrouted: u64,
    /// Events taken back by the cloud.
    pub confirmed: u64,
    /// Deliveries that were owed to sinks.
    pub routed: u64,
    /// Deliveries made.
    pub delivered: u64,
    /// Deliveries given up.
    pub dead: u64,
    /// Deliveries still owed.
    pub pending: u64,
}
