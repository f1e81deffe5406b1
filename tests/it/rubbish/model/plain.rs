//! A journal without a disk: what it must hold after whatever happened, in plain maps.

use std::collections::{BTreeMap, BTreeSet};

use sprited::event::{self, AppId, Event, Key};
use sprited::journal::{EventId, Requeued, State, Sums};

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
}

/// What became of an event at one sink that it is for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum At {
    Pending(Owed),
    Delivered,
    Dead { attempts: u32, first_error: String, last_error: String },
}

impl At {
    pub(super) fn state(&self) -> State {
        match self {
            Self::Pending(_) => State::Pending,
            Self::Delivered => State::Delivered,
            Self::Dead { .. } => State::Dead,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) content: Content,
    pub(super) key: Key,
    pub(super) pulled: i64,
    /// When the cloud was last asked to take it back.
    confirming: Option<i64>,
    pub(super) confirmed: Option<i64>,
    pub(super) has_body: bool,
    pub(super) sinks: BTreeMap<usize, At>,
}

impl Kept {
    pub(super) fn state(&self) -> State {
        let any = |state| self.sinks.values().any(|at| at.state() == state);
        if self.sinks.is_empty() {
            State::Unrouted
        } else if any(State::Pending) {
            State::Pending
        } else if any(State::Dead) {
            State::Dead
        } else {
            State::Delivered
        }
    }

    fn is_settled(&self) -> bool {
        matches!(self.state(), State::Delivered | State::Unrouted)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    pub(super) events: BTreeMap<i64, Kept>,
    pub(super) next_id: i64,
    /// Of contents that came anew: the newest of them, and its number.
    newest: BTreeMap<Content, (u32, i64)>,
    /// Of each sink that was ever there, whether it is now.
    pub(super) active: BTreeMap<usize, bool>,
    pub(super) marks: BTreeMap<usize, String>,
    /// The types that each sink wants; no part of the file.
    pub(super) routes: BTreeMap<usize, BTreeSet<u8>>,
    /// All but `pending`, which is counted by the events.
    counted: Sums,
}

/// The event that `content` is, pulled at `now`.
pub(super) fn event_of(content: &Content, now: i64) -> Event {
    let Content { kind, number, has_task } = content;
    let task = if *has_task { r#","TaskId":"t""# } else { "" };
    let text = format!(r#"{{"EventType":"T{kind}","E":{{"FileId":"{number}"{task}}}}}"#);
    Event::clone(&event::read(AppId(1), &text, false, time(now)).event)
}

impl Plain {
    pub(super) fn new() -> Self {
        Self { next_id: 1, ..Self::default() }
    }

    /// Stores an event; its number, whether it is fresh, and whether it is pending.
    pub(super) fn append(&mut self, content: &Content, now: i64) -> (i64, bool, bool) {
        let key = event_of(content, now).key;
        let has_key = |key: Key| self.events.iter().find(|(_, kept)| kept.key == key);
        let before = match self.newest.get(content) {
            Some(newest) => Some(*newest),
            None => has_key(key).map(|(id, _)| (0, *id)),
        };
        let Some((mut number, id)) = before else { return self.insert(content, key, now) };
        let confirmed = self.events[&id].confirmed.max(self.events[&id].confirming);
        if content.has_task || confirmed.is_none_or(|at| at >= now - 10 * MINUTES) {
            self.counted.seen_again += 1;
            return (id, false, self.is_pending(id));
        }
        // An equal one that happened anew.
        let key = loop {
            number += 1;
            let key = key.occurrence(number);
            if has_key(key).is_none() {
                break key;
            }
        };
        let stored = self.insert(content, key, now);
        self.newest.insert(*content, (number, stored.0));
        stored
    }

    fn insert(&mut self, content: &Content, key: Key, now: i64) -> (i64, bool, bool) {
        let id = self.next_id;
        self.next_id += 1;
        let wants = |(sink, kinds): (&usize, &BTreeSet<u8>)| {
            kinds.contains(&content.kind).then_some((*sink, At::Pending(Owed::default())))
        };
        let sinks: BTreeMap<_, _> = self.routes.iter().filter_map(wants).collect();
        self.counted.received += 1;
        self.counted.unrouted += u64::from(sinks.is_empty());
        self.counted.routed += sinks.len() as u64;
        let is_pending = !sinks.is_empty();
        let content = *content;
        let (confirming, confirmed) = (None, None);
        let kept = Kept { content, key, pulled: now, confirming, confirmed, has_body: true, sinks };
        self.events.insert(id, kept);
        (id, true, is_pending)
    }

    /// Whether a sink that is there still has to take it.
    pub(super) fn is_pending(&self, event: i64) -> bool {
        let is_owed = |(sink, at): (&usize, &At)| {
            matches!(at, At::Pending(_)) && self.active.get(sink) == Some(&true)
        };
        self.events.get(&event).is_some_and(|kept| kept.sinks.iter().any(is_owed))
    }

    /// The events that nobody has to take any more.
    pub(super) fn record(
        &mut self,
        sink: usize,
        verdicts: &[(EventId, Verdict)],
        mark: Option<&str>,
    ) -> Vec<EventId> {
        let mut settled = Vec::new();
        for (event, verdict) in verdicts {
            let at = self.events.get_mut(&event.0).and_then(|kept| kept.sinks.get_mut(&sink));
            if let Some(at @ At::Pending(_)) = at {
                let At::Pending(owed) = at else { unreachable!() };
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
            }
            if !matches!(verdict, Verdict::Retry { .. }) && !self.is_pending(event.0) {
                settled.push(*event);
            }
        }
        if let Some(mark) = mark {
            self.marks.insert(sink, mark.to_owned());
        }
        settled
    }

    /// Those of which it was not known before.
    pub(super) fn confirming(&mut self, events: &[EventId], now: i64) -> Vec<EventId> {
        let mut noted = Vec::new();
        for event in events {
            let Some(kept) = self.events.get_mut(&event.0) else { continue };
            if kept.confirming.replace(now).is_none() {
                noted.push(*event);
            }
        }
        noted
    }

    pub(super) fn not_confirming(&mut self, events: &[EventId]) {
        for event in events {
            if let Some(kept) = self.events.get_mut(&event.0) {
                kept.confirming = None;
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
                    done.hastened += 1;
                    continue;
                }
                Some(At::Dead { .. }) => self.counted.dead -= 1,
                Some(At::Delivered) => self.counted.delivered -= 1,
                None => {
                    self.counted.unrouted -= u64::from(kept.sinks.is_empty());
                    self.counted.routed += 1;
                }
            }
            kept.sinks.insert(sink, At::Pending(Owed { due: Some(now), ..Owed::default() }));
            done.requeued += 1;
        }
        done
    }

    pub(super) fn discard(&mut self, sink: usize, events: &[EventId]) -> u64 {
        let mut discarded = 0;
        for event in events {
            let Some(kept) = self.events.get_mut(&event.0) else { continue };
            match kept.sinks.get(&sink) {
                Some(At::Dead { .. }) => self.counted.dead -= 1,
                Some(At::Pending(_)) => {}
                Some(At::Delivered) | None => continue,
            }
            kept.sinks.remove(&sink);
            self.counted.discarded += 1;
            self.counted.unrouted += u64::from(kept.sinks.is_empty());
            discarded += 1;
        }
        discarded
    }

    /// What is left once all is pruned that may be.
    pub(super) fn prune(&mut self, retention_days: i64, short_of_space: bool, now: i64) {
        let retention_days = if short_of_space { retention_days.min(4) } else { retention_days };
        let oldest = now - retention_days * DAYS;
        self.events.retain(|_, kept| !kept.is_settled() || kept.pulled >= oldest);
        let events = &self.events;
        self.newest.retain(|_, (_, id)| events.contains_key(id));
        if short_of_space {
            for kept in self.events.values_mut().filter(|kept| kept.is_settled()) {
                kept.has_body = false;
            }
        }
    }

    pub(super) fn register(&mut self, sinks: &[usize]) {
        self.active.values_mut().for_each(|active| *active = false);
        self.active.extend(sinks.iter().map(|sink| (*sink, true)));
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

    pub(super) fn sums(&self) -> Sums {
        let pending = (0..SINKS.len()).map(|sink| self.owed(sink).len() as u64).sum();
        Sums { pending, ..self.counted }
    }

    /// What a new process knows: no routes, and numbers that go on from what there is.
    pub(super) fn reopened(mut self) -> Self {
        self.next_id = self.events.last_key_value().map_or(1, |(id, _)| id + 1);
        self.routes.clear();
        self
    }
}
