//! How many requests a second. Pure: the time is passed in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// A rate limit that neither wastes a quota nor runs over it, whatever the window by which the
/// other end counts: requests are spaced evenly, those that come late catch up within
/// [`RateLimiter::BURST`], and no span of a second ever holds more than the rate.
///
/// At the other end one can: a request that is faster on its way than one a second before comes too
/// close to it. How much faster they can be is learned from what is refused for it. A refusal holds
/// all requests for a time. Where one soon follows another it is no matter of the way, and the rate
/// is cut; after a second one in a row, one request at a time finds out whether it is over.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    /// Requests a second, as of now and at most.
    rate: f64,
    max: f64,
    /// The time in which no more requests go than the rate allows in a second: that, and by how
    /// much one may be faster on its way than another.
    window: Duration,
    /// When the next request would be due if all came on time.
    due: Instant,
    /// When the last requests were sent, as many as go in a second.
    sent_at: VecDeque<Instant>,
    /// Refused since the last one that was accepted.
    refusals: u32,
    /// Accepted since the last one that was refused.
    accepted: usize,
    /// The window as it was before the last refusal, if that was taken for jitter.
    window_before: Option<Duration>,
    /// When the last refusal came in, and until when it holds.
    refused: Option<(Instant, Instant)>,
}

impl RateLimiter {
    /// Requests that may go at once after a pause.
    pub(super) const BURST: u32 = 5;
    /// The rate is never cut below this.
    const MIN_RATE: f64 = 1.0;
    /// The window at first, and at least.
    pub(super) const WINDOW: Duration = Duration::from_millis(1010);
    /// The window at most: what is refused even then is refused for the rate.
    const MAX_WINDOW: Duration = Duration::from_millis(1100);
    /// What a request that was refused adds to it,
    const WINDOW_GROWTH: Duration = Duration::from_millis(10);
    /// and one that was not takes away. One of 500 may be refused for other reasons.
    const WINDOW_DECAY: Duration = Duration::from_micros(20);

    /// Returns a limiter for `rate` requests a second.
    #[must_use]
    pub fn new(rate: f64, now: Instant) -> Self {
        let max = rate.max(Self::MIN_RATE);
        let (window, sent_at) = (Self::WINDOW, VecDeque::new());
        Self {
            rate: max,
            max,
            window,
            due: now,
            sent_at,
            refusals: 0,
            accepted: 0,
            window_before: None,
            refused: None,
        }
    }

    /// When the next request may go.
    pub fn ready_at(&self) -> Instant {
        let spaced = self.due.checked_sub(self.interval() * (Self::BURST - 1)).unwrap_or(self.due);
        let last = self.sent_at.len().checked_sub(self.in_a_second());
        let room = last.and_then(|last| self.sent_at.get(last)).map(|at| *at + self.window);
        let held = self.refused.map(|(_, until)| until);
        [room, held].into_iter().flatten().fold(spaced, Instant::max)
    }

    /// A request goes.
    pub fn take(&mut self, now: Instant) {
        self.due = self.due.max(now) + self.interval();
        self.sent_at.push_back(now);
        while self.sent_at.len() > self.in_a_second() {
            self.sent_at.pop_front();
        }
    }

    /// The request that went at `sent_at` was refused, for a rate that is too high: none goes for
    /// `wait`. Returns whether this is the first refusal: requests in flight together are refused
    /// together.
    pub fn refused(&mut self, sent_at: Instant, now: Instant, wait: Duration) -> bool {
        if self.refused.is_some_and(|(last, _)| sent_at < last) {
            return false;
        }
        self.refusals += 1;
        // A rate that is too high does not come back to the most, nor is it refused so seldom.
        let may_be_jitter = self.rate >= self.max
            && self.accepted >= self.in_a_second() / 2
            && self.window < Self::MAX_WINDOW;
        self.accepted = 0;
        // What lasts is cut once more, but no further: it may be no matter of the rate.
        let cut = match (self.refusals, self.window_before.take()) {
            (1, _) if may_be_jitter => {
                self.window_before = Some(self.window);
                self.window = (self.window + Self::WINDOW_GROWTH).min(Self::MAX_WINDOW);
                1.0
            }
            (1, _) => 0.9,
            // It was not: the window is what it was.
            (2, Some(window)) => {
                self.window = window;
                0.9
            }
            (3, _) => 0.8,
            _ => 1.0,
        };
        self.rate = (self.rate * cut).max(Self::MIN_RATE);
        self.refused = Some((now, now + wait));
        true
    }

    /// The request that went at `sent_at` was not refused: the rate rises by a thousandth of the
    /// maximum, up to that.
    pub fn accepted(&mut self, sent_at: Instant) {
        // One from before a refusal tells nothing of what came after.
        if self.refused.is_some_and(|(last, _)| sent_at < last) {
            return;
        }
        self.refusals = 0;
        self.accepted = self.accepted.saturating_add(1);
        self.window = (self.window - Self::WINDOW_DECAY).max(Self::WINDOW);
        self.rate = (self.rate + self.max / 1000.0).min(self.max);
    }

    /// Whether one request after the other was refused: one at a time is to go.
    pub fn is_refused(&self) -> bool {
        self.refusals > 1
    }

    /// Returns the refusals in a row.
    pub fn refusals(&self) -> u32 {
        self.refusals
    }

    fn in_a_second(&self) -> usize {
        self.rate as usize
    }

    /// Changes the maximum to `max`: a rate that was cut by refusals stays cut.
    pub fn set_max(&mut self, max: f64) {
        let is_cut = self.rate < self.max;
        self.max = max.max(Self::MIN_RATE);
        self.rate = if is_cut { self.rate.min(self.max) } else { self.max };
    }

    pub(super) fn interval(&self) -> Duration {
        self.window.div_f64(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn another_maximum_lifts_no_cut() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(100.0, now);
        limiter.take(now);
        assert!(limiter.refused(now, now, Duration::ZERO));
        let cut = limiter.rate;
        assert!(cut < 100.0);
        limiter.set_max(200.0);
        assert_eq!(limiter.rate, cut);
        limiter.set_max(20.0);
        assert_eq!(limiter.rate, 20.0);
    }

    #[test]
    fn the_rate_is_neither_overrun_nor_wasted() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(100.0, start);
        let mut now = start;
        let mut sent_at = Vec::new();
        // A clock that ticks each 1 ms and wakes up to 3 ms late, and once a second 60 ms.
        while now < start + Duration::from_secs(10) {
            while limiter.ready_at() <= now {
                limiter.take(now);
                sent_at.push(now);
            }
            let late = if sent_at.len() % 99 == 0 { 60 } else { sent_at.len() as u64 % 4 };
            now += Duration::from_millis(1 + late);
        }
        for (first, next) in sent_at.iter().zip(&sent_at[100..]) {
            assert!(*next - *first > Duration::from_secs(1), "101 in a second");
        }
        assert!(sent_at.len() > 970, "{}", sent_at.len());
    }

    /// Requests for a minute, 100 a second at most, to somebody 20 ms away who lets `quota` through
    /// in any second, each up to `jitter` longer on its way: how many were let through, and how
    /// many refused.
    fn sent_with(jitter: Duration, quota: usize) -> (usize, usize) {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(100.0, start);
        let mut random = 7_u64;
        // Those that are on their way, by when they come in, with a number of their own; answers,
        // by when they are back.
        let mut on_the_way: BTreeSet<(Instant, usize, Instant)> = BTreeSet::new();
        let mut answers: BTreeSet<(Instant, usize, Instant, bool)> = BTreeSet::new();
        let mut let_through: VecDeque<Instant> = VecDeque::new();
        let (mut sent, mut all, mut refused) = (0, 0, 0);
        let mut now = start;
        while now < start + Duration::from_secs(60) {
            while let Some(first) = on_the_way.first().copied().filter(|first| first.0 <= now) {
                on_the_way.pop_first();
                let (came, number, sent_at) = first;
                while let_through.front().is_some_and(|at| *at + Duration::from_secs(1) <= came) {
                    let_through.pop_front();
                }
                let is_good = let_through.len() < quota;
                if is_good {
                    let_through.push_back(came);
                    all += 1;
                } else {
                    refused += 1;
                }
                answers.insert((came + Duration::from_millis(20), number, sent_at, is_good));
            }
            while let Some(first) = answers.first().copied().filter(|first| first.0 <= now) {
                answers.pop_first();
                let (_, _, sent_at, is_good) = first;
                match is_good {
                    true => limiter.accepted(sent_at),
                    false => {
                        limiter.refused(sent_at, now, Duration::from_millis(20));
                    }
                }
            }
            while limiter.ready_at() <= now {
                limiter.take(now);
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let longer = jitter.mul_f64((random >> 33) as f64 / f64::from(u32::MAX >> 1));
                on_the_way.insert((now + Duration::from_millis(20) + longer, sent, now));
                sent += 1;
            }
            now += Duration::from_millis(1);
        }
        (all, refused)
    }

    #[test]
    fn how_much_faster_a_request_can_be_than_another_is_learned() {
        for (jitter, least) in [(0, 98), (5, 98), (20, 96), (40, 95), (80, 92)] {
            let (all, refused) = sent_with(Duration::from_millis(jitter), 100);
            assert!(all / 60 >= least, "{jitter} ms: {} in a second", all / 60);
            assert!(refused * 200 <= all, "{jitter} ms: {refused} of {all} refused");
        }
    }

    #[test]
    fn what_is_refused_for_a_time_is_not_taken_for_jitter() {
        let (start, wait) = (Instant::now(), Duration::from_millis(20));
        let mut limiter = RateLimiter::new(100.0, start);
        let mut now = start;
        // Two seconds of every twenty, for an hour: the requests in flight, then one at a time.
        for _ in 0..180 {
            for _ in 0..4 {
                limiter.refused(now, now + wait, wait);
            }
            for _ in 0..3 {
                now += Duration::from_millis(500);
                limiter.refused(now, now, wait);
            }
            assert_eq!(limiter.window, RateLimiter::WINDOW);
            for _ in 0..1800 {
                now += Duration::from_millis(10);
                limiter.accepted(now);
            }
            assert_eq!(limiter.rate, 100.0);
        }
    }

    #[test]
    fn a_quota_that_is_less_than_said_is_found() {
        for quota in [50, 90] {
            let (all, refused) = sent_with(Duration::from_millis(10), quota);
            assert!(all / 60 >= quota * 85 / 100, "{quota}: {} in a second", all / 60);
            assert!(refused * 20 <= all, "{quota}: {refused} of {all} refused");
        }
    }
}
