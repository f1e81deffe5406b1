//! How deliveries and tests are launched, and how those in flight end with the loop.

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::control::{SinkTest, TestOutcome};
use super::in_flight::{Delivered, InFlight, Tested, Written};
use super::records::set_checkpoint;
use super::{Delivery, DeliveryStop, DeliveryTarget};
use crate::journal::{Journal, PendingEvent};
use crate::liveness::Heartbeat;
use crate::sinks::{Batch, Verdict, Verdicts};

/// Batches whose verdicts wait for the journal at most.
const MAX_RECORDING: usize = 8;

impl Delivery {
    /// Starts the tests that wait, and as many deliveries as the sink takes at once beside them: while
    /// it is down a single event, while it is paused none.
    pub(super) fn launch(&mut self, work: &mut InFlight, stop: &DeliveryStop) {
        let limits = self.target.sink.limits();
        while work.calls() < limits.max_in_flight
            && !stop.finish.is_cancelled()
            && let Some(test) = self.tests.pop_front()
        {
            work.tests.push(Box::pin(deliver_test(
                self.target.clone(),
                self.journal.clone(),
                test,
            )));
        }
        let probe = self.breaker.next_probe();
        let (max_batch, max_deliveries) = match probe {
            _ if self.paused_since.is_some() => return,
            Some(at) if at > Instant::now() => return,
            Some(_) => (1, 1),
            None => (limits.max_batch, self.window.size()),
        };
        while work.deliveries.len() < max_deliveries
            && work.calls() < limits.max_in_flight
            && work.writes.len() < MAX_RECORDING
            && !stop.finish.is_cancelled()
        {
            let events = self.queue.take(max_batch);
            if events.is_empty() {
                break;
            }
            let (target, journal) = (self.target.clone(), self.journal.clone());
            let duration = self.counters.durations.clone();
            work.deliveries.push(Box::pin(async move {
                let of_event = |pending: &PendingEvent| pending.event.clone();
                let batch = Batch::new(events.iter().map(of_event).collect());
                let (began, mut verdicts) = deliver(&target, &journal, &batch).await;
                duration.observe(began.elapsed());
                let mirrored = verdicts.take_mirrored();
                let (verdicts, checkpoint) = verdicts.into_parts();
                Delivered { began, events, verdicts, checkpoint, mirrored }
            }));
        }
    }

    /// Answers a test. Returns the write of the sink's checkpoint, if it has one.
    pub(super) fn tested(&self, tested: Tested) -> Option<BoxFuture<'static, Written>> {
        let Tested { test, verdict, took, checkpoint } = tested;
        // Who does not wait any more has no need of it.
        test.answer.send(TestOutcome { verdict, took }).ok();
        checkpoint.map(|at| self.write(Vec::new(), Vec::new(), Some(at), None))
    }

    /// Waits for what is in flight; what has not begun is not done any more.
    pub(super) async fn finish(
        mut self,
        mut work: InFlight,
        mut heartbeat: Heartbeat,
        stop: &DeliveryStop,
    ) {
        self.queue.drop_waiting();
        self.refuse_commands();
        while !work.is_empty() {
            self.set_in_flight();
            tokio::select! {
                biased;
                () = heartbeat.beat() => {}
                Some(written) = work.writes.next(), if !work.writes.is_empty() => self.recorded(written).await,
                Some(tested) = work.tests.next(), if !work.tests.is_empty() => {
                    work.writes.extend(self.tested(tested));
                }
                Some(delivered) = work.deliveries.next(), if !work.deliveries.is_empty() => {
                    let written = self.record_verdicts(delivered, work.deliveries.len() + 1);
                    work.writes.push(written);
                }
                () = stop.abandon.cancelled(), if work.calls() > 0 => {
                    tracing::warn!(
                        sink = %self.target.name,
                        deliveries = work.calls(),
                        "deliveries abandoned: too slow for the stop; they will be retried"
                    );
                    work.deliveries.clear();
                    work.tests.clear();
                }
            }
        }
        self.set_in_flight();
        self.report_last_dead_letters();
    }
}

/// Delivers a batch. Returns when it began, and the verdicts.
async fn deliver(target: &DeliveryTarget, journal: &Journal, batch: &Batch) -> (Instant, Verdicts) {
    if let Some(checkpoint) = target.sink.prepare(batch).await {
        set_checkpoint(journal, target.id, &target.name, checkpoint).await;
    }
    let began = Instant::now();
    (began, target.sink.deliver(batch).await)
}

async fn deliver_test(target: DeliveryTarget, journal: Journal, test: SinkTest) -> Tested {
    let batch = Batch::new(vec![test.event.clone()]);
    let (began, verdicts) = deliver(&target, &journal, &batch).await;
    let (verdicts, checkpoint) = verdicts.into_parts();
    let none = || Verdict::retry("the sink said nothing");
    let verdict = verdicts.into_iter().next().unwrap_or_else(none);
    Tested { test, verdict, took: began.elapsed(), checkpoint }
}
