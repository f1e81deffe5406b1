//! What a sink still has to take, and what became of it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{EventId, NewEvent};
use crate::event::{Event, Key};

/// An event that a sink still has to take.
#[derive(Clone, Debug)]
pub struct PendingEvent {
    /// The event's number.
    pub id: EventId,
    /// The event.
    pub event: Arc<Event>,
    /// Failed deliveries to this sink so far.
    pub attempts: u32,
    /// The time that counts towards giving up.
    pub charged: Duration,
    /// The first failed delivery.
    pub first_failed: Option<DateTime<Utc>>,
    /// The last failed delivery.
    pub last_failed: Option<DateTime<Utc>>,
}

impl PendingEvent {
    /// A fresh event, which was never tried.
    #[must_use]
    pub fn untried(fresh: NewEvent) -> Self {
        let NewEvent { id, event } = fresh;
        Self {
            id,
            event,
            attempts: 0,
            charged: Duration::ZERO,
            first_failed: None,
            last_failed: None,
        }
    }
}

/// A pending event, as its sink is asked after a start whether it holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnacknowledgedEvent {
    /// The event's number.
    pub id: EventId,
    /// The event's key.
    pub key: Key,
    /// Whether it was asked for by hand and has not failed since: what the sink got earlier
    /// does not count.
    pub is_anew: bool,
}

/// An end of what waits for a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueEnd {
    /// What has waited longest.
    Oldest,
    /// What came last.
    Newest,
    /// Of what has failed, the one that was tried least.
    LeastTried,
}

/// Events that were read: as many as asked for, or less if they are large.
#[derive(Clone, Debug)]
pub struct PendingPage {
    /// The events.
    pub events: Vec<PendingEvent>,
    /// Whether there are no others.
    pub is_all: bool,
}

/// What became of one event at one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// The event's number.
    pub event: EventId,
    /// What became of it.
    pub outcome: DeliveryOutcome,
}

/// The outcomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The sink has it.
    Delivered,
    /// It is due again.
    Retry {
        /// When.
        due: DateTime<Utc>,
        /// The time that counts towards giving up, all in all.
        charged: Duration,
        /// What happened.
        error: String,
    },
    /// It is a dead letter of the sink.
    Dead {
        /// Why.
        error: String,
    },
    /// It is a dead letter of the sink, which rejected it: one of those in a row, until the sink
    /// takes an event.
    Rejected {
        /// Why.
        error: String,
    },
}

/// What a sink did earlier, by whatever run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkHistory {
    /// Whether it has ever taken an event.
    pub has_taken: bool,
    /// The events recorded as [`Outcome::Rejected`] since it last took one.
    pub rejected: Vec<EventId>,
}

/// What a sink's record came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Events that no sink has to take any more.
    pub settled: Vec<EventId>,
    /// Events that this sink still has to take.
    pub pending: u64,
}
