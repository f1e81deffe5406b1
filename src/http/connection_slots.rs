//! Who may stay: so many connections at once, and of those with large answers fewer.
//!
//! Where all places are taken, the connection is sent away that has waited for its client longest: for
//! a request, for the rest of one, or for the client to take a small answer. One that answers is never
//! cut, but for an answer that is not taken in its time.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The most connections at once, beside those that are sent away and have not heard it yet.
pub(super) const MAX_CONNECTIONS: usize = 128;
/// Of them, the most that are answered with a page: anything but a probe's few bytes.
pub(super) const MAX_PAGES: usize = 32;
/// How long a new connection has at least for its request before it can be the one to go.
const MOMENT: Duration = Duration::from_millis(20);
/// The time of an answer, from its request to its last byte.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// All places.
#[derive(Debug, Default)]
pub(super) struct ConnectionSlots {
    taken: Mutex<BTreeMap<u64, Seat>>,
    /// Told whenever one is free or could become so.
    changed: Notify,
    /// Whether somebody waits for one.
    is_wanted: AtomicBool,
}

#[derive(Debug)]
struct Seat {
    state: SlotState,
    /// By what its connection hears that it has to go.
    go: Arc<Notify>,
}

#[derive(Clone, Copy, Debug)]
enum SlotState {
    /// Nobody has looked yet whether its client has asked already.
    New,
    /// For its client, since then.
    Waits(Instant),
    /// There is a request, whose answer is to be written by then.
    Answers { by: Instant, is_page: bool, is_made: bool },
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    number: u64,
    places: Arc<ConnectionSlots>,
    go: Arc<Notify>,
}

impl ConnectionSlots {
    fn taken(&self) -> MutexGuard<'_, BTreeMap<u64, Seat>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, as soon as one is free or has been made so. Cancel safe.
    pub(super) async fn take(self: &Arc<Self>) -> ConnectionSlot {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Heard from here on, so that nothing is missed between the look and the wait.
            changed.as_mut().enable();
            let looked = self.look();
            self.is_wanted.store(looked.is_err(), Ordering::Relaxed);
            let next_look = match looked {
                Ok(place) => return place,
                Err(at) => at,
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(next_look.unwrap_or_else(Instant::now)), if next_look.is_some() => {}
            }
        }
    }

    /// A place that is free, or that of the connection that has waited longest; else when there will
    /// be one that has waited long enough.
    fn look(self: &Arc<Self>) -> Result<ConnectionSlot, Option<Instant>> {
        let (mut taken, now) = (self.taken(), Instant::now());
        if taken.len() >= MAX_CONNECTIONS {
            let waiting = taken.iter().filter_map(|(number, seat)| match seat.state {
                SlotState::Waits(since) => Some((since, *number)),
                SlotState::New | SlotState::Answers { .. } => None,
            });
            let (since, number) = waiting.min().ok_or(None)?;
            if since > now {
                return Err(Some(since));
            }
            // A request of its client that is on its way comes too late from here on, as it does
            // where an idle connection is closed for its age.
            if let Some(seat) = taken.remove(&number) {
                seat.go.notify_one();
            }
        }
        let number = taken.last_key_value().map_or(0, |(last, _)| last + 1);
        let go = Arc::new(Notify::new());
        taken.insert(number, Seat { state: SlotState::New, go: go.clone() });
        Ok(ConnectionSlot { number, places: self.clone(), go })
    }
}

impl ConnectionSlot {
    /// Changes its state, and tells whoever wants a place.
    fn set(&self, to: impl FnOnce(SlotState) -> SlotState) {
        if let Some(seat) = self.places.taken().get_mut(&self.number) {
            seat.state = to(seat.state);
        }
        self.places.changed.notify_waiters();
    }

    fn state(&self) -> Option<SlotState> {
        self.places.taken().get(&self.number).map(|seat| seat.state)
    }

    /// There is nothing more to read. A new connection has its moment from here on.
    pub(super) fn waits(&self) {
        if matches!(self.state(), Some(SlotState::New)) {
            self.set(|_| SlotState::Waits(Instant::now() + MOMENT));
        }
    }

    /// A request has come; `false` if it is for a page and too many are answered with one.
    pub(super) fn begins(&self, is_page: bool) -> bool {
        let mut taken = self.places.taken();
        let is_one = |seat: &&Seat| matches!(seat.state, SlotState::Answers { is_page: true, .. });
        if is_page && taken.values().filter(is_one).count() >= MAX_PAGES {
            return false;
        }
        if let Some(seat) = taken.get_mut(&self.number) {
            let by = Instant::now() + ANSWER_TIME;
            seat.state = SlotState::Answers { by, is_page, is_made: false };
        }
        true
    }

    /// The answer is made, and will be written next. The few bytes of a probe's are with the system
    /// then, unless its client takes nothing at all.
    pub(super) fn made(&self) {
        self.set(|state| match state {
            SlotState::Answers { by, is_page: true, .. } => {
                SlotState::Answers { by, is_page: true, is_made: true }
            }
            _ => SlotState::Waits(Instant::now()),
        });
    }

    /// All that was to be written is.
    pub(super) fn written(&self) {
        if matches!(self.state(), Some(SlotState::Answers { is_made: true, .. })) {
            self.set(|_| SlotState::Waits(Instant::now()));
        }
    }

    /// Whether the connection had better end with its answer: somebody waits for a place.
    pub(super) fn is_wanted(&self) -> bool {
        self.places.is_wanted.load(Ordering::Relaxed)
    }

    /// Waits until it is sent away. Cancel safe.
    pub(super) async fn is_sent_away(&self) {
        self.go.notified().await;
    }

    /// Waits until the time of an answer is up. Looks whenever it is polled, so that it has to be
    /// by the task that answers.
    pub(super) async fn is_late(&self) {
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
        self.places.taken().remove(&self.number);
        self.places.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// All places, taken by connections that have been looked at one second after the other.
    async fn full() -> (Arc<ConnectionSlots>, Vec<ConnectionSlot>) {
        let places = Arc::new(ConnectionSlots::default());
        let mut all = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let place = places.take().await;
            place.waits();
            all.push(place);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        (places, all)
    }

    /// The numbers of those that are sent away.
    fn sent_away(all: &[ConnectionSlot]) -> Vec<usize> {
        let is_sent = |place: &ConnectionSlot| place.is_sent_away().now_or_never().is_some();
        (0..all.len()).filter(|number| is_sent(&all[*number])).collect()
    }

    fn answers(place: &ConnectionSlot, is_page: bool) {
        assert!(place.begins(is_page));
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_has_waited_longest_goes_for_the_next() {
        let (places, all) = full().await;
        assert!(sent_away(&all).is_empty(), "nobody goes before somebody comes");
        // One answers, one has answered just now, one is being answered with a page.
        answers(&all[0], false);
        answers(&all[1], false);
        all[1].made();
        answers(&all[2], true);
        all[2].made();
        let _next = places.take().await;
        assert_eq!(sent_away(&all), [3]);
        let _another = places.take().await;
        assert_eq!(sent_away(&all), [4]);
        // A page is out when all of it is written.
        all[2].written();
        tokio::time::advance(Duration::from_secs(1000)).await;
        answers(&all[1], false);
        all[5..].iter().for_each(|place| answers(place, false));
        let _third = places.take().await;
        assert_eq!(sent_away(&all), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_one_has_a_moment_and_one_that_answers_all_its_time() {
        let (places, all) = full().await;
        all.iter().for_each(|place| answers(place, false));
        assert!(places.take().now_or_never().is_none());
        assert!(all[7].is_wanted());
        // Whoever answers ends, and a new one comes in its place, which nobody has looked at yet.
        let mut all = all;
        drop(all.remove(0));
        let new = places.take().await;
        assert!(places.take().now_or_never().is_none());
        new.waits();
        assert!(places.take().now_or_never().is_none());
        let start = Instant::now();
        let _next = places.take().await;
        assert_eq!((start.elapsed(), sent_away(&[new])), (MOMENT, vec![0]));
        assert!(sent_away(&all).is_empty() && !all[7].is_wanted());
    }

    #[tokio::test(start_paused = true)]
    async fn pages_are_few_and_have_their_time() {
        let (_places, all) = full().await;
        let start = Instant::now();
        for place in &all[..MAX_PAGES] {
            answers(place, true);
            place.made();
        }
        assert!(!all[MAX_PAGES].begins(true));
        answers(&all[MAX_PAGES], false);
        all[0].written();
        answers(&all[MAX_PAGES + 1], true);
        assert!(all[0].is_late().now_or_never().is_none());
        all[1].is_late().await;
        assert_eq!(start.elapsed(), ANSWER_TIME);
    }
}
