//! What follows from a verdict: for the event, for the sink, and for the log.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::burst::{BurstLog, BurstReport};
use super::{Delivery, EVENT_RETRIES, MaxRejects};
use crate::journal::{DeliveryOutcome, DeliveryRecord, EventId, PendingEvent};
use crate::sinks::{Fault, Verdict};

/// An event is reported at so many failures while its sink is up,
const REPORTED_FAILURES: u32 = 3;
/// when it has failed for so long,
const REPORT_AFTER: TimeDelta = TimeDelta::hours(1);
/// and again each time that so much more has passed.
const REPORT_EVERY: TimeDelta = TimeDelta::days(1);

impl Delivery {
    /// Turns a rejection that does not prove the event to be bad into a failure.
    pub(super) fn weigh(&mut self, event: EventId, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Reject(error) if !self.breaker.on_reject(event) => Verdict::retry(error),
            verdict => verdict,
        }
    }

    /// Returns what to write for a verdict that was weighed and observed.
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
                    MaxRejects::At(_) if !self.breaker.is_bad_if_rejected(pending.id) => {
                        DeliveryOutcome::Rejected { error }
                    }
                    _ => DeliveryOutcome::Dead { error },
                }
            }
            Verdict::Retry { error, after, fault } => {
                // An outage is told of once, not for each of its events.
                let is_outage = self.outage.lasts() || fault == (Fault::Source { is_down: true });
                if !is_outage && is_to_be_reported(pending, now) {
                    match self.failing.occurred(Instant::now()) {
                        BurstLog::Logged => self.report_failing(pending, &error),
                        BurstLog::Begins => tracing::warn!(
                            sink = %self.target.name,
                            "many events keep failing at this sink; no more of them are named for now"
                        ),
                        BurstLog::Counted => {}
                    }
                }
                let counted = match fault {
                    Fault::Source { is_down: true } => None,
                    _ => self.uptime.counted_failure_time(pending.last_failed, now),
                };
                let charged = pending.charged + counted.unwrap_or_default();
                if counted.is_some() && charged >= self.target.give_up_after {
                    self.give_up(pending, &error);
                    DeliveryOutcome::Dead { error }
                } else {
                    let wait = EVENT_RETRIES.wait_or(pending.attempts + 1, after);
                    let due = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
                    DeliveryOutcome::Retry { due, charged, error }
                }
            }
        };
        DeliveryRecord { event: pending.id, outcome, mirrored: Vec::new() }
    }

    /// As far as is known, its sink is not down.
    fn report_failing(&self, pending: &PendingEvent, error: &str) {
        let (sink, event) = (&self.target.name, pending.event.key);
        tracing::warn!(
            %sink,
            %event,
            event_type = %pending.event.event_type,
            attempts = pending.attempts + 1,
            since = pending.first_failed.map(|at| at.to_rfc3339()),
            error,
            hint = format!(
                "sprited check shows whether the sink answers, sprited events show {event} its errors; if the event is bad: sprited events discard {event} --sink {sink}"
            ),
            "event keeps failing"
        );
    }

    fn give_up(&mut self, pending: &PendingEvent, error: &str) {
        self.counters.dead.inc();
        match self.dead_letters.occurred(Instant::now()) {
            BurstLog::Logged => tracing::warn!(
                sink = %self.target.name,
                event = %pending.event.key,
                event_type = %pending.event.event_type,
                attempts = pending.attempts + 1,
                error,
                "event given up; it is a dead letter of this sink"
            ),
            BurstLog::Begins => tracing::error!(
                sink = %self.target.name,
                error,
                "many events become dead letters of this sink; from now on a count is logged once a \
                 minute"
            ),
            BurstLog::Counted => {}
        }
    }

    /// Counts a verdict that was weighed, and learns the sink's health from it.
    pub(super) fn observe(
        &mut self,
        pending: &PendingEvent,
        verdict: &Verdict,
        now: DateTime<Utc>,
    ) {
        match verdict {
            Verdict::Delivered => {
                self.counters.delivered.inc();
                self.uptime.on_success(now);
                self.tally.delivered += 1;
                if !pending.is_requeued {
                    let since = pending.released.unwrap_or(pending.event.first_pulled);
                    self.observe_lag(since, now);
                }
                tracing::debug!(sink = %self.target.name, event = %pending.event.key, "delivered");
                let was_down = self.breaker.on_success();
                self.on_success(was_down);
            }
            Verdict::Reject(error) => {
                if self.breaker.is_braked() {
                    self.on_failure(pending, error, None, now);
                } else {
                    // A sink that rejects an event is as alive as one that accepts it.
                    let was_down = self.breaker.on_answer();
                    self.on_success(was_down);
                }
            }
            Verdict::Retry { error, after, fault } => {
                self.counters.retried.inc();
                tracing::debug!(
                    sink = %self.target.name,
                    event = %pending.event.key,
                    attempts = pending.attempts + 1,
                    %error,
                    "delivery failed"
                );
                match fault {
                    Fault::Target => self.on_failure(pending, error, *after, now),
                    Fault::Source { .. } => self.breaker.on_no_answer(Instant::now()),
                }
            }
        }
    }

    fn on_success(&mut self, was_down: bool) {
        if was_down {
            self.queue.make_all_due();
        }
        self.sink_recovered();
    }

    fn on_failure(
        &mut self,
        pending: &PendingEvent,
        error: &str,
        asked: Option<Duration>,
        now: DateTime<Utc>,
    ) {
        // What was under way when it was paused says nothing of how it is when it is resumed.
        if self.paused_since.is_some() {
            return;
        }
        let waiting = self.pending.max(self.queue.in_flight() as u64);
        // Many that fail alone would take the sink down, come due by its recovery, and take it down
        // again.
        let fails_alone = self.uptime.counted_failure_time(pending.last_failed, now).is_some();
        let went_down = (!fails_alone || self.breaker.is_braked())
            && self.breaker.on_failure(pending.id, waiting, asked, Instant::now());
        if went_down {
            self.uptime.end();
        }
        if went_down || self.outage.lasts() {
            self.sink_failed(error);
        }
    }

    /// Logs what goes on, once a minute: an outage, though its next probe is far away, and a burst
    /// of dead letters, which is logged when it is over as well.
    pub(super) fn report(&mut self) {
        let now = Instant::now();
        if self.pending > 0
            && let Some(report) = self.outage.remind(now)
        {
            self.log_down(report, &self.board.last_error());
        }
        // For the end of its burst: its beginning was logged.
        self.failing.report(now);
        let report = self.dead_letters.report(now);
        self.log_burst(report);
        if report.is_some_and(|report| report.is_over) {
            self.publish(None, self.breaker.next_probe());
        }
    }

    /// Returns when [`Delivery::report`] has something to say.
    pub(super) fn next_report(&self) -> Option<Instant> {
        let reminder = self.outage.next_reminder().filter(|_| self.pending > 0);
        [reminder, self.dead_letters.next_report(), self.failing.next_report()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The loop ends, and with it the count.
    pub(super) fn report_last_dead_letters(&mut self) {
        let report = self.dead_letters.end(Instant::now());
        self.log_burst(report);
    }

    fn log_burst(&self, report: Option<BurstReport>) {
        let Some(BurstReport { lasted, all: dead, is_over }) = report else { return };
        let (sink, lasted_seconds) = (&self.target.name, lasted.as_secs());
        if is_over {
            tracing::info!(%sink, dead, lasted_seconds, "no more events become dead letters");
        } else {
            tracing::error!(%sink, dead, lasted_seconds, "events keep becoming dead letters");
        }
    }

    fn observe_lag(&mut self, since: DateTime<Utc>, now: DateTime<Utc>) {
        // The time of a pause is not the sink's. A clock that was set back proves nothing.
        let since = self.resumed.map_or(since, |resumed| since.max(resumed));
        let lag = (now - since).to_std().unwrap_or_default();
        self.counters.lags.observe(lag);
        self.tally.lagging += 1;
        self.tally.lag += lag;
    }
}

/// Whether the failure at `now` is the third, or the first after one of the moments of a report: so no
/// report has to be remembered.
fn is_to_be_reported(pending: &PendingEvent, now: DateTime<Utc>) -> bool {
    if pending.attempts + 1 == REPORTED_FAILURES {
        return true;
    }
    let (Some(first), Some(last)) = (pending.first_failed, pending.last_failed) else {
        return false;
    };
    let moments = |at: DateTime<Utc>| {
        let over = at - first - REPORT_AFTER;
        if over < TimeDelta::zero() {
            0
        } else {
            1 + over.num_seconds() / REPORT_EVERY.num_seconds()
        }
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
    fn an_event_that_fails_is_reported_at_its_third_failure_after_an_hour_and_once_a_day() {
        let first = Utc::now();
        let event = read(AppId(1), "{}", false, first).event;
        let mut pending =
            PendingEvent::untried(NewEvent { id: EventId(1), event: Arc::clone(&event) });
        let mut told = Vec::new();
        for minute in (0..4 * 24 * 60).step_by(7) {
            let now = first + TimeDelta::minutes(minute);
            if is_to_be_reported(&pending, now) {
                told.push(minute / 60);
            }
            pending.attempts += 1;
            pending.first_failed.get_or_insert(now);
            pending.last_failed = Some(now);
        }
        assert_eq!(told, [0, 1, 25, 49, 73]);
    }
}
