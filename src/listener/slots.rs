//! Connection slots: so many connections at once, and fewer that are being answered.
//!
//! Where all slots are taken, the connection is evicted that has waited for its client longest: for
//! a request, for the rest of one, or for the client to take a small answer; first of those whose
//! client is not trusted. One that is being answered is never evicted; a head that does not come in
//! time, or an answer that the client does not take in time, closes its connection.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::limits::ConnectionLimits;

use crate::sync::lock;

/// How long a new connection has at least for its request before it can be evicted.
const MIN_LIFETIME: Duration = Duration::from_millis(20);

/// The slots of a listener.
#[derive(Debug)]
pub(super) struct ConnectionSlots {
    limits: watch::Receiver<ConnectionLimits>,
    taken: Mutex<BTreeMap<u64, TakenSlot>>,
    /// Notified whenever one is free or could become so.
    changed: Notify,
    /// Whether a connection waits for one.
    is_wanted: AtomicBool,
    /// Slots given out.
    numbers: AtomicU64,
}

#[derive(Debug)]
struct TakenSlot {
    state: SlotState,
    /// When the head of the request that has begun is to be there.
    head_by: Option<Instant>,
    is_trusted: bool,
    /// Told when the answer is written.
    flushed: Option<oneshot::Sender<()>>,
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
    pub(super) fn new(limits: watch::Receiver<ConnectionLimits>) -> Self {
        let (taken, changed, is_wanted, numbers) = Default::default();
        Self { limits, taken, changed, is_wanted, numbers }
    }

    pub(super) fn limits(&self) -> ConnectionLimits {
        *self.limits.borrow()
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
        // More than one where the limit was lowered.
        while taken.len() >= self.limits().connections {
            let waiting = taken.iter().filter_map(|(number, slot)| match slot.state {
                SlotState::Waits(since) => Some((slot.is_trusted, since, *number)),
                SlotState::New | SlotState::Answers { .. } => None,
            });
            // A trusted one is kept where another can be evicted in a moment.
            let (is_trusted, since, number) = waiting.min().ok_or(None)?;
            let is_new = |slot: &TakenSlot| matches!(slot.state, SlotState::New);
            if is_trusted && taken.values().any(is_new) {
                return Err(None);
            }
            if since > now {
                return Err(Some(since));
            }
            // A request of its client that is on its way comes too late from here on, as it does
            // where an idle connection is closed for its age.
            if let Some(slot) = taken.remove(&number) {
                slot.eviction.notify_one();
            }
        }
        // Never one that an evicted connection may still have.
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let eviction = Arc::new(Notify::new());
        let slot = TakenSlot {
            state: SlotState::New,
            head_by: None,
            is_trusted: false,
            flushed: None,
            eviction: eviction.clone(),
        };
        taken.insert(number, slot);
        Ok(ConnectionSlot { number, slots: self.clone(), eviction })
    }
}

impl ConnectionSlot {
    pub(super) fn limits(&self) -> ConnectionLimits {
        self.slots.limits()
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

    /// Bytes of a request have come: the time of its head begins, if it has not.
    pub(super) fn has_read(&self) {
        let by = Instant::now() + self.limits().head_timeout;
        if let Some(slot) = self.slots.taken().get_mut(&self.number)
            && matches!(slot.state, SlotState::New | SlotState::Waits(_))
        {
            slot.head_by.get_or_insert(by);
        }
    }

    /// The client may be here.
    pub(super) fn trust(&self) {
        if let Some(slot) = self.slots.taken().get_mut(&self.number) {
            slot.is_trusted = true;
        }
    }

    /// The client is waited for though it has sent a head.
    pub(super) fn reads_body(&self) {
        self.set(|_| SlotState::Waits(Instant::now() + MIN_LIFETIME));
    }

    /// The client has sent all.
    pub(super) fn has_body(&self) {
        let by = Instant::now() + self.limits().answer_timeout;
        if let Some(slot) = self.slots.taken().get_mut(&self.number) {
            slot.state = SlotState::Answers { by, is_limited: true, is_ready: false };
            // It may have come with the next request's first.
            slot.head_by = None;
        }
    }

    /// Returns what is told when the answer in progress is written.
    pub(super) fn tell_flushed(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        if let Some(slot) = self.slots.taken().get_mut(&self.number) {
            slot.flushed = Some(sender);
        }
        receiver
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
            slot.head_by = None;
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
        let told = match self.slots.taken().get_mut(&self.number) {
            Some(slot) if matches!(slot.state, SlotState::Answers { is_ready: true, .. }) => {
                slot.state = SlotState::Waits(Instant::now());
                slot.flushed.take()
            }
            _ => return,
        };
        self.slots.changed.notify_waiters();
        // Nobody may wait for it any more.
        told.map(|told| told.send(()).ok());
    }

    /// Whether the connection is to end with its answer: another one waits for a slot.
    pub(super) fn is_wanted(&self) -> bool {
        self.slots.is_wanted.load(Ordering::Relaxed)
    }

    /// Waits until it is evicted. Cancel safe.
    pub(super) async fn evicted(&self) {
        self.eviction.notified().await;
    }

    /// Whether it was evicted.
    pub(super) fn is_evicted(&self) -> bool {
        self.state().is_none()
    }

    /// Whether it has a request whose answer is not written yet.
    pub(super) fn is_answering(&self) -> bool {
        matches!(self.state(), Some(SlotState::Answers { .. }))
    }

    /// When the client has to have done what it is waited for.
    fn deadline(&self) -> Option<Instant> {
        let taken = self.slots.taken();
        let slot = taken.get(&self.number)?;
        match slot.state {
            SlotState::Answers { by, .. } => Some(by),
            SlotState::New | SlotState::Waits(_) => slot.head_by,
        }
    }

    /// Waits until the time of a head or of an answer is up. To be polled by the task that serves
    /// the connection: it reads the state at each poll.
    pub(super) async fn timed_out(&self) {
        let mut alarm = pin!(sleep_until(Instant::now()));
        poll_fn(|context| match self.deadline() {
            Some(by) => {
                alarm.as_mut().reset(by);
                alarm.as_mut().poll(context)
            }
            None => Poll::Pending,
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
        idle_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(10),
        max_age: Some(Duration::from_secs(60)),
        idle_grace: Duration::ZERO,
        stop_grace: Duration::from_millis(300),
        max_head_bytes: 1024,
    };

    fn slots(limits: ConnectionLimits) -> Arc<ConnectionSlots> {
        Arc::new(ConnectionSlots::new(watch::channel(limits).1))
    }

    /// All slots, taken by connections that have been read from one second after the other.
    async fn full() -> (Arc<ConnectionSlots>, Vec<ConnectionSlot>) {
        let slots = slots(LIMITS);
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
        assert!(all[0].timed_out().now_or_never().is_none());
        all[1].timed_out().await;
        assert_eq!(start.elapsed(), LIMITS.answer_timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn those_whose_client_is_not_trusted_go_first() {
        let (slots, all) = full().await;
        let last = LIMITS.connections - 1;
        all[..last - 1].iter().for_each(ConnectionSlot::trust);
        let next = slots.take().await;
        // Whoever sends a body slowly waits for nothing but its client.
        answers(&all[last], true);
        all[last].reads_body();
        assert!(slots.take().now_or_never().is_none(), "that one has come only now");
        assert_eq!(evicted(&all), [last - 1]);
        answers(&next, true);
        let another = slots.take().await;
        assert_eq!(evicted(&all), [last]);
        assert!(all[last].is_evicted() && !all[0].is_evicted());
        // It may be evicted in a moment itself.
        assert!(slots.take().now_or_never().is_none());
        answers(&another, true);
        // One whose body is there does not wait for it any more.
        all[0].reads_body();
        all[0].has_body();
        let _third = slots.take().await;
        assert_eq!(evicted(&all), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_limit_is_lowered_more_than_one_is_evicted() {
        let (lower, limits) = watch::channel(LIMITS);
        let slots = Arc::new(ConnectionSlots::new(limits));
        let all = [slots.take().await, slots.take().await, slots.take().await];
        all.iter().for_each(ConnectionSlot::read_pending);
        tokio::time::advance(MIN_LIFETIME).await;
        lower.send_replace(ConnectionLimits { connections: 2, ..LIMITS });
        let _next = slots.take().await;
        assert_eq!(evicted(&all), [0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte() {
        let slots = slots(ConnectionLimits { idle_timeout: Duration::from_secs(300), ..LIMITS });
        let slot = slots.take().await;
        slot.read_pending();
        tokio::time::advance(Duration::from_secs(100)).await;
        assert!(slot.timed_out().now_or_never().is_none());
        let start = Instant::now();
        slot.has_read();
        tokio::time::advance(Duration::from_secs(1)).await;
        slot.has_read();
        slot.timed_out().await;
        assert_eq!(start.elapsed(), LIMITS.head_timeout);
        answers(&slot, true);
        assert!(slot.timed_out().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_is_told_when_an_answer_is_written() {
        let slots = slots(LIMITS);
        let slot = slots.take().await;
        answers(&slot, true);
        let mut told = slot.tell_flushed();
        slot.flushed();
        assert!(told.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        slot.answer_ready();
        slot.flushed();
        assert_eq!(told.await, Ok(()));
        answers(&slot, true);
        let told = slot.tell_flushed();
        drop(slot);
        assert!(told.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_evicted_connection_takes_nobodys_slot_along() {
        let slots = slots(ConnectionLimits { connections: 1, ..LIMITS });
        let first = slots.take().await;
        first.read_pending();
        tokio::time::advance(MIN_LIFETIME).await;
        let _second = slots.take().await;
        drop(first);
        assert_eq!(slots.taken().len(), 1);
        assert!(slots.take().now_or_never().is_none());
    }
}
