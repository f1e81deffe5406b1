//! Outages of a sink: when it goes down and when it is up again, in the log and on the board.

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::Delivery;
use super::progress::{Down, Update};
use crate::journal::{DeliveryOutcome, DeliveryRecord};
use crate::limits::{Outage, OutageReport, log_outage};

impl Delivery {
    /// Deliveries begin, or go on after a pause: the breaker has the sink's history.
    pub(super) fn begin(&mut self) {
        if self.paused_since.is_some() {
            self.breaker.pause();
            self.catching_up.interrupt();
            return self.publish(None, None);
        }
        let error = self.breaker.is_braked().then_some("it accepted none of the last events");
        match error {
            Some(error) => self.sink_failed(error),
            None => self.sink_recovered(),
        }
        self.publish(error, self.breaker.next_probe());
    }

    pub(super) fn sink_failed(&mut self, error: &str) {
        self.set_up(false);
        self.down_since.get_or_insert(Utc::now());
        self.catching_up.interrupt();
        if let Some(report) = self.outage.failed(Instant::now()) {
            self.log_down(report, error);
        }
    }

    pub(super) fn log_down(&self, report: OutageReport, error: &str) {
        log_outage!(
            report,
            sink = %self.target.name,
            error,
            failures = report.failures,
            down_seconds = report.lasted.as_secs(),
            hint = self.breaker.hint(&self.target.name),
            "sink is down; its events wait in the journal"
        );
    }

    pub(super) fn sink_recovered(&mut self) {
        if self.log_recovery("sink is up again") {
            self.catching_up.begin(self.pending, Utc::now());
        }
    }

    /// What waits is known anew. Nothing any more: if the sink was down, what waited was discarded.
    /// There is nothing to probe it with, and the next event shows its health.
    pub(super) fn learn_backlog(&mut self) {
        let is_empty = self.pending == 0 && self.queue.in_flight() == 0;
        let is_over = is_empty
            && self.breaker.on_empty_backlog()
            && self.log_recovery("sink has no backlog left");
        let caught_up = self.catching_up.waiting(self.pending);
        if is_over || caught_up {
            self.publish(None, self.breaker.next_probe());
        }
    }

    /// Puts what these verdicts have changed on the board, all at once.
    pub(super) fn publish_batch(&mut self, records: &[DeliveryRecord]) {
        self.catching_up.tried(records.len() as u64);
        let error = records.iter().rev().find_map(|record| match &record.outcome {
            DeliveryOutcome::Delivered => None,
            DeliveryOutcome::Retry { error, .. }
            | DeliveryOutcome::Dead { error }
            | DeliveryOutcome::Rejected { error } => Some(error.as_str()),
        });
        self.publish(error, self.breaker.next_probe());
    }

    pub(super) fn publish(&mut self, error: Option<&str>, next_probe: Option<Instant>) {
        let sources_down = self.target.sink.sources_down();
        let is_down = |host: &String| sources_down.iter().any(|source| source.host == *host);
        if !self.sources_down.iter().all(is_down) {
            // What waits for one that is up again.
            self.queue.make_all_due();
        }
        self.sources_down = sources_down.iter().map(|source| source.host.clone()).collect();
        let count = i64::try_from(sources_down.len()).unwrap_or(i64::MAX);
        self.counters.sources_down.set(count);
        let down = self.down_since.map(|since| Down {
            since,
            failures: self.outage.failures(),
            next_probe: next_probe.map(time_of_day),
            hint: self.breaker.hint(&self.target.name),
            is_braked: self.breaker.is_braked(),
        });
        self.board.update(Update {
            tally: std::mem::take(&mut self.tally),
            error,
            down,
            catching_up_since: self.catching_up.since(),
            paused_since: self.paused_since,
            sources_down,
            is_dead_letter_storm: self.dead_letters.is_large(),
        });
    }

    /// Returns whether there was an outage to recover from.
    fn log_recovery(&mut self, message: &str) -> bool {
        let report = self.outage.recovered(Instant::now());
        if let Some(report) = report {
            self.set_up(true);
            self.down_since = None;
            tracing::info!(
                sink = %self.target.name,
                failures = report.failures,
                down_seconds = report.lasted.as_secs(),
                "{message}"
            );
        }
        report.is_some()
    }

    /// Ends an outage without a word: the sink is paused.
    pub(super) fn forget_outage(&mut self) {
        self.outage = Outage::default();
        self.down_since = None;
        self.catching_up.interrupt();
        self.set_up(true);
    }

    pub(super) fn set_up(&self, is_up: bool) {
        self.counters.up.set(i64::from(is_up));
    }
}

/// The time of day at a moment that is near.
pub(super) fn time_of_day(at: Instant) -> DateTime<Utc> {
    let now = Instant::now();
    let (ahead, ago) = (at.saturating_duration_since(now), now.saturating_duration_since(at));
    Utc::now() + TimeDelta::from_std(ahead).unwrap_or_default()
        - TimeDelta::from_std(ago).unwrap_or_default()
}
