//! The journal's writer: one thread, one connection, one commit for all that waits.
//!
//! It runs the jobs that wait in its queue in one transaction and commits once. It decides when to
//! commit, which callers wait for the commit, and what to write again if it fails. The jobs bring
//! their SQL; [`Store`] runs it.

mod deferred;
mod fairness;
mod outage;
mod replies;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(super) use self::deferred::DeferredWrite;
use self::fairness::WriteFairness;
use self::outage::CommitOutage;
use self::replies::PendingReply;
pub(super) use self::replies::{Reply, answer};
use super::error::{JournalError, Result};
use super::feed::Route;
use super::health::JournalHealth;
use super::receipts::PullReceipt;
use super::sqlite::{Rescue, Store};
use super::types::{Appended, Recorded, SinkId, StoredEntry};
use crate::event::Entry;

/// Jobs that are run, and one more, before those are answered that need no commit, or all are
/// committed.
const MAX_GROUP: usize = 64;
/// How long deferred writes wait for a commit to share. What a crash repeats at a sink that
/// cannot tell what it holds is what was delivered within this time.
const DEFER_TIME: Duration = Duration::from_millis(20);
/// From the begin of a commit that somebody waits for, jobs gather for this time: a flood of them
/// costs some 250 syncs a second. A lone event is committed at once; its verdict may wait.
const GATHER_TIME: Duration = Duration::from_millis(4);
/// The wait between tries to write what a failed commit has left.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Bytes of bodies appended to a transaction before the journal's size is measured again.
const MAX_UNMEASURED: usize = 1024 * 1024;
/// Steps of pruning for one append when the journal is found full.
const MAX_PRUNE_STEPS: usize = 10;

/// What the writer is asked to do: a call of one of its methods, each of which commits in its own
/// way.
pub(super) type Job = Box<dyn FnOnce(&mut Writer) + Send>;

pub(super) struct Writer {
    pub(super) store: Store,
    queue: mpsc::Receiver<Job>,
    routes: Vec<Route>,
    /// Deferred writes of the open transaction, or of one that failed to commit; with each the last
    /// request by hand that was known then.
    deferred: Vec<(DeferredWrite, i64)>,
    /// The sinks that have events to take by deferred writes, released by the sink before.
    released: BTreeSet<SinkId>,
    waiting: Vec<PendingReply>,
    in_transaction: bool,
    /// Bytes of bodies appended since the journal's size was measured.
    unmeasured: usize,
    /// When the open transaction, or what a failed one has left, is to be committed.
    commit_at: Option<Instant>,
    /// When the last commit began whose answers had to wait for it.
    gather_from: Option<Instant>,
    fairness: WriteFairness,
    health: JournalHealth,
    outage: CommitOutage,
}

impl Writer {
    pub(super) fn new(store: Store, queue: mpsc::Receiver<Job>, health: JournalHealth) -> Self {
        Self {
            outage: CommitOutage::new(health.clone()),
            health,
            store,
            queue,
            routes: Vec::new(),
            deferred: Vec::new(),
            released: BTreeSet::new(),
            waiting: Vec::new(),
            in_transaction: false,
            unmeasured: 0,
            commit_at: None,
            gather_from: None,
            fairness: WriteFairness::new(Instant::now()),
        }
    }

    /// Works until the last sender is gone, then commits what is left.
    pub(super) fn run(mut self, runtime: &Runtime) {
        loop {
            self.outage.review();
            // What fails is tried again.
            if self.commit_at.is_some_and(|at| at <= Instant::now()) {
                drop(self.commit());
            }
            let wake_at = self.commit_at.into_iter().chain(self.outage.over_at()).min();
            let next = runtime.block_on(async {
                match wake_at {
                    Some(at) => tokio::time::timeout_at(at, self.queue.recv()).await,
                    None => Ok(self.queue.recv().await),
                }
            });
            match next {
                Ok(Some(job)) => {
                    self.work(job);
                    self.gather();
                }
                Ok(None) => break,
                Err(_) => {}
            }
        }
        drop(self.commit());
    }

    /// Runs `job` and what waits behind it, and commits at once if somebody waits for the disk.
    fn work(&mut self, job: Job) {
        let mut next = Some(job);
        for _ in 0..MAX_GROUP {
            let Some(job) = next else { break };
            job(self);
            next = self.queue.try_recv().ok();
        }
        if let Some(job) = next {
            job(self);
        }
        if self.needs_commit() || (self.outage.is_failing() && !self.waiting.is_empty()) {
            drop(self.commit());
        } else {
            self.answer_waiting();
        }
        if self.in_transaction {
            // Others may want to write: a transaction is never left open for longer.
            self.commit_at.get_or_insert(Instant::now() + DEFER_TIME);
        }
    }

    /// Lets jobs gather, unless enough for a transaction wait already.
    fn gather(&mut self) {
        if self.in_transaction {
            return;
        }
        let Some(began) = self.gather_from.take() else { return };
        let gathered = if self.queue.len() < MAX_GROUP { began.elapsed() } else { GATHER_TIME };
        std::thread::sleep(GATHER_TIME.saturating_sub(gathered));
    }

    /// Commits what was appended before, which is published by the old routes.
    pub(super) fn set_routes(&mut self, routes: Vec<Route>, now: DateTime<Utc>) -> Result<()> {
        let sinks: Vec<SinkId> = routes.iter().map(|route| route.sink).collect();
        self.write_now(|store| store.activate(&sinks, now))?;
        self.routes = routes;
        Ok(())
    }

    /// Where nothing is written, files that are gone are noticed here.
    pub(super) fn changed_outside(&mut self) -> Result<bool> {
        self.health.check_in_place()?;
        self.store.changed_outside()
    }

    pub(super) fn rescue(&mut self) -> Result<Rescue> {
        drop(self.commit());
        self.store.rescue(self.health.files())
    }

    /// Stores entries `from` one answer, and answers when those that are new are on disk.
    pub(super) fn append(
        &mut self,
        entries: &[Entry],
        from: &PullReceipt,
        reply: Reply<Vec<Appended>>,
    ) {
        self.unmeasured += entries.iter().map(|entry| entry.event.body.len()).sum::<usize>();
        let is_measured = self.has_new_events() && self.unmeasured <= MAX_UNMEASURED;
        let room = if is_measured { Ok(()) } else { self.make_room(from.pulled) };
        match room.and_then(|()| self.insert(entries, from)) {
            Ok(stored) => {
                let (mut appended, mut new) = (Vec::with_capacity(stored.len()), Vec::new());
                for event in stored {
                    appended.push(event.appended);
                    new.extend(event.new);
                }
                self.waiting.push(PendingReply::Append { reply, appended, new });
            }
            Err(error @ (JournalError::Sqlite(_) | JournalError::Disk { .. })) => {
                self.outage.unwritable(&error, true);
                answer(reply, Err(error));
            }
            Err(error) => {
                self.health.failed(&error);
                answer(reply, Err(error));
            }
        }
    }

    fn insert(&mut self, entries: &[Entry], from: &PullReceipt) -> Result<Vec<StoredEntry>> {
        let routes = std::mem::take(&mut self.routes);
        let result = self.write(|store| store.append(entries, from, &routes));
        self.routes = routes;
        result
    }

    /// Refuses when the journal is full, and what is settled does not make room within a few
    /// steps: whoever was refused comes again soon, and so do the next ones.
    fn make_room(&mut self, now: DateTime<Utc>) -> Result<()> {
        if !self.store.is_full()? {
            self.unmeasured = 0;
            self.store.was_full = false;
            return Ok(());
        }
        for _ in 0..MAX_PRUNE_STEPS {
            if !self.write_now(|store| store.prune(now))? {
                break;
            }
        }
        if self.store.is_full()?
            && let Err(error) = self.store.empty_log()
        {
            tracing::debug!(%error, "journal write-ahead log cannot be emptied");
        }
        self.store.check_capacity()
    }

    fn has_new_events(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.new_events().is_empty())
    }

    fn needs_commit(&self) -> bool {
        self.waiting.iter().any(PendingReply::needs_commit)
    }

    /// Runs a write in the open transaction, or opens one. A failed write takes back all of the
    /// transaction, since SQLite may have done so already.
    fn write<T>(&mut self, write: impl FnOnce(&mut Store) -> Result<T>) -> Result<T> {
        let result = self.begin().and_then(|()| write(&mut self.store));
        let result = result.map_err(|error| error.at(self.store.settings()));
        if let Err(error) = &result {
            self.roll_back(error.clone());
        }
        result
    }

    /// Runs a write with a commit of its own, after those that wait.
    pub(super) fn write_now<T>(
        &mut self,
        write: impl FnOnce(&mut Store) -> Result<T>,
    ) -> Result<T> {
        let value = self.write(write)?;
        self.commit()?;
        Ok(value)
    }

    /// Runs a write that shares the next commit, and answers when it is on disk.
    pub(super) fn write_shared<T: Send + 'static>(
        &mut self,
        write: impl FnOnce(&mut Store) -> Result<T>,
        reply: Reply<T>,
    ) {
        match self.write(write) {
            Ok(value) => self.waiting.push(PendingReply::Write(Box::new(|committed| {
                answer(reply, committed.map(|()| value));
            }))),
            Err(error) => answer(reply, Err(error)),
        }
    }

    /// Runs a read, which sees every write that was answered, and of events only those on disk.
    pub(super) fn read<T>(&mut self, read: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
        if self.has_new_events() {
            // Its failure is the answer of those who wait for it; the read goes on without their
            // events.
            drop(self.commit());
        }
        if !self.deferred.is_empty() {
            self.begin()?;
        }
        read(&self.store)
    }

    fn begin(&mut self) -> Result<()> {
        if self.in_transaction {
            return Ok(());
        }
        std::thread::sleep(self.fairness.wait(Instant::now()));
        self.health.begins();
        self.store.begin().inspect_err(|_| self.health.ends())?;
        self.in_transaction = true;
        self.fairness.began(Instant::now());
        // Whoever takes the journal over from here on waits for this transaction.
        if let Err(error @ JournalError::Taken(_)) = self.health.check_in_place() {
            self.roll_back(error.clone());
            return Err(error);
        }
        for (write, last_request) in &self.deferred {
            if let Err(error) = write.replay(&mut self.store, *last_request) {
                self.roll_back(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Runs a write that shares the next commit and is answered before it. Once a commit has failed
    /// none is any more, until one succeeds. What a sink is given by the one before is on disk before
    /// it takes it: what it holds after a crash is then known as its own.
    pub(super) fn defer(&mut self, write: DeferredWrite) -> Result<Recorded> {
        let recorded = self.write(|store| write.write(store))?;
        self.deferred.push((write, self.store.last_request));
        self.released.extend(&recorded.released);
        if self.outage.is_failing()
            && let Err(error) = self.commit()
        {
            self.deferred.pop();
            return Err(error);
        }
        if !self.released.is_empty() {
            // What fails is tried again.
            drop(self.commit());
        }
        Ok(recorded)
    }

    /// Commits the open transaction, then answers those who wait for it.
    fn commit(&mut self) -> Result<()> {
        let start = Instant::now();
        let with_events = self.has_new_events();
        let committed =
            self.begin().and_then(|()| self.may_commit()).and_then(|()| self.store.commit());
        self.health.record_commit(start.elapsed());
        match committed {
            Ok(true) => self.outage.written(with_events),
            Ok(false) => {}
            Err(error) => {
                let error = error.at(self.store.settings());
                self.outage.unwritable(&error, with_events);
                self.roll_back(error.clone());
                return Err(error);
            }
        }
        self.ended();
        self.deferred.clear();
        self.commit_at = None;
        let released = std::mem::take(&mut self.released);
        let routes = self.routes.iter().filter(|route| released.contains(&route.sink));
        routes.for_each(|route| route.feed.release());
        if self.needs_commit() {
            self.gather_from = Some(start);
        }
        self.answer_waiting();
        Ok(())
    }

    /// Nothing goes into a journal that another daemon has, and nothing new into files that no
    /// start will find. What was deferred does: these are copied in the end.
    fn may_commit(&self) -> Result<()> {
        match self.health.check_in_place() {
            Err(JournalError::Gone(_)) if !self.needs_commit() => Ok(()),
            checked => checked,
        }
    }

    fn answer_waiting(&mut self) {
        if self.waiting.iter().any(|waiting| matches!(waiting, PendingReply::Append { .. })) {
            self.health.appended();
        }
        // Before the answers, so that a sink may have the events while they are answered.
        for Route { sink, feed, .. } in &self.routes {
            let new = self.waiting.iter().flat_map(PendingReply::new_events);
            let wanted = new.filter(|(_, sinks)| sinks.contains(sink));
            feed.publish(wanted.map(|(event, _)| event.clone()));
        }
        for waiting in self.waiting.drain(..) {
            waiting.answer(Ok(()));
        }
    }

    /// The transaction is closed, if one was open.
    fn ended(&mut self) {
        if std::mem::take(&mut self.in_transaction) {
            self.fairness.ended(Instant::now());
        }
        self.health.ends();
    }

    fn roll_back(&mut self, error: JournalError) {
        self.store.roll_back();
        self.ended();
        self.commit_at = (!self.deferred.is_empty()).then(|| Instant::now() + RETRY_WAIT);
        for waiting in self.waiting.drain(..) {
            waiting.answer(Err(error.clone()));
        }
    }
}
