//! Delivers events to one sink: one loop per sink, none waits for another.
//!
//! Owns concurrency, retries and time. New events come from the sink's feed, or from the
//! journal after a start and whenever the feed overflowed; failed ones come from the journal
//! when they are due. Knows sinks and the journal, neither the puller nor the confirmer.

mod breaker;
mod burst;
mod catching_up;
mod concurrency;
mod counters;
mod max_rejects;
mod meters;
mod progress;
mod queue;
mod records;
mod recovery;
mod uptime;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::journal::{
    DeliveryRecord, EventId, FeedReceiver, Journal, PendingEvent, Recorded, SinkId,
};
use crate::limits::{Backoff, JOURNAL_RETRIES, Outage};
use crate::liveness::Heartbeat;
use crate::metrics::Metrics;
use crate::sinks::{Batch, Sink, Verdict};
use breaker::Breaker;
use burst::LogBurst;
use catching_up::CatchingUp;
use concurrency::ConcurrencyWindow;
use counters::DeliveryCounters;
use progress::{BoardEntry, Tally};
use queue::DeliveryQueue;
use records::{set_checkpoint, write};
use uptime::Uptime;

pub use max_rejects::MaxRejects;
pub use progress::{SinkBoard, SinkFailure, SinkOutage, SinkProgress};

/// Between the attempts at one event.
const EVENT_RETRIES: Backoff =
    Backoff { base: Duration::from_secs(1), max: Duration::from_secs(600) };
/// Between the probes of a sink that is down.
const PROBE_PAUSES: Backoff =
    Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
/// Batches whose verdicts wait for the journal at most.
const MAX_RECORDING: usize = 8;

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
}

struct Delivered {
    began: Instant,
    events: Vec<PendingEvent>,
    verdicts: Vec<Verdict>,
    checkpoint: Option<String>,
}

struct Written {
    events: Vec<EventId>,
    /// `None` where another daemon has the journal: its events are no longer ours.
    recorded: Option<Recorded>,
}

type Deliveries = FuturesUnordered<BoxFuture<'static, Delivered>>;
type Writes = FuturesUnordered<BoxFuture<'static, Written>>;

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

    /// Returns a watch on whether nothing is in flight, and all was tried at least once or the sink
    /// is down and stays so when it is probed.
    pub fn idle(&self) -> watch::Receiver<bool> {
        self.idle.subscribe()
    }

    /// Runs until it is told to finish and has, or to abandon what is left; answers `heartbeat`.
    /// Events that were not delivered stay due in the journal.
    pub async fn run(mut self, mut heartbeat: Heartbeat, stop: DeliveryStop) {
        self.set_up(true);
        let recovered = tokio::select! {
            recovered = self.recover(&stop) => recovered,
            never = heartbeat.beat_forever() => match never {},
        };
        if !recovered {
            return;
        }
        let (mut deliveries, mut writes) = (Deliveries::new(), Writes::new());
        loop {
            let retry_read = self.refill(&mut heartbeat).await;
            self.launch(&mut deliveries, &writes, &stop);
            self.set_in_flight();
            self.report();
            self.set_idle(deliveries.is_empty() && writes.is_empty());
            let wake = retry_read.or_else(|| self.wake(&deliveries, &writes));
            let wake = wake.into_iter().chain(self.next_report()).min();
            tokio::select! {
                biased;
                () = stop.finish.cancelled() => break,
                // Before all that a busy loop never runs out of.
                () = heartbeat.beat() => {}
                Some(written) = writes.next(), if !writes.is_empty() => self.recorded(written).await,
                Some(delivered) = deliveries.next(), if !deliveries.is_empty() => {
                    writes.push(self.record_verdicts(delivered, deliveries.len() + 1));
                }
                () = self.queue.receive(), if retry_read.is_none() => {}
                Ok(()) = self.changed.changed() => {
                    self.queue.mark_stale();
                    // Learns how many events are pending now.
                    writes.push(self.write(Vec::new(), Vec::new(), None));
                }
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
        self.finish(deliveries, writes, heartbeat, &stop).await;
    }

    /// Fills the queue. Returns when to try again where the journal cannot be read.
    async fn refill(&mut self, heartbeat: &mut Heartbeat) -> Option<Instant> {
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

    /// Starts as many deliveries as the sink takes at once: while it is down, a single event.
    fn launch(&mut self, deliveries: &mut Deliveries, writes: &Writes, stop: &DeliveryStop) {
        let limits = self.target.sink.limits();
        let probe = self.breaker.next_probe();
        let (max_batch, max_in_flight) = match probe {
            Some(at) if at > Instant::now() => return,
            Some(_) => (1, 1),
            None => (limits.max_batch, self.window.size()),
        };
        while deliveries.len() < max_in_flight
            && writes.len() < MAX_RECORDING
            && !stop.finish.is_cancelled()
        {
            let events = self.queue.take(max_batch);
            if events.is_empty() {
                break;
            }
            let duration = self.counters.durations.clone();
            let DeliveryTarget { name, id, sink, .. } = self.target.clone();
            let journal = self.journal.clone();
            deliveries.push(Box::pin(async move {
                let batch =
                    Batch::new(events.iter().map(|pending| pending.event.clone()).collect());
                if let Some(checkpoint) = sink.prepare(&batch).await {
                    set_checkpoint(&journal, id, &name, checkpoint).await;
                }
                let began = Instant::now();
                let (verdicts, checkpoint) = sink.deliver(&batch).await.into_parts();
                duration.observe(began.elapsed());
                Delivered { began, events, verdicts, checkpoint }
            }));
        }
    }

    /// Returns when to go on though nothing happens. A moment that has passed is never returned
    /// twice: what it was for has started by then, or waits for something else.
    fn wake(&self, deliveries: &Deliveries, writes: &Writes) -> Option<Instant> {
        let Some(probe) = self.breaker.next_probe() else { return self.queue.next_due() };
        let can_probe = !self.queue.is_empty() || probe > Instant::now();
        (deliveries.is_empty() && writes.is_empty() && can_probe).then_some(probe)
    }

    /// Turns verdicts into records and writes them, however long that takes.
    fn record_verdicts(
        &mut self,
        delivered: Delivered,
        in_flight: usize,
    ) -> BoxFuture<'static, Written> {
        let now = Utc::now();
        let Delivered { began, events, verdicts, checkpoint } = delivered;
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Retry { .. })) {
            self.window.on_failure(began, Instant::now());
        } else {
            self.window.on_success(in_flight);
        }
        let mut records = Vec::with_capacity(events.len());
        for (pending, verdict) in events.iter().zip(verdicts) {
            let verdict = self.weigh(pending.id, verdict);
            self.observe(pending, &verdict, now);
            records.push(self.decide(pending, verdict, now));
        }
        self.queue.learn_due(&records);
        self.publish_batch(&records);
        self.write(events.iter().map(|pending| pending.id).collect(), records, checkpoint)
    }

    fn write(
        &self,
        events: Vec<EventId>,
        records: Vec<DeliveryRecord>,
        checkpoint: Option<String>,
    ) -> BoxFuture<'static, Written> {
        let (journal, sink, name) =
            (self.journal.clone(), self.target.id, self.target.name.clone());
        Box::pin(async move {
            let recorded = write(&journal, sink, &name, records, checkpoint).await;
            Written { events, recorded }
        })
    }

    /// The verdicts are written: events that no sink has pending any more can be confirmed.
    async fn recorded(&mut self, written: Written) {
        let Some(recorded) = written.recorded else { return };
        self.queue.release(&written.events);
        self.pending = recorded.pending;
        self.learn_backlog();
        if !recorded.settled.is_empty() && self.settled.send(recorded.settled).await.is_err() {
            tracing::debug!(sink = %self.target.name, "confirmer has ended");
        }
    }

    async fn finish(
        mut self,
        mut deliveries: Deliveries,
        mut writes: Writes,
        mut heartbeat: Heartbeat,
        stop: &DeliveryStop,
    ) {
        self.queue.drop_waiting();
        while !(deliveries.is_empty() && writes.is_empty()) {
            self.set_in_flight();
            tokio::select! {
                biased;
                () = heartbeat.beat() => {}
                Some(written) = writes.next(), if !writes.is_empty() => self.recorded(written).await,
                Some(delivered) = deliveries.next(), if !deliveries.is_empty() => {
                    writes.push(self.record_verdicts(delivered, deliveries.len() + 1));
                }
                () = stop.abandon.cancelled(), if !deliveries.is_empty() => {
                    tracing::warn!(
                        sink = %self.target.name,
                        deliveries = deliveries.len(),
                        "deliveries abandoned: too slow for the stop; they will be retried"
                    );
                    deliveries.clear();
                }
            }
        }
        self.set_in_flight();
        self.report_last_dead_letters();
    }

    fn set_in_flight(&self) {
        let in_flight = i64::try_from(self.queue.in_flight()).unwrap_or(i64::MAX);
        self.counters.in_flight.set(in_flight);
    }

    fn set_idle(&self, is_quiet: bool) {
        let is_idle = is_quiet && (self.queue.is_dry() || self.breaker.is_down_for_long());
        self.idle.send_if_modified(|idle| std::mem::replace(idle, is_idle) != is_idle);
    }
}

#[cfg(test)]
mod tests;
