//! What comes of the deliveries that somebody asked for. Pure: the time is passed in.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::control::RetryOutcome;
use crate::journal::{self, DeliveryOutcome, DeliveryRecord};

/// How long whoever asked waits for an answer at most: longer than a delivery takes by default.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) type RetryAnswer = oneshot::Sender<journal::Result<RetryOutcome>>;

/// Deliveries that were asked for, until the answer.
#[derive(Debug)]
pub(super) struct Retrying {
    since: Instant,
    until: Instant,
    answers: Vec<RetryAnswer>,
    /// Events that waited and were not tried yet; `None` before they are counted.
    left: Option<u64>,
    outcome: RetryOutcome,
}

/// What became of the events of a delivery.
#[derive(Debug, Default)]
pub(super) struct Tried {
    delivered: u64,
    dead: u64,
    failed: u64,
    error: Option<String>,
    /// Whether events failed that were under way when they were asked for: that says nothing, and they
    /// are due again.
    pub(super) is_asked_again: bool,
}

impl Retrying {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            until: now + PATIENCE,
            answers: Vec::new(),
            left: None,
            outcome: RetryOutcome::default(),
        }
    }

    /// Has this one get the answer as well.
    pub(super) fn add(&mut self, answer: RetryAnswer) {
        self.answers.push(answer);
    }

    /// Returns when it is answered at the latest.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Judges what became of events whose delivery began then.
    pub(super) fn judge(&self, began: Instant, records: &[DeliveryRecord]) -> Tried {
        let is_before = began < self.since;
        let mut tried = Tried::default();
        for record in records {
            let error = match &record.outcome {
                DeliveryOutcome::Delivered => {
                    tried.delivered += 1;
                    continue;
                }
                DeliveryOutcome::Retry { .. } if is_before => {
                    tried.is_asked_again = true;
                    continue;
                }
                DeliveryOutcome::Retry { error, .. } => {
                    tried.failed += 1;
                    error
                }
                DeliveryOutcome::Dead { error } | DeliveryOutcome::Rejected { error } => {
                    tried.dead += 1;
                    error
                }
            };
            tried.error = Some(error.clone());
        }
        tried
    }

    /// That is written, and so many events wait.
    pub(super) fn count(&mut self, tried: Option<Tried>, pending: u64) {
        self.outcome.pending = pending;
        let Tried { delivered, dead, failed, error, .. } = tried.unwrap_or_default();
        // Those that were settled waited as well.
        let left = self.left.get_or_insert(pending + delivered + dead);
        *left = left.saturating_sub(delivered + dead + failed);
        self.outcome.delivered += delivered;
        self.outcome.dead += dead;
        self.outcome.failed += failed;
        self.outcome.error = error.or(self.outcome.error.take());
    }

    /// Whether it can be answered: each event that waited was tried, or the sink is down after a
    /// delivery that was asked for.
    pub(super) fn is_over(&self, is_down: bool) -> bool {
        let has_all = self.left == Some(0) || self.left.is_some() && self.outcome.pending == 0;
        has_all || is_down && self.outcome.failed > 0
    }

    /// Answers whoever asked.
    pub(super) fn answer(self, is_down: bool) {
        let outcome = RetryOutcome { is_over: self.is_over(is_down), ..self.outcome };
        for answer in self.answers {
            // Who does not wait any more has no need of it.
            answer.send(Ok(outcome.clone())).ok();
        }
    }

    /// Answers whoever asked that the sink cannot be used.
    pub(super) fn fail(mut self, error: &str, pending: u64) {
        self.outcome.failed += 1;
        self.outcome.error = Some(error.to_owned());
        self.outcome.pending = pending;
        self.answer(true);
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::journal::EventId;

    fn record(outcome: DeliveryOutcome) -> DeliveryRecord {
        DeliveryRecord { event: EventId(1), outcome, mirrored: Vec::new() }
    }

    fn failed() -> DeliveryRecord {
        let (due, charged) = (Utc::now(), Duration::ZERO);
        record(DeliveryOutcome::Retry { due, charged, error: "no".to_owned() })
    }

    fn count(retrying: &mut Retrying, began: Instant, records: &[DeliveryRecord], pending: u64) {
        let tried = retrying.judge(began, records);
        retrying.count(Some(tried), pending);
    }

    #[test]
    fn it_is_answered_when_all_that_waited_was_tried_or_the_sink_is_down() {
        let now = Instant::now();
        let mut retrying = Retrying::new(now);
        assert!(!retrying.is_over(true), "nothing was tried");
        retrying.count(None, 3);
        count(&mut retrying, now, &[record(DeliveryOutcome::Delivered), failed()], 9);
        assert!(!retrying.is_over(false) && retrying.is_over(true));
        count(&mut retrying, now, &[record(DeliveryOutcome::Dead { error: "bad".to_owned() })], 9);
        assert!(retrying.is_over(false), "those that came since do not count");
        let (answer, mut answered) = oneshot::channel();
        retrying.add(answer);
        retrying.answer(false);
        let outcome = answered.try_recv().unwrap().unwrap();
        let expected = RetryOutcome {
            delivered: 1,
            dead: 1,
            failed: 1,
            error: Some("bad".to_owned()),
            pending: 9,
            is_over: true,
            ..RetryOutcome::default()
        };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn what_was_under_way_when_it_was_asked_for_fails_without_a_word() {
        let (before, now) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let mut retrying = Retrying::new(now);
        retrying.count(None, 1);
        assert!(retrying.judge(before, &[failed()]).is_asked_again);
        count(&mut retrying, before, &[failed()], 1);
        assert!(!retrying.is_over(true));
        count(&mut retrying, now, &[failed()], 1);
        assert!(retrying.is_over(true));
    }

    #[test]
    fn where_nothing_waits_it_is_answered_at_once() {
        let mut retrying = Retrying::new(Instant::now());
        assert!(!retrying.is_over(false));
        retrying.count(None, 0);
        assert!(retrying.is_over(false));
    }
}
