//! Confirmation records that the journal does not have yet: in order, one write at a time, tried
//! until it is written. No call waits for it.
//!
//! An occurrence whose confirmation is not recorded counts as sent all the same: the journal knew
//! before the call. But a record that reopens an occurrence has to be written before the same one
//! is sent again, or it would be open though it may have been confirmed.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::journal::{self, EventId, Journal};
use crate::limits::{Backoff, JOURNAL_RETRIES};

/// Between attempts to record a confirmation: a handle is good for seconds.
const RECORD_RETRIES: Backoff = Backoff { max: Duration::from_secs(1), ..JOURNAL_RETRIES };
/// Calls that may be over and not recorded: as long as there are so many, no further one is made.
const MAX_RECORDS: usize = 1024;

/// Events that are written at once at most.
const MAX_RECORD_EVENTS: usize = 1000;

/// What the journal records of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConfirmRecord {
    /// The cloud acknowledged the handles of these events.
    Confirmed { events: Vec<EventId>, at: DateTime<Utc> },
    /// It certainly did not confirm these occurrences, which were open before.
    NotConfirmed(Vec<EventId>),
}

#[derive(Default)]
pub(super) struct RecordQueue {
    waiting: VecDeque<ConfirmRecord>,
    /// The first of them, on its way to the journal.
    writing: Option<BoxFuture<'static, journal::Result<()>>>,
    failures: u32,
    /// Calls in a row whose sending it could not record.
    sending_failures: u32,
    /// The next try of that; `None` while it works.
    next_try: Option<Instant>,
}

impl std::fmt::Debug for RecordQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordQueue").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl RecordQueue {
    pub(super) fn push(&mut self, record: Option<ConfirmRecord>) {
        let Some(record) = record else { return };
        // What is being written stays as it is.
        let last = if self.writing.is_some() && self.waiting.len() == 1 {
            None
        } else {
            self.waiting.back_mut()
        };
        match (last, record) {
            (
                Some(ConfirmRecord::Confirmed { events, at }),
                ConfirmRecord::Confirmed { events: more, at: later },
            ) if events.len() + more.len() <= MAX_RECORD_EVENTS => {
                events.extend(more);
                *at = later;
            }
            (_, record) => self.waiting.push_back(record),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_RECORDS
    }

    /// Whether each record that reopens an occurrence is written.
    fn are_in_order(&self) -> bool {
        !self.waiting.iter().any(|record| matches!(record, ConfirmRecord::NotConfirmed(_)))
    }

    /// Whether a call may be made now whose sending has to be recorded first; if not, when to ask
    /// again. While recording fails, one such call is a try.
    pub(super) fn may_send(&mut self, now: Instant) -> Result<(), Instant> {
        if !self.are_in_order() {
            return Err(now + RECORD_RETRIES.base);
        }
        match self.next_try {
            Some(at) if at > now => Err(at),
            Some(_) => {
                self.next_try = Some(now + RECORD_RETRIES.wait(self.sending_failures));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The sending of a call could not be recorded. Returns when there is another try.
    pub(super) fn sending_failed(&mut self, now: Instant) -> Instant {
        self.sending_failures = self.sending_failures.saturating_add(1);
        let next_try = now + RECORD_RETRIES.wait(self.sending_failures);
        self.next_try = Some(next_try);
        next_try
    }

    /// The sending of a call was recorded. Returns whether that had failed before.
    pub(super) fn sending_recorded(&mut self) -> bool {
        self.sending_failures = 0;
        self.next_try.take().is_some()
    }

    /// Writes the first record, or tries to; never ends where there is none. Cancel safe.
    pub(super) async fn write(&mut self, journal: &Journal) {
        let Some(first) = self.waiting.front() else { return std::future::pending().await };
        let writing = self
            .writing
            .get_or_insert_with(|| write(journal.clone(), first.clone(), self.failures));
        let written = writing.await;
        self.writing = None;
        match written {
            Ok(()) => {
                self.waiting.pop_front();
                self.failures = 0;
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                tracing::debug!(%error, "confirmation record delayed: journal busy");
            }
        }
    }
}

fn write(
    journal: Journal,
    record: ConfirmRecord,
    failures: u32,
) -> BoxFuture<'static, journal::Result<()>> {
    Box::pin(async move {
        if failures > 0 {
            tokio::time::sleep(RECORD_RETRIES.wait(failures)).await;
        }
        match record {
            ConfirmRecord::Confirmed { events, at } => journal.confirmed(events, at).await,
            ConfirmRecord::NotConfirmed(events) => journal.abort_confirm(events).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::journal::{Closing, JournalSettings};

    fn journal() -> (tempfile::TempDir, Journal, Closing) {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            JournalSettings { path: folder.path().join("j.db"), ..JournalSettings::default() };
        let (journal, closing) = Journal::open(&settings).unwrap();
        (folder, journal, closing)
    }

    fn confirmed(events: std::ops::Range<i64>) -> Option<ConfirmRecord> {
        Some(ConfirmRecord::Confirmed {
            events: events.map(EventId).collect(),
            at: DateTime::UNIX_EPOCH,
        })
    }

    fn not_confirmed(event: i64) -> Option<ConfirmRecord> {
        Some(ConfirmRecord::NotConfirmed(vec![EventId(event)]))
    }

    #[tokio::test]
    async fn records_are_written_in_order_and_those_of_one_kind_together() {
        let (_folder, journal, _closing) = journal();
        let mut records = RecordQueue::default();
        records.push(None);
        assert!(records.is_empty() && records.are_in_order());
        for record in [confirmed(0..16), confirmed(16..32), not_confirmed(7), confirmed(32..33)] {
            records.push(record);
        }
        assert_eq!(records.waiting.len(), 3);
        let mut in_order = Vec::new();
        while !records.is_empty() {
            in_order.push(records.are_in_order());
            records.write(&journal).await;
        }
        assert_eq!(in_order, [false, false, true], "until the record that reopens one is written");
    }

    #[tokio::test]
    async fn what_is_being_written_stays_as_it_is_and_comes_again_if_it_fails() {
        let (_folder, journal, _closing) = journal();
        let mut records = RecordQueue::default();
        records.push(confirmed(0..1));
        // Begun, and dropped in the middle.
        assert!(futures_util::poll!(Box::pin(records.write(&journal))).is_pending());
        records.push(confirmed(1..2));
        assert_eq!(records.waiting.len(), 2);
        records.write(&journal).await;
        assert_eq!(records.waiting, [confirmed(1..2).unwrap()]);
        for more in 1..2000 {
            records.push(not_confirmed(more));
            assert_eq!(records.has_room(), records.waiting.len() < MAX_RECORDS);
        }
        assert!(!records.has_room());
    }

    #[test]
    fn a_journal_that_cannot_be_written_is_tried_with_one_call_now_and_then() {
        let (mut records, now) = (RecordQueue::default(), Instant::now());
        assert!((0..100).all(|_| records.may_send(now).is_ok()));
        let mut at = records.sending_failed(now);
        for _ in 0..10 {
            assert!(at > now && at <= now + Duration::from_secs(60));
            assert_eq!(records.may_send(at - Duration::from_millis(1)), Err(at));
            assert_eq!(records.may_send(at), Ok(()));
            let next = records.may_send(at).unwrap_err();
            assert!(next > at && next <= at + RECORD_RETRIES.max, "no second one beside it");
            at = records.sending_failed(at);
        }
        assert!(records.sending_recorded() && !records.sending_recorded());
        assert!((0..100).all(|_| records.may_send(now).is_ok()));
        records.push(not_confirmed(1));
        assert!(records.may_send(now).unwrap_err() > now);
    }
}
