//! What all of the journal says of events and sinks. Knows nothing else of it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::event::{Event, Key, MirrorResult};

/// The number of an event in a journal: grows with every event that is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub i64);

/// The number of a sink in a journal: stays with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkId(pub i64);

/// What an append did with one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The event's number.
    pub id: EventId,
    /// The event's key: that of the occurrence, where it may repeat.
    pub key: Key,
    /// Whether it was seen for the first time.
    pub is_new: bool,
    /// Whether a sink still has to take it.
    pub pending: bool,
    /// Whether an event that reads the same may be another one.
    pub is_repeatable: bool,
    /// Whether it may repeat, and came under this handle before.
    pub is_under_its_handle: bool,
    /// Whether it may have been stored before as another one: the confirmation of that one was
    /// sent, and no answer said that it was taken.
    pub may_be_duplicate: bool,
}

/// An event that was just stored.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The event's number.
    pub id: EventId,
    /// The event.
    pub event: Arc<Event>,
}

/// What became of an event that was to be stored.
pub(super) struct StoredEntry {
    pub(super) appended: Appended,
    /// A new event, and the sinks that want it.
    pub(super) new: Option<(NewEvent, Vec<SinkId>)>,
}

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
    /// Whether its delivery was asked for by hand.
    pub is_requeued: bool,
    /// When the sink before had settled it, where this one comes after another.
    pub released: Option<DateTime<Utc>>,
}

impl PendingEvent {
    /// A new event, which was never tried.
    #[must_use]
    pub fn untried(NewEvent { id, event }: NewEvent) -> Self {
        Self {
            id,
            event,
            attempts: 0,
            charged: Duration::ZERO,
            first_failed: None,
            last_failed: None,
            is_requeued: false,
            released: None,
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
    /// Whether it was requeued by hand and has not failed since: what the sink got earlier
    /// does not count.
    pub is_requeued: bool,
}

/// Which of the events that wait for a sink.
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
    /// What a mirror made of each of its image sprites, for the sinks that come after it; empty of
    /// other sinks.
    pub mirrored: Vec<MirrorResult>,
}

/// The outcomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "an error is why; the other fields are told of with their variant")]
pub enum DeliveryOutcome {
    /// The sink has it.
    Delivered,
    /// It is due again then; `charged` is the time that counts towards giving up, all in all.
    Retry { due: DateTime<Utc>, charged: Duration, error: String },
    /// It is a dead letter of the sink.
    Dead { error: String },
    /// It is a dead letter of the sink, which rejected it: one of those in a row, until the sink
    /// takes an event.
    Rejected { error: String },
}

/// What a sink did earlier, in this run of the daemon or another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkHistory {
    /// Whether it has ever taken an event.
    pub has_taken: bool,
    /// The events recorded as [`DeliveryOutcome::Rejected`] since it last took one.
    pub rejected: Vec<EventId>,
}

/// What a sink's record came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Events that no sink has to take any more.
    pub settled: Vec<EventId>,
    /// Events that this sink still has to take.
    pub pending: u64,
    /// The sinks that come after this one and have events to take by that.
    pub released: BTreeSet<SinkId>,
}

#[derive(Clone, Debug)]
pub(super) struct SinkRecords {
    pub(super) sink: SinkId,
    pub(super) records: Vec<DeliveryRecord>,
    pub(super) checkpoint: Option<String>,
    pub(super) now: DateTime<Utc>,
}

/// A handle that is about to be confirmed, as far as occurrences are under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleConfirmation {
    /// The handle.
    pub handle: Arc<str>,
    /// The events under it.
    pub events: Vec<EventId>,
}

/// Whether a handle may be confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfirmPermission {
    /// It may; these occurrences were open before.
    Granted(Vec<EventId>),
    /// It may not: another handle counts for an occurrence under it.
    Superseded,
}

/// What state an event is in: these words and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventState {
    /// A sink still has to take it.
    Pending,
    /// Every sink that wanted it has it.
    Delivered,
    /// At least one sink gave it up and none is pending.
    Dead,
    /// No sink wanted it.
    Unrouted,
}

impl EventState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Unrouted => "unrouted",
        }
    }
}

/// What is left at a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// The sink's name.
    pub sink: String,
    /// Events that it still has to take.
    pub pending: u64,
    /// Its dead letters.
    pub dead: u64,
}

/// What a sink in the configuration still has to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The sink's name.
    pub sink: String,
    /// Events that it still has to take.
    pub pending: u64,
    /// The last failure of one of them; `None` if none was tried.
    pub last_error: Option<String>,
    /// Since when the sink is paused by hand.
    pub paused: Option<DateTime<Utc>>,
}

/// What fills a journal and cannot be pruned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unprunable {
    /// The sink with the most events pending or dead; `None` if no sink has any.
    pub most: Option<Backlog>,
    /// Whether that sink stands in the configuration.
    pub is_configured: bool,
}

impl fmt::Display for Unprunable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Backlog { sink, pending, dead }) = &self.most else {
            return f.write_str("nothing is pending or dead, but keys are kept for 4 days");
        };
        let gone = if self.is_configured { "" } else { ", which is no longer configured," };
        write!(f, "the sink {sink:?}{gone} has {pending} events pending and {dead} dead")
    }
}
