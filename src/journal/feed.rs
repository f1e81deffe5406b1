//! The way of fresh events from the journal to the delivery loop of a sink.
//!
//! A bounded queue, offered to and never waited for. Once events do not fit, the sink is
//! *behind*: nothing more is offered until its delivery loop has read the journal dry. The
//! journal's one writer offers after the commit and in the order of ids, and it also answers the
//! reads, so that queue and reads join without a gap and what overlaps shows by its id. The events
//! of a commit come at once, so that they can be one batch at the sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::vec;

use tokio::sync::{Notify, mpsc};

use super::EventId;
use crate::event::Event;

/// Events in a queue at most; those of a single commit pass when it is empty.
const MAX_EVENTS: usize = 1024;
/// Bytes of event bodies in a queue at most, with the same exception.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// An event that was just stored.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// Its number in the journal: grows with every event.
    pub id: EventId,
    /// The event.
    pub event: Arc<Event>,
}

impl Fresh {
    fn size(&self) -> usize {
        self.event.body.len()
    }
}

/// The journal's end of a feed.
#[derive(Clone, Debug)]
pub struct Feed {
    queue: mpsc::Sender<Vec<Fresh>>,
    shared: Arc<Shared>,
}

/// The delivery loop's end of a feed.
#[derive(Debug)]
pub struct Fed {
    queue: mpsc::Receiver<Vec<Fresh>>,
    /// What is left of the events that were offered last.
    rest: vec::IntoIter<Fresh>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    behind: AtomicBool,
    overflowed: Notify,
    events: AtomicUsize,
    bytes: AtomicUsize,
}

/// A new feed. It starts behind: what the journal held before comes first.
#[must_use]
pub fn feed() -> (Feed, Fed) {
    let (sender, receiver) = mpsc::channel(MAX_EVENTS);
    let shared = Arc::new(Shared { behind: AtomicBool::new(true), ..Shared::default() });
    shared.overflowed.notify_one();
    let fed = Fed { queue: receiver, rest: Vec::new().into_iter(), shared: shared.clone() };
    (Feed { queue: sender, shared }, fed)
}

impl Feed {
    /// Offers the events of a commit; if there is no room for all of them, the sink is behind from
    /// here on.
    pub(super) fn offer(&self, fresh: impl Iterator<Item = Fresh>) {
        let shared = &*self.shared;
        if shared.behind.load(Ordering::Acquire) {
            return;
        }
        let fresh: Vec<_> = fresh.collect();
        if fresh.is_empty() {
            return;
        }
        let (events, bytes) = (fresh.len(), fresh.iter().map(Fresh::size).sum::<usize>());
        let waiting = shared.events.fetch_add(events, Ordering::AcqRel);
        let waiting_bytes = shared.bytes.fetch_add(bytes, Ordering::AcqRel);
        let fits = waiting + events <= MAX_EVENTS && waiting_bytes + bytes <= MAX_BYTES;
        if !(fits || waiting == 0) || self.queue.try_send(fresh).is_err() {
            shared.events.fetch_sub(events, Ordering::AcqRel);
            shared.bytes.fetch_sub(bytes, Ordering::AcqRel);
            shared.behind.store(true, Ordering::Release);
            shared.overflowed.notify_one();
        }
    }
}

impl Fed {
    /// The next event, `None` when there is none at the moment.
    pub fn try_next(&mut self) -> Option<Fresh> {
        if self.rest.as_slice().is_empty() {
            self.rest = self.queue.try_recv().ok()?.into_iter();
        }
        self.take()
    }

    /// Waits for the next event, or for the sink to fall behind (`None`). Cancel safe.
    pub async fn next(&mut self) -> Option<Fresh> {
        if self.rest.as_slice().is_empty() {
            tokio::select! {
                biased;
                Some(fresh) = self.queue.recv() => self.rest = fresh.into_iter(),
                () = self.shared.overflowed.notified() => {}
            }
        }
        self.take()
    }

    fn take(&mut self) -> Option<Fresh> {
        let fresh = self.rest.next()?;
        self.shared.events.fetch_sub(1, Ordering::AcqRel);
        self.shared.bytes.fetch_sub(fresh.size(), Ordering::AcqRel);
        Some(fresh)
    }

    /// Whether events were left out of the queue. What is in it comes before them.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.shared.behind.load(Ordering::Acquire)
    }

    /// Asks for events again. The caller reads the journal once more after this, for what was
    /// stored between its last read and now.
    pub fn catch_up(&self) {
        self.shared.behind.store(false, Ordering::Release);
    }
}
