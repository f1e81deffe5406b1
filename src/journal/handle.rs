//! [`Journal`]: opens the journal, and has one method per operation.
//!
//! The SQL of an operation is in `sqlite`. The writer's method that it calls decides the commit: `append` and `write_shared` (answered when they are on disk),
//! `defer` (answered before the commit that it shares), `write_now` (a commit of its own), `read`.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::error::{JournalError, OpenError, Result};
use super::feed::Route;
use super::files::Files;
use super::health::JournalHealth;
use super::receipts::PullReceipt;
use super::settings::JournalSettings;
use super::sqlite::{self, Rescue, Store};
use super::types::{
    Appended, Backlog, ConfirmPermission, DeliveryRecord, EventId, HandleConfirmation, Leftover,
    PendingEvent, PendingPage, QueueEnd, Recorded, SinkHistory, SinkId, SinkRecords,
    UnacknowledgedEvent,
};
use super::writer::{DeferredWrite, Job, Reply, Writer, answer};
use super::{lock, missing, path_rules};
use crate::event::Entry;

/// Jobs that may wait for the writer.
const QUEUE_JOBS: usize = 256;
/// How old a check of the files may be: as old as a confirmation takes to arrive. What happens to
/// the files meanwhile nobody sees.
const MAX_CHECK_AGE: Duration = Duration::from_millis(20);

/// The journal as the daemon has it: the only one that writes while it lives. Cheap to clone.
/// Its futures may be dropped; what they asked for happens all the same, or not at all.
///
/// # Errors
/// Where a method says no more, a read fails when the journal cannot be read, a write when it
/// cannot be written.
#[derive(Clone, Debug)]
pub struct Journal {
    jobs: mpsc::Sender<Job>,
    health: JournalHealth,
    /// One check of the files at a time: on a disk that hangs, one thread waits.
    checks: Arc<Semaphore>,
}

impl Journal {
    /// Opens the journal, or makes one where there is none. Blocks for a few file operations; takes
    /// no longer for a large journal than for an empty one, unless [`is_older`](super::is_older).
    ///
    /// # Errors
    /// When it is in use, foreign, newer or damaged: it is never replaced. When there is none
    /// although there was one.
    pub fn open(settings: &JournalSettings) -> std::result::Result<(Self, Closing), OpenError> {
        path_rules::refuse(&settings.path)?;
        missing::refuse(&settings.path)?;
        let lock = lock::take_soon(&settings.path)?;
        let connection = sqlite::open::open(&settings.path)?;
        let lock = lock::HeldLock::new(lock);
        let guard = lock.guard();
        let store = Store::new(connection, settings.clone())
            .map_err(|source| OpenError::of_sqlite(&settings.path, source))?;
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS);
        path_rules::warn_of_folder(&settings.path);
        let failed = |source| OpenError::File { path: settings.path.clone(), source };
        let health = JournalHealth::of(Files::of(&settings.path, lock).map_err(failed)?);
        // Of its own: its waits then wake nobody else.
        let runtime =
            runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn({
                let health = health.clone();
                move || Writer::new(store, queue, health).run(&runtime)
            })
            .map_err(failed)?;
        let checks = Arc::new(Semaphore::new(1));
        Ok((Self { jobs, health, checks }, Closing { thread, _lock: guard }))
    }

    /// Stores entries `from` one answer, of which at least the time is known: when this returns
    /// they are on disk. A new event gets a pending row for each sink that wants it and is
    /// published to their feeds; a known one is counted as a duplicate. Of events that may repeat,
    /// each entry is an occurrence of its own.
    ///
    /// # Errors
    /// When they are not on disk.
    pub async fn append(
        &self,
        entries: Vec<Entry>,
        from: impl Into<PullReceipt>,
    ) -> Result<Vec<Appended>> {
        let from = from.into();
        self.ask(move |writer, reply| writer.append(&entries, &from, reply)).await
    }

    /// Records what became of events at `sink`, and its checkpoint. The write is deferred: it
    /// shares the next commit; until then it is kept, even over failed commits, and seen by every
    /// read made here.
    ///
    /// # Errors
    /// When it could not be written; it is then up to the caller to come again.
    pub async fn record(
        &self,
        sink: SinkId,
        records: Vec<DeliveryRecord>,
        checkpoint: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<Recorded> {
        let records = SinkRecords { sink, records, checkpoint, now };
        self.run(|writer| writer.defer(DeferredWrite::Records(records))).await
    }

    /// Records that the cloud took back the handles of these events; deferred like
    /// [`Self::record`].
    pub async fn confirmed(&self, events: Vec<EventId>, now: DateTime<Utc>) -> Result<()> {
        let write = DeferredWrite::Confirmed(events, now);
        self.run(|writer| writer.defer(write)).await.map(drop)
    }

    /// Records that confirmations of these handles are about to be sent, under which there are
    /// events that may repeat: from here on an event that reads the same is another one. It is on
    /// disk when this returns. Returns for each handle whether it may be confirmed.
    ///
    /// # Errors
    /// When it could not be written; no handle may be confirmed then.
    pub async fn begin_confirm(
        &self,
        handles: Vec<HandleConfirmation>,
    ) -> Result<Vec<ConfirmPermission>> {
        self.ask(move |writer, reply| {
            writer.write_shared(|store| store.close_occurrences(&handles), reply);
        })
        .await
    }

    /// Takes that back for these occurrences: the cloud has certainly not taken their handles.
    pub async fn abort_confirm(&self, occurrences: Vec<EventId>) -> Result<()> {
        self.ask(move |writer, reply| {
            writer.write_shared(|store| store.open_occurrences(&occurrences), reply);
        })
        .await
    }

    /// Records that this event was posted and its 200 written in time: from here on an event that
    /// reads the same is another one. Does nothing for an event that cannot happen again word for
    /// word. Deferred like [`Self::record`].
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn acknowledge(&self, event: EventId) -> Result<()> {
        self.run(move |writer| match writer.store.is_occurrence(event)? {
            true => writer.defer(DeferredWrite::Acknowledged(event)).map(drop),
            false => Ok(()),
        })
        .await
    }

    /// Returns the numbers of these sinks, in the same order. Changes nothing for the sinks that
    /// have routes: a name is known here before events go there.
    pub async fn register(&self, names: Vec<String>) -> Result<Vec<SinkId>> {
        self.write(move |store| store.register(&names)).await
    }

    /// Sets where new events go, from the next append on: each goes by the old routes or by the
    /// new ones. All sinks without a route become orphans, whose rows stay but hold nothing up.
    ///
    /// # Errors
    /// When the journal cannot be written; the routes then stay as they were.
    pub async fn set_routes(&self, routes: Vec<Route>, now: DateTime<Utc>) -> Result<()> {
        self.run(move |writer| writer.set_routes(routes, now)).await
    }

    /// Makes every failed event for `sink` due at `now`, after an outage.
    pub async fn due_now(&self, sink: SinkId, now: DateTime<Utc>) -> Result<()> {
        self.write(move |store| store.due_now(sink, now)).await
    }

    /// Forgets the events that `sink` rejected in a row. Returns the newest event of the journal.
    pub async fn forget_rejected(&self, sink: SinkId) -> Result<EventId> {
        self.write(move |store| store.forget_rejected(sink)).await
    }

    /// Records a checkpoint of `sink`, after all that was written before. It is on disk when this
    /// returns.
    pub async fn set_checkpoint(&self, sink: SinkId, checkpoint: String) -> Result<()> {
        self.write(move |store| store.set_checkpoint(sink, &checkpoint)).await
    }

    /// Takes one small step of pruning: deletes events past their retention, or bodies of
    /// settled events when space is short. Returns whether there is more to do, after
    /// [`PRUNE_PAUSE`](super::PRUNE_PAUSE).
    pub async fn prune(&self, now: DateTime<Utc>) -> Result<bool> {
        self.write(move |store| store.prune(now)).await
    }

    /// Keeps within the retention and the size of `settings` from now on; its path stays.
    ///
    /// # Errors
    /// When the journal is closed.
    pub async fn set_limits(&self, settings: JournalSettings) -> Result<()> {
        self.run(|writer| writer.store.set_limits(settings)).await
    }

    /// Returns events for `sink` that were never tried, after the event `after`, in order, up to
    /// `limit`.
    pub async fn untried(&self, sink: SinkId, after: EventId, limit: usize) -> Result<PendingPage> {
        self.read(move |store| store.untried(sink, after, limit)).await
    }

    /// Returns events for `sink` that are due again at `now`, those due first first, up to `limit`;
    /// and when the first of the others is due.
    pub async fn due(
        &self,
        sink: SinkId,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<(PendingPage, Option<DateTime<Utc>>)> {
        self.read(move |store| store.due(sink, now, limit)).await
    }

    /// Returns one event to probe a failing `sink` with: at that end of those never tried after the
    /// event `after`, or the one that was tried least, whether due or not; if there are none of the
    /// one sort, one of the other.
    pub async fn probe(
        &self,
        sink: SinkId,
        after: EventId,
        end: QueueEnd,
    ) -> Result<Option<PendingEvent>> {
        self.read(move |store| store.probe(sink, after, end)).await
    }

    /// Returns what is outstanding at `sink`, after the event `after`, in order, up to `limit`.
    pub async fn unacknowledged(
        &self,
        sink: SinkId,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<UnacknowledgedEvent>> {
        self.read(move |store| store.unacknowledged(sink, after, limit)).await
    }

    /// Returns those of `events` that are outstanding at `sink`.
    pub async fn outstanding(&self, sink: SinkId, events: Vec<EventId>) -> Result<Vec<EventId>> {
        self.read(move |store| store.outstanding(sink, events)).await
    }

    /// Returns those of `events` that are outstanding at no sink.
    pub async fn settled(&self, events: Vec<EventId>) -> Result<Vec<EventId>> {
        self.read(move |store| store.settled(&events)).await
    }

    /// Returns the checkpoint of `sink` that was recorded last.
    pub async fn checkpoint(&self, sink: SinkId) -> Result<Option<String>> {
        self.read(move |store| store.checkpoint(sink)).await
    }

    /// Returns what `sink` did earlier.
    pub async fn history(&self, sink: SinkId) -> Result<SinkHistory> {
        self.read(move |store| store.history(sink)).await
    }

    /// Returns what is left at sinks that are no longer registered.
    pub async fn orphans(&self) -> Result<Vec<Backlog>> {
        self.read(Store::orphans).await
    }

    /// Returns what is left at sinks in the configuration; reads all of it.
    pub async fn leftovers(&self) -> Result<Vec<Leftover>> {
        self.read(Store::leftovers).await
    }

    /// Returns how many events are outstanding at a sink in the configuration.
    pub async fn pending(&self) -> Result<u64> {
        self.read(Store::pending).await
    }

    /// Whether another process has written to the journal since the last call.
    ///
    /// # Errors
    /// When the journal cannot be read, or its files are not in place.
    pub async fn changed_outside(&self) -> Result<bool> {
        self.run(Writer::changed_outside).await
    }

    /// Copies the journal, whose files are gone, to a new file beside its place. Everything else
    /// that it is asked waits meanwhile.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn rescue(&self) -> Result<Rescue> {
        self.run(Writer::rescue).await
    }

    /// Whether the journal's files are those that the next start will find, by a check that may be
    /// as old as a confirmation takes to arrive: mostly that of the last commit. Nothing that the
    /// journal alone keeps may be confirmed without.
    ///
    /// # Errors
    /// As [`Self::in_place`].
    pub async fn was_in_place(&self) -> Result<()> {
        if self.health.was_in_place(MAX_CHECK_AGE) { Ok(()) } else { self.in_place().await }
    }

    /// Checks whether the journal's files are those that the next start will find. Waits for no
    /// commit.
    ///
    /// # Errors
    /// [`JournalError::Gone`] when they are not, [`JournalError::Taken`] when another daemon has
    /// them, [`JournalError::Unseen`] when that cannot be told now.
    pub async fn in_place(&self) -> Result<()> {
        let one = self.checks.clone().acquire_owned().await.map_err(|_| JournalError::Closed)?;
        let health = self.health.clone();
        let check = move || {
            let _one = one;
            health.check_in_place()
        };
        tokio::task::spawn_blocking(check).await.unwrap_or(Err(JournalError::Closed))
    }

    /// Returns its health, for whoever watches: keeps the journal no longer open.
    pub fn health(&self) -> JournalHealth {
        self.health.clone()
    }

    /// A read that sees every write that was answered, and of events only those on disk.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(|writer| writer.read(read)).await
    }

    /// A write with a commit of its own.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(|writer| writer.write_now(write)).await
    }

    /// What is answered as soon as it was run.
    async fn run<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Writer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.ask(|writer, reply| answer(reply, run(writer))).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Writer, Reply<T>) + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(|writer| run(writer, reply));
        self.jobs.send(job).await.map_err(|_| JournalError::Closed)?;
        answer.await.unwrap_or(Err(JournalError::Closed))
    }
}

/// The journal's writer thread and its lock; [`Closing::wait`] after the last
/// [`Journal`] is gone.
#[derive(Debug)]
pub struct Closing {
    pub(super) thread: std::thread::JoinHandle<()>,
    pub(super) _lock: lock::Guard,
}

impl Closing {
    /// Waits for the last commit. Every [`Journal`] must have been dropped, else it
    /// never ends.
    pub async fn wait(self) {
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("journal writer panicked");
        }
    }
}
