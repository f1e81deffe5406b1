//! How many pulls at once and how fast.
//!
//! Pure: fed with what happened and the time, it says when the next pull may start. Knows nothing
//! of the crate.

use std::time::Duration;

use tokio::time::Instant;

/// What a pull came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As many events as one answer holds: there are more.
    Full,
    /// Some events.
    Some,
    /// The queue was empty.
    Empty,
    /// Refused for its rate: none starts for this time, and then they are fewer and slower.
    Throttled(Duration),
    /// Failed: none starts for this time, and then one alone.
    Failed(Duration),
}

/// When the next pull may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once.
    Now,
    /// Not before this moment.
    At(Instant),
    /// Not before one of those in flight has ended.
    AfterAnother,
}

/// The bounds within which the pace adapts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The least time between the starts of two pulls that found nothing.
    pub interval: Duration,
    /// Pulls in flight at most.
    pub max_concurrency: usize,
    /// Pulls a second at most.
    pub max_rate: f64,
}

/// The pace of pulling.
#[derive(Debug)]
pub struct Pace {
    bounds: Bounds,
    bucket: Bucket,
    concurrency: usize,
    in_flight: usize,
    not_before: Option<Instant>,
}

impl Pace {
    /// The pace at the start: one pull at a time.
    #[must_use]
    pub fn new(bounds: Bounds, now: Instant) -> Self {
        let bucket = Bucket::new(bounds.max_rate, now);
        Self { bounds, bucket, concurrency: 1, in_flight: 0, not_before: None }
    }

    /// When the next pull may start.
    #[must_use]
    pub fn next(&self, now: Instant) -> Next {
        if self.in_flight >= self.concurrency {
            return Next::AfterAnother;
        }
        let at = self.bucket.ready_at().max(self.not_before.unwrap_or(now));
        if at <= now { Next::Now } else { Next::At(at) }
    }

    /// A pull starts.
    pub fn started(&mut self, now: Instant) {
        self.bucket.take(now);
        self.in_flight += 1;
    }

    /// The pull that started at `started` has ended.
    pub fn finished(&mut self, started: Instant, now: Instant, outcome: Outcome) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match outcome {
            Outcome::Full => {
                self.concurrency = (self.concurrency + 1).min(self.bounds.max_concurrency);
                self.bucket.speed_up(self.bounds.max_rate);
            }
            Outcome::Some => self.concurrency = self.concurrency.saturating_sub(1).max(1),
            Outcome::Empty => {
                self.concurrency = 1;
                self.hold(started + self.bounds.interval);
            }
            Outcome::Throttled(wait) => {
                self.concurrency = (self.concurrency / 2).max(1);
                self.bucket.slow_down();
                self.hold(now + wait);
            }
            Outcome::Failed(wait) => {
                self.concurrency = 1;
                self.hold(now + wait);
            }
        }
    }

    /// Keeps within other bounds from now on. Only the rate holds up the next pull: a wait by the
    /// bounds before may be long.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.concurrency = self.concurrency.min(bounds.max_concurrency);
        self.bucket.set_max(self.bounds.max_rate, bounds.max_rate);
        self.bounds = bounds;
        self.retry_now();
    }

    /// What made pulls fail may have been mended: only the rate holds up the next one.
    pub fn retry_now(&mut self) {
        self.not_before = None;
    }

    /// Pulls in flight at most, as of now.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// Pulls a second at most, as of now.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.bucket.rate
    }

    /// Pulls in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn hold(&mut self, until: Instant) {
        self.not_before = self.not_before.max(Some(until));
    }
}

/// A rate limit that spaces requests evenly: a request that comes late leaves its place to the
/// next, but no more than [`Bucket::BURST`] of them ever go at once, so that neither a fixed nor
/// a sliding window at the other end is overrun by more than that.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: f64,
    /// When the next request would be due if all came on time.
    due: Instant,
}

impl Bucket {
    /// Requests that may go at once after a pause.
    const BURST: u32 = 3;
    /// The rate is never cut below this.
    const MIN_RATE: f64 = 1.0;

    /// A bucket for `rate` requests a second.
    #[must_use]
    pub fn new(rate: f64, now: Instant) -> Self {
        Self { rate: rate.max(Self::MIN_RATE), due: now }
    }

    /// When the next request may go.
    #[must_use]
    pub fn ready_at(&self) -> Instant {
        self.due.checked_sub(self.space() * (Self::BURST - 1)).unwrap_or(self.due)
    }

    /// A request goes.
    pub fn take(&mut self, now: Instant) {
        self.due = self.due.max(now) + self.space();
    }

    /// Cuts the rate after a refusal.
    pub fn slow_down(&mut self) {
        self.rate = (self.rate * 0.8).max(Self::MIN_RATE);
    }

    /// Raises the rate again by a hundredth of `max`.
    pub fn speed_up(&mut self, max: f64) {
        self.rate = (self.rate + max / 100.0).min(max.max(Self::MIN_RATE));
    }

    /// The most changes from `before` to `after`: a rate that was cut by refusals stays cut.
    pub fn set_max(&mut self, before: f64, after: f64) {
        let is_cut = self.rate < before;
        self.rate = if is_cut { self.rate.min(after) } else { after }.max(Self::MIN_RATE);
    }

    fn space(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { interval: Duration::from_secs(1), max_concurrency: 4, max_rate: 100.0 };

    fn pull(pace: &mut Pace, now: Instant, outcome: Outcome) {
        pace.started(now);
        pace.finished(now, now, outcome);
    }

    #[test]
    fn full_answers_widen_and_an_empty_one_narrows_to_one() {
        let now = Instant::now();
        let mut pace = Pace::new(BOUNDS, now);
        for concurrency in [2, 3, 4, 4] {
            pull(&mut pace, now, Outcome::Full);
            assert_eq!(pace.concurrency(), concurrency);
        }
        let later = now + Duration::from_secs(1);
        pace.started(later);
        pace.started(later);
        pace.finished(later, later, Outcome::Empty);
        assert_eq!(pace.next(later + BOUNDS.interval), Next::AfterAnother);
        pace.finished(later, later, Outcome::Full);
        assert_eq!(pace.next(later), Next::At(later + BOUNDS.interval));
    }

    #[test]
    fn an_empty_answer_that_was_held_long_is_followed_at_once() {
        let now = Instant::now();
        let mut pace = Pace::new(BOUNDS, now);
        pace.started(now);
        let answered = now + Duration::from_secs(5);
        pace.finished(now, answered, Outcome::Empty);
        assert_eq!(pace.next(answered), Next::Now);
    }

    #[test]
    fn every_failure_waits() {
        let (now, wait) = (Instant::now(), Duration::from_secs(7));
        for outcome in [Outcome::Throttled(wait), Outcome::Failed(wait)] {
            let mut pace = Pace::new(BOUNDS, now);
            (0..3).for_each(|_| pull(&mut pace, now, Outcome::Full));
            pull(&mut pace, now, outcome);
            assert_eq!(pace.next(now), Next::At(now + wait), "{outcome:?}");
            // A good answer that was under way meanwhile does not shorten the wait.
            pull(&mut pace, now, Outcome::Full);
            assert_eq!(pace.next(now), Next::At(now + wait), "{outcome:?}");
            assert!(pace.concurrency() <= 3, "{outcome:?}");
        }
    }

    #[test]
    fn what_may_have_been_mended_is_tried_as_soon_as_the_rate_allows() {
        let now = Instant::now();
        let mut pace = Pace::new(BOUNDS, now);
        for _ in 0..3 {
            pull(&mut pace, now, Outcome::Failed(Duration::from_secs(60)));
            pace.retry_now();
        }
        assert_eq!(pace.next(now), Next::At(now + Duration::from_millis(10)));
    }

    #[test]
    fn the_rate_is_neither_overrun_nor_wasted() {
        let start = Instant::now();
        let mut bucket = Bucket::new(100.0, start);
        let mut now = start;
        let mut taken = 0;
        // A clock that ticks each 1 ms and wakes up to 3 ms late.
        while now < start + Duration::from_secs(10) {
            while bucket.ready_at() <= now {
                bucket.take(now);
                taken += 1;
            }
            now += Duration::from_millis(1 + taken % 4);
        }
        assert!((1000..=1000 + 3).contains(&taken), "{taken}");
    }

    #[test]
    fn refusals_slow_down_and_full_answers_speed_up_again() {
        let now = Instant::now();
        let mut pace = Pace::new(BOUNDS, now);
        pull(&mut pace, now, Outcome::Throttled(Duration::ZERO));
        assert!((pace.rate() - 80.0).abs() < 0.01);
        (0..30).for_each(|_| pull(&mut pace, now, Outcome::Full));
        assert!((pace.rate() - 100.0).abs() < 0.01);
    }
}
