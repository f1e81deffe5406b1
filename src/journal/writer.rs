//! The journal's writer: one thread, one connection, one commit for all that waits.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::append::StoredEntry;
use super::deferred::DeferredWrite;
use super::fairness::WriteFairness;
use super::job::{Job, Reply, answer};
use super::outage::CommitOutage;
use super::receipts::PullReceipt;
use super::replies::PendingReply;
use super::store::Store;
use super::{Appended, Backlog, JournalError, JournalHealth, Result, Route, SinkId};
use crate::event::Entry;

/// Jobs that are run, and one more, before those are answered that need no commit, or all are
/// committed.
const MAX_GROUP: usize = 64;
/// How long verdicts wait for a commit to share. What a crash repeats at a sink that
/// cannot tell what it holds is what was delivered within this time.
const LINGER: Duration = Duration::from_millis(20);
/// From the begin of a commit of events or notes, jobs gather for this time: a flood of them costs
/// some 250 syncs a second. A lone event is committed at once; its verdict may wait.
const GATHER: Duration = Duration::from_millis(4);
/// The wait between tries to write what a failed commit has left.
const RETRY: Duration = Duration::from_secs(1);
/// Bytes of bodies appended to a transaction before the journal's size is looked at again.
const UNMEASURED: usize = 1024 * 1024;

pub(super) struct Writer {
    pub(super) store: Store,
    queue: mpsc::Receiver<Job>,
    routes: Vec<Route>,
    /// Writes of the open transaction that were answered, or of one that failed to commit.
    promises: Vec<DeferredWrite>,
    /// Who waits for the open transaction.
    waiting: Vec<PendingReply>,
    in_transaction: bool,
    /// Bytes of bodies appended since the journal's size was looked at.
    pub(super) unmeasured: usize,
    /// When the open transaction, or what a failed one has left, is to be committed.
    commit_at: Option<Instant>,
    /// When the last commit began whose answers had to wait for it.
    gather_from: Option<Instant>,
    turns: WriteFairness,
    condition: JournalHealth,
    trouble: CommitOutage,
}

impl Writer {
    pub(super) fn new(store: Store, queue: mpsc::Receiver<Job>, condition: JournalHealth) -> Self {
        Self {
            trouble: CommitOutage::new(condition.clone()),
            condition,
            store,
            queue,
            routes: Vec::new(),
            promises: Vec::new(),
            waiting: Vec::new(),
            in_transaction: false,
            unmeasured: 0,
            commit_at: None,
            gather_from: None,
            turns: WriteFairness::new(Instant::now()),
        }
    }

    /// Works until the last sender is gone, then commits what is left.
    pub(super) fn run(mut self, runtime: &Runtime) {
        loop {
            self.trouble.review();
            // A failure is kept in mind and tried again.
            if self.commit_at.is_some_and(|at| at <= Instant::now()) {
                drop(self.commit());
            }
            let wake_at = self.commit_at.into_iter().chain(self.trouble.over_at()).min();
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
            self.run_job(job);
            next = self.queue.try_recv().ok();
        }
        if let Some(job) = next {
            self.run_job(job);
        }
        if self.needs_commit() || (self.trouble.is_failing() && !self.waiting.is_empty()) {
            drop(self.commit());
        } else {
            self.answer_waiting();
        }
        if self.in_transaction {
            // Others may want to write: a transaction is never left open for longer.
            self.commit_at.get_or_insert(Instant::now() + LINGER);
        }
    }

    /// Lets jobs gather, unless enough for a transaction wait already.
    fn gather(&mut self) {
        if self.in_transaction {
            return;
        }
        let Some(began) = self.gather_from.take() else { return };
        let gathered = if self.queue.len() < MAX_GROUP { began.elapsed() } else { GATHER };
        std::thread::sleep(GATHER.saturating_sub(gathered));
    }

    fn run_job(&mut self, job: Job) {
        match job {
            Job::Append { entries, from, reply } => self.append(&entries, &from, reply),
            Job::Record { records, reply } => {
                let result = self.write(|store| store.record(&records));
                answer(
                    reply,
                    self.promise(result, DeferredWrite::Records(records, self.store.requests)),
                );
            }
            Job::Sending { handles, reply } => {
                match self.write(|store| store.close_occurrences(&handles)) {
                    Ok(noted) => self.waiting.push(PendingReply::Sending { reply, noted }),
                    Err(error) => answer(reply, Err(error)),
                }
            }
            Job::NotTaken { events, reply } => {
                match self.write(|store| store.open_occurrences(&events)) {
                    Ok(()) => self.waiting.push(PendingReply::NotTaken { reply }),
                    Err(error) => answer(reply, Err(error)),
                }
            }
            Job::Confirmed { events, now, reply } => {
                let result = self.write(|store| store.confirmed(&events, now));
                answer(reply, self.promise(result, DeferredWrite::Confirmed(events, now)));
            }
            Job::SetRoutes { routes, reply } => {
                let sinks: Vec<SinkId> = routes.iter().map(|route| route.sink).collect();
                // This commits what was appended before, which is offered by the old routes.
                let result = self.write_now(|store| store.activate(&sinks));
                if result.is_ok() {
                    self.routes = routes;
                }
                answer(reply, result);
            }
            Job::Register { names, reply } => {
                answer(reply, self.write_now(|store| store.register(&names)));
            }
            Job::SetMark { sink, mark, reply } => {
                answer(reply, self.write_now(|store| store.set_checkpoint(sink, &mark)));
            }
            Job::DueNow { sink, now, reply } => {
                answer(reply, self.write_now(|store| store.due_now(sink, now)));
            }
            Job::Prune { now, reply } => {
                answer(reply, self.write_now(|store| store.prune(now)));
            }
            Job::Untried { sink, after, limit, reply } => {
                answer(reply, self.read(|store| store.untried(sink, after, limit)));
            }
            Job::Due { sink, now, limit, reply } => {
                answer(reply, self.read(|store| store.due(sink, now, limit)));
            }
            Job::Probe { sink, after, end, reply } => {
                answer(reply, self.read(|store| store.probe(sink, after, end)));
            }
            Job::Unsure { sink, after, limit, reply } => {
                answer(reply, self.read(|store| store.unacknowledged(sink, after, limit)));
            }
            Job::Owed { sink, events, reply } => {
                answer(reply, self.read(|store| store.outstanding(sink, events)));
            }
            Job::Settled { events, reply } => {
                answer(reply, self.read(|store| store.settled(&events)));
            }
            Job::Mark { sink, reply } => answer(reply, self.read(|store| store.checkpoint(sink))),
            Job::History { sink, reply } => answer(reply, self.read(|store| store.history(sink))),
            Job::Orphans { reply } => {
                let orphans = |store: &mut Store| Backlog::read(&store.connection, "NOT active");
                answer(reply, self.read(orphans));
            }
            Job::CountPending { reply } => answer(reply, self.read(|store| store.pending())),
            Job::SetLimits { settings, reply } => {
                answer(reply, self.store.set_limits(settings).map_err(JournalError::from));
            }
            Job::ChangedOutside { reply } => {
                // Where nothing is written, files that are gone are noticed here.
                let looked = self.condition.look();
                let changed = looked.and_then(|()| Ok(self.store.changed_outside()?));
                answer(reply, changed);
            }
            Job::Rescue { reply } => {
                drop(self.commit());
                answer(reply, self.store.rescue(self.condition.files()));
            }
        }
    }

    fn append(&mut self, entries: &[Entry], from: &PullReceipt, reply: Reply<Vec<Appended>>) {
        self.unmeasured += entries.iter().map(|entry| entry.event.body.len()).sum::<usize>();
        let is_measured = self.has_fresh() && self.unmeasured <= UNMEASURED;
        let room = if is_measured { Ok(()) } else { self.make_room(from.pulled) };
        match room.and_then(|()| self.insert(entries, from)) {
            Ok(stored) => {
                let (mut appended, mut fresh) = (Vec::with_capacity(stored.len()), Vec::new());
                for event in stored {
                    appended.push(event.appended);
                    fresh.extend(event.fresh);
                }
                self.waiting.push(PendingReply::Append { reply, appended, fresh });
            }
            Err(error @ JournalError::Sqlite(_)) => {
                self.trouble.unwritable(&error, true);
                answer(reply, Err(error));
            }
            Err(error) => {
                self.condition.failed(&error);
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

    fn has_fresh(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.fresh().is_empty())
    }

    fn needs_commit(&self) -> bool {
        self.waiting.iter().any(PendingReply::needs_commit)
    }

    /// Runs a write in the open transaction, or opens one. A failed write takes back all of the
    /// transaction, since SQLite may have done so already.
    fn write<T>(&mut self, write: impl FnOnce(&mut Store) -> Result<T>) -> Result<T> {
        let result = self.begin().and_then(|()| write(&mut self.store));
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

    /// Runs a read that sees every write that was answered, and of events only those on disk.
    fn read<T>(&mut self, read: impl FnOnce(&mut Store) -> Result<T>) -> Result<T> {
        if self.has_fresh() {
            // Its failure is told to those who wait for it; the read goes on without their events.
            drop(self.commit());
        }
        if !self.promises.is_empty() {
            self.begin()?;
        }
        read(&mut self.store)
    }

    fn begin(&mut self) -> Result<()> {
        if self.in_transaction {
            return Ok(());
        }
        std::thread::sleep(self.turns.wait(Instant::now()));
        self.condition.begins();
        self.store.begin().inspect_err(|_| self.condition.ends())?;
        self.in_transaction = true;
        self.turns.began(Instant::now());
        // Whoever takes the journal over from here on waits for this transaction.
        if let Err(error @ JournalError::Taken(_)) = self.condition.look() {
            self.roll_back(error.clone());
            return Err(error);
        }
        for promise in &self.promises {
            if let Err(error) = promise.keep(&mut self.store) {
                self.roll_back(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes a write over that is answered before its commit. Once a commit has failed none is
    /// any more, until one succeeds: what could not be kept is not promised.
    fn promise<T>(&mut self, written: Result<T>, promise: DeferredWrite) -> Result<T> {
        let value = written?;
        self.promises.push(promise);
        if self.trouble.is_failing()
            && let Err(error) = self.commit()
        {
            self.promises.pop();
            return Err(error);
        }
        Ok(value)
    }

    /// Commits the open transaction, then answers those who wait for it.
    fn commit(&mut self) -> Result<()> {
        let start = Instant::now();
        let with_events = self.waiting.iter().any(PendingReply::brings_events);
        let committed =
            self.begin().and_then(|()| self.may_commit()).and_then(|()| self.store.commit());
        self.condition.note_commit(start.elapsed());
        match committed {
            Ok(true) => self.trouble.written(with_events),
            Ok(false) => {}
            Err(error) => {
                self.trouble.unwritable(&error, with_events);
                self.roll_back(error.clone());
                return Err(error);
            }
        }
        self.ended();
        self.promises.clear();
        self.commit_at = None;
        if self.needs_commit() {
            self.gather_from = Some(start);
        }
        self.answer_waiting();
        Ok(())
    }

    /// Nothing goes into a journal that another daemon has, and nothing new into files that no start
    /// will find. What was promised does: these are copied in the end.
    fn may_commit(&self) -> Result<()> {
        match self.condition.look() {
            Err(JournalError::Gone(_)) if !self.needs_commit() => Ok(()),
            looked => looked,
        }
    }

    fn answer_waiting(&mut self) {
        if self.waiting.iter().any(|waiting| matches!(waiting, PendingReply::Append { .. })) {
            self.condition.appended();
        }
        // Before the answers, so that a sink may have the events while they are answered.
        for Route { sink, feed, .. } in &self.routes {
            let fresh = self.waiting.iter().flat_map(PendingReply::fresh);
            let wanted = fresh.filter(|(_, sinks)| sinks.contains(sink));
            feed.publish(wanted.map(|(fresh, _)| fresh.clone()));
        }
        for waiting in self.waiting.drain(..) {
            waiting.answer(Ok(()));
        }
    }

    /// The transaction is closed, if one was open.
    fn ended(&mut self) {
        if std::mem::take(&mut self.in_transaction) {
            self.turns.ended(Instant::now());
        }
        self.condition.ends();
    }

    fn roll_back(&mut self, error: JournalError) {
        self.store.roll_back();
        self.ended();
        self.commit_at = (!self.promises.is_empty()).then(|| Instant::now() + RETRY);
        for waiting in self.waiting.drain(..) {
            waiting.answer(Err(error.clone()));
        }
    }
}
