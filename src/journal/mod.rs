//! The journal: every event on disk before anything is confirmed, and what is still to be done
//! with it.
//!
//! One thread owns the one connection that writes (`writer`): it takes what waits in its
//! queue, runs it in one transaction and commits once. Verdicts do not commit by themselves,
//! they share the next commit that somebody waits for, or come a moment later. Other processes read
//! beside it.

mod admin;
mod append;
mod audit;
mod body;
mod capacity;
mod closing;
mod counters;
mod deferred;
mod deliveries;
mod fairness;
mod feed;
mod files;
mod filter;
mod health;
mod id_ranges;
mod job;
mod key_index;
mod lock;
mod maintenance;
mod migrations;
mod missing;
mod occurrences;
mod outage;
mod outstanding;
mod overview;
mod path_rules;
mod prune;
mod reader;
mod receipts;
mod replies;
mod rescue;
mod restore;
mod routes;
mod schema;
mod settings;
mod store;
mod types;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::event::Entry;

pub use admin::{JournalAdmin, Requeued};
pub use audit::{AuditReport, CounterCheck, Violation, audit};
pub use capacity::Unprunable;
pub use closing::Closing;
pub use counters::JournalTotals;
pub use feed::{FeedReceiver, FeedSender, NewEvent, feed};
pub use filter::Filter;
pub use health::JournalHealth;
use job::Job;
pub use maintenance::{MaintenanceError, SourceJournal, check, compact};
pub use missing::{COPIES, give_up, missing, rescued};
pub use occurrences::{ConfirmPermission, HandleConfirmation};
pub use outstanding::{
    DeliveryOutcome, DeliveryRecord, PendingEvent, PendingPage, QueueEnd, Recorded, SinkHistory,
    UnacknowledgedEvent,
};
pub use overview::{Overview, SinkOverview, StateCounts};
pub use path_rules::too_long;
pub use prune::PRUNE_PAUSE;
pub use reader::{Backlog, EventRow, EventState, JournalReader, KnownSink, SinkState};
pub use receipts::{PullReceipt, Receipt, Taken};
pub use rescue::Rescue;
pub use restore::{Replacement, Restored};
pub use routes::Route;
pub use schema::{OpenError, is_older};
pub use settings::JournalSettings;
pub use store::LOG_LENGTH;
pub use types::{Appended, EventId, JournalError, Result, SinkId};
use writer::Writer;

/// Jobs that may wait for the writer.
const QUEUE: usize = 256;
/// How long a confirmation may be on its way: what happens to the files meanwhile nobody sees.
const ON_ITS_WAY: Duration = Duration::from_millis(20);

/// The journal as the daemon has it: the only one that writes while it lives. Cheap to clone.
/// Its futures may be dropped; what they asked for happens all the same, or not at all.
#[derive(Clone, Debug)]
pub struct Journal {
    jobs: mpsc::Sender<Job>,
    condition: JournalHealth,
    /// One look at the files at a time: on a disk that hangs, one thread waits.
    looks: Arc<Semaphore>,
}

impl Journal {
    /// Opens the journal, or makes one where there is none.
    /// Blocks for a few file operations; takes no longer for a large journal than for an empty one,
    /// unless [`is_older`].
    ///
    /// # Errors
    /// When it is in use, foreign, newer or damaged: it is never replaced. When there is none
    /// although there was one.
    pub fn open(settings: &JournalSettings) -> std::result::Result<(Self, Closing), OpenError> {
        path_rules::refuse(&settings.path)?;
        missing::refuse(&settings.path)?;
        let lock = lock::take(&settings.path)?;
        let connection = schema::open(&settings.path)?;
        let lock = lock::HeldLock::new(lock);
        let guard = lock.guard();
        let store = store::Store::new(connection, settings.clone())
            .map_err(|source| OpenError::of_sqlite(&settings.path, source))?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        path_rules::warn_of_folder(&settings.path);
        let failed = |source| OpenError::File { path: settings.path.clone(), source };
        let condition = JournalHealth::of(files::Files::of(&settings.path, lock).map_err(failed)?);
        // Of its own: its waits then wake nobody else.
        let runtime =
            runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn({
                let condition = condition.clone();
                move || Writer::new(store, queue, condition).run(&runtime)
            })
            .map_err(failed)?;
        let looks = Arc::new(Semaphore::new(1));
        Ok((Self { jobs, condition, looks }, Closing { thread, _lock: guard }))
    }

    /// Stores entries `from` one answer, of which at least the time is known: when this returns they are on disk. A
    /// fresh event gets a pending row for each sink that wants it and goes into their feeds; a
    /// known one is counted as seen again. Of events that may repeat, each entry is an occurrence
    /// of its own.
    ///
    /// # Errors
    /// When they are not on disk.
    pub async fn append(
        &self,
        entries: Vec<Entry>,
        from: impl Into<PullReceipt>,
    ) -> Result<Vec<Appended>> {
        let from = from.into();
        self.ask(|reply| Job::Append { entries, from, reply }).await
    }

    /// Writes what became of events at `sink`, and its mark. The write shares the next commit;
    /// until then it is kept, even over failed commits, and seen by every read made here.
    ///
    /// # Errors
    /// When it could not be written; it is then up to the caller to come again.
    pub async fn record(
        &self,
        sink: SinkId,
        records: Vec<DeliveryRecord>,
        mark: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<Recorded> {
        self.ask(|reply| Job::Record {
            records: job::SinkRecords { sink, records, mark, now },
            reply,
        })
        .await
    }

    /// Writes that confirmations of these handles are about to be sent, under which there are events
    /// that may repeat: from here on an event that reads the same is another one. It is on disk when
    /// this returns. Returns for each handle whether it may be confirmed.
    ///
    /// # Errors
    /// When it could not be written; no handle may be confirmed then.
    pub async fn sending(
        &self,
        handles: Vec<HandleConfirmation>,
    ) -> Result<Vec<ConfirmPermission>> {
        self.ask(|reply| Job::Sending { handles, reply }).await
    }

    /// Takes that back for these occurrences: the cloud has certainly not taken their handles.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn not_taken(&self, events: Vec<EventId>) -> Result<()> {
        self.ask(|reply| Job::NotTaken { events, reply }).await
    }

    /// Writes that the cloud took back the handles of these events.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn confirmed(&self, events: Vec<EventId>, now: DateTime<Utc>) -> Result<()> {
        self.ask(|reply| Job::Confirmed { events, now, reply }).await
    }

    /// Events for `sink` that were never tried, after the event `after`, in order, up to `limit`.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn untried(&self, sink: SinkId, after: EventId, limit: usize) -> Result<PendingPage> {
        self.ask(|reply| Job::Untried { sink, after, limit, reply }).await
    }

    /// Events for `sink` that are due again at `now`, those due first first, up to `limit`; and when
    /// the first of the others is due.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn due(
        &self,
        sink: SinkId,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<(PendingPage, Option<DateTime<Utc>>)> {
        self.ask(|reply| Job::Due { sink, now, limit, reply }).await
    }

    /// One event to ask a failing `sink` with: at that end of those never tried after the event
    /// `after`, or the one that was tried least, whether due or not; if there are none of the one
    /// sort, one of the other.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn probe(
        &self,
        sink: SinkId,
        after: EventId,
        end: QueueEnd,
    ) -> Result<Option<PendingEvent>> {
        self.ask(|reply| Job::Probe { sink, after, end, reply }).await
    }

    /// Makes every failed event for `sink` due at `now`, after an outage.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn due_now(&self, sink: SinkId, now: DateTime<Utc>) -> Result<()> {
        self.ask(|reply| Job::DueNow { sink, now, reply }).await
    }

    /// What `sink` still has to take, after the event `after`, in order, up to `limit`.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn unacknowledged(
        &self,
        sink: SinkId,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<UnacknowledgedEvent>> {
        self.ask(|reply| Job::Unsure { sink, after, limit, reply }).await
    }

    /// Those of `events` that `sink` still has to take.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn outstanding(&self, sink: SinkId, events: Vec<EventId>) -> Result<Vec<EventId>> {
        self.ask(|reply| Job::Owed { sink, events, reply }).await
    }

    /// Those of `events` that no sink has to take any more.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn settled(&self, events: Vec<EventId>) -> Result<Vec<EventId>> {
        self.ask(|reply| Job::Settled { events, reply }).await
    }

    /// The mark of `sink` that was recorded last.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn checkpoint(&self, sink: SinkId) -> Result<Option<String>> {
        self.ask(|reply| Job::Mark { sink, reply }).await
    }

    /// What `sink` did earlier.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn history(&self, sink: SinkId) -> Result<SinkHistory> {
        self.ask(|reply| Job::History { sink, reply }).await
    }

    /// Records a mark of `sink`, after all that was written before. It is on disk when this
    /// returns.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn set_checkpoint(&self, sink: SinkId, mark: String) -> Result<()> {
        self.ask(|reply| Job::SetMark { sink, mark, reply }).await
    }

    /// What is left at sinks that are no longer registered.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn orphans(&self) -> Result<Vec<Backlog>> {
        self.ask(|reply| Job::Orphans { reply }).await
    }

    /// Events that a sink in the configuration still has to take.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn pending(&self) -> Result<u64> {
        self.ask(|reply| Job::CountPending { reply }).await
    }

    /// Takes one small step of pruning: deletes events past their retention, or bodies of
    /// settled events when space is short. Tells whether there is more to do, after
    /// [`PRUNE_PAUSE`].
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn prune(&self, now: DateTime<Utc>) -> Result<bool> {
        self.ask(|reply| Job::Prune { now, reply }).await
    }

    /// Whether the journal's files are those that the next start will find, by a look that may be as old
    /// as a confirmation takes to arrive: mostly that of the last commit. Nothing that the journal alone
    /// keeps may be confirmed without.
    ///
    /// # Errors
    /// As [`Self::in_place`].
    pub async fn was_in_place(&self) -> Result<()> {
        if self.condition.was_in_place(ON_ITS_WAY) { Ok(()) } else { self.in_place().await }
    }

    /// Looks whether the journal's files are those that the next start will find. Waits for no commit.
    ///
    /// # Errors
    /// [`Error::Gone`] when they are not, [`Error::Taken`] when another daemon has them,
    /// [`Error::Unseen`] when that cannot be told now.
    pub async fn in_place(&self) -> Result<()> {
        let one = self.looks.clone().acquire_owned().await.map_err(|_| JournalError::Closed)?;
        let condition = self.condition.clone();
        let look = move || {
            let _one = one;
            condition.look()
        };
        tokio::task::spawn_blocking(look).await.unwrap_or(Err(JournalError::Closed))
    }

    /// Copies the journal, whose files are gone, to a new file beside its place. Everything else
    /// that it is asked waits meanwhile.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn rescue(&self) -> Result<Rescue> {
        self.ask(|reply| Job::Rescue { reply }).await
    }

    /// Whether another process has written to the journal since the last call.
    ///
    /// # Errors
    /// When the journal cannot be read, or its files are not in place.
    pub async fn changed_outside(&self) -> Result<bool> {
        self.ask(|reply| Job::ChangedOutside { reply }).await
    }

    /// Keeps within the retention and the size of `settings` from now on; its path stays.
    ///
    /// # Errors
    /// When the journal is closed.
    pub async fn set_limits(&self, settings: JournalSettings) -> Result<()> {
        self.ask(|reply| Job::SetLimits { settings, reply }).await
    }

    /// How it does, for whoever watches: keeps the journal no longer open.
    #[must_use]
    pub fn health(&self) -> JournalHealth {
        self.condition.clone()
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| JournalError::Closed)?;
        answer.await.unwrap_or(Err(JournalError::Closed))
    }
}
