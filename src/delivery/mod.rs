//! Delivers events to one sink: one loop per sink, none waits for another.
//!
//! Owns concurrency, retries and time. New events come from the sink's feed, or from the
//! journal after a start and whenever the feed overflowed; failed ones come from the journal
//! when they are due. Knows sinks and the journal, neither the puller nor the confirmer.

mod breaker;
mod burst;
mod catching_up;
mod commands;
mod concurrency;
mod control;
mod counters;
mod in_flight;
mod launching;
mod max_rejects;
mod meters;
mod outages;
mod progress;
mod queue;
mod records;
mod recovery;
mod retrying;
mod uptime;
mod verdicts;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::journal::{DeliveryOutcome, DeliveryRecord, EventId, FeedReceiver, Journal, SinkId};
use crate::limits::{Backoff, JOURNAL_RETRIES, Outage};
use crate::liveness::Heartbeat;
use crate::metrics::Metrics;
use crate::sinks::{Fault, Sink, Verdict};
use breaker::Breaker;
use burst::LogBurst;
use catching_up::CatchingUp;
use concurrency::ConcurrencyWindow;
use control::{SinkCommand, SinkTest};
use counters::DeliveryCounters;
use in_flight::{Delivered, InFlight, Written};
use progress::{BoardEntry, Tally};
use queue::DeliveryQueue;
use records::write;
use retrying::{Retrying, Tried};
use uptime::Uptime;

pub use control::{RetryOutcome, SinkControl, SinkControlError, SinkControls, TestOutcome};
pub use max_rejects::MaxRejects;
pub use progress::{SinkBoard, SinkFailure, SinkOutage, SinkProgress};

/// Between the attempts at one event.
const EVENT_RETRIES: Backoff =
    Backoff { base: Duration::from_secs(1), max: Duration::from_secs(600) };
/// Between the probes of a sink that is down.
const PROBE_PAUSES: Backoff =
    Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
/// Tests that wait for a free place at most; whoever asks for more waits.
const MAX_TESTS_WAITING: usize = 16;

/// The sink of a delivery loop.
#[derive(Clone, Debug)]
pub struct DeliveryTarget {
    /// Its name in the configuration.
    pub name: String,
    /// Its number in the journal.
    pub id: SinkId,
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// The failure time after which an event becomes a dead letter; only time in which the sink
    /// accepted other events counts.
    pub give_up_after: Duration,
    /// The number of rejections in a row after which they make no dead letters any more.
    pub max_rejects: MaxRejects,
}

/// What ends a delivery loop.
#[derive(Clone, Debug, Default)]
pub struct DeliveryStop {
    /// No delivery starts any more; those in flight are waited for.
    pub finish: CancellationToken,
    /// Those in flight are dropped.
    pub abandon: CancellationToken,
}

/// The delivery loop of one sink.
#[derive(Debug)]
pub struct Delivery {
    target: DeliveryTarget,
    journal: Journal,
    settled: mpsc::Sender<Vec<EventId>>,
    changed: watch::Receiver<u64>,
    idle: watch::Sender<bool>,
    counters: DeliveryCounters,
    board: BoardEntry,
    tally: Tally,
    queue: DeliveryQueue,
    breaker: Breaker,
    window: ConcurrencyWindow,
    outage: Outage,
    down_since: Option<DateTime<Utc>>,
    catching_up: CatchingUp,
    uptime: Uptime,
    dead_letters: LogBurst,
    /// Events that fail again and again.
    failing: LogBurst,
    pending: u64,
    read_failures: u32,
    control: SinkControl,
    commands: mpsc::Receiver<SinkCommand>,
    /// Tests that were asked for and have not begun.
    tests: VecDeque<SinkTest>,
    /// Deliveries that were asked for, until they are answered.
    retrying: Option<Retrying>,
    /// Since when it is paused by hand.
    paused_since: Option<DateTime<Utc>>,
    /// The places that it gets something from and that were down.
    sources_down: Vec<String>,
    /// When it was resumed last.
    resumed: Option<DateTime<Utc>>,
}

impl Delivery {
    /// A loop that delivers what `feed` receives to `target` and sends the events that no sink has
    /// pending any more to `settled`. `changed` changes when another process wrote to the journal. It
    /// has a fresh entry on `board` from here on.
    #[must_use]
    pub fn new(
        target: DeliveryTarget,
        feed: FeedReceiver,
        journal: Journal,
        settled: mpsc::Sender<Vec<EventId>>,
        changed: watch::Receiver<u64>,
        metrics: &Metrics,
        board: &SinkBoard,
    ) -> Self {
        let limits = target.sink.limits();
        let queue = DeliveryQueue::new(target.id, feed, journal.clone(), limits);
        let counters = DeliveryCounters::new(metrics, &target.name);
        let board = board.enter(&target.name);
        let breaker = Breaker::new(target.max_rejects, PROBE_PAUSES);
        let (control, commands) = SinkControl::new();
        Self {
            target,
            journal,
            settled,
            changed,
            idle: watch::Sender::new(false),
            counters,
            board,
            tally: Tally::default(),
            queue,
            breaker,
            window: ConcurrencyWindow::new(limits.max_in_flight),
            outage: Outage::default(),
            down_since: None,
            catching_up: CatchingUp::default(),
            uptime: Uptime::default(),
            dead_letters: LogBurst::default(),
            failing: LogBurst::default(),
            pending: 0,
            read_failures: 0,
            control,
            commands,
            tests: VecDeque::new(),
            retrying: None,
            paused_since: None,
            sources_down: Vec::new(),
            resumed: None,
        }
    }

    /// Returns the sink's name.
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// The sink.
    pub fn sink(&self) -> &Arc<dyn Sink> {
        &self.target.sink
    }

    /// Returns what reaches it with commands.
    pub fn control(&self) -> SinkControl {
        self.control.clone()
    }

    /// Returns a watch on whether nothing is in flight, and all was tried at least once, the sink is
    /// down and stays so when it is probed, or it is paused.
    pub fn idle(&self) -> watch::Receiver<bool> {
        self.idle.subscribe()
    }

    /// Runs until it is told to finish and has, or to abandon what is left; answers `heartbeat`.
    /// Events that were not delivered stay due in the journal.
    pub async fn run(mut self, mut heartbeat: Heartbeat, stop: DeliveryStop) {
        self.set_up(true);
        self.counters.paused.set(0);
        let mut work = InFlight::default();
        let recovered = tokio::select! {
            recovered = self.recover(&mut work, &stop) => recovered,
            never = heartbeat.beat_forever() => match never {},
        };
        if !recovered {
            return;
        }
        loop {
            let retry_read = self.refill(&mut heartbeat).await;
            self.launch(&mut work, &stop);
            self.set_in_flight();
            self.report();
            self.answer_retry();
            self.set_idle(work.is_empty());
            let wake = retry_read.or_else(|| self.wake(&work));
            let answer = self.retrying.as_ref().map(Retrying::until);
            let wake = [wake, answer, self.next_report()].into_iter().flatten().min();
            let is_paused = self.paused_since.is_some();
            tokio::select! {
                biased;
                () = stop.finish.cancelled() => break,
                // Before all that a busy loop never runs out of.
                () = heartbeat.beat() => {}
                Some(command) = self.commands.recv(), if self.tests.len() < MAX_TESTS_WAITING => tokio::select! {
                    () = self.obey(command, &mut work) => {}
                    never = heartbeat.beat_forever() => match never {},
                },
                Some(written) = work.writes.next(), if !work.writes.is_empty() => self.recorded(written).await,
                Some(tested) = work.tests.next(), if !work.tests.is_empty() => {
                    work.writes.extend(self.tested(tested));
                }
                Some(delivered) = work.deliveries.next(), if !work.deliveries.is_empty() => {
                    let written = self.record_verdicts(delivered, work.deliveries.len() + 1);
                    work.writes.push(written);
                }
                () = self.queue.receive(), if retry_read.is_none() && !is_paused => {}
                Ok(()) = self.changed.changed() => {
                    self.queue.mark_stale();
                    // Learns how many events are pending now.
                    work.writes.push(self.count_pending());
                }
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
        self.finish(work, heartbeat, &stop).await;
    }

    /// Fills the queue, unless the sink is paused. Returns when to try again where the journal cannot
    /// be read.
    async fn refill(&mut self, heartbeat: &mut Heartbeat) -> Option<Instant> {
        if self.queue.has_released() {
            // Before it is forgotten: whoever waits until all is done sees one or the other.
            self.idle.send_replace(false);
            self.queue.learn_released();
        }
        if self.paused_since.is_some() {
            return None;
        }
        let (probe, is_braked) = (self.breaker.next_probe(), self.breaker.is_braked());
        let refilled = tokio::select! {
            refilled = self.queue.refill(probe, is_braked) => refilled,
            // A disk that hangs is waited for; a restart would meet the same one.
            never = heartbeat.beat_forever() => match never {},
        };
        let Err(error) = refilled else {
            self.read_failures = 0;
            return None;
        };
        self.read_failures += 1;
        tracing::debug!(sink = %self.target.name, %error, "journal read failed");
        Some(Instant::now() + JOURNAL_RETRIES.wait(self.read_failures))
    }

    /// Returns when to go on though nothing happens. A moment that has passed is never returned
    /// twice: what it was for has started by then, or waits for something else.
    fn wake(&self, work: &InFlight) -> Option<Instant> {
        if self.paused_since.is_some() {
            return None;
        }
        let Some(probe) = self.breaker.next_probe() else { return self.queue.next_due() };
        let can_probe = !self.queue.is_empty() || probe > Instant::now();
        // With a test in the only place, its end comes round.
        let has_room = work.calls() < self.target.sink.limits().max_in_flight;
        let is_quiet = work.deliveries.is_empty() && work.writes.is_empty();
        (is_quiet && has_room && can_probe).then_some(probe)
    }

    /// Turns verdicts into records and writes them, however long that takes.
    fn record_verdicts(
        &mut self,
        delivered: Delivered,
        in_flight: usize,
    ) -> BoxFuture<'static, Written> {
        let now = Utc::now();
        let Delivered { began, events, verdicts, checkpoint, mirrored } = delivered;
        let fails =
            |verdict: &Verdict| matches!(verdict, Verdict::Retry { fault: Fault::Target, .. });
        if verdicts.iter().any(fails) {
            self.window.on_failure(began, Instant::now());
        } else {
            self.window.on_success(in_flight);
        }
        let mut mirrored = mirrored.into_iter();
        let mut records = Vec::with_capacity(events.len());
        for (pending, verdict) in events.iter().zip(verdicts) {
            let verdict = self.weigh(pending.id, verdict);
            self.observe(pending, &verdict, now);
            let record = self.decide(pending, verdict, now);
            let mirrored = mirrored.next().unwrap_or_default();
            if record.outcome == DeliveryOutcome::Delivered {
                self.counters.count_findings(&mirrored);
            }
            records.push(DeliveryRecord { mirrored, ..record });
        }
        self.queue.learn_due(&records);
        self.publish_batch(&records);
        let tried = self.judge_retried(began, &records);
        let events = events.iter().map(|pending| pending.id).collect();
        self.write(events, records, checkpoint, tried)
    }

    /// Writes nothing, and learns how many events are pending.
    fn count_pending(&self) -> BoxFuture<'static, Written> {
        self.write(Vec::new(), Vec::new(), None, None)
    }

    fn write(
        &self,
        events: Vec<EventId>,
        records: Vec<DeliveryRecord>,
        checkpoint: Option<String>,
        tried: Option<Tried>,
    ) -> BoxFuture<'static, Written> {
        let (journal, sink, name) =
            (self.journal.clone(), self.target.id, self.target.name.clone());
        Box::pin(async move {
            let recorded = write(&journal, sink, &name, records, checkpoint).await;
            Written { events, recorded, tried }
        })
    }

    /// The verdicts are written: events that no sink has pending any more can be confirmed.
    async fn recorded(&mut self, written: Written) {
        let Some(recorded) = written.recorded else { return };
        self.queue.finished(&written.events);
        self.pending = recorded.pending;
        self.learn_backlog();
        self.count_retried(written.tried);
        if !recorded.settled.is_empty() && self.settled.send(recorded.settled).await.is_err() {
            tracing::debug!(sink = %self.target.name, "confirmer has ended");
        }
    }

    fn set_in_flight(&self) {
        let in_flight = i64::try_from(self.queue.in_flight()).unwrap_or(i64::MAX);
        self.counters.in_flight.set(in_flight);
    }

    fn set_idle(&self, is_quiet: bool) {
        let is_stuck = self.breaker.is_down_for_long() || self.paused_since.is_some();
        let is_idle = is_quiet && (self.queue.is_dry() || is_stuck);
        self.idle.send_if_modified(|idle| std::mem::replace(idle, is_idle) != is_idle);
    }
}

#[cfg(test)]
mod tests;
