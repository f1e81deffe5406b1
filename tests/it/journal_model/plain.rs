//! A journal without a disk: what it must hold after whatever happened, in plain maps.

use std::collections::{BTreeMap, BTreeSet};

use sprited::event::{self, AfterState, AppId, Event, Key};
use sprited::journal::{
    Appended, ConfirmPermission, EventId, EventState, JournalTotals, On, Requeued,
};

use super::{Content, SINKS, Verdict, time};

const MINUTES: i64 = 60 * 1000;
const DAYS: i64 = 24 * 60 * MINUTES;
pub(super) const LONGEST_WAIT: i64 = 120 * MINUTES;

/// A delivery that is owed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Owed {
    pub(super) due: Option<i64>,
    pub(super) attempts: u32,
    pub(super) first_error: Option<String>,
    pub(super) last_error: Option<String>,
    pub(super) followers: Tree,
    /// What became of it at the sink before, by which it came here.
    pub(super) result: Option<Told>,
    pub(super) is_by_hand: bool,
}

impl Owed {
    pub(super) fn is_requeued(&self) -> bool {
        self.due.is_some() && self.attempts == 0 && (self.result.is_none() || self.is_by_hand)
    }
}

/// The sinks that follow, and those that follow them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tree(pub(super) Vec<(usize, On, Tree)>);

impl Tree {
    /// Those that follow a sink, which stands anywhere in it.
    fn find(&self, sink: usize) -> Option<Tree> {
        self.0.iter().find_map(|(of, _, next)| match *of == sink {
            true => Some(next.clone()),
            false => next.find(sink),
        })
    }
}

/// What a sink has done with an event: its name, how, why, after how many attempts.
pub(super) type Told = (String, AfterState, Option<String>, u32);

/// What became of an event at a sink that others follow.
#[derive(Clone, Debug)]
struct Outcome {
    told: Told,
    released: BTreeSet<usize>,
    waiting: Tree,
}

/// What became of an event at one sink that it is for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum At {
    Pending(Owed),
    Delivered,
    Dead { attempts: u32, first_error: String, last_error: String },
}

impl At {
    pub(super) fn state(&self) -> EventState {
        match self {
            Self::Pending(_) => EventState::Pending,
            Self::Delivered => EventState::Delivered,
            Self::Dead { .. } => EventState::Dead,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) content: Content,
    pub(super) key: Key,
    pub(super) pulled: i64,
    /// Of an event that may repeat: the handle that counts, and whether it is open.
    handle: u8,
    is_open: bool,
    pub(super) confirmed: Option<i64>,
    pub(super) has_body: bool,
    pub(super) sinks: BTreeMap<usize, At>,
    /// The errors of the last attempts at each sink where it has failed; of one that delivered none.
    pub(super) attempts: BTreeMap<usize, Vec<Option<String>>>,
    outcomes: BTreeMap<usize, Outcome>,
}

impl Kept {
    /// How an attempt at `sink` ended.
    fn attempted(&mut self, sink: usize, verdict: &Verdict) {
        let attempts = match verdict {
            Verdict::Delivered => self.attempts.get_mut(&sink),
            _ => Some(self.attempts.entry(sink).or_default()),
        };
        let Some(attempts) = attempts else { return };
        attempts.push(match verdict {
            Verdict::Delivered => None,
            Verdict::Retry { error, .. } | Verdict::Dead { error } => Some(error.clone()),
        });
        attempts.drain(..attempts.len().saturating_sub(20));
    }

    pub(super) fn state(&self) -> EventState {
        let any = |state| self.sinks.values().any(|at| at.state() == state);
        if self.sinks.is_empty() {
            EventState::Unrouted
        } else if any(EventState::Pending) {
            EventState::Pending
        } else if any(EventState::Dead) {
            EventState::Dead
        } else {
            EventState::Delivered
        }
    }

    fn is_settled(&self) -> bool {
        matches!(self.state(), EventState::Delivered | EventState::Unrouted)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    pub(super) events: BTreeMap<i64, Kept>,
    pub(super) next_id: i64,
    /// Of each sink that was ever there, whether it is now.
    pub(super) active: BTreeMap<usize, bool>,
    pub(super) marks: BTreeMap<usize, String>,
    /// The types that each sink wants; no part of the file.
    pub(super) routes: BTreeMap<usize, BTreeSet<u8>>,
    /// The sink that each comes after, and on what; no part of the file either.
    pub(super) after: BTreeMap<usize, (usize, On)>,
    /// All but `pending`, which is counted by the events.
    counted: JournalTotals,
}

/// The event that `content` is, pulled at `now`.
pub(super) fn event_of(content: &Content, now: i64) -> Event {
    let Content { kind, number, has_task, handle: _ } = content;
    let task = if *has_task { r#","TaskId":"t""# } else { "" };
    let text = format!(r#"{{"EventType":"T{kind}","E":{{"FileId":"{number}"{task}}}}}"#);
    Event::clone(&event::read(AppId(1), &text, false, time(now)).event)
}

impl Plain {
    pub(super) fn new() -> Self {
        Self { next_id: 1, ..Self::default() }
    }

    /// Stores the events of an answer: of each its number, and whether it is fresh, pending, and
    /// perhaps a repeat.
    pub(super) fn append(&mut self, contents: &[Content], now: i64) -> Vec<Appended> {
        let mut taken: BTreeSet<i64> =
            contents.iter().filter_map(|content| self.under_handle(content)).collect();
        contents.iter().map(|content| self.append_one(content, &mut taken, now)).collect()
    }

    fn append_one(&mut self, content: &Content, taken: &mut BTreeSet<i64>, now: i64) -> Appended {
        let mut key = event_of(content, now).key;
        let equal = content.without_handle();
        let known = if content.has_task {
            self.events.iter().find(|(_, kept)| kept.key == key).map(|(id, _)| *id)
        } else {
            let open = self
                .events
                .iter()
                .find(|(id, kept)| kept.content == equal && kept.is_open && !taken.contains(id));
            self.under_handle(content).or(open.map(|(id, _)| *id))
        };
        let is_under_its_handle = self.under_handle(content).is_some();
        if let Some(id) = known {
            taken.insert(id);
            self.counted.duplicates += 1;
            if let Some(kept) = self.events.get_mut(&id) {
                kept.handle = content.handle;
                key = kept.key;
            }
            let pending = self.is_pending(id);
            let is_repeatable = !content.has_task;
            return Appended {
                id: EventId(id),
                key,
                is_new: false,
                pending,
                is_repeatable,
                is_under_its_handle,
                may_be_duplicate: false,
            };
        }
        let newest = self.events.values().rfind(|kept| kept.content == equal);
        let may_be_repeat = newest.is_some_and(|kept| !kept.is_open && kept.confirmed.is_none());
        if !content.has_task {
            key = key.under_handle(&content.handle.to_string());
            while self.events.values().any(|kept| kept.key == key) {
                key = key.under_handle(&content.handle.to_string());
            }
        }
        let (id, _, pending) = self.insert(content, key, now);
        taken.insert(id);
        let is_repeatable = !content.has_task;
        let may_be_repeat = is_repeatable && may_be_repeat;
        Appended {
            id: EventId(id),
            key,
            is_new: true,
            pending,
            is_repeatable,
            is_under_its_handle: false,
            may_be_duplicate: may_be_repeat,
        }
    }

    fn under_handle(&self, content: &Content) -> Option<i64> {
        let equal = content.without_handle();
        let is_it = |(_, kept): &(&i64, &Kept)| {
            !content.has_task && kept.content == equal && kept.handle == content.handle
        };
        self.events.iter().find(is_it).map(|(id, _)| *id)
    }

    fn insert(&mut self, content: &Content, key: Key, now: i64) -> (i64, bool, bool) {
        let id = self.next_id;
        self.next_id += 1;
        let wanted: BTreeSet<usize> = self
            .routes
            .iter()
            .filter(|(_, kinds)| kinds.contains(&content.kind))
            .map(|(sink, _)| *sink)
            .collect();
        let is_direct = |sink: &&usize| match self.after.get(sink) {
            None => true,
            Some((before, on)) => !wanted.contains(before) && *on != On::Dead,
        };
        let owed = |sink: &usize| {
            let followers = self.followers(&wanted, *sink);
            (*sink, At::Pending(Owed { followers, ..Owed::default() }))
        };
        let sinks: BTreeMap<_, _> = wanted.iter().filter(is_direct).map(owed).collect();
        self.counted.received += 1;
        self.counted.unrouted += u64::from(sinks.is_empty());
        self.counted.routed += sinks.len() as u64;
        let is_pending = !sinks.is_empty();
        let kept = Kept {
            content: content.without_handle(),
            key,
            pulled: now,
            handle: content.handle,
            is_open: true,
            confirmed: None,
            has_body: true,
            sinks,
            attempts: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        };
        self.events.insert(id, kept);
        (id, true, is_pending)
    }

    fn followers(&self, wanted: &BTreeSet<usize>, sink: usize) -> Tree {
        let after =
            self.after.iter().filter(|(of, (before, _))| *before == sink && wanted.contains(of));
        Tree(after.map(|(of, (_, on))| (*of, *on, self.followers(wanted, *of))).collect())
    }

    /// Gives an event that `sink` has settled to those of `followers` that wait for that. Returns
    /// these, and the others.
    fn release(
        &mut self,
        event: i64,
        sink: usize,
        followers: &Tree,
        told: &Told,
        now: i64,
    ) -> (BTreeSet<usize>, Tree) {
        let mut released = BTreeSet::new();
        if followers.0.is_empty() {
            return (released, Tree::default());
        }
        let kept = self.events.get_mut(&event).unwrap();
        let mut waiting = Tree::default();
        for (follower, on, next) in &followers.0 {
            let goes_on = match on {
                On::Settled => true,
                On::Delivered => told.1 == AfterState::Delivered,
                On::Dead => told.1 == AfterState::Dead,
            };
            if !goes_on {
                waiting.0.push((*follower, *on, next.clone()));
            } else if !kept.sinks.contains_key(follower) {
                self.counted.unrouted -= u64::from(kept.sinks.is_empty());
                self.counted.routed += 1;
                let owed = Owed {
                    due: Some(now),
                    followers: next.clone(),
                    result: Some(told.clone()),
                    ..Owed::default()
                };
                kept.sinks.insert(*follower, At::Pending(owed));
                for outcome in kept.outcomes.values_mut() {
                    outcome.released.remove(follower);
                }
                released.insert(*follower);
            }
        }
        let before = kept.outcomes.remove(&sink).map(|outcome| outcome.released);
        let all = before.unwrap_or_default().union(&released).copied().collect();
        let outcome = Outcome { told: told.clone(), released: all, waiting: waiting.clone() };
        kept.outcomes.insert(sink, outcome);
        // What a sink was given that is not there goes on from it.
        for follower in released.clone() {
            if self.active.get(&follower) != Some(&true) {
                released.extend(self.skip(event, follower, now));
            }
        }
        (released, waiting)
    }

    /// Gives what is pending at a sink that is not there to those that follow whatever becomes of it.
    fn skip(&mut self, event: i64, sink: usize, now: i64) -> BTreeSet<usize> {
        let Some(At::Pending(owed)) = self.events[&event].sinks.get(&sink) else { unreachable!() };
        let (followers, attempts) = (owed.followers.clone(), owed.attempts);
        let told = (SINKS[sink].to_owned(), AfterState::Skipped, None, attempts);
        let (released, waiting) = self.release(event, sink, &followers, &told, now);
        let kept = self.events.get_mut(&event).unwrap();
        let Some(At::Pending(owed)) = kept.sinks.get_mut(&sink) else { unreachable!() };
        owed.followers = waiting;
        released
    }

    /// Whether a sink that is there still has to take it.
    pub(super) fn is_pending(&self, event: i64) -> bool {
        let is_owed = |(sink, at): (&usize, &At)| {
            matches!(at, At::Pending(_)) && self.active.get(sink) == Some(&true)
        };
        self.events.get(&event).is_some_and(|kept| kept.sinks.iter().any(is_owed))
    }

    /// The events that nobody has to take any more, and the sinks that have some to take by that.
    pub(super) fn record(
        &mut self,
        sink: usize,
        verdicts: &[(EventId, Verdict)],
        mark: Option<&str>,
        now: i64,
    ) -> (Vec<EventId>, BTreeSet<usize>) {
        let (mut settled, mut released) = (Vec::new(), BTreeSet::new());
        for (event, verdict) in verdicts {
            let mut kept = self.events.get_mut(&event.0);
            if let Some(kept) = &mut kept
                && matches!(kept.sinks.get(&sink), Some(At::Pending(_)))
            {
                kept.attempted(sink, verdict);
            }
            let at = kept.and_then(|kept| kept.sinks.get_mut(&sink));
            if let Some(at @ At::Pending(_)) = at {
                let At::Pending(owed) = at else { unreachable!() };
                let followers = owed.followers.clone();
                let told = |state, error| (SINKS[sink].to_owned(), state, error, owed.attempts + 1);
                let told = match verdict {
                    Verdict::Delivered => Some(told(AfterState::Delivered, None)),
                    Verdict::Dead { error } => Some(told(AfterState::Dead, Some(error.clone()))),
                    Verdict::Retry { .. } => None,
                };
                match verdict {
                    Verdict::Delivered => {
                        *at = At::Delivered;
                        self.counted.delivered += 1;
                    }
                    Verdict::Retry { due, error } => {
                        owed.due = Some(*due);
                        owed.attempts += 1;
                        owed.first_error.get_or_insert_with(|| error.clone());
                        owed.last_error = Some(error.clone());
                    }
                    Verdict::Dead { error } => {
                        *at = At::Dead {
                            attempts: owed.attempts + 1,
                            first_error: owed.first_error.take().unwrap_or_else(|| error.clone()),
                            last_error: error.clone(),
                        };
                        self.counted.dead += 1;
                    }
                }
                if let Some(told) = told {
                    released.extend(self.release(event.0, sink, &followers, &told, now).0);
                }
            }
            if !matches!(verdict, Verdict::Retry { .. }) && !self.is_pending(event.0) {
                settled.push(*event);
            }
        }
        if let Some(mark) = mark {
            self.marks.insert(sink, mark.to_owned());
        }
        (settled, released)
    }

    pub(super) fn sending(&mut self, handle: u8, events: &[EventId]) -> ConfirmPermission {
        let repeatable: Vec<_> = events
            .iter()
            .map(|event| event.0)
            .filter(|id| self.events.get(id).is_some_and(|kept| !kept.content.has_task))
            .collect();
        if repeatable.iter().any(|id| self.events[id].handle != handle) {
            return ConfirmPermission::Superseded;
        }
        let open = repeatable.iter().filter(|id| self.events[id].is_open);
        let open: Vec<_> = open.map(|id| EventId(*id)).collect();
        for event in &open {
            self.events.get_mut(&event.0).unwrap().is_open = false;
        }
        ConfirmPermission::Granted(open)
    }

    pub(super) fn not_taken(&mut self, events: &[EventId]) {
        for event in events {
            if let Some(kept) = self.events.get_mut(&event.0) {
                kept.is_open = true;
            }
        }
    }

    pub(super) fn confirm(&mut self, events: &[EventId], now: i64) {
        for event in events {
            let Some(kept) = self.events.get_mut(&event.0) else { continue };
            self.counted.confirmed += u64::from(kept.confirmed.is_none());
            kept.confirmed = Some(now);
        }
    }

    pub(super) fn requeue(&mut self, sink: usize, events: &[EventId], now: i64) -> Requeued {
        let mut done = Requeued::default();
        for event in events {
            let Some(kept) = self.events.get_mut(&event.0) else {
                done.gone += 1;
                continue;
            };
            if !kept.has_body {
                done.without_body += 1;
                continue;
            }
            match kept.sinks.get_mut(&sink) {
                Some(At::Pending(owed)) => {
                    owed.due = owed.due.map(|due| due.min(now));
                    owed.is_by_hand = true;
                    done.expedited += 1;
                    continue;
                }
                Some(At::Dead { .. }) => self.counted.dead -= 1,
                Some(At::Delivered) => self.counted.delivered -= 1,
                None => {
                    self.counted.unrouted -= u64::from(kept.sinks.is_empty());
                    self.counted.routed += 1;
                }
            }
            let outcome = kept.outcomes.get(&sink);
            let by = kept.outcomes.values().find(|outcome| {
                let waits = outcome.waiting.0.iter().any(|(waiting, ..)| *waiting == sink);
                waits || outcome.released.contains(&sink)
            });
            let left = outcome.map(|outcome| outcome.waiting.clone()).unwrap_or_default();
            // Before its turn it takes along those that follow it.
            let trees = kept.sinks.values().filter_map(|at| match at {
                At::Pending(owed) => Some(&owed.followers),
                _ => None,
            });
            let mut trees = trees.chain(kept.outcomes.values().map(|outcome| &outcome.waiting));
            let is_new = !kept.sinks.contains_key(&sink);
            let below = trees.find_map(|tree| tree.find(sink)).filter(|_| is_new);
            let followers = if left.0.is_empty() { below.unwrap_or_default() } else { left };
            let owed = Owed {
                due: Some(now),
                followers,
                result: by.map(|outcome| outcome.told.clone()),
                is_by_hand: true,
                ..Owed::default()
            };
            kept.sinks.insert(sink, At::Pending(owed));
            if self.active.get(&sink) != Some(&true) {
                self.skip(event.0, sink, now);
            }
            done.requeued += 1;
        }
        done
    }

    pub(super) fn discard(&mut self, sink: usize, events: &[EventId], now: i64) -> u64 {
        let mut discarded = 0;
        for event in events {
            let Some(kept) = self.events.get_mut(&event.0) else { continue };
            let mut followers = Tree::default();
            let mut told = (SINKS[sink].to_owned(), AfterState::Discarded, None, 0);
            match kept.sinks.get(&sink) {
                Some(At::Dead { .. }) => self.counted.dead -= 1,
                Some(At::Pending(owed)) => {
                    (followers, told.3) = (owed.followers.clone(), owed.attempts);
                }
                Some(At::Delivered) | None => continue,
            }
            kept.sinks.remove(&sink);
            kept.attempts.remove(&sink);
            self.counted.discarded += 1;
            self.counted.unrouted += u64::from(kept.sinks.is_empty());
            self.release(event.0, sink, &followers, &told, now);
            discarded += 1;
        }
        discarded
    }

    /// What is left once all is pruned that may be.
    pub(super) fn prune(&mut self, retention_days: i64, short_of_space: bool, now: i64) {
        let retention_days = if short_of_space { retention_days.min(4) } else { retention_days };
        let oldest = now - retention_days * DAYS;
        self.events.retain(|_, kept| !kept.is_settled() || kept.pulled >= oldest);
        if short_of_space {
            for kept in self.events.values_mut().filter(|kept| kept.is_settled()) {
                kept.has_body = false;
                kept.attempts.clear();
            }
        }
    }

    /// These sinks are there from now on. What others had pending goes on to those that follow
    /// whatever becomes of it.
    pub(super) fn register(&mut self, sinks: &[usize], now: i64) {
        let before: Vec<usize> =
            self.active.iter().filter(|(_, active)| **active).map(|(sink, _)| *sink).collect();
        self.active.values_mut().for_each(|active| *active = false);
        self.active.extend(sinks.iter().map(|sink| (*sink, true)));
        for removed in before.into_iter().filter(|sink| !sinks.contains(sink)) {
            let owed: Vec<i64> = self.owed(removed).into_iter().map(|(id, ..)| id).collect();
            for event in owed {
                self.skip(event, removed, now);
            }
        }
    }

    /// Events that `sink` still has to take, in order.
    pub(super) fn owed(&self, sink: usize) -> Vec<(i64, &Kept, &Owed)> {
        let owed = self.events.iter().filter_map(|(id, kept)| match kept.sinks.get(&sink) {
            Some(At::Pending(owed)) => Some((*id, kept, owed)),
            _ => None,
        });
        owed.collect()
    }

    fn owed_mut(&mut self, sink: usize) -> impl Iterator<Item = &mut Owed> {
        self.events.values_mut().filter_map(move |kept| match kept.sinks.get_mut(&sink) {
            Some(At::Pending(owed)) => Some(owed),
            _ => None,
        })
    }

    pub(super) fn due_now(&mut self, sink: usize, now: i64) {
        self.owed_mut(sink).for_each(|owed| owed.due = owed.due.map(|due| due.min(now)));
    }

    /// Events that a sink that is there still has to take, counted at each.
    pub(super) fn pending(&self) -> u64 {
        let active = self.active.iter().filter(|(_, active)| **active);
        active.map(|(sink, _)| self.owed(*sink).len() as u64).sum()
    }

    pub(super) fn sums(&self) -> JournalTotals {
        let pending = (0..SINKS.len()).map(|sink| self.owed(sink).len() as u64).sum();
        JournalTotals { pending, ..self.counted }
    }

    /// What a new process knows: no routes, and numbers that go on from what there is.
    pub(super) fn reopened(mut self) -> Self {
        self.next_id = self.events.last_key_value().map_or(1, |(id, _)| id + 1);
        self.routes.clear();
        self.after.clear();
        self
    }
}
