//! What the journal is still to be told of calls that are over: in order, one write at a time, tried
//! until it can be written. No call waits for it.
//!
//! An occurrence whose confirmation is not noted counts as sent all the same: the journal knew before
//! the call. But a note that takes that back has to be written before the same occurrence is sent
//! again, or it would be open though it may have been taken.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::journal::{self, EventId, Journal};
use crate::limits::Backoff;

/// Between tries to write to the journal.
const JOURNAL: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(1) };

/// Calls that may be over and not noted: as long as there are so many, no further one is made.
const MAX_NOTES: usize = 1024;

/// Events that are written at once at most.
const PORTION: usize = 1000;

/// What became of a call, as far as the journal is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConfirmRecord {
    /// The cloud took back the handles of these events.
    Confirmed {
        /// The events.
        events: Vec<EventId>,
        /// When.
        at: DateTime<Utc>,
    },
    /// It certainly did not, and these occurrences were open before.
    NotTaken(Vec<EventId>),
}

/// Notes that are not written yet.
#[derive(Default)]
pub(super) struct RecordQueue {
    waiting: VecDeque<ConfirmRecord>,
    /// The first of them, on its way to the journal.
    writing: Option<BoxFuture<'static, journal::Result<()>>>,
    failures: u32,
    /// Calls in a row that it could not be told of before they were sent.
    untold: u32,
    /// The next try of that; `None` while it can be.
    next_try: Option<Instant>,
}

impl std::fmt::Debug for RecordQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notes").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl RecordQueue {
    /// Takes a note over, if there is one.
    pub(super) fn take(&mut self, note: Option<ConfirmRecord>) {
        let Some(note) = note else { return };
        // What is on its way stays as it is.
        let last = if self.writing.is_some() && self.waiting.len() == 1 {
            None
        } else {
            self.waiting.back_mut()
        };
        match (last, note) {
            (
                Some(ConfirmRecord::Confirmed { events, at }),
                ConfirmRecord::Confirmed { events: more, at: later },
            ) if events.len() + more.len() <= PORTION => {
                events.extend(more);
                *at = later;
            }
            (_, note) => self.waiting.push_back(note),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether another call may be made.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_NOTES
    }

    /// Whether each note that an occurrence is open again is written.
    fn are_in_order(&self) -> bool {
        !self.waiting.iter().any(|note| matches!(note, ConfirmRecord::NotTaken(_)))
    }

    /// Whether a call may be made now that the journal has to be told of first; if not, when to ask
    /// again. While it could not be told, one such call is a try.
    pub(super) fn may_tell(&mut self, now: Instant) -> Result<(), Instant> {
        if !self.are_in_order() {
            return Err(now + JOURNAL.base);
        }
        match self.next_try {
            Some(at) if at > now => Err(at),
            Some(_) => {
                self.next_try = Some(now + JOURNAL.wait(self.untold));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The journal could not be told of a call; when there is another try.
    pub(super) fn untold(&mut self, now: Instant) -> Instant {
        self.untold = self.untold.saturating_add(1);
        let next_try = now + JOURNAL.wait(self.untold);
        self.next_try = Some(next_try);
        next_try
    }

    /// It was. Tells whether it could not be before.
    pub(super) fn told(&mut self) -> bool {
        self.untold = 0;
        self.next_try.take().is_some()
    }

    /// Writes the first one, or tries to; never ends where there is none. Cancel safe.
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
                tracing::debug!(%error, "the note of what is confirmed waits for the journal");
            }
        }
    }
}

/// Writes a note, after a wait if the last tries failed.
fn write(
    journal: Journal,
    note: ConfirmRecord,
    failures: u32,
) -> BoxFuture<'static, journal::Result<()>> {
    Box::pin(async move {
        if failures > 0 {
            tokio::time::sleep(JOURNAL.wait(failures)).await;
        }
        match note {
            ConfirmRecord::Confirmed { events, at } => journal.confirmed(events, at).await,
            ConfirmRecord::NotTaken(events) => journal.abort_confirm(events).await,
        }
    })
}

#[cfg(test)]
mod tests {
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

    fn not_taken(event: i64) -> Option<ConfirmRecord> {
        Some(ConfirmRecord::NotTaken(vec![EventId(event)]))
    }

    #[tokio::test]
    async fn they_are_written_in_order_and_those_of_one_sort_together() {
        let (_folder, journal, _closing) = journal();
        let mut notes = RecordQueue::default();
        notes.take(None);
        assert!(notes.is_empty() && notes.are_in_order());
        for note in [confirmed(0..16), confirmed(16..32), not_taken(7), confirmed(32..33)] {
            notes.take(note);
        }
        assert_eq!(notes.waiting.len(), 3);
        let mut in_order = Vec::new();
        while !notes.is_empty() {
            in_order.push(notes.are_in_order());
            notes.write(&journal).await;
        }
        assert_eq!(in_order, [false, false, true], "until the note of an open one is written");
    }

    #[tokio::test]
    async fn what_is_on_its_way_stays_as_it_is_and_comes_again_if_it_fails() {
        let (_folder, journal, _closing) = journal();
        let mut notes = RecordQueue::default();
        notes.take(confirmed(0..1));
        // Begun, and dropped in the middle.
        assert!(futures_util::poll!(Box::pin(notes.write(&journal))).is_pending());
        notes.take(confirmed(1..2));
        assert_eq!(notes.waiting.len(), 2);
        notes.write(&journal).await;
        assert_eq!(notes.waiting, [confirmed(1..2).unwrap()]);
        for more in 1..2000 {
            notes.take(not_taken(more));
            assert_eq!(notes.has_room(), notes.waiting.len() < MAX_NOTES);
        }
        assert!(!notes.has_room());
    }

    #[test]
    fn a_journal_that_cannot_be_told_is_tried_with_one_call_now_and_then() {
        let (mut notes, now) = (RecordQueue::default(), Instant::now());
        assert!((0..100).all(|_| notes.may_tell(now).is_ok()));
        let mut at = notes.untold(now);
        for _ in 0..10 {
            assert!(at > now && at <= now + Duration::from_secs(60));
            assert_eq!(notes.may_tell(at - Duration::from_millis(1)), Err(at));
            assert_eq!(notes.may_tell(at), Ok(()));
            let next = notes.may_tell(at).unwrap_err();
            assert!(next > at && next <= at + JOURNAL.max, "no second one beside it");
            at = notes.untold(at);
        }
        assert!(notes.told() && !notes.told());
        assert!((0..100).all(|_| notes.may_tell(now).is_ok()));
        notes.take(not_taken(1));
        assert!(notes.may_tell(now).unwrap_err() > now);
    }
}
