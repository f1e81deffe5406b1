//! The way of new events from the journal to the delivery loop of a sink.
//!
//! A bounded queue, published to and never waited for. Once events do not fit, the sink is
//! *lagging*: nothing more is published until its delivery loop has read the journal dry. The
//! journal's one writer publishes after the commit and in the order of ids, and it also answers the
//! reads, so that queue and reads join without a gap and what overlaps shows by its id. The events
//! of a commit come at once, so that they can be one batch at the sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::vec;

use tokio::sync::{Notify, mpsc};

use super::after::RouteAfter;
use super::types::{NewEvent, SinkId};
use crate::event::Wanted;

/// Events in a queue at most.
const MAX_EVENTS: usize = 1024;
/// Bytes of event bodies in a queue at most; a single larger event passes when it is empty.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// A sink as the journal sees it: what it wants and how new events reach it.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its number.
    pub sink: SinkId,
    /// The events it wants.
    pub wanted: Wanted,
    /// Its feed.
    pub feed: FeedSender,
    /// The sink that it comes after, where it comes after one.
    pub after: Option<RouteAfter>,
}

/// The journal's end of a feed.
#[derive(Clone, Debug)]
pub struct FeedSender {
    queue: mpsc::Sender<Vec<NewEvent>>,
    shared: Arc<Shared>,
}

/// The delivery loop's end of a feed.
#[derive(Debug)]
pub struct FeedReceiver {
    queue: mpsc::Receiver<Vec<NewEvent>>,
    /// What is left of the events that were published last.
    rest: vec::IntoIter<NewEvent>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_lagging: AtomicBool,
    /// Whether the sink before has released events that the loop does not know of.
    has_released: AtomicBool,
    /// Of both.
    marked: Notify,
    events: AtomicUsize,
    bytes: AtomicUsize,
}

/// A new feed. It starts lagging: what the journal held before comes first.
#[must_use]
pub fn feed() -> (FeedSender, FeedReceiver) {
    let (sender, receiver) = mpsc::channel(MAX_EVENTS);
    let shared = Arc::new(Shared { is_lagging: AtomicBool::new(true), ..Shared::default() });
    shared.marked.notify_one();
    let receiver =
        FeedReceiver { queue: receiver, rest: Vec::new().into_iter(), shared: shared.clone() };
    (FeedSender { queue: sender, shared }, receiver)
}

impl FeedSender {
    /// Publishes the events of a commit, of which those that fit are taken; if any does not, the
    /// sink lags from here on. One at a time publishes: the journal's writer.
    pub(super) fn publish(&self, new: impl Iterator<Item = NewEvent>) {
        let shared = &*self.shared;
        if shared.is_lagging.load(Ordering::Acquire) {
            return;
        }
        let waiting = (shared.events.load(Ordering::Acquire), shared.bytes.load(Ordering::Acquire));
        let (mut events, mut bytes) = waiting;
        let mut new = new.peekable();
        let mut taken = Vec::new();
        while let Some(next) = new
            .next_if(|next| events == 0 || (events < MAX_EVENTS && bytes + size(next) <= MAX_BYTES))
        {
            events += 1;
            bytes += size(&next);
            taken.push(next);
        }
        // Before they are sent: the other end counts them down.
        shared.events.fetch_add(events - waiting.0, Ordering::AcqRel);
        shared.bytes.fetch_add(bytes - waiting.1, Ordering::AcqRel);
        // There is room in the queue: each part of it has an event. If nobody reads, nobody counts.
        if !taken.is_empty() {
            drop(self.queue.try_send(taken));
        }
        if new.peek().is_some() {
            shared.is_lagging.store(true, Ordering::Release);
            shared.marked.notify_one();
        }
    }
}

impl FeedSender {
    /// Has the loop look for events that the sink before has released: they are due in the journal.
    pub(super) fn release(&self) {
        self.shared.has_released.store(true, Ordering::Release);
        self.shared.marked.notify_one();
    }

    /// Whether the loop has yet to look for released events.
    #[must_use]
    pub fn has_released(&self) -> bool {
        self.shared.has_released.load(Ordering::Acquire)
    }
}

impl FeedReceiver {
    /// Waits for the sink to lag or to have events released. Cancel safe.
    pub async fn marked(&self) {
        self.shared.marked.notified().await;
    }

    /// Whether the sink before has released events since the last call.
    pub fn take_released(&self) -> bool {
        self.shared.has_released.swap(false, Ordering::AcqRel)
    }

    /// The same, without taking note of it.
    #[must_use]
    pub fn has_released(&self) -> bool {
        self.shared.has_released.load(Ordering::Acquire)
    }

    /// The next event, `None` when there is none at the moment.
    pub fn try_next(&mut self) -> Option<NewEvent> {
        if self.rest.as_slice().is_empty() {
            self.rest = self.queue.try_recv().ok()?.into_iter();
        }
        self.take()
    }

    /// Waits for the next event, or for the sink to lag or to have events released (`None`). Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<NewEvent> {
        if self.rest.as_slice().is_empty() {
            tokio::select! {
                biased;
                Some(new) = self.queue.recv() => self.rest = new.into_iter(),
                () = self.shared.marked.notified() => {}
            }
        }
        self.take()
    }

    fn take(&mut self) -> Option<NewEvent> {
        let event = self.rest.next()?;
        self.shared.events.fetch_sub(1, Ordering::AcqRel);
        self.shared.bytes.fetch_sub(size(&event), Ordering::AcqRel);
        Some(event)
    }

    /// Whether events were left out of the queue. What is in it comes before them.
    pub fn is_lagging(&self) -> bool {
        self.shared.is_lagging.load(Ordering::Acquire)
    }

    /// Asks for events again. The caller reads the journal once more after this, for what was
    /// stored between its last read and now.
    pub fn catch_up(&self) {
        self.shared.is_lagging.store(false, Ordering::Release);
    }
}

fn size(new: &NewEvent) -> usize {
    new.event.body.len()
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::event::{self, AppId};
    use crate::journal::types::EventId;

    fn new_event(id: i64, size: usize) -> NewEvent {
        let event = event::read(AppId(1), &"x".repeat(size), false, Utc::now()).event;
        NewEvent { id: EventId(id), event }
    }

    fn rest(receiver: &mut FeedReceiver) -> usize {
        std::iter::from_fn(|| receiver.try_next()).count()
    }

    #[test]
    fn as_many_fit_each_time_it_was_emptied() {
        let (feed, mut receiver) = feed();
        let many: Vec<_> = (0..2000).map(|id| new_event(id, 10)).collect();
        for _ in 0..3 {
            receiver.catch_up();
            feed.publish(many.iter().take(1000).cloned());
            assert!(!receiver.is_lagging());
            feed.publish(many.iter().skip(1000).cloned());
            assert!(receiver.is_lagging());
            feed.publish(many.iter().cloned());
            assert_eq!(rest(&mut receiver), MAX_EVENTS);
        }
    }

    #[test]
    fn bytes_count_too_and_one_that_is_larger_passes_alone() {
        let (feed, mut receiver) = feed();
        for (sizes, fits) in [
            (vec![MAX_BYTES - 1, 1], 2),
            (vec![MAX_BYTES - 1, 2], 1),
            (vec![MAX_BYTES + 1], 1),
            (vec![MAX_BYTES + 1, 1], 1),
            (vec![1, MAX_BYTES], 1),
        ] {
            receiver.catch_up();
            feed.publish(sizes.iter().map(|size| new_event(1, *size)));
            assert_eq!(
                (rest(&mut receiver), receiver.is_lagging()),
                (fits, fits < sizes.len()),
                "{sizes:?}"
            );
        }
    }

    #[tokio::test]
    async fn who_waits_for_one_finds_all_of_its_commit_then_learns_that_it_lags() {
        let (feed, mut receiver) = feed();
        assert!(receiver.next().await.is_none(), "it starts lagging");
        receiver.catch_up();
        let (first, ()) = tokio::join!(receiver.next(), async {
            feed.publish((1..=16).map(|id| new_event(id, 10)));
            feed.publish((0..MAX_EVENTS as i64).map(|id| new_event(17 + id, 10)));
        });
        assert_eq!(first.map(|new| new.id), Some(EventId(1)));
        assert_eq!(rest(&mut receiver), MAX_EVENTS - 1);
        assert!(receiver.next().await.is_none());
    }
}
