//! What follows from a verdict: for the event, for the sink, and for the log.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::{Delivery, RETRIES, Taking};
use crate::journal::{Outcome, Pending, Record};
use crate::retry::MAX_ASKED;
use crate::sinks::Verdict;

/// An event that has failed for so long while its sink was up is told of,
const TOLD_AFTER: TimeDelta = TimeDelta::hours(1);
/// and again each time that so much more has passed.
const TOLD_EVERY: TimeDelta = TimeDelta::days(1);

impl Delivery {
    /// What to write for a verdict.
    pub(super) fn decide(&self, pending: &Pending, verdict: Verdict, now: DateTime<Utc>) -> Record {
        let outcome = match verdict {
            Verdict::Delivered => Outcome::Delivered,
            Verdict::Reject(error) => self.give_up(pending, error),
            Verdict::Retry { error, after } => {
                if !self.outage.lasts() && is_to_be_told(pending, now) {
                    self.tell(pending, &error);
                }
                let charged = pending.charged + self.charge(pending, now);
                if charged >= self.target.give_up_after {
                    self.give_up(pending, error)
                } else {
                    let wait = RETRIES.wait_or(pending.attempts + 1, after);
                    let due = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
                    Outcome::Retry { due, charged, error }
                }
            }
        };
        Record { event: pending.id, outcome }
    }

    /// The last failure of an event, if the sink took another one since: only then is it the
    /// event that fails, and not the sink.
    fn failed_alone(&self, pending: &Pending) -> Option<DateTime<Utc>> {
        let taking = self.taking.as_ref()?;
        pending.last_failed.filter(|failed| taking.last > *failed)
    }

    /// The time since an event failed alone.
    fn charge(&self, pending: &Pending, now: DateTime<Utc>) -> Duration {
        let (Some(failed), Some(taking)) = (self.failed_alone(pending), &self.taking) else {
            return Duration::ZERO;
        };
        // An outage before that is the sink's, and so is the time in which nobody ran. No wait
        // between two tries is longer than the bound: a clock that was set ahead charges no more.
        let since = failed.max(taking.since);
        (now - since).to_std().unwrap_or_default().min(MAX_ASKED)
    }

    /// On a quiet sink an event may fail for ever: nothing else shows whether it is the sink.
    fn tell(&self, pending: &Pending, error: &str) {
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

    fn give_up(&self, pending: &Pending, error: String) -> Outcome {
        self.tally.dead.inc();
        tracing::warn!(
            sink = %self.target.name,
            event = %pending.event.key,
            event_type = %pending.event.event_type,
            attempts = pending.attempts + 1,
            error = %error,
            "gave up an event; it is a dead letter of this sink"
        );
        Outcome::Dead { error }
    }

    /// Counts a verdict and learns from it how the sink does.
    pub(super) fn note(&mut self, pending: &Pending, verdict: &Verdict) {
        match verdict {
            Verdict::Delivered => {
                self.tally.delivered.inc();
                let now = Utc::now();
                let since = self.taking.as_ref().map_or(now, |taking| taking.since);
                self.taking = Some(Taking { since, last: now });
                self.note_lag(pending.event.first_pulled, now);
                tracing::debug!(sink = %self.target.name, event = %pending.event.key, "delivered");
            }
            Verdict::Reject(error) => self.metrics.sink_failures.note(&self.target.name, error),
            Verdict::Retry { error, after } => {
                self.tally.retried.inc();
                self.metrics.sink_failures.note(&self.target.name, error);
                tracing::debug!(
                    sink = %self.target.name,
                    event = %pending.event.key,
                    attempts = pending.attempts + 1,
                    %error,
                    "a delivery failed"
                );
                let waiting = self.pending.max(self.intake.held() as u64);
                // Many that fail alone would take the sink down, come due by its recovery, and take
                // it down again.
                let went_down = self.failed_alone(pending).is_none()
                    && self.health.failed(pending.id, waiting, *after, Instant::now());
                if went_down {
                    self.taking = None;
                }
                if went_down || self.outage.lasts() {
                    self.note_failed(error);
                }
                return;
            }
        }
        // A sink that refuses an event is as alive as one that takes it.
        if self.health.answered() {
            self.intake.make_all_due();
        }
        self.note_recovered();
    }

    /// The sink is down, again or still.
    pub(super) fn note_failed(&mut self, error: &str) {
        self.note_up(false);
        self.metrics.sink_failures.note(&self.target.name, error);
        if let Some(report) = self.outage.failed(Instant::now()) {
            tracing::warn!(
                sink = %self.target.name,
                error,
                failures = report.failures,
                down_seconds = report.lasted.as_secs(),
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
        self.health.answered();
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
fn is_to_be_told(pending: &Pending, now: DateTime<Utc>) -> bool {
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
    use crate::journal::{EventId, Fresh};

    #[test]
    fn an_event_that_fails_is_told_of_after_an_hour_and_once_a_day() {
        let first = Utc::now();
        let event = read(AppId(1), "{}", false, first).event;
        let mut pending = Pending::untried(Fresh { id: EventId(1), event: Arc::clone(&event) });
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
