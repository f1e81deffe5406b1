//! What follows from a verdict: for the event, for the sink, and for the log.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::dead_letters::{BurstReport, DeadLetterLog};
use super::{Delivery, MaxRejects, RETRIES};
use crate::journal::{DeliveryOutcome, DeliveryRecord, EventId, PendingEvent};
use crate::sinks::Verdict;

/// An event that has failed for so long while its sink was up is told of,
const TOLD_AFTER: TimeDelta = TimeDelta::hours(1);
/// and again each time that so much more has passed.
const TOLD_EVERY: TimeDelta = TimeDelta::days(1);

impl Delivery {
    /// A rejection that does not prove the event to be a bad one is a failure like any other.
    pub(super) fn weighed(&mut self, event: EventId, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Reject(error) if !self.health.rejected(event) => Verdict::retry(error),
            verdict => verdict,
        }
    }

    /// What to write for a verdict that was weighed and noted.
    pub(super) fn decide(
        &mut self,
        pending: &PendingEvent,
        verdict: Verdict,
        now: DateTime<Utc>,
    ) -> DeliveryRecord {
        let outcome = match verdict {
            Verdict::Delivered => DeliveryOutcome::Delivered,
            Verdict::Reject(error) => {
                self.give_up(pending, &error);
                match self.target.max_rejects {
                    MaxRejects::Off => DeliveryOutcome::Dead { error },
                    MaxRejects::At(_) => DeliveryOutcome::Rejected { error },
                }
            }
            Verdict::Retry { error, after } => {
                if !self.outage.lasts() && is_to_be_told(pending, now) {
                    self.tell(pending, &error);
                }
                let counts = self.uptime.proves(pending.last_failed, now);
                let charged = pending.charged + counts.unwrap_or_default();
                if counts.is_some() && charged >= self.target.give_up_after {
                    self.give_up(pending, &error);
                    DeliveryOutcome::Dead { error }
                } else {
                    let wait = RETRIES.wait_or(pending.attempts + 1, after);
                    let due = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
                    DeliveryOutcome::Retry { due, charged, error }
                }
            }
        };
        DeliveryRecord { event: pending.id, outcome }
    }

    /// On a quiet sink an event may fail for ever: nothing else shows whether it is the sink.
    fn tell(&self, pending: &PendingEvent, error: &str) {
        let (sink, event) = (&self.target.name, pending.event.key);
        tracing::warn!(
            %sink,
            %event,
            event_type = %pending.event.event_type,
            attempts = pending.attempts + 1,
            since = pending.first_failed.map(|at| at.to_rfc3339()),
            error,
            hint = format!(
                "sprited check tells whether the sink is up, sprited events show {event} what it \
                 says; if it is the event: sprited events discard {event} --sink {sink}"
            ),
            "an event fails again and again, and no other shows whether its sink is up"
        );
    }

    fn give_up(&mut self, pending: &PendingEvent, error: &str) {
        self.tally.dead.inc();
        match self.storm.dead(Instant::now()) {
            DeadLetterLog::Named => tracing::warn!(
                sink = %self.target.name,
                event = %pending.event.key,
                event_type = %pending.event.event_type,
                attempts = pending.attempts + 1,
                error,
                "gave up an event; it is a dead letter of this sink"
            ),
            DeadLetterLog::Begins => tracing::warn!(
                sink = %self.target.name,
                error,
                "many events become dead letters of this sink; from here on they are counted once \
                 a minute"
            ),
            DeadLetterLog::Counted => {}
        }
    }

    /// Counts a verdict that was weighed and learns from it how the sink does.
    pub(super) fn note(&mut self, pending: &PendingEvent, verdict: &Verdict, now: DateTime<Utc>) {
        match verdict {
            Verdict::Delivered => {
                self.tally.delivered.inc();
                self.uptime.took(now);
                self.note_lag(pending.event.first_pulled, now);
                tracing::debug!(sink = %self.target.name, event = %pending.event.key, "delivered");
                let was_down = self.health.took();
                self.note_answered(was_down);
            }
            Verdict::Reject(error) => {
                self.metrics.sink_failures.record(&self.target.name, error);
                if self.health.is_braked() {
                    self.note_delivery_failed(pending, error, None, now);
                } else {
                    // A sink that refuses an event is as alive as one that takes it.
                    let was_down = self.health.answered();
                    self.note_answered(was_down);
                }
            }
            Verdict::Retry { error, after } => {
                self.tally.retried.inc();
                self.metrics.sink_failures.record(&self.target.name, error);
                tracing::debug!(
                    sink = %self.target.name,
                    event = %pending.event.key,
                    attempts = pending.attempts + 1,
                    %error,
                    "a delivery failed"
                );
                self.note_delivery_failed(pending, error, *after, now);
            }
        }
    }

    fn note_answered(&mut self, was_down: bool) {
        if was_down {
            self.intake.make_all_due();
        }
        self.note_recovered();
    }

    fn note_delivery_failed(
        &mut self,
        pending: &PendingEvent,
        error: &str,
        asked: Option<Duration>,
        now: DateTime<Utc>,
    ) {
        let waiting = self.pending.max(self.intake.in_flight() as u64);
        // Many that fail alone would take the sink down, come due by its recovery, and take it down
        // again.
        let fails_alone = self.uptime.proves(pending.last_failed, now).is_some();
        let went_down = (!fails_alone || self.health.is_braked())
            && self.health.failed(pending.id, waiting, asked, Instant::now());
        if went_down {
            self.uptime.end();
        }
        if went_down || self.outage.lasts() {
            self.note_failed(error);
        }
    }

    /// The journal has told what the sink did earlier.
    pub(super) fn resume(&mut self) {
        if self.health.is_braked() {
            self.note_failed("it took none of the last events that it was given");
        } else {
            self.note_recovered();
        }
    }

    /// The sink is down, again or still.
    pub(super) fn note_failed(&mut self, error: &str) {
        self.note_up(false);
        self.metrics.sink_failures.record(&self.target.name, error);
        if let Some(report) = self.outage.failed(Instant::now()) {
            tracing::warn!(
                sink = %self.target.name,
                error,
                failures = report.failures,
                down_seconds = report.lasted.as_secs(),
                hint = self.health.hint(),
                "the sink is down; its events wait in the journal"
            );
        }
    }

    /// The sink is up, again or still.
    pub(super) fn note_recovered(&mut self) {
        if let Some(report) = self.outage.recovered(Instant::now()) {
            self.note_up(true);
            tracing::info!(
                sink = %self.target.name,
                failures = report.failures,
                down_seconds = report.lasted.as_secs(),
                "the sink is up again"
            );
        }
    }

    /// Nothing waits for it any more. Was it down, what waited was discarded: there is nothing to ask
    /// it with, and the next event shows how it is.
    pub(super) fn note_unowed(&mut self) {
        if !self.health.nothing_waits() {
            return;
        }
        if let Some(report) = self.outage.recovered(Instant::now()) {
            self.note_up(true);
            tracing::info!(
                sink = %self.target.name,
                failures = report.failures,
                down_seconds = report.lasted.as_secs(),
                "nothing waits any more for the sink that was down"
            );
        }
    }

    /// Tells of a storm of dead letters, once a minute while it lasts and when it is over.
    pub(super) fn report_storm(&mut self) {
        let report = self.storm.report(Instant::now());
        self.tell_of_storm(report);
    }

    /// The loop ends, and with it the count.
    pub(super) fn report_storm_at_end(&mut self) {
        let report = self.storm.end(Instant::now());
        self.tell_of_storm(report);
    }

    fn tell_of_storm(&self, report: Option<BurstReport>) {
        let Some(BurstReport { lasted, dead, is_over }) = report else { return };
        let (sink, lasted_seconds) = (&self.target.name, lasted.as_secs());
        if is_over {
            tracing::info!(%sink, dead, lasted_seconds, "no more events become dead letters");
        } else {
            tracing::warn!(%sink, dead, lasted_seconds, "events keep becoming dead letters");
        }
    }

    fn note_lag(&self, first_pulled: DateTime<Utc>, now: DateTime<Utc>) {
        // A clock that was set back tells nothing.
        let lag = (now - first_pulled).to_std().unwrap_or_default();
        self.tally.lags.observe(lag);
    }

    pub(super) fn note_up(&self, is_up: bool) {
        self.tally.up.set(i64::from(is_up));
    }
}

/// Whether the failure at `now` is the first after one of the moments at which it is told of: so
/// nothing has to be remembered of what was told.
fn is_to_be_told(pending: &PendingEvent, now: DateTime<Utc>) -> bool {
    let (Some(first), Some(last)) = (pending.first_failed, pending.last_failed) else {
        return false;
    };
    let moments = |at: DateTime<Utc>| {
        let over = at - first - TOLD_AFTER;
        if over < TimeDelta::zero() { 0 } else { 1 + over.num_seconds() / TOLD_EVERY.num_seconds() }
    };
    moments(now) > moments(last)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{AppId, read};
    use crate::journal::{EventId, NewEvent};

    #[test]
    fn an_event_that_fails_is_told_of_after_an_hour_and_once_a_day() {
        let first = Utc::now();
        let event = read(AppId(1), "{}", false, first).event;
        let mut pending =
            PendingEvent::untried(NewEvent { id: EventId(1), event: Arc::clone(&event) });
        let mut told = Vec::new();
        for minute in (0..4 * 24 * 60).step_by(7) {
            let now = first + TimeDelta::minutes(minute);
            if is_to_be_told(&pending, now) {
                told.push(minute / 60);
            }
            pending.first_failed.get_or_insert(now);
            pending.last_failed = Some(now);
        }
        assert_eq!(told, [1, 25, 49, 73]);
    }
}
