//! Which handles wait for what, and which can be confirmed. Pure: the time is passed in.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::AppId;
use crate::journal::EventId;
use crate::lease::Lease;

/// How long at least it is remembered that an event is settled, and at most twice as long. A lease
/// and the report that its event is settled come on different channels and may cross; were the
/// report forgotten, the event would only be pulled once more.
const SETTLED_MEMORY: Duration = Duration::from_secs(2);

/// Released events at most. One that is not kept expires once more and is released then; the newest
/// go, as the oldest are received first.
const MAX_RELEASED: usize = 100_000;

/// A handle, and the application that it is of: another one's may read the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LeaseHandle {
    pub(super) app: AppId,
    pub(super) text: Arc<str>,
}

/// A handle in a call, or about to be in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadyHandle {
    pub(super) handle: LeaseHandle,
    pub(super) events: Vec<EventId>,
    pub(super) is_repeatable: bool,
    pub(super) deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// Nothing holds it up.
    Ready,
    ConfirmedEarly,
    /// Sinks have to take its events first.
    Waits,
}

/// A handle, whatever is under way for it. While it is in a call, which has its events,
/// this is what has come under it since.
#[derive(Debug)]
struct OpenLease {
    events: Vec<EventId>,
    pending: Vec<EventId>,
    is_repeatable: bool,
    deadline: Instant,
    state: LeaseState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeaseState {
    /// Until no sink has to take an event of it.
    Waits,
    /// Until there is a call for it.
    Ready,
    /// In a call, which is on its way or is to be made again.
    Called,
}

#[derive(Debug, Default)]
pub(super) struct OpenLeases {
    /// `None`: no event is confirmed early, so of those past their lease nothing is kept.
    max_unconfirmed: Option<usize>,
    by_handle: HashMap<LeaseHandle, OpenLease>,
    by_event: HashMap<EventId, Vec<LeaseHandle>>,
    /// Of those in the state [`LeaseState::Waits`].
    deadlines: BTreeSet<(Instant, LeaseHandle)>,
    /// Those in the state [`LeaseState::Ready`] of each application that has any, in the order in
    /// which they became so, and when.
    ready: BTreeMap<AppId, VecDeque<(LeaseHandle, Instant)>>,
    settled: SettledEvents,
    /// Pending events past their lease: at most `max_unconfirmed`, the oldest go to `released`.
    expired_events: BTreeSet<EventId>,
    /// Events to be confirmed early, as soon as they are received again: at most [`MAX_RELEASED`].
    released: BTreeSet<EventId>,
}

impl OpenLeases {
    pub(super) fn new(max_unconfirmed: Option<usize>) -> Self {
        Self { max_unconfirmed, ..Self::default() }
    }

    /// Takes a lease. A handle that was known gets the new deadline and keeps what it waits for;
    /// one that is in a call or about to be waits for what has come under it now.
    pub(super) fn add(&mut self, lease: Lease, now: Instant) -> Added {
        let Lease { app, handle, mut events, mut pending, mut is_repeatable, deadline } = lease;
        let handle = LeaseHandle { app, text: handle };
        pending.retain(|event| !self.settled.contains(*event, now));
        let mut state = LeaseState::Waits;
        if let Some(known) = self.remove(&handle) {
            pending.extend(known.pending);
            events.extend(known.events);
            is_repeatable |= known.is_repeatable;
            for ids in [&mut events, &mut pending] {
                ids.sort_unstable();
                ids.dedup();
            }
            if known.state == LeaseState::Called {
                state = LeaseState::Called;
            }
        }
        let added = match pending.iter().all(|event| self.released.contains(event)) {
            true if pending.is_empty() => Added::Ready,
            true => Added::ConfirmedEarly,
            false => Added::Waits,
        };
        if added != Added::Waits {
            for event in &events {
                self.released.remove(event);
                self.expired_events.remove(event);
            }
            pending.clear();
        }
        self.put(handle, OpenLease { events, pending, is_repeatable, deadline, state }, now);
        added
    }

    pub(super) fn settle(&mut self, events: &[EventId], now: Instant) {
        for event in events {
            self.settled.insert(*event, now);
            self.expired_events.remove(event);
            self.released.remove(event);
            for handle in self.by_event.remove(event).unwrap_or_default() {
                let Some(lease) = self.by_handle.get_mut(&handle) else { continue };
                lease.pending.retain(|other| other != event);
                if lease.pending.is_empty() && lease.state == LeaseState::Waits {
                    lease.state = LeaseState::Ready;
                    self.deadlines.remove(&(lease.deadline, handle.clone()));
                    self.ready.entry(handle.app).or_default().push_back((handle, now));
                }
            }
        }
    }

    /// Drops what waits past its deadline. Returns how many handles.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let mut expired = 0;
        while let Some((deadline, handle)) = self.deadlines.first().cloned()
            && deadline <= now
        {
            let Some(lease) = self.remove(&handle) else { break };
            if self.max_unconfirmed.is_some() {
                self.expired_events.extend(lease.pending);
            }
            expired += 1;
        }
        while self.max_unconfirmed.is_some_and(|most| self.expired_events.len() > most) {
            self.released.extend(self.expired_events.pop_first());
        }
        while self.released.len() > MAX_RELEASED {
            self.released.pop_last();
        }
        expired
    }

    /// Up to `max` handles of `app` for a call: when there are as many that can be confirmed, or
    /// when the first has waited for company for `linger`.
    pub(super) fn take_ready(
        &mut self,
        app: AppId,
        max: usize,
        linger: Duration,
        now: Instant,
    ) -> Vec<ReadyHandle> {
        let is_time = self.ready_at(app, max, linger).is_some_and(|at| at <= now);
        let Some(ready) = self.ready.get_mut(&app).filter(|_| is_time) else { return Vec::new() };
        let mut taken = Vec::with_capacity(max.min(ready.len()));
        for (handle, _) in ready.drain(..max.min(ready.len())) {
            let Some(lease) = self.by_handle.get_mut(&handle) else { continue };
            lease.state = LeaseState::Called;
            taken.push(ReadyHandle {
                handle,
                events: std::mem::take(&mut lease.events),
                is_repeatable: std::mem::take(&mut lease.is_repeatable),
                deadline: lease.deadline,
            });
        }
        if ready.is_empty() {
            self.ready.remove(&app);
        }
        taken
    }

    /// When [`Self::take_ready`] has something of `app`; `None` if there is nothing.
    pub(super) fn ready_at(&self, app: AppId, max: usize, linger: Duration) -> Option<Instant> {
        let ready = self.ready.get(&app)?;
        let (_, since) = ready.front()?;
        Some(if ready.len() >= max { *since } else { *since + linger })
    }

    /// Returns a handle as its call is made again: with what has come under it since, or `None` if
    /// that has to wait for sinks, and the handle with it.
    pub(super) fn renew(&mut self, mut ready: ReadyHandle, now: Instant) -> Option<ReadyHandle> {
        let Some(lease) = self.by_handle.get_mut(&ready.handle) else { return Some(ready) };
        if lease.events.is_empty() {
            return Some(ready);
        }
        ready.deadline = lease.deadline;
        ready.is_repeatable |= std::mem::take(&mut lease.is_repeatable);
        ready.events.append(&mut lease.events);
        ready.events.sort_unstable();
        ready.events.dedup();
        if lease.pending.is_empty() {
            return Some(ready);
        }
        let mut lease = self.remove(&ready.handle)?;
        (lease.events, lease.is_repeatable) = (ready.events, ready.is_repeatable);
        lease.state = LeaseState::Waits;
        self.put(ready.handle, lease, now);
        None
    }

    /// The call of a handle is over: it is acknowledged, or given up. What has come under
    /// it since stands on its own.
    pub(super) fn call_ended(&mut self, ready: &ReadyHandle, is_acknowledged: bool, now: Instant) {
        let Some(mut lease) = self.remove(&ready.handle) else { return };
        let is_done =
            is_acknowledged && lease.events.iter().all(|event| ready.events.contains(event));
        if !lease.events.is_empty() && !is_done {
            lease.state = LeaseState::Waits;
            self.put(ready.handle.clone(), lease, now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Events that sinks have to take before a handle can be confirmed, here or at its next repeat.
    pub(super) fn pending(&self) -> Vec<EventId> {
        let mut pending: BTreeSet<_> = self.by_event.keys().copied().collect();
        pending.extend(&self.expired_events);
        pending.extend(&self.released);
        pending.into_iter().collect()
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.values().map(VecDeque::len).sum()
    }

    /// Events that may be pending past their lease; what is above goes at the next expiry. With
    /// `None` what was released, and has not come again yet, has to wait for its sinks after all.
    pub(super) fn set_max_unconfirmed(&mut self, max_unconfirmed: Option<usize>) {
        self.max_unconfirmed = max_unconfirmed;
        if max_unconfirmed.is_none() {
            self.expired_events.clear();
            self.released.clear();
        }
    }

    /// Nothing has to wait any more. Returns how many handles did.
    pub(super) fn release_all(&mut self, now: Instant) -> usize {
        let pending: Vec<_> = self.by_event.keys().copied().collect();
        let released = self.deadlines.len();
        for event in pending {
            for handle in self.by_event.remove(&event).unwrap_or_default() {
                let Some(mut lease) = self.remove(&handle) else { continue };
                lease.pending.clear();
                self.put(handle, lease, now);
            }
        }
        released
    }

    fn put(&mut self, handle: LeaseHandle, mut lease: OpenLease, now: Instant) {
        for event in &lease.pending {
            let handles = self.by_event.entry(*event).or_insert_with(|| Vec::with_capacity(1));
            handles.push(handle.clone());
        }
        if lease.state != LeaseState::Called {
            lease.state =
                if lease.pending.is_empty() { LeaseState::Ready } else { LeaseState::Waits };
        }
        match lease.state {
            LeaseState::Waits => drop(self.deadlines.insert((lease.deadline, handle.clone()))),
            LeaseState::Ready => {
                self.ready.entry(handle.app).or_default().push_back((handle.clone(), now));
            }
            LeaseState::Called => {}
        }
        self.by_handle.insert(handle, lease);
    }

    fn remove(&mut self, handle: &LeaseHandle) -> Option<OpenLease> {
        let lease = self.by_handle.remove(handle)?;
        match lease.state {
            LeaseState::Waits => drop(self.deadlines.remove(&(lease.deadline, handle.clone()))),
            // Seldom: what is about to be confirmed is received again.
            LeaseState::Ready => {
                if let Some(ready) = self.ready.get_mut(&handle.app) {
                    ready.retain(|(other, _)| other != handle);
                    if ready.is_empty() {
                        self.ready.remove(&handle.app);
                    }
                }
            }
            LeaseState::Called => {}
        }
        for event in &lease.pending {
            if let Some(handles) = self.by_event.get_mut(event) {
                handles.retain(|other| other != handle);
                if handles.is_empty() {
                    self.by_event.remove(event);
                }
            }
        }
        Some(lease)
    }
}

/// The events that were settled of late: those since a moment, and those of the time before it.
/// Thousands a second are, and none has to be found again to be forgotten.
#[derive(Debug, Default)]
struct SettledEvents {
    since: Option<Instant>,
    newer: HashSet<EventId>,
    older: HashSet<EventId>,
}

impl SettledEvents {
    fn insert(&mut self, event: EventId, now: Instant) {
        self.forget(now);
        self.newer.insert(event);
    }

    fn contains(&mut self, event: EventId, now: Instant) -> bool {
        self.forget(now);
        self.newer.contains(&event) || self.older.contains(&event)
    }

    fn forget(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed > SETTLED_MEMORY * 2 {
            *self = Self { since: Some(now), ..Self::default() };
        } else if passed > SETTLED_MEMORY {
            self.older = std::mem::take(&mut self.newer);
            self.since = Some(since + SETTLED_MEMORY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER: Duration = Duration::from_millis(5);

    const APP: AppId = AppId(7);

    fn lease(handle: &str, pending: &[i64], deadline: Instant) -> Lease {
        let events: Vec<_> = pending.iter().copied().map(EventId).collect();
        let pending = events.clone();
        Lease { app: APP, handle: handle.into(), pending, events, is_repeatable: false, deadline }
    }

    fn taken(leases: &mut OpenLeases, now: Instant) -> Vec<String> {
        let ready = leases.take_ready(APP, 16, LINGER, now + LINGER);
        ready.iter().map(|ready| ready.handle.text.to_string()).collect()
    }

    #[test]
    fn a_handle_waits_for_all_its_events_and_an_event_frees_all_its_handles() {
        let now = Instant::now();
        let later = now + Duration::from_secs(28);
        let mut leases = OpenLeases::new(Some(10));
        assert_eq!(leases.add(lease("both", &[1, 2], later), now), Added::Waits);
        assert_eq!(leases.add(lease("one", &[1], later), now), Added::Waits);
        assert_eq!(leases.add(lease("none", &[], later), now), Added::Ready);
        assert_eq!(taken(&mut leases, now), ["none"]);
        leases.settle(&[EventId(1)], now);
        assert_eq!(taken(&mut leases, now), ["one"]);
        leases.settle(&[EventId(2)], now);
        assert_eq!(taken(&mut leases, now), ["both"]);
        // An answer may hold an event twice, under one handle.
        leases.add(lease("twice", &[3, 3], later), now);
        leases.settle(&[EventId(3)], now);
        assert_eq!(taken(&mut leases, now), ["twice"]);
        assert_eq!(leases.expire(later), 0);
    }

    #[test]
    fn a_report_that_overtakes_its_lease_is_not_lost() {
        let now = Instant::now();
        let mut leases = OpenLeases::new(Some(10));
        leases.settle(&[EventId(1)], now);
        assert_eq!(leases.add(lease("a", &[1], now + SETTLED_MEMORY), now), Added::Ready);
        // Nor one that was on its way while another handle of the event waited.
        leases.add(lease("b", &[2], now + SETTLED_MEMORY), now);
        leases.settle(&[EventId(2)], now);
        let at = now + SETTLED_MEMORY;
        assert_eq!(leases.add(lease("c", &[1, 2], at + SETTLED_MEMORY), at), Added::Ready);
        let at = at + SETTLED_MEMORY + Duration::from_millis(1);
        assert_eq!(leases.add(lease("d", &[1], at + SETTLED_MEMORY), at), Added::Waits);
        assert!(leases.settled.newer.is_empty() && leases.settled.older.is_empty());
        // Not longer than twice, however seldom anybody looks.
        leases.settle(&[EventId(3)], at);
        assert!(leases.settled.contains(EventId(3), at + SETTLED_MEMORY * 2));
        let at = at + SETTLED_MEMORY * 2 + Duration::from_millis(1);
        assert!(!leases.settled.contains(EventId(3), at));
    }

    #[test]
    fn what_is_settled_is_forgotten_in_time_though_more_comes_all_the_while() {
        let now = Instant::now();
        let mut leases = OpenLeases::new(Some(10));
        for event in 0..10_000 {
            let at = now + Duration::from_millis(event as u64);
            leases.settle(&[EventId(event)], at);
            let kept = leases.settled.newer.len() + leases.settled.older.len();
            assert!(kept <= 2 * SETTLED_MEMORY.as_millis() as usize + 2, "{kept}");
            let early = EventId(event - event.min(SETTLED_MEMORY.as_millis() as i64));
            assert!(leases.settled.contains(early, at));
        }
    }

    #[test]
    fn a_handle_goes_on_the_journals_word_only_for_all_its_events() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut leases = OpenLeases::new(Some(1));
        leases.add(lease("one", &[1], at(28)), now);
        leases.add(lease("two", &[2], at(28)), now);
        assert_eq!(leases.expire(at(28)), 2);
        assert_eq!(leases.add(lease("both", &[1, 2], at(58)), at(30)), Added::Waits);
        leases.settle(&[EventId(2)], at(31));
        assert_eq!(leases.ready(), 0, "the first is pending still");
        leases.settle(&[EventId(1)], at(32));
        assert_eq!(leases.ready(), 1);
        assert!(leases.released.is_empty() && leases.expired_events.is_empty());
    }

    #[test]
    fn a_handle_that_comes_again_unchanged_is_good_for_its_new_time() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut leases = OpenLeases::new(Some(10));
        leases.add(lease("same", &[1], at(28)), now);
        leases.add(lease("same", &[1], at(58)), at(30));
        assert_eq!(leases.expire(at(40)), 0);
        leases.settle(&[EventId(1)], at(41));
        let ready = leases.take_ready(APP, 16, Duration::ZERO, at(41));
        assert_eq!(ready.len(), 1);
        assert_eq!(ready[0].deadline, at(58));
    }

    #[test]
    fn past_the_limit_the_oldest_go_on_the_journals_word() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut leases = OpenLeases::new(Some(2));
        for event in [3, 1, 2, 4] {
            leases.add(lease(&format!("h{event}"), &[event], at(28)), now);
        }
        assert_eq!(leases.expire(at(28)), 4);
        for (event, added) in [
            (1, Added::ConfirmedEarly),
            (2, Added::ConfirmedEarly),
            (3, Added::Waits),
            (4, Added::Waits),
        ] {
            assert_eq!(leases.add(lease("again", &[event], at(58)), at(30)), added, "{event}");
            leases.settle(&[EventId(event)], at(30));
        }
        assert!(leases.released.is_empty() && leases.expired_events.is_empty());
    }

    #[test]
    fn of_a_backlog_that_no_sink_takes_not_all_is_kept_in_mind() {
        let now = Instant::now();
        let mut leases = OpenLeases::new(Some(10));
        let last = MAX_RELEASED as i64 + 1000;
        for event in 0..last {
            leases.add(lease(&event.to_string(), &[event], now), now);
            leases.expire(now);
        }
        assert_eq!((leases.expired_events.len(), leases.released.len()), (10, MAX_RELEASED));
        // The oldest, which come first, and one that comes a third time.
        let middle = last - 500;
        assert_eq!(leases.add(lease("first", &[0], now), now), Added::ConfirmedEarly);
        assert_eq!(leases.add(lease("middle", &[middle], now), now), Added::Waits);
        leases.expire(now);
        assert_eq!(leases.add(lease("again", &[middle], now), now), Added::ConfirmedEarly);
    }

    #[test]
    fn without_a_limit_nothing_is_confirmed_early_and_nothing_kept_of_what_lapsed() {
        let now = Instant::now();
        let mut leases = OpenLeases::new(None);
        for round in 0..3 {
            let at = now + Duration::from_secs(30 * round);
            for event in 0..1000 {
                let again = lease(&format!("{round}.{event}"), &[event], at);
                assert_eq!(leases.add(again, at), Added::Waits, "{event} in round {round}");
            }
            assert_eq!(leases.pending().len(), 1000);
            assert_eq!((leases.expire(at), leases.ready()), (1000, 0));
            assert!(leases.by_handle.is_empty() && leases.by_event.is_empty());
            assert!(leases.expired_events.is_empty() && leases.released.is_empty());
            assert!(leases.deadlines.is_empty() && leases.pending().is_empty());
        }
        // A sink took it: its next handle is as good as any.
        let at = now + Duration::from_secs(100);
        leases.settle(&[EventId(7)], at);
        assert_eq!(leases.add(lease("last", &[7], at + SETTLED_MEMORY), at), Added::Ready);
    }

    #[test]
    fn a_limit_that_is_taken_away_takes_back_what_was_released_and_one_that_is_set_holds() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut leases = OpenLeases::new(Some(1));
        let add = |leases: &mut OpenLeases, event: i64, deadline, now| {
            leases.add(lease(&format!("{event} at {deadline:?}"), &[event], deadline), now)
        };
        for event in [1, 2, 3] {
            add(&mut leases, event, at(28), now);
        }
        leases.expire(at(28));
        assert_eq!((leases.expired_events.len(), leases.released.len()), (1, 2));
        leases.set_max_unconfirmed(None);
        for event in [1, 2, 3] {
            assert_eq!(add(&mut leases, event, at(58), at(30)), Added::Waits, "{event}");
        }
        leases.set_max_unconfirmed(Some(2));
        leases.expire(at(58));
        for (event, added) in [(1, Added::ConfirmedEarly), (2, Added::Waits), (3, Added::Waits)] {
            assert_eq!(add(&mut leases, event, at(88), at(60)), added, "{event}");
        }
    }

    #[test]
    fn what_waits_is_released_when_nothing_has_to_wait_any_more() {
        let now = Instant::now();
        let mut leases = OpenLeases::new(Some(10));
        leases.add(lease("a", &[1, 2], now + SETTLED_MEMORY), now);
        leases.add(lease("b", &[2], now + SETTLED_MEMORY), now);
        assert_eq!(leases.pending().len(), 2);
        assert_eq!(leases.release_all(now), 2);
        assert!(leases.pending().is_empty() && leases.next_deadline().is_none());
        assert_eq!(leases.take_ready(APP, 16, LINGER, now + LINGER).len(), 2);
        leases.settle(&[EventId(1), EventId(2)], now);
        assert_eq!(leases.ready(), 0, "none is confirmed twice");
    }

    /// Takes all that is ready into a call.
    fn call(leases: &mut OpenLeases, now: Instant) -> Vec<ReadyHandle> {
        leases.take_ready(APP, 16, LINGER, now + LINGER)
    }

    fn numbers(ready: &ReadyHandle) -> Vec<i64> {
        ready.events.iter().map(|event| event.0).collect()
    }

    #[test]
    fn a_handle_whose_call_is_to_be_repeated_waits_for_what_came_under_it_since() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut leases = OpenLeases::new(Some(10));
        leases.add(lease("h", &[1], at(28)), now);
        leases.settle(&[EventId(1)], now);
        let mut ready = call(&mut leases, now).remove(0);
        // It failed, and before it is made again another event comes under the handle.
        ready = leases.renew(ready, now).unwrap();
        assert_eq!(leases.add(lease("h", &[2], at(30)), at(1)), Added::Waits);
        assert_eq!(leases.renew(ready, at(2)), None);
        assert_eq!(leases.ready(), 0);
        leases.settle(&[EventId(2)], at(5));
        let ready = call(&mut leases, at(5)).remove(0);
        assert_eq!((numbers(&ready), ready.deadline), (vec![1, 2], at(30)));
        leases.call_ended(&ready, true, at(6));
        assert!(leases.by_handle.is_empty() && leases.by_event.is_empty());
        assert!(leases.deadlines.is_empty() && leases.ready.is_empty());
    }

    #[test]
    fn a_handle_whose_call_is_to_be_repeated_takes_along_what_is_settled() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut leases = OpenLeases::new(Some(10));
        leases.add(lease("h", &[], at(28)), now);
        let ready = call(&mut leases, now).remove(0);
        leases.add(Lease { is_repeatable: true, ..lease("h", &[2], at(58)) }, at(1));
        leases.settle(&[EventId(2)], at(2));
        assert_eq!(leases.ready(), 0, "it is in a call");
        let ready = leases.renew(ready, at(3)).unwrap();
        assert_eq!((numbers(&ready), ready.deadline), (vec![2], at(58)));
        assert!(ready.is_repeatable);
    }

    #[test]
    fn what_came_under_a_handle_while_its_call_was_on_its_way_stands_on_its_own() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        for (event, is_acknowledged, is_left) in
            [(1, true, false), (1, false, true), (2, true, true), (2, false, true)]
        {
            let mut leases = OpenLeases::new(Some(10));
            leases.add(lease("h", &[1], at(28)), now);
            leases.settle(&[EventId(1)], now);
            let ready = call(&mut leases, now).remove(0);
            leases.add(lease("h", &[event], at(58)), at(1));
            leases.call_ended(&ready, is_acknowledged, at(2));
            leases.settle(&[EventId(event)], at(3));
            let left = call(&mut leases, at(3));
            assert_eq!(
                left.iter().map(numbers).collect::<Vec<_>>().concat(),
                match is_left {
                    true => vec![event],
                    false => vec![],
                }
            );
            left.iter().for_each(|ready| leases.call_ended(ready, true, at(4)));
            assert!(leases.by_handle.is_empty());
        }
    }

    #[test]
    fn a_handle_that_could_be_confirmed_waits_for_what_comes_under_it() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut leases = OpenLeases::new(Some(10));
        leases.add(lease("h", &[], at(28)), now);
        assert_eq!(leases.ready(), 1);
        leases.add(lease("h", &[2], at(30)), now);
        assert_eq!((leases.ready(), leases.next_deadline()), (0, Some(at(30))));
        // In one call, once.
        leases.settle(&[EventId(2)], now);
        leases.add(lease("h", &[], at(31)), now);
        let calls = call(&mut leases, now);
        assert_eq!(calls.iter().map(|ready| ready.deadline).collect::<Vec<_>>(), [at(31)]);
        assert_eq!(leases.expire(at(60)), 0, "a call sees to its own deadlines");
    }

    #[test]
    fn sixteen_go_at_once_and_fewer_after_a_moment() {
        let now = Instant::now();
        let mut leases = OpenLeases::new(Some(10));
        for n in 0..17 {
            leases.add(lease(&format!("h{n}"), &[], now + SETTLED_MEMORY), now);
        }
        assert_eq!(leases.take_ready(APP, 16, LINGER, now).len(), 16);
        assert_eq!(leases.take_ready(APP, 16, LINGER, now).len(), 0);
        assert_eq!(leases.ready_at(APP, 16, LINGER), Some(now + LINGER));
        assert_eq!(leases.take_ready(APP, 16, LINGER, now + LINGER).len(), 1);
    }

    #[test]
    fn a_call_holds_handles_of_one_application_though_they_read_the_same() {
        let now = Instant::now();
        let mut leases = OpenLeases::new(Some(10));
        let other = AppId(8);
        leases.add(lease("same", &[1], now + SETTLED_MEMORY), now);
        leases.add(Lease { app: other, ..lease("same", &[2], now + SETTLED_MEMORY) }, now);
        leases.settle(&[EventId(2)], now);
        assert_eq!(leases.ready_at(APP, 16, LINGER), None);
        let ready = leases.take_ready(other, 16, Duration::ZERO, now);
        assert_eq!(ready.iter().map(|r| r.events.clone()).collect::<Vec<_>>(), [[EventId(2)]]);
        leases.settle(&[EventId(1)], now);
        assert_eq!(leases.ready(), 1);
        assert_eq!(taken(&mut leases, now), ["same"]);
        assert_eq!(leases.ready(), 0);
    }
}
