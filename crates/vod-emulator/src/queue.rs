//! The queue: which events wait, which are leased, which handle is valid.
//!
//! Owns the events that are not confirmed yet and the rules of lease, handle and retention. A
//! pure structure: it knows no clock, no network, and nothing of the rest of the emulator but
//! what an event's content is. Every operation costs the logarithm of the queue's length.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::content::Content;
use super::handle::{HandOutId, Handle, Handles};

/// The most events one pull hands out.
pub(super) const MAX_BATCH: usize = 16;

/// The queue's rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueRules {
    /// How long a handed-out event is invisible and its handle good.
    pub(super) lease: TimeDelta,
    /// How long an event is kept that is not confirmed.
    pub(super) retention: TimeDelta,
    /// The most events that may wait.
    pub(super) capacity: usize,
    /// Events that are handed out at once at most.
    pub(super) batch: usize,
    /// Whether an event keeps its handle at each hand-out.
    pub(super) same_handle: bool,
    /// Whether a call confirms its good handles though it has others.
    pub(super) confirm_partly: bool,
}

/// The queue has no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct QueueFull;

/// One event as it is handed out.
#[derive(Clone, Debug)]
pub(super) struct HandOut {
    pub(super) event: u64,
    pub(super) handle: Handle,
    /// How often it has been handed out, this time included.
    pub(super) times: u32,
    pub(super) lease_ends: DateTime<Utc>,
    pub(super) content: Content,
}

/// Why a handle was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalReason {
    /// It was never given out.
    Unknown,
    /// The event has been handed out under a newer handle since.
    Stale,
    /// Its lease is over.
    Late,
    /// The event is confirmed already, or its retention is over.
    Gone,
    /// It stands more than once in the call.
    Repeated,
    /// A test has ordered to refuse this event.
    Ordered,
}

/// A handle that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefusedHandle {
    pub(super) handle: String,
    /// The event, where the handle is of one that exists or did.
    pub(super) event: Option<u64>,
    pub(super) reason: RefusalReason,
}

/// The result of a confirm call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Confirmation {
    /// Events that left the queue, each with the handle that was sent.
    pub(super) confirmed: Vec<(u64, Handle)>,
    /// If any is refused, the call is.
    pub(super) refused: Vec<RefusedHandle>,
}

#[derive(Debug)]
struct Waiting {
    content: Content,
    added: DateTime<Utc>,
    /// Its place in `ready` or `later`; while it is leased, the end of the lease.
    due: DateTime<Utc>,
    /// 0: never handed out.
    times: u32,
}

/// The events that wait to be confirmed.
#[derive(Debug)]
pub(super) struct Queue {
    rules: QueueRules,
    handles: Handles,
    last: u64,
    /// By number, so the first is the oldest.
    events: BTreeMap<u64, Waiting>,
    /// Visible events, those first that became visible first.
    ready: BTreeSet<(DateTime<Utc>, u64)>,
    /// Leased and delayed events.
    later: BTreeSet<(DateTime<Utc>, u64)>,
    /// By the event that carries it: the hand-out of an event that was sent under its handle.
    piggybacked: HashMap<u64, HandOutId>,
    /// Events that are never confirmed, as was ordered.
    unconfirmable: HashSet<u64>,
}

impl Queue {
    pub(super) fn new(rules: QueueRules, handles: Handles) -> Self {
        Self {
            rules,
            handles,
            last: 0,
            events: BTreeMap::new(),
            ready: BTreeSet::new(),
            later: BTreeSet::new(),
            piggybacked: HashMap::new(),
            unconfirmable: HashSet::new(),
        }
    }

    /// Adds the event of this number, higher than those before, visible after `delay`.
    pub(super) fn add(
        &mut self,
        event: u64,
        now: DateTime<Utc>,
        content: Content,
        delay: TimeDelta,
    ) -> Result<(), QueueFull> {
        if self.room() == 0 {
            return Err(QueueFull);
        }
        self.last = event;
        let due = now + delay;
        let place = if due <= now { &mut self.ready } else { &mut self.later };
        place.insert((due, self.last));
        self.events.insert(self.last, Waiting { content, added: now, due, times: 0 });
        Ok(())
    }

    /// Ends expired leases and shows delayed events. Returns the events whose retention ended. Must
    /// be called before each of the other operations.
    pub(super) fn advance(&mut self, now: DateTime<Utc>) -> Vec<u64> {
        while let Some(&place) = self.later.first().filter(|(due, _)| *due <= now) {
            self.later.remove(&place);
            self.ready.insert(place);
        }
        let mut expired = Vec::new();
        while let Some((&event, waiting)) = self.events.first_key_value() {
            if waiting.added + self.rules.retention > now {
                break;
            }
            self.take(event);
            expired.push(event);
        }
        expired
    }

    /// Hands out at most a batch of events, leased from `from` on.
    pub(super) fn pull(&mut self, from: DateTime<Utc>) -> Vec<HandOut> {
        let lease_ends = from + self.rules.lease;
        let mut batch = Vec::with_capacity(self.rules.batch.min(self.ready.len()));
        while batch.len() < self.rules.batch {
            let Some((_, event)) = self.ready.pop_first() else { break };
            let Some(waiting) = self.events.get_mut(&event) else { continue };
            waiting.times = waiting.times.saturating_add(1);
            waiting.due = lease_ends;
            self.later.insert((lease_ends, event));
            self.piggybacked.remove(&event);
            batch.push(HandOut {
                event,
                handle: self.handles.of(newest(&self.rules, event, waiting.times)),
                times: waiting.times,
                lease_ends,
                content: waiting.content.clone(),
            });
        }
        batch
    }

    /// Records that `piggybacked` was sent under the handle of `carrier`: confirming `carrier`
    /// confirms both, as long as neither has been handed out again.
    pub(super) fn piggyback(&mut self, carrier: &HandOut, piggybacked: &HandOut) {
        self.piggybacked
            .insert(carrier.event, newest(&self.rules, piggybacked.event, piggybacked.times));
    }

    /// Refuses every later handle of this event.
    pub(super) fn refuse(&mut self, event: u64) {
        self.unconfirmable.insert(event);
    }

    /// Confirms events by their handles, all or none unless the rules say otherwise.
    pub(super) fn confirm(&mut self, now: DateTime<Utc>, handles: &[String]) -> Confirmation {
        let mut good: Vec<(u64, Handle)> = Vec::with_capacity(handles.len());
        let mut refused = Vec::new();
        for text in handles {
            let read = self.handles.read(text);
            let reason = match read {
                None => Some(RefusalReason::Unknown),
                Some((_, id)) if good.iter().any(|(event, _)| *event == id.event) => {
                    Some(RefusalReason::Repeated)
                }
                Some((_, id)) => self.refusal_of(now, id),
            };
            match (reason, read) {
                (None, Some((handle, id))) => good.push((id.event, handle)),
                (reason, read) => refused.push(RefusedHandle {
                    handle: text.clone(),
                    event: read.map(|(_, id)| id.event).filter(|id| (1..=self.last).contains(id)),
                    reason: reason.unwrap_or(RefusalReason::Unknown),
                }),
            }
        }
        if !refused.is_empty() && !self.rules.confirm_partly {
            good.clear();
        }
        let mut confirmed = Vec::with_capacity(good.len());
        for (event, handle) in good {
            let piggybacked = self.piggybacked.get(&event).copied();
            // It may have been confirmed under its own handle in this very call.
            if self.take(event) {
                confirmed.push((event, handle));
            }
            if let Some(piggybacked) = piggybacked
                && self.refusal_of(now, piggybacked).is_none()
                && self.take(piggybacked.event)
            {
                confirmed.push((piggybacked.event, handle));
            }
        }
        Confirmation { confirmed, refused }
    }

    /// The events that handles were made for, whether or not these are good.
    pub(super) fn named(&self, handles: &[String]) -> Vec<u64> {
        let events = handles.iter().filter_map(|text| Some(self.handles.read(text)?.1.event));
        events.filter(|event| (1..=self.last).contains(event)).collect()
    }

    /// Events that could be pulled now.
    pub(super) fn visible(&self) -> usize {
        self.ready.len()
    }

    /// Events that are not confirmed.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// How many events more it may hold.
    pub(super) fn room(&self) -> usize {
        self.rules.capacity.saturating_sub(self.events.len())
    }

    /// When the next leased or delayed event becomes visible.
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.later.first().map(|(due, _)| *due)
    }

    fn refusal_of(&self, now: DateTime<Utc>, id: HandOutId) -> Option<RefusalReason> {
        let Some(waiting) = self.events.get(&id.event) else {
            let known = (1..=self.last).contains(&id.event);
            return Some(if known { RefusalReason::Gone } else { RefusalReason::Unknown });
        };
        let newest = newest(&self.rules, id.event, waiting.times);
        if waiting.times == 0 || id.attempt > newest.attempt {
            Some(RefusalReason::Unknown)
        } else if id.attempt < newest.attempt {
            Some(RefusalReason::Stale)
        } else if waiting.due <= now {
            Some(RefusalReason::Late)
        } else if self.unconfirmable.contains(&id.event) {
            Some(RefusalReason::Ordered)
        } else {
            None
        }
    }

    fn take(&mut self, event: u64) -> bool {
        let Some(waiting) = self.events.remove(&event) else { return false };
        self.piggybacked.remove(&event);
        self.ready.remove(&(waiting.due, event)) || self.later.remove(&(waiting.due, event))
    }
}

/// The hand-out whose handle is good for an event that was handed out `times` times.
fn newest(rules: &QueueRules, event: u64, times: u32) -> HandOutId {
    HandOutId { event, attempt: if rules.same_handle { 0 } else { times } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_735_689_600 + seconds, 0).unwrap()
    }

    fn rules() -> QueueRules {
        QueueRules {
            lease: TimeDelta::seconds(30),
            retention: TimeDelta::days(4),
            capacity: 100,
            batch: MAX_BATCH,
            same_handle: false,
            confirm_partly: false,
        }
    }

    fn queue(rules: QueueRules, events: usize) -> Queue {
        let mut queue = Queue::new(rules, Handles::new(1));
        for event in 1..=events {
            queue.add(event as u64, at(0), Content::raw("{}"), TimeDelta::zero()).unwrap();
        }
        queue
    }

    fn pull(queue: &mut Queue, seconds: i64) -> Vec<HandOut> {
        queue.advance(at(seconds));
        queue.pull(at(seconds))
    }

    fn confirm(queue: &mut Queue, seconds: i64, handles: &[&HandOut]) -> Confirmation {
        queue.advance(at(seconds));
        let handles: Vec<_> = handles.iter().map(|h| h.handle.to_string()).collect();
        queue.confirm(at(seconds), &handles)
    }

    fn reasons(confirmation: &Confirmation) -> Vec<RefusalReason> {
        confirmation.refused.iter().map(|refused| refused.reason).collect()
    }

    #[test]
    fn a_pull_hands_out_sixteen_in_order_and_each_once() {
        let mut queue = queue(rules(), 20);
        let first: Vec<_> = pull(&mut queue, 0).iter().map(|h| h.event).collect();
        let second: Vec<_> = pull(&mut queue, 0).iter().map(|h| h.event).collect();
        assert_eq!(first, (1..=16).collect::<Vec<_>>());
        assert_eq!(second, [17, 18, 19, 20]);
        assert!(pull(&mut queue, 29).is_empty());
        assert_eq!((queue.visible(), queue.len()), (0, 20));
    }

    #[test]
    fn a_lapsed_lease_brings_the_event_again_under_a_new_handle() {
        let mut queue = queue(rules(), 1);
        let first = pull(&mut queue, 0).remove(0);
        assert_eq!(queue.next_due(), Some(at(30)));
        let second = pull(&mut queue, 30).remove(0);
        assert_eq!((first.event, second.times), (second.event, 2));
        assert_ne!(first.handle, second.handle);
        let old = confirm(&mut queue, 31, &[&first]);
        assert_eq!(reasons(&old), [RefusalReason::Stale]);
        assert_eq!(old.refused[0].event, Some(1));
        assert_eq!(confirm(&mut queue, 31, &[&second]).confirmed, [(1, second.handle)]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_handle_is_good_until_its_lease_ends_and_once_only() {
        let mut queue = queue(rules(), 2);
        let batch = pull(&mut queue, 0);
        assert_eq!(reasons(&confirm(&mut queue, 30, &[&batch[0]])), [RefusalReason::Late]);
        let again = pull(&mut queue, 30);
        assert!(confirm(&mut queue, 59, &[&again[0]]).refused.is_empty());
        assert_eq!(reasons(&confirm(&mut queue, 59, &[&again[0]])), [RefusalReason::Gone]);
    }

    #[test]
    fn one_bad_handle_refuses_the_call_whole_unless_told_otherwise() {
        for confirm_partly in [false, true] {
            let mut queue = queue(QueueRules { confirm_partly, ..rules() }, 2);
            let batch = pull(&mut queue, 0);
            let handles = [batch[0].handle.to_string(), "no-such".to_owned()];
            let outcome = queue.confirm(at(1), &handles);
            assert_eq!(reasons(&outcome), [RefusalReason::Unknown]);
            assert_eq!(outcome.confirmed.len(), usize::from(confirm_partly));
            assert_eq!(queue.len(), 2 - usize::from(confirm_partly));
        }
    }

    #[test]
    fn a_handle_may_stand_in_a_call_only_once() {
        let mut queue = queue(rules(), 1);
        let batch = pull(&mut queue, 0);
        assert_eq!(
            reasons(&confirm(&mut queue, 1, &[&batch[0], &batch[0]])),
            [RefusalReason::Repeated]
        );
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn with_the_same_handle_kept_it_is_good_again_after_the_next_hand_out() {
        let mut queue = queue(QueueRules { same_handle: true, ..rules() }, 1);
        let first = pull(&mut queue, 0).remove(0);
        assert_eq!(reasons(&confirm(&mut queue, 31, &[&first])), [RefusalReason::Late]);
        let second = pull(&mut queue, 31).remove(0);
        assert_eq!(first.handle, second.handle);
        assert!(confirm(&mut queue, 32, &[&first]).refused.is_empty());
    }

    #[test]
    fn retention_ends_leased_and_waiting_events_alike() {
        let mut queue = queue(rules(), 17);
        let batch = pull(&mut queue, 4 * 86_400 - 1);
        assert_eq!(queue.advance(at(4 * 86_400)), (1..=17).collect::<Vec<_>>());
        assert_eq!((queue.visible(), queue.len(), queue.next_due()), (0, 0, None));
        assert_eq!(reasons(&confirm(&mut queue, 4 * 86_400, &[&batch[0]])), [RefusalReason::Gone]);
    }

    #[test]
    fn a_delayed_event_appears_in_its_time_and_a_full_queue_takes_no_more() {
        let mut queue = queue(QueueRules { capacity: 1, ..rules() }, 0);
        queue.add(1, at(0), Content::raw("1"), TimeDelta::seconds(5)).unwrap();
        assert_eq!(queue.add(2, at(0), Content::raw("2"), TimeDelta::zero()), Err(QueueFull));
        assert!(pull(&mut queue, 4).is_empty());
        assert_eq!(pull(&mut queue, 5).len(), 1);
    }

    #[test]
    fn a_long_queue_is_not_slower_for_it() {
        let began = std::time::Instant::now();
        let events = 100_000;
        let mut queue = queue(QueueRules { capacity: events, ..rules() }, events);
        for round in 0..2 {
            // The first round lets every lease lapse, the second confirms.
            let mut seen = 0;
            while seen < events {
                let batch = pull(&mut queue, 30 * round);
                assert!(!batch.is_empty());
                seen += batch.len();
                if round == 1 {
                    let handles: Vec<_> = batch.iter().collect();
                    assert!(confirm(&mut queue, 31, &handles).refused.is_empty());
                }
            }
        }
        assert_eq!(queue.len(), 0);
        // A walk through the queue at each pull would take a thousand times as long.
        assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    }

    #[test]
    fn a_shared_handle_confirms_both_until_either_is_handed_out_again() {
        let mut queue = queue(rules(), 2);
        let batch = pull(&mut queue, 0);
        queue.piggyback(&batch[0], &batch[1]);
        let outcome = confirm(&mut queue, 1, &[&batch[0]]);
        assert_eq!(outcome.confirmed, [(1, batch[0].handle), (2, batch[0].handle)]);

        let mut queue = self::queue(rules(), 2);
        let batch = pull(&mut queue, 0);
        queue.piggyback(&batch[0], &batch[1]);
        let again = pull(&mut queue, 30);
        assert_eq!(confirm(&mut queue, 31, &[&again[0]]).confirmed, [(1, again[0].handle)]);
    }
}
