//! What the journal's writer is asked to do.

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::receipts::PullReceipt;
use super::{
    Appended, Backlog, ConfirmPermission, DeliveryRecord, EventId, HandleConfirmation,
    JournalSettings, PendingEvent, PendingPage, QueueEnd, Recorded, Rescue, Result, Route,
    SinkHistory, SinkId, UnacknowledgedEvent,
};
use crate::event::Entry;

/// Where an answer goes; whoever asked may be gone.
pub(super) type Reply<T> = oneshot::Sender<Result<T>>;

/// Answers; whoever asked may be gone, which changes nothing about what was done.
pub(super) fn answer<T>(reply: Reply<T>, result: Result<T>) {
    drop(reply.send(result));
}

/// What the writer can be asked to do.
#[derive(Debug)]
pub(super) enum Job {
    Register { names: Vec<String>, reply: Reply<Vec<SinkId>> },
    SetRoutes { routes: Vec<Route>, reply: Reply<()> },
    Append { entries: Vec<Entry>, from: PullReceipt, reply: Reply<Vec<Appended>> },
    Record { records: SinkRecords, reply: Reply<Recorded> },
    Sending { handles: Vec<HandleConfirmation>, reply: Reply<Vec<ConfirmPermission>> },
    NotTaken { events: Vec<EventId>, reply: Reply<()> },
    Confirmed { events: Vec<EventId>, now: DateTime<Utc>, reply: Reply<()> },
    Untried { sink: SinkId, after: EventId, limit: usize, reply: Reply<PendingPage> },
    Due { sink: SinkId, now: DateTime<Utc>, limit: usize, reply: Reply<DueRows> },
    Probe { sink: SinkId, after: EventId, end: QueueEnd, reply: Reply<Option<PendingEvent>> },
    DueNow { sink: SinkId, now: DateTime<Utc>, reply: Reply<()> },
    Unsure { sink: SinkId, after: EventId, limit: usize, reply: Reply<Vec<UnacknowledgedEvent>> },
    Owed { sink: SinkId, events: Vec<EventId>, reply: Reply<Vec<EventId>> },
    Settled { events: Vec<EventId>, reply: Reply<Vec<EventId>> },
    Mark { sink: SinkId, reply: Reply<Option<String>> },
    History { sink: SinkId, reply: Reply<SinkHistory> },
    SetMark { sink: SinkId, mark: String, reply: Reply<()> },
    Orphans { reply: Reply<Vec<Backlog>> },
    CountPending { reply: Reply<u64> },
    Prune { now: DateTime<Utc>, reply: Reply<bool> },
    SetLimits { settings: JournalSettings, reply: Reply<()> },
    ChangedOutside { reply: Reply<bool> },
    Rescue { reply: Reply<Rescue> },
}

/// Events that are due, and when the next one is.
pub(super) type DueRows = (PendingPage, Option<DateTime<Utc>>);

/// Verdicts of one sink.
#[derive(Clone, Debug)]
pub(super) struct SinkRecords {
    pub(super) sink: SinkId,
    pub(super) records: Vec<DeliveryRecord>,
    pub(super) mark: Option<String>,
    pub(super) now: DateTime<Utc>,
}
