//! Connection slots: so many connections at once, and fewer that are being answered.
//!
//! Where all slots are taken, the connection is evicted that has waited for its client longest: for
//! a request, for the rest of one, or for the client to take a small answer. One that is being
//! answered is never evicted; an answer that the client does not take in time closes its
//! connection.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::limits::ConnectionLimits;

use crate::sync::lock;

/// How long a new connection has at least for its request before it can be evicted.
const MIN_LIFETIME: Duration = Duration::from_millis(20);

/// The slots of a listener.
#[derive(Debug)]
pub(super) struct ConnectionSlots {
    limits: ConnectionLimits,
    taken: Mutex<BTreeMap<u64, TakenSlot>>,
    /// Notified whenever one is free or could become so.
    changed: Notify,
    /// Whether a connection waits for one.
    is_wanted: AtomicBool,
}

#[derive(Debug)]
struct TakenSlot {
    state: SlotState,
    eviction: Arc<Notify>,
}

#[derive(Clone, Copy, Debug)]
enum SlotState {
    /// Not read from yet.
    New,
    /// Waits for its client, since then.
    Waits(Instant),
    /// Has a request, whose answer is to be written by then.
    Answers { by: Instant, is_limited: bool, is_ready: bool },
}

/// The slot of a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    number: u64,
    slots: Arc<ConnectionSlots>,
    eviction: Arc<Notify>,
}

impl ConnectionSlots {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        let (taken, changed, is_wanted) = Default::default();
        Self { limits, taken, changed, is_wanted }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<u64, TakenSlot>> {
        lock(&self.taken)
    }

    /// Returns a slot as soon as one is free or a connection was evicted for it. Cancel safe.
    pub(super) async fn take(self: &Arc<Self>) -> ConnectionSlot {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Heard from here on, so that nothing is missed between the try and the wait.
            changed.as_mut().enable();
            let tried = self.try_take();
            self.is_wanted.store(tried.is_err(), Ordering::Relaxed);
            let next_try = match tried {
                Ok(slot) => return slot,
                Err(at) => at,
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(next_try.unwrap_or_else(Instant::now)), if next_try.is_some() => {}
            }
        }
    }

    /// Returns a free slot, or that of the connection that has waited longest; else when one will
    /// have waited long enough.
    fn try_take(self: &Arc<Self>) -> Result<ConnectionSlot, Option<Instant>> {
        let (mut taken, now) = (self.taken(), Instant::now());
        if taken.len() >= self.limits.connections {
            let waiting = taken.iter().filter_map(|(number, slot)| match slot.state {
                SlotState::Waits(since) => Some((since, *number)),
                SlotState::New | SlotState::Answers { .. } => None,
            });
            let (since, number) = waiting.min().ok_or(None)?;
            if since > now {
                return Err(Some(since));
            }
            // A request of its client that is on its way comes too late from here on, as it does
            // where an idle connection is closed for its age.
            if let Some(slot) = taken.remove(&number) {
                slot.eviction.notify_one();
            }
        }
        let number = taken.last_key_value().map_or(0, |(last, _)| last + 1);
        let eviction = Arc::new(Notify::new());
        taken.insert(number, TakenSlot { state: SlotState::New, eviction: eviction.clone() });
        Ok(ConnectionSlot { number, slots: self.clone(), eviction })
    }
}

impl ConnectionSlot {
    pub(super) fn limits(&self) -> ConnectionLimits {
        self.slots.limits
    }

    /// Changes its state, and notifies whoever waits for a slot.
    fn set(&self, to: impl FnOnce(SlotState) -> SlotState) {
        if let Some(slot) = self.slots.taken().get_mut(&self.number) {
            slot.state = to(slot.state);
        }
        self.slots.changed.notify_waiters();
    }

    fn state(&self) -> Option<SlotState> {
        self.slots.taken().get(&self.number).map(|slot| slot.state)
    }

    /// There is nothing more to read. The least lifetime of a new connection begins here.
    pub(super) fn read_pending(&self) {
        if matches!(self.state(), Some(SlotState::New)) {
            self.set(|_| SlotState::Waits(Instant::now() + MIN_LIFETIME));
        }
    }

    /// A request has come; `false` if too many like it are being answered.
    pub(super) fn begin_answer(&self, is_limited: bool) -> bool {
        let limits = self.limits();
        let mut taken = self.slots.taken();
        let counts =
            |slot: &&TakenSlot| matches!(slot.state, SlotState::Answers { is_limited: true, .. });
        if is_limited && taken.values().filter(counts).count() >= limits.answers {
            return false;
        }
        if let Some(slot) = taken.get_mut(&self.number) {
            let by = Instant::now() + limits.answer_timeout;
            slot.state = SlotState::Answers { by, is_limited, is_ready: false };
        }
        true
    }

    /// The answer is ready and is written next. The few bytes of an unlimited one are with the
    /// system then, unless its client takes nothing at all.
    pub(super) fn answer_ready(&self) {
        self.set(|state| match state {
            SlotState::Answers { by, is_limited: true, .. } => {
                SlotState::Answers { by, is_limited: true, is_ready: true }
            }
            _ => SlotState::Waits(Instant::now()),
        });
    }

    /// All that was to be written is.
    pub(super) fn flushed(&self) {
        if matches!(self.state(), Some(SlotState::Answers { is_ready: true, .. })) {
            self.set(|_| SlotState::Waits(Instant::now()));
        }
    }

    /// Whether the connection is to end with its answer: another one waits for a slot.
    pub(super) fn is_wanted(&self) -> bool {
        self.slots.is_wanted.load(Ordering::Relaxed)
    }

    /// Waits until it is evicted. Cancel safe.
    pub(super) async fn evicted(&self) {
        self.eviction.notified().await;
    }

    /// Waits until the time of an answer is up. To be polled by the task that answers: it reads the
    /// state at each poll.
    pub(super) async fn answer_timed_out(&self) {
        let mut alarm = pin!(sleep_until(Instant::now()));
        poll_fn(|context| match self.state() {
            Some(SlotState::Answers { by, .. }) => {
                alarm.as_mut().reset(by);
                alarm.as_mut().poll(context)
            }
            _ => Poll::Pending,
        })
        .await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.taken().remove(&self.number);
        self.slots.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits {
        connections: 128,
        answers: 32,
        unlimited_paths: &[],
        head_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(10),
        max_age: Duration::from_secs(60),
        max_head_bytes: 1024,
    };

    /// All slots, taken by connections that have been read from one second after the other.
    async fn full() -> (Arc<ConnectionSlots>, Vec<ConnectionSlot>) {
        let slots = Arc::new(ConnectionSlots::new(LIMITS));
        let mut all = Vec::new();
        for _ in 0..LIMITS.connections {
            let slot = slots.take().await;
            slot.read_pending();
            all.push(slot);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        (slots, all)
    }

    /// The numbers of those that are evicted.
    fn evicted(all: &[ConnectionSlot]) -> Vec<usize> {
        let is_evicted = |slot: &ConnectionSlot| slot.evicted().now_or_never().is_some();
        (0..all.len()).filter(|number| is_evicted(&all[*number])).collect()
    }

    fn answers(slot: &ConnectionSlot, is_limited: bool) {
        assert!(slot.begin_answer(is_limited));
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_has_waited_longest_is_evicted_for_the_next() {
        let (slots, all) = full().await;
        assert!(evicted(&all).is_empty(), "none is evicted before another comes");
        // One is being answered, one was just now, one is being answered with much.
        answers(&all[0], false);
        answers(&all[1], false);
        all[1].answer_ready();
        answers(&all[2], true);
        all[2].answer_ready();
        let _next = slots.take().await;
        assert_eq!(evicted(&all), [3]);
        let _another = slots.take().await;
        assert_eq!(evicted(&all), [4]);
        // A large answer is out when all of it is written.
        all[2].flushed();
        tokio::time::advance(Duration::from_secs(1000)).await;
        answers(&all[1], false);
        all[5..].iter().for_each(|slot| answers(slot, false));
        let _third = slots.take().await;
        assert_eq!(evicted(&all), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_one_is_kept_for_a_moment_and_one_that_is_answered_for_its_time() {
        let (slots, all) = full().await;
        all.iter().for_each(|slot| answers(slot, false));
        assert!(slots.take().now_or_never().is_none());
        assert!(all[7].is_wanted());
        // One that is answered ends, and a new one takes its slot, not read from yet.
        let mut all = all;
        drop(all.remove(0));
        let new = slots.take().await;
        assert!(slots.take().now_or_never().is_none());
        new.read_pending();
        assert!(slots.take().now_or_never().is_none());
        let start = Instant::now();
        let _next = slots.take().await;
        assert_eq!((start.elapsed(), evicted(&[new])), (MIN_LIFETIME, vec![0]));
        assert!(evicted(&all).is_empty() && !all[7].is_wanted());
    }

    #[tokio::test(start_paused = true)]
    async fn limited_answers_are_few_and_time_out() {
        let (_slots, all) = full().await;
        let start = Instant::now();
        for slot in &all[..LIMITS.answers] {
            answers(slot, true);
            slot.answer_ready();
        }
        assert!(!all[LIMITS.answers].begin_answer(true));
        answers(&all[LIMITS.answers], false);
        all[0].flushed();
        answers(&all[LIMITS.answers + 1], true);
        assert!(all[0].answer_timed_out().now_or_never().is_none());
        all[1].answer_timed_out().await;
        assert_eq!(start.elapsed(), LIMITS.answer_timeout);
    }
}
