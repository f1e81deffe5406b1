//! What was posted, and what came of it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::entries::{maybe_time, push_last, time};
use crate::push::{PushEnd, PushOutcome};

/// Counters of posted events, and of the tries to post them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PushTotals {
    /// Events to be posted: the sum of the next three.
    pub events: u64,
    /// Events that were answered with a 200 in time.
    pub answered: u64,
    /// Events that were not, all their tries being used up.
    pub lost: u64,
    /// Events of neither kind so far.
    pub waiting: u64,
    /// Tries that have ended.
    pub tries: u64,
    /// Of these, those after the event's 200, whatever came of them.
    pub repeated: u64,
    /// Tries that another status answered in time.
    pub refused: u64,
    /// Tries without a whole answer in time.
    pub timed_out: u64,
    /// Tries without a connection, or with one that ended before the answer did.
    pub unreachable: u64,
}

impl PushTotals {
    pub(super) fn count(&mut self, attempt: &LedgerTry, end: PushEnd) {
        self.tries += 1;
        match attempt.outcome {
            PushOutcome::Answered => {}
            PushOutcome::Refused(_) => self.refused += 1,
            PushOutcome::TimedOut => self.timed_out += 1,
            PushOutcome::Unreachable => self.unreachable += 1,
        }
        match end {
            PushEnd::Answered => self.answered += 1,
            PushEnd::Repeated => self.repeated += 1,
            PushEnd::Lost => self.lost += 1,
            PushEnd::Again => {}
        }
    }

    /// Returns them with the events that are left.
    pub(super) fn complete(&self) -> Self {
        Self { waiting: self.events - self.answered - self.lost, ..self.clone() }
    }
}

/// The history of an event that is posted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LedgerPush {
    /// The tries that have ended, of a great many the last ones.
    pub tries: Vec<LedgerTry>,
    /// When it was first answered with a 200.
    #[serde(serialize_with = "maybe_time")]
    pub answered: Option<DateTime<Utc>>,
    /// When its last try failed.
    #[serde(serialize_with = "maybe_time")]
    pub lost: Option<DateTime<Utc>>,
}

impl LedgerPush {
    pub(super) fn record(&mut self, attempt: LedgerTry, end: PushEnd) {
        match end {
            PushEnd::Answered => self.answered = Some(attempt.ended),
            PushEnd::Lost => self.lost = Some(attempt.ended),
            PushEnd::Repeated | PushEnd::Again => {}
        }
        push_last(&mut self.tries, attempt);
    }
}

/// One try to post an event.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerTry {
    /// When it began.
    #[serde(serialize_with = "time")]
    pub at: DateTime<Utc>,
    /// When it ended.
    #[serde(serialize_with = "time")]
    pub ended: DateTime<Utc>,
    /// How.
    pub outcome: PushOutcome,
}
