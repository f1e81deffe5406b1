//! Brings events to one sink: one loop per sink, none waits for another.
//!
//! Owns concurrency, retries and time. Fresh events come from the sink's feed, or from the
//! journal after a start and whenever the feed overflowed; failed ones come from the journal
//! when they are due. Knows sinks and the journal, neither the puller nor the confirmer.

mod breaker;
mod concurrency;
mod counters;
mod dead_letters;
mod max_rejects;
mod queue;
mod recovery;
mod uptime;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::journal::{
    self, DeliveryRecord, EventId, FeedReceiver, Journal, PendingEvent, Recorded, SinkId,
};
use crate::limits::{Backoff, JOURNAL_RETRIES, Outage};
use crate::liveness::Heartbeat;
use crate::metrics::Metrics;
use crate::sinks::{Batch, Sink, Verdict};
use breaker::Breaker;
use concurrency::ConcurrencyWindow;
use counters::DeliveryCounters;
use dead_letters::DeadLetterBurst;
use queue::DeliveryQueue;
use uptime::Uptime;

pub use max_rejects::MaxRejects;

/// Between the tries of one event.
const RETRIES: Backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(600) };
/// Between the probes of a sink that is down.
const PROBES: Backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(60) };
/// Batches whose verdicts wait for the journal at most.
const MAX_RECORDING: usize = 8;

/// A sink as its delivery loop has it.
#[derive(Clone, Debug)]
pub struct DeliveryTarget {
    /// Its name in the configuration.
    pub name: String,
    /// Its number in the journal.
    pub id: SinkId,
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// A failing event becomes a dead letter after this time, of which only that counts in
    /// which the sink took other events.
    pub give_up_after: Duration,
    /// After how many rejections in a row they make no dead letters any more.
    pub max_rejects: MaxRejects,
}

/// What ends a delivery loop.
#[derive(Clone, Debug, Default)]
pub struct DeliveryStop {
    /// No delivery starts any more; those under way are waited for.
    pub finish: CancellationToken,
    /// Those under way are dropped.
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
    metrics: Metrics,
    tally: DeliveryCounters,
    intake: DeliveryQueue,
    health: Breaker,
    window: ConcurrencyWindow,
    outage: Outage,
    uptime: Uptime,
    storm: DeadLetterBurst,
    pending: u64,
}

/// A batch after its delivery.
struct Delivered {
    began: Instant,
    events: Vec<PendingEvent>,
    verdicts: Vec<Verdict>,
    mark: Option<String>,
}

/// A batch after its verdicts were written.
struct Written {
    events: Vec<EventId>,
    /// `None` where another daemon has the journal: they are its affair now.
    recorded: Option<Recorded>,
}

type Deliveries = FuturesUnordered<BoxFuture<'static, Delivered>>;
type Writes = FuturesUnordered<BoxFuture<'static, Written>>;

impl Delivery {
    /// A loop that brings what `fed` holds to `target` and tells `settled` what no sink has to
    /// take any more. `changed` changes when somebody else wrote to the journal.
    #[must_use]
    pub fn new(
        target: DeliveryTarget,
        fed: FeedReceiver,
        journal: Journal,
        settled: mpsc::Sender<Vec<EventId>>,
        changed: watch::Receiver<u64>,
        metrics: Metrics,
    ) -> Self {
        let limits = target.sink.limits();
        let intake = DeliveryQueue::new(target.id, fed, journal.clone(), limits);
        let tally = DeliveryCounters::new(&metrics, &target.name);
        let health = Breaker::new(target.max_rejects, PROBES);
        Self {
            target,
            journal,
            settled,
            changed,
            idle: watch::Sender::new(false),
            metrics,
            tally,
            intake,
            health,
            window: ConcurrencyWindow::new(limits.max_in_flight),
            outage: Outage::default(),
            uptime: Uptime::default(),
            storm: DeadLetterBurst::default(),
            pending: 0,
        }
    }

    /// The sink's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// The sink.
    #[must_use]
    pub fn sink(&self) -> &Arc<dyn Sink> {
        &self.target.sink
    }

    /// Tells whether nothing is under way, and all was tried at least once or the sink is down and
    /// stays so when it is asked again.
    #[must_use]
    pub fn idle(&self) -> watch::Receiver<bool> {
        self.idle.subscribe()
    }

    /// Runs, answering `pulse` on the way, until it is told to finish and has, or to abandon what is left. Events that were not
    /// delivered stay due in the journal.
    pub async fn run(mut self, mut pulse: Heartbeat, stop: DeliveryStop) {
        self.note_up(true);
        let recovered = tokio::select! {
            recovered = self.recover(&stop) => recovered,
            never = pulse.beat_forever() => match never {},
        };
        if !recovered {
            return;
        }
        let mut deliveries = Deliveries::new();
        let mut writes = Writes::new();
        let mut journal_failures = 0;
        loop {
            let (probe, is_braked) = (self.health.next_probe(), self.health.is_braked());
            let refilled = tokio::select! {
                refilled = self.intake.refill(probe, is_braked) => refilled,
                // A disk that hangs is waited for; a restart would meet the same one.
                never = pulse.beat_forever() => match never {},
            };
            let pause = match refilled {
                Ok(()) => {
                    journal_failures = 0;
                    None
                }
                Err(error) => {
                    journal_failures += 1;
                    tracing::debug!(sink = %self.target.name, %error, "cannot read the journal");
                    Some(Instant::now() + JOURNAL_RETRIES.wait(journal_failures))
                }
            };
            self.launch(&mut deliveries, &writes, &stop);
            self.note_held();
            self.report_storm();
            let is_through = self.intake.is_dry() || self.health.is_down_for_long();
            let is_idle = deliveries.is_empty() && writes.is_empty() && is_through;
            self.idle.send_if_modified(|idle| std::mem::replace(idle, is_idle) != is_idle);
            let wake = pause.or_else(|| self.wake(&deliveries, &writes));
            let wake = wake.into_iter().chain(self.storm.next_report()).min();
            tokio::select! {
                biased;
                () = stop.finish.cancelled() => break,
                // Before all that a busy loop never runs out of.
                () = pulse.beat() => {}
                Some(written) = writes.next(), if !writes.is_empty() => self.written(written).await,
                Some(delivered) = deliveries.next(), if !deliveries.is_empty() => {
                    writes.push(self.judged(delivered, deliveries.len() + 1));
                }
                () = self.intake.arrived(), if pause.is_none() => {}
                Ok(()) = self.changed.changed() => {
                    self.intake.mark_stale();
                    // For how much is owed now.
                    writes.push(self.write(Vec::new(), Vec::new(), None));
                }
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
        self.finish(deliveries, writes, pulse, &stop).await;
    }

    /// Starts as many deliveries as the sink takes at once: while it is down, a single event.
    fn launch(&mut self, deliveries: &mut Deliveries, writes: &Writes, stop: &DeliveryStop) {
        let limits = self.target.sink.limits();
        let probe = self.health.next_probe();
        let (max_batch, max_in_flight) = match probe {
            Some(at) if at > Instant::now() => return,
            Some(_) => (1, 1),
            None => (limits.max_batch, self.window.size()),
        };
        while deliveries.len() < max_in_flight
            && writes.len() < MAX_RECORDING
            && !stop.finish.is_cancelled()
        {
            let events = self.intake.take(max_batch);
            if events.is_empty() {
                break;
            }
            let duration = self.tally.durations.clone();
            let DeliveryTarget { name, id, sink, .. } = self.target.clone();
            let journal = self.journal.clone();
            deliveries.push(Box::pin(async move {
                let batch =
                    Batch::new(events.iter().map(|pending| pending.event.clone()).collect());
                if let Some(mark) = sink.prepare(&batch).await {
                    set_mark(&journal, id, &name, mark).await;
                }
                let began = Instant::now();
                let (verdicts, mark) = sink.deliver(&batch).await.into_parts();
                duration.observe(began.elapsed());
                Delivered { began, events, verdicts, mark }
            }));
        }
    }

    /// When to look again though nothing happens. A moment that has passed is never named twice:
    /// what it was named for has started by then, or waits for something else.
    fn wake(&self, deliveries: &Deliveries, writes: &Writes) -> Option<Instant> {
        let Some(probe) = self.health.next_probe() else { return self.intake.next_due() };
        let can_probe = !self.intake.is_empty() || probe > Instant::now();
        (deliveries.is_empty() && writes.is_empty() && can_probe).then_some(probe)
    }

    /// Turns verdicts into records and writes them, however long that takes.
    fn judged(&mut self, delivered: Delivered, under_way: usize) -> BoxFuture<'static, Written> {
        let now = Utc::now();
        let Delivered { began, events, verdicts, mark } = delivered;
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Retry { .. })) {
            self.window.failed(began, Instant::now());
        } else {
            self.window.taken(under_way);
        }
        let mut records = Vec::with_capacity(events.len());
        for (pending, verdict) in events.iter().zip(verdicts) {
            let verdict = self.weighed(pending.id, verdict);
            self.note(pending, &verdict, now);
            records.push(self.decide(pending, verdict, now));
        }
        self.intake.note_due(&records);
        self.write(events.iter().map(|pending| pending.id).collect(), records, mark)
    }

    /// Writes what became of `events`.
    fn write(
        &self,
        events: Vec<EventId>,
        records: Vec<DeliveryRecord>,
        mark: Option<String>,
    ) -> BoxFuture<'static, Written> {
        let (journal, sink, name) =
            (self.journal.clone(), self.target.id, self.target.name.clone());
        Box::pin(async move {
            let recorded = write(&journal, sink, &name, records, mark).await;
            Written { events, recorded }
        })
    }

    /// The verdicts are written: what no sink has to take any more can be confirmed.
    async fn written(&mut self, written: Written) {
        let Some(recorded) = written.recorded else { return };
        self.intake.release(&written.events);
        self.pending = recorded.pending;
        if self.pending == 0 && self.intake.in_flight() == 0 {
            self.note_unowed();
        }
        if !recorded.settled.is_empty() && self.settled.send(recorded.settled).await.is_err() {
            tracing::debug!(sink = %self.target.name, "nobody confirms any more");
        }
    }

    /// Waits for what is under way, and writes what became of it.
    async fn finish(
        mut self,
        mut deliveries: Deliveries,
        mut writes: Writes,
        mut pulse: Heartbeat,
        stop: &DeliveryStop,
    ) {
        while !(deliveries.is_empty() && writes.is_empty()) {
            tokio::select! {
                biased;
                () = pulse.beat() => {}
                Some(written) = writes.next(), if !writes.is_empty() => self.written(written).await,
                Some(delivered) = deliveries.next(), if !deliveries.is_empty() => {
                    writes.push(self.judged(delivered, deliveries.len() + 1));
                }
                () = stop.abandon.cancelled(), if !deliveries.is_empty() => {
                    tracing::warn!(
                        sink = %self.target.name,
                        deliveries = deliveries.len(),
                        "gave up deliveries that took too long for the stop; they stay due"
                    );
                    deliveries.clear();
                }
            }
        }
        self.report_storm_at_end();
    }

    fn note_held(&self) {
        let held = i64::try_from(self.intake.in_flight()).unwrap_or(i64::MAX);
        self.tally.held.set(held);
    }
}

/// Writes records, waiting while the journal cannot be written; `None` where it never will be.
async fn write(
    journal: &Journal,
    sink: SinkId,
    name: &str,
    records: Vec<DeliveryRecord>,
    mark: Option<String>,
) -> Option<Recorded> {
    let mut failures = 0;
    loop {
        match journal.record(sink, records.clone(), mark.clone(), Utc::now()).await {
            Ok(recorded) => return Some(recorded),
            Err(journal::JournalError::Taken(_)) => return None,
            Err(error) => {
                failures += 1;
                tracing::debug!(sink = name, %error, "verdicts wait for the journal");
                tokio::time::sleep(JOURNAL_RETRIES.wait(failures)).await;
            }
        }
    }
}

/// Records a mark, waiting while the journal cannot be written.
async fn set_mark(journal: &Journal, sink: SinkId, name: &str, mark: String) {
    let mut failures = 0;
    while let Err(error) = journal.set_checkpoint(sink, mark.clone()).await {
        failures += 1;
        tracing::debug!(sink = name, %error, "a mark waits for the journal");
        tokio::time::sleep(JOURNAL_RETRIES.wait(failures)).await;
    }
}

#[cfg(test)]
mod tests;
