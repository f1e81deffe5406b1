//! When messages were received, which tells equal ones apart where their handles do not.
//!
//! The cloud gives a message out again when its lease has ended, and for as long as it is in the
//! queue. So what comes under another handle within half a lease is another message. And what has
//! not come for many leases, though the queue was found empty since, is not there any more: it was
//! confirmed by somebody else, or is too old. An equal event is another message then as well.
//!
//! Both guesses can only make an event more, never one less: where a lease is shorter than it
//! should be, an event is repeated. It is all in memory: after a start nothing is known, until each
//! message has come again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::types::{Appended, EventId};
use crate::event::{Entry, Key};

/// Leases after which a message that a sink still has to take should have come again, if it is in
/// the queue. Many, since another daemon may have been given it each time.
const PENDING_LEASES: u32 = 20;
/// The same for one that was delivered and could not be confirmed.
const DELIVERED_LEASES: u32 = 2;

/// How long after it was posted last an event may be posted again, as its answer did not come in
/// time.
pub(super) const REPOST_TIME: Duration = Duration::from_secs(120);

/// The answer that entries came in.
#[derive(Clone, Debug)]
pub struct PullReceipt {
    /// When it was pulled, by the clock.
    pub pulled: DateTime<Utc>,
    /// When it was handed out; where that is not known, an equal event may always be the same.
    pub receipt: Option<Receipt>,
    /// What other entries of it have taken.
    pub taken: Arc<Taken>,
}

impl From<DateTime<Utc>> for PullReceipt {
    fn from(pulled: DateTime<Utc>) -> Self {
        Self { pulled, receipt: None, taken: Arc::default() }
    }
}

/// When entries were handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Not before this: the request was sent then.
    pub sent: Instant,
    /// Not after this: the answer was there then.
    pub received: Instant,
    /// How long the cloud then hands them to nobody else.
    pub lease: Duration,
    /// When the last request was sent whose answer said that the queue of this application is
    /// empty.
    pub empty: Option<Instant>,
}

/// Occurrences that entries of an answer have taken: each takes one of its own.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// Those that no other entry can take.
    pub(super) known: HashSet<EventId>,
    /// Of each content, the newest that was taken for its content: all older ones that may be the
    /// same were, too.
    pub(super) newest: HashMap<Key, EventId>,
}

impl Taken {
    /// Adds what a portion of the answer has taken, for the next one.
    pub fn add(&mut self, entries: &[Entry], appended: &[Appended]) {
        for (entry, appended) in entries.iter().zip(appended) {
            if !appended.is_repeatable {
                continue;
            }
            if appended.is_under_its_handle {
                self.known.insert(appended.id);
            } else {
                let newest = self.newest.entry(entry.event.key).or_default();
                *newest = appended.id.max(*newest);
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    MayBeSame,
    IsAnother,
    /// That one is in the queue no more.
    IsGone,
}

#[derive(Debug)]
pub(super) struct Receipts {
    since: Instant,
    /// Of each the last request and its answer.
    last: HashMap<EventId, (Instant, Instant)>,
    /// When those that were posted and not acknowledged were posted last.
    posted: HashMap<EventId, Instant>,
    /// The same in the order of time, with what is not so any more.
    posts: VecDeque<(EventId, Instant)>,
}

impl Receipts {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, last: HashMap::new(), posted: HashMap::new(), posts: VecDeque::new() }
    }

    /// The message of `event` was handed out once more.
    pub(super) fn record(&mut self, event: EventId, receipt: Option<Receipt>) {
        if let Some(receipt) = receipt {
            self.last.insert(event, (receipt.sent, receipt.received));
        }
    }

    /// `event` was posted, for the first time or once more.
    pub(super) fn record_posted(&mut self, event: EventId, now: Instant) {
        self.posted.insert(event, now);
        self.posts.push_back((event, now));
    }

    /// Whether what was posted may be posted again, as far as this run of the daemon knows: unlike
    /// the clock, this time cannot be set.
    pub(super) fn may_be_posted_again(&self, event: EventId, now: Instant) -> bool {
        self.posted.get(&event).is_none_or(|at| now.duration_since(*at) < REPOST_TIME)
    }

    /// Takes out those that will not be posted again.
    pub(super) fn posted_too_long_ago(&mut self, now: Instant) -> Vec<EventId> {
        let mut events = Vec::new();
        while let Some((event, at)) = self.posts.front().copied()
            && now.duration_since(at) >= REPOST_TIME
        {
            self.posts.pop_front();
            // It stays known, as what is done with it now may be rolled back.
            if self.posted.get(&event) == Some(&at) {
                events.push(event);
            }
        }
        events
    }

    /// It does not matter any more when `event` was posted.
    pub(super) fn forget_posted(&mut self, event: EventId) {
        self.posted.remove(&event);
    }

    /// Nothing equal can be taken for `event` any more.
    pub(super) fn forget(&mut self, event: EventId) {
        self.last.remove(&event);
        self.posted.remove(&event);
    }

    /// What the message of `event` is to one that came under another handle by `receipt`.
    pub(super) fn compare(
        &self,
        event: EventId,
        is_pending: bool,
        receipt: Option<Receipt>,
    ) -> Message {
        let Some(new) = receipt else { return Message::MayBeSame };
        let last = self.last.get(&event).copied();
        // An answer that is stored once more, since the first try failed.
        if last == Some((new.sent, new.received)) {
            return Message::MayBeSame;
        }
        if let Some((sent, received)) = last {
            // At the most, whichever of the two was handed out first.
            let apart = new.received.saturating_duration_since(sent);
            let apart = apart.max(received.saturating_duration_since(new.sent));
            if apart <= new.lease / 2 {
                return Message::IsAnother;
            }
        }
        let leases = if is_pending { PENDING_LEASES } else { DELIVERED_LEASES };
        let seen = last.map_or(self.since, |(_, received)| received);
        if new.empty.is_some_and(|empty| empty > seen + new.lease * leases) {
            return Message::IsGone;
        }
        Message::MayBeSame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);
    const EVENT: EventId = EventId(1);

    /// Handed out between these seconds.
    fn receipt(start: Instant, sent: u64, received: u64) -> Receipt {
        let at = |seconds| start + Duration::from_secs(seconds);
        Receipt { sent: at(sent), received: at(received), lease: LEASE, empty: None }
    }

    #[test]
    fn what_comes_within_half_a_lease_is_another_message() {
        let start = Instant::now();
        let mut receipts = Receipts::new(start);
        receipts.record(EVENT, Some(receipt(start, 100, 101)));
        let compare =
            |sent, received| receipts.compare(EVENT, true, Some(receipt(start, sent, received)));
        assert_eq!(compare(101, 102), Message::IsAnother);
        assert_eq!(compare(113, 115), Message::IsAnother);
        assert_eq!(compare(113, 116), Message::MayBeSame);
        assert_eq!(compare(130, 130), Message::MayBeSame);
        // An answer that was long on its way may have been handed out a lease earlier.
        assert_eq!(compare(70, 102), Message::MayBeSame);
        assert_eq!(compare(99, 100), Message::IsAnother);
        // The same answer once more.
        assert_eq!(compare(100, 101), Message::MayBeSame);
        assert_eq!(
            receipts.compare(EventId(2), true, Some(receipt(start, 101, 102))),
            Message::MayBeSame
        );
    }

    #[test]
    fn what_has_not_come_though_the_queue_was_empty_is_gone() {
        let start = Instant::now();
        let mut receipts = Receipts::new(start);
        receipts.record(EVENT, Some(receipt(start, 100, 101)));
        let compare = |event, is_pending, empty: u64| {
            let empty = Some(start + Duration::from_secs(empty));
            let new = Receipt { empty, ..receipt(start, 5000, 5000) };
            receipts.compare(event, is_pending, Some(new))
        };
        assert_eq!(compare(EVENT, false, 161), Message::MayBeSame);
        assert_eq!(compare(EVENT, false, 162), Message::IsGone);
        assert_eq!(compare(EVENT, true, 701), Message::MayBeSame);
        assert_eq!(compare(EVENT, true, 702), Message::IsGone);
        // Of one from before the start it is not known when it came last.
        assert_eq!(compare(EventId(2), false, 60), Message::MayBeSame);
        assert_eq!(compare(EventId(2), false, 61), Message::IsGone);
    }
}
