//! Recovery: what a sink holds already though a crash or an outage kept the journal from knowing.

use std::collections::HashSet;

use chrono::Utc;
use tokio::time::Instant;

use super::in_flight::InFlight;
use super::{Delivery, DeliveryStop, PROBE_PAUSES};
use crate::journal::{self, DeliveryRecord, EventId, UnacknowledgedEvent};
use crate::sinks::HeldEvents;

/// Keys of pending events that a sink is asked for at once.
const RECOVERY_BATCH: usize = 4096;

impl Delivery {
    /// Asks the sink which of the pending events it holds already; returns whether to go on. What is
    /// asked meanwhile is done, or answered that the sink cannot be used.
    pub(super) async fn recover(&mut self, work: &mut InFlight, stop: &DeliveryStop) -> bool {
        let mut failures = 0;
        loop {
            let Some(result) = stop.finish.run_until_cancelled(self.try_recover()).await else {
                self.refuse_commands();
                return false;
            };
            let Err(error) = result else {
                self.begin();
                return true;
            };
            failures += 1;
            let (error, next_try) =
                (format!("{error:#}"), Instant::now() + PROBE_PAUSES.wait(failures));
            if self.paused_since.is_none() {
                self.sink_failed(&error);
            }
            self.publish(Some(&error), Some(next_try));
            self.answer_unusable(&error);
            self.queue.learn_released();
            self.idle.send_replace(true);
            let pause = self.pause_recovery(next_try, work);
            if stop.finish.run_until_cancelled(pause).await.is_none() {
                self.refuse_commands();
                return false;
            }
        }
    }

    /// Waits until the next try, or until somebody asks for one. Obeys commands.
    async fn pause_recovery(&mut self, next_try: Instant, work: &mut InFlight) {
        loop {
            let is_paused = self.paused_since.is_some();
            tokio::select! {
                () = tokio::time::sleep_until(next_try), if !is_paused => return,
                // Noted, so that whoever waits until all is done sees that it cannot be.
                () = self.queue.marked() => {
                    self.queue.learn_released();
                    self.idle.send_replace(true);
                }
                Some(command) = self.commands.recv() => {
                    self.obey(command, work).await;
                    let is_resumed = is_paused && self.paused_since.is_none();
                    if is_resumed || self.retrying.is_some() || !self.tests.is_empty() {
                        return;
                    }
                }
            }
        }
    }

    async fn try_recover(&mut self) -> anyhow::Result<()> {
        let (sink, id) = (self.target.sink.clone(), self.target.id);
        let paused_since = self.journal.sink_paused(id).await?;
        self.learn_paused(paused_since);
        self.pending = self.journal.record(id, Vec::new(), None, Utc::now()).await?.pending;
        // Its hint while this fails is of its history.
        self.breaker.resume(self.journal.history(id).await?, Instant::now());
        let since = self.journal.checkpoint(id).await?;
        let mut after = EventId::default();
        let checkpoint = loop {
            let pending = self.journal.unacknowledged(id, after, RECOVERY_BATCH).await?;
            let keys: Vec<_> = pending.iter().map(|unsure| unsure.key).collect();
            let HeldEvents { keys, is_since, checkpoint } =
                sink.recover(since.as_deref(), &keys).await?;
            let held: HashSet<_> = keys.into_iter().collect();
            let counts = |unsure: &&UnacknowledgedEvent| {
                held.contains(&unsure.key) && (is_since || !unsure.is_requeued)
            };
            let records: Vec<_> = pending
                .iter()
                .filter(counts)
                .map(|held| DeliveryRecord {
                    event: held.id,
                    outcome: journal::DeliveryOutcome::Delivered,
                    mirrored: Vec::new(),
                })
                .collect();
            if !records.is_empty() {
                tracing::info!(
                    sink = %self.target.name,
                    events = records.len(),
                    "events found at the sink that were not recorded as delivered"
                );
                self.counters.recovered.inc_by(records.len() as u64);
                let recorded = self.journal.record(id, records, None, Utc::now()).await?;
                drop(self.settled.send(recorded.settled).await);
            }
            match pending.last() {
                Some(last) => after = last.id,
                None => break checkpoint,
            }
        };
        // On disk before anything is delivered: a crash may come right after that.
        if let Some(checkpoint) = checkpoint {
            self.journal.set_checkpoint(id, checkpoint).await?;
        }
        self.pending = self.journal.record(id, Vec::new(), None, Utc::now()).await?.pending;
        // After what it was found to hold, which it has accepted.
        self.breaker.resume(self.journal.history(id).await?, Instant::now());
        // What waits from before the start is late, and not by this sink's fault.
        self.catching_up.begin(self.pending, Utc::now());
        Ok(())
    }
}
