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

    /// Whether a delivery that began then began before it was asked for: its failure says nothing.
    pub(super) fn is_before(&self, began: Instant) -> bool {
        began < self.since
    }

    /// Returns when it is answered at the latest.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// So many events wait.
    pub(super) fn waiting(&mut self, pending: u64) {
        self.left.get_or_insert(pending);
        self.outcome.pending = pending;
    }

    /// Counts what became of events whose delivery began then.
    pub(super) fn count(&mut self, began: Instant, records: &[DeliveryRecord]) {
        let is_before = self.is_before(began);
        for record in records {
            let error = match &record.outcome {
                DeliveryOutcome::Retry { .. } if is_before => continue,
                DeliveryOutcome::Delivered => {
                    self.outcome.delivered += 1;
                    None
                }
                DeliveryOutcome::Retry { error, .. } => {
                    self.outcome.failed += 1;
                    Some(error)
                }
                DeliveryOutcome::Dead { error } | DeliveryOutcome::Rejected { error } => {
                    self.outcome.dead += 1;
                    Some(error)
                }
            };
            self.left = self.left.map(|left| left.saturating_sub(1));
            if let Some(error) = error {
                self.outcome.error = Some(error.clone());
            }
        }
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
        DeliveryRecord { event: EventId(1), outcome }
    }

    fn failed() -> DeliveryRecord {
        let (due, charged) = (Utc::now(), Duration::ZERO);
        record(DeliveryOutcome::Retry { due, charged, error: "no".to_owned() })
    }

    #[test]
    fn it_is_answered_when_all_that_waited_was_tried_or_the_sink_is_down() {
        let now = Instant::now();
        let mut retrying = Retrying::new(now);
        assert!(!retrying.is_over(true), "nothing was tried");
        retrying.waiting(3);
        retrying.count(now, &[record(DeliveryOutcome::Delivered), failed()]);
        retrying.waiting(9);
        assert!(!retrying.is_over(false) && retrying.is_over(true));
        retrying.count(now, &[record(DeliveryOutcome::Dead { error: "bad".to_owned() })]);
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
        retrying.waiting(1);
        retrying.count(before, &[failed()]);
        assert!(!retrying.is_over(true));
        retrying.count(now, &[failed()]);
        assert!(retrying.is_over(true));
    }

    #[test]
    fn where_nothing_waits_it_is_answered_at_once() {
        let mut retrying = Retrying::new(Instant::now());
        assert!(!retrying.is_over(false));
        retrying.waiting(0);
        assert!(retrying.is_over(false));
    }
}
