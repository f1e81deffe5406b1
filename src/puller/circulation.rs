//! Events that come again and again because no sink takes them, and how fast pulls need be then.
//! Pure: the time is passed in.
//!
//! A pending event is back a lease after it was handed out, however often is asked: faster pulls
//! bring the same repeats in more and smaller answers. So they slow down, but only as long as they
//! bring hardly anything else, and never so far that an event waits in the cloud's queue.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Pulls slow down when at least this many repeats
const REPEAT_SHARE: u64 = 9;
/// are among so many entries,
const REPEAT_SHARE_OF: u64 = 10;
/// over so many leases: a minute.
const WINDOW_LEASES: u32 = 2;
/// Parts of a lease, by which entries are counted.
const PARTS_PER_LEASE: u32 = 12;
/// Of them, those that show what comes now: the last five seconds, all but the part that has just
/// begun.
const RECENT_PARTS: u32 = 2;
/// Entries that an answer can hold.
const FULL_ANSWER: u64 = 16;
/// From the start of a pull to that of the next at most.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Pulls as a multiple of what the repeats need: there is room for the fresh ones among them, and
/// of five answers one at least is not full,
const HEADROOM: f64 = 1.25;
/// or else more wait than should.
const MAX_FULL_ANSWERS: u32 = 5;
/// How long the number of pending events is good for, in parts of a lease.
const PENDING_VALID_PARTS: u32 = 4;

/// What the pulls from a queue brought of late.
#[derive(Debug)]
pub(super) struct Circulation {
    lease: Duration,
    /// The first pull that was recorded.
    since: Option<Instant>,
    /// What came within the last [`WINDOW_LEASES`], the newest last; parts without a pull are left
    /// out.
    parts: VecDeque<Part>,
    /// Full answers in a row, up to the last one: there may be more behind it.
    full: u32,
    /// Pending events, and when they were counted.
    pending: Option<(u64, Instant)>,
}

#[derive(Debug)]
struct Part {
    began: Instant,
    entries: u64,
    /// Of them, those that were known and that a sink still has to take. What is known and settled
    /// is confirmed when it comes: such a pull was good for something.
    repeats: u64,
}

impl Circulation {
    /// Of events that the cloud lends out for `lease`.
    pub(super) fn new(lease: Duration) -> Self {
        Self { lease, since: None, parts: VecDeque::new(), full: 0, pending: None }
    }

    /// Changes the lease: what was seen by the other one does not count.
    pub(super) fn set_lease(&mut self, lease: Duration) {
        if self.lease != lease {
            *self = Self::new(lease);
        }
    }

    /// A pull brought so many entries, of them so many repeats of pending events.
    pub(super) fn pulled(&mut self, entries: u64, repeats: u64, now: Instant) {
        self.since.get_or_insert(now);
        let window = self.lease * WINDOW_LEASES;
        while self.parts.front().is_some_and(|part| now.duration_since(part.began) >= window) {
            self.parts.pop_front();
        }
        let part = self.lease / PARTS_PER_LEASE;
        if self.parts.back().is_none_or(|last| now.duration_since(last.began) >= part) {
            self.parts.push_back(Part { began: now, entries: 0, repeats: 0 });
        }
        if let Some(last) = self.parts.back_mut() {
            last.entries += entries;
            last.repeats += repeats;
        }
        self.full = if entries >= FULL_ANSWER { self.full.saturating_add(1) } else { 0 };
    }

    /// So many events are pending, as was counted now.
    pub(super) fn set_pending(&mut self, pending: u64, now: Instant) {
        self.pending = Some((pending, now));
    }

    /// Whether the pause depends on the number of pending events, and it is not known well enough.
    pub(super) fn wants_pending(&self, now: Instant) -> bool {
        let good_for = self.lease / PARTS_PER_LEASE * PENDING_VALID_PARTS;
        self.is_the_rule(now)
            && self.pending.is_none_or(|(_, at)| now.duration_since(at) >= good_for)
    }

    /// Events that came again within the last lease though a sink still has to take them: none
    /// comes twice in that time.
    pub(super) fn events(&self, now: Instant) -> u64 {
        self.within(self.lease, now).map(|part| part.repeats).sum()
    }

    /// The least time between the starts of two pulls; `None` while it is as short as it can be,
    /// and while events wait. At most a second.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        let (pending, _) = self.pending?;
        if self.full >= MAX_FULL_ANSWERS || !are_many(pending, self.lease) || !self.is_the_rule(now)
        {
            return None;
        }
        let needed = HEADROOM * pending as f64 / FULL_ANSWER as f64 / self.lease.as_secs_f64();
        Some(Duration::try_from_secs_f64(1.0 / needed).unwrap_or(MAX_PAUSE).min(MAX_PAUSE))
    }

    /// Whether repeats are the rule: over the whole time and now.
    fn is_the_rule(&self, now: Instant) -> bool {
        let window = self.lease * WINDOW_LEASES;
        if self.since.is_none_or(|since| now.duration_since(since) < window) {
            return false;
        }
        let sum = |within: Duration| {
            self.within(within, now).fold((0, 0), |(entries, repeats), part| {
                (entries + part.entries, repeats + part.repeats)
            })
        };
        let (entries, repeats) = sum(window);
        let (entries_now, repeats_now) = sum(self.lease / PARTS_PER_LEASE * RECENT_PARTS);
        are_many(repeats, window)
            && repeats * REPEAT_SHARE_OF >= entries * REPEAT_SHARE
            && repeats_now * 2 >= entries_now
    }

    fn within(&self, time: Duration, now: Instant) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| now.duration_since(part.began) < time)
    }
}

/// Fewer within `time` bring no more pulls than the longest pause would let through.
fn are_many(events: u64, time: Duration) -> bool {
    events as f64 > time.div_duration_f64(MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    /// A queue in the cloud, and who pulls from it: 16 events at a time, 50 ms a pull, one after
    /// the other, and as far apart as the circulation says. An empty queue holds a pull.
    struct Cloud {
        start: Instant,
        now: Instant,
        /// When each is to be had, and whether it is pending: else it is confirmed when it comes.
        queue: VecDeque<(Instant, bool)>,
        circulation: Circulation,
        pulls: u64,
        /// Of fresh ones, the longest wait.
        longest_wait: Duration,
    }

    impl Cloud {
        /// With so many events that no sink takes.
        fn with(pending: u64) -> Self {
            let start = Instant::now();
            let mut cloud = Self {
                start,
                now: start,
                queue: VecDeque::new(),
                circulation: Circulation::new(LEASE),
                pulls: 0,
                longest_wait: Duration::ZERO,
            };
            // As they came, all over a lease.
            for number in 0..pending {
                let at = LEASE.mul_f64(number as f64 / pending as f64);
                cloud.queue.push_back((start + at, true));
            }
            cloud
        }

        /// For so many seconds, in which a fresh event comes every so often; how many pulls a
        /// second were made.
        fn runs_for(&mut self, seconds: u64, fresh_every: Option<Duration>) -> f64 {
            let (began, pulls) = (self.now, self.pulls);
            let end = began + Duration::from_secs(seconds);
            let mut next_fresh = fresh_every.map(|every| began + every);
            while self.now < end {
                let started = self.now;
                while let Some(at) = next_fresh.filter(|at| *at <= started) {
                    let place = self.queue.partition_point(|(other, _)| *other <= at);
                    self.queue.insert(place, (at, false));
                    next_fresh = fresh_every.map(|every| at + every);
                }
                let visible = self.queue.partition_point(|(at, _)| *at <= started).min(16);
                let answer: Vec<_> = self.queue.drain(..visible).collect();
                let repeats = answer.iter().filter(|(_, pending)| *pending).count() as u64;
                for (at, pending) in &answer {
                    match pending {
                        true => self.queue.push_back((started + LEASE, true)),
                        false => self.longest_wait = self.longest_wait.max(started - *at),
                    }
                }
                self.pulls += 1;
                self.now += Duration::from_millis(50);
                self.circulation.pulled(answer.len() as u64, repeats, self.now);
                if self.circulation.wants_pending(self.now) {
                    let pending = self.queue.iter().filter(|(_, pending)| *pending).count();
                    self.circulation.set_pending(pending as u64, self.now);
                }
                if let Some(pause) = self.circulation.pause(self.now) {
                    self.now = self.now.max(started + pause);
                }
            }
            (self.pulls - pulls) as f64 / (self.now - began).as_secs_f64()
        }

        fn circulating(&self) -> u64 {
            self.circulation.events(self.now)
        }
    }

    #[test]
    fn after_a_minute_of_repeats_pulls_come_as_seldom_as_brings_each_event_once_a_lease() {
        for (pending, least, most) in [(480, 0.99, 1.3), (3200, 6.6, 8.7), (4800, 9.9, 13.0)] {
            let mut cloud = Cloud::with(pending);
            assert!(cloud.runs_for(59, None) > 15.0, "{pending}: not before a minute");
            cloud.runs_for(30, None);
            for _ in 0..10 {
                let rate = cloud.runs_for(30, None);
                assert!((least..most).contains(&rate), "{pending}: {rate} pulls a second");
                let came = cloud.circulating();
                assert!(came * 10 >= pending * 9 && came <= pending, "{pending}: {came} came");
            }
        }
    }

    #[test]
    fn more_than_all_requests_bring_are_pulled_as_fast_as_can_be() {
        // 20 pulls a second of 16 are 9,600 a lease.
        let mut cloud = Cloud::with(20_000);
        cloud.runs_for(120, None);
        assert!(cloud.runs_for(60, None) > 19.0);
    }

    #[test]
    fn fresh_events_among_repeats_wait_for_no_more_than_a_pause() {
        let mut cloud = Cloud::with(3200);
        cloud.runs_for(120, None);
        // One of fifty entries.
        let rate = cloud.runs_for(120, Some(Duration::from_millis(500)));
        assert!(rate < 11.0, "{rate} pulls a second");
        assert!(cloud.longest_wait < Duration::from_millis(500), "{:?}", cloud.longest_wait);
    }

    #[test]
    fn what_is_fresh_or_settled_by_the_half_brings_back_the_full_rate_at_once() {
        let mut cloud = Cloud::with(3200);
        cloud.runs_for(120, None);
        for (pending, pause) in [(0, None), (30, None), (31, Some(1000)), (3200, Some(120))] {
            cloud.circulation.set_pending(pending, cloud.now);
            let found = cloud.circulation.pause(cloud.now).map(|pause| pause.as_millis());
            assert_eq!(found, pause, "{pending}");
        }
        // Sinks take what is pending: it comes once more, and is confirmed.
        cloud.queue.iter_mut().for_each(|(_, pending)| *pending = false);
        cloud.runs_for(4, None);
        assert_eq!(cloud.circulation.pause(cloud.now), None);
        cloud.runs_for(60, None);
        assert!(cloud.queue.is_empty() && cloud.circulating() == 0);
    }

    #[test]
    fn a_few_stuck_events_slow_down_nothing() {
        let mut cloud = Cloud::with(29);
        cloud.runs_for(300, None);
        assert_eq!((cloud.circulation.pause(cloud.now), cloud.circulating()), (None, 29));
        // One in nine is no repeat.
        let mut cloud = Cloud::with(300);
        cloud.runs_for(300, Some(Duration::from_millis(800)));
        assert_eq!(cloud.circulation.pause(cloud.now), None);
        // One in eleven.
        let mut cloud = Cloud::with(300);
        cloud.runs_for(300, Some(Duration::from_millis(1000)));
        assert_eq!(cloud.circulation.pause(cloud.now), Some(Duration::from_secs(1)));
    }

    #[test]
    fn while_answers_are_full_one_after_the_other_none_waits() {
        let mut cloud = Cloud::with(3200);
        cloud.runs_for(120, None);
        let at = cloud.now;
        cloud.circulation.pulled(0, 0, at);
        for (entries, is_paused) in
            [(16, true), (16, true), (17, true), (16, true), (16, false), (20, false), (15, true)]
        {
            cloud.circulation.pulled(entries, entries, at);
            assert_eq!(cloud.circulation.pause(at).is_some(), is_paused, "{entries}");
        }
        // What the cloud has held back for a while, all at once, and a fresh one behind it.
        let at = cloud.now;
        let all: Vec<_> = cloud.queue.drain(..).collect();
        cloud.queue.extend(all.iter().map(|(_, pending)| (at, *pending)));
        cloud.queue.push_back((at, false));
        cloud.runs_for(20, None);
        assert!(cloud.longest_wait > Duration::ZERO);
        assert!(cloud.longest_wait < Duration::from_secs(12), "{:?}", cloud.longest_wait);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_another_lease_begins_anew() {
        let mut cloud = Cloud::with(3200);
        cloud.runs_for(600, None);
        assert!(cloud.circulation.parts.len() <= (PARTS_PER_LEASE * WINDOW_LEASES) as usize + 1);
        assert!(cloud.now > cloud.start + LEASE);
        cloud.circulation.set_lease(LEASE);
        assert!(cloud.circulating() > 0);
        cloud.circulation.set_lease(LEASE * 2);
        assert_eq!((cloud.circulating(), cloud.circulation.pause(cloud.now)), (0, None));
        // The number of pending events is asked for again after a while, not with each pull.
        let mut cloud = Cloud::with(3200);
        cloud.runs_for(120, None);
        cloud.circulation.set_pending(3200, cloud.now);
        assert!(!cloud.circulation.wants_pending(cloud.now + Duration::from_millis(9_900)));
        cloud.runs_for(1, None);
        cloud.circulation.pending = None;
        assert!(cloud.circulation.wants_pending(cloud.now));
        assert_eq!(cloud.circulation.pause(cloud.now), None, "not known yet");
    }
}
