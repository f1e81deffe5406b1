//! The way of fresh events from the journal to the delivery loop of a sink.
//!
//! A bounded queue, offered to and never waited for. Once an event does not fit, the sink is
//! *behind*: nothing more is offered until its delivery loop has read the journal dry. The
//! journal's one writer offers after the commit and in the order of ids, and it also answers the
//! reads, so that queue and reads join without a gap and what overlaps shows by its id.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

use super::EventId;
use crate::event::Event;

/// Events in a queue at most.
const MAX_EVENTS: usize = 1024;
/// Bytes of event bodies in a queue at most; a single larger event passes when it is empty.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// An event that was just stored.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// Its number in the journal: grows with every event.
    pub id: EventId,
    /// The event.
    pub event: Arc<Event>,
}

/// The journal's end of a feed.
#[derive(Clone, Debug)]
pub struct Feed {
    queue: mpsc::Sender<Fresh>,
    shared: Arc<Shared>,
}

/// The delivery loop's end of a feed.
#[derive(Debug)]
pub struct Fed {
    queue: mpsc::Receiver<Fresh>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    behind: AtomicBool,
    overflowed: Notify,
    bytes: AtomicUsize,
}

/// A new feed. It starts behind: what the journal held before comes first.
#[must_use]
pub fn feed() -> (Feed, Fed) {
    let (sender, receiver) = mpsc::channel(MAX_EVENTS);
    let shared = Arc::new(Shared { behind: AtomicBool::new(true), ..Shared::default() });
    shared.overflowed.notify_one();
    (Feed { queue: sender, shared: shared.clone() }, Fed { queue: receiver, shared })
}

impl Feed {
    /// Offers an event; if there is no room for it, the sink is behind from here on.
    pub(super) fn offer(&self, fresh: Fresh) {
        if self.shared.behind.load(Ordering::Acquire) {
            return;
        }
        let size = fresh.event.body.len();
        let before = self.shared.bytes.fetch_add(size, Ordering::AcqRel);
        let fits = before == 0 || before + size <= MAX_BYTES;
        if !fits || self.queue.try_send(fresh).is_err() {
            self.shared.bytes.fetch_sub(size, Ordering::AcqRel);
            self.shared.behind.store(true, Ordering::Release);
            self.shared.overflowed.notify_one();
        }
    }
}

impl Fed {
    /// The next event, `None` when there is none at the moment.
    pub fn try_next(&mut self) -> Option<Fresh> {
        let fresh = self.queue.try_recv().ok()?;
        self.shared.bytes.fetch_sub(fresh.event.body.len(), Ordering::AcqRel);
        Some(fresh)
    }

    /// Waits for the next event, or for the sink to fall behind (`None`). Cancel safe.
    pub async fn next(&mut self) -> Option<Fresh> {
        tokio::select! {
            biased;
            Some(fresh) = self.queue.recv() => {
                self.shared.bytes.fetch_sub(fresh.event.body.len(), Ordering::AcqRel);
                Some(fresh)
            }
            () = self.shared.overflowed.notified() => None,
        }
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
