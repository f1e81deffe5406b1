//! How many pulls at once and how fast.
//!
//! Pure: fed with what happened and the time, it says when the next pull may start. Knows nothing
//! of the crate.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What a pull came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullOutcome {
    /// At least half as many events as an answer can hold: there may be more.
    Many,
    /// Fewer: those in flight at once share what comes.
    Few,
    /// The queue was empty.
    Empty,
    /// Refused for its rate: none starts for this time, and then they are fewer and slower.
    Throttled(Duration),
    /// Failed: none starts for this time, and then one alone.
    Failed(Duration),
}

/// When the next pull may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextPull {
    /// At once, from the queue with this number.
    Now(usize),
    /// Not before this moment.
    At(Instant),
    /// Not before one of those in flight has ended.
    AfterAnother,
}

/// The bounds within which the pace adapts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PullLimits {
    /// The least time between the starts of two pulls that found nothing in a queue.
    pub interval: Duration,
    /// Pulls in flight at most, from one queue.
    pub max_concurrency: usize,
    /// Pulls a second at most, from all queues together.
    pub max_rate: f64,
}

/// The pace of pulling from queues, numbered from 0, that share one rate: each adapts for itself,
/// and those that could pull take turns. What a quiet one leaves, a busy one uses.
#[derive(Debug)]
pub struct PullScheduler {
    bounds: PullLimits,
    bucket: RateLimiter,
    queues: Vec<Queue>,
    /// The queue whose turn it is, if it can pull.
    turn: usize,
}

#[derive(Clone, Debug)]
struct Queue {
    concurrency: usize,
    in_flight: usize,
    not_before: Option<Instant>,
    /// Until when its pulls go alone.
    alone_until: Option<Instant>,
    /// Whether the one in flight does.
    goes_alone: bool,
    /// When the last one started.
    last_start: Option<Instant>,
    /// The least time from then to the next.
    pause: Option<Duration>,
}

impl PullScheduler {
    /// The pace at the start: one pull at a time from each of `queues` queues.
    #[must_use]
    pub fn new(bounds: PullLimits, queues: usize, now: Instant) -> Self {
        let bucket = RateLimiter::new(bounds.max_rate, now);
        let queue = Queue {
            concurrency: 1,
            in_flight: 0,
            not_before: None,
            alone_until: None,
            goes_alone: false,
            last_start: None,
            pause: None,
        };
        Self { bounds, bucket, queues: vec![queue; queues], turn: 0 }
    }

    /// When the next pull may start.
    #[must_use]
    pub fn next(&self, now: Instant) -> NextPull {
        if self.bucket.is_refused() && self.queues.iter().any(|queue| queue.in_flight > 0) {
            return NextPull::AfterAnother;
        }
        let ready_at = self.bucket.ready_at();
        let in_turn = (self.turn..self.queues.len()).chain(0..self.turn);
        let soonest = in_turn
            .filter_map(|number| Some((number, self.queues.get(number)?)))
            .filter(|(_, queue)| self.has_room(queue, now))
            .map(|(number, queue)| (ready_at.max(queue.ready_at(now)), number))
            .min_by_key(|(at, _)| *at);
        match soonest {
            None => NextPull::AfterAnother,
            Some((at, number)) if at <= now => NextPull::Now(number),
            Some((at, _)) => NextPull::At(at),
        }
    }

    fn has_room(&self, queue: &Queue, now: Instant) -> bool {
        match queue.is_alone(now) {
            true => queue.in_flight == 0 && !self.queues.iter().any(|other| other.goes_alone),
            false => queue.in_flight < queue.concurrency && !queue.goes_alone,
        }
    }

    /// A pull from `queue` starts. Tells whether it goes alone.
    pub fn started(&mut self, queue: usize, now: Instant) -> bool {
        self.bucket.take(now);
        self.turn = (queue + 1) % self.queues.len().max(1);
        let Some(queue) = self.queues.get_mut(queue) else { return false };
        queue.in_flight += 1;
        queue.last_start = Some(now);
        queue.goes_alone = queue.is_alone(now);
        queue.goes_alone
    }

    /// Pulls from `queue` that start before `until` go alone: none beside it from this queue, and of
    /// such pulls none from another. Those from other queues go on: what goes alone may take much
    /// memory, but not more than this queue's pulls side by side may.
    pub fn go_alone(&mut self, queue: usize, until: Instant) {
        let Some(queue) = self.queues.get_mut(queue) else { return };
        queue.concurrency = 1;
        queue.alone_until = queue.alone_until.max(Some(until));
    }

    /// Pulls from `queue` start at least so far apart, whatever they find; `None`: only the rate and
    /// what they find hold them up.
    pub fn set_pause(&mut self, queue: usize, pause: Option<Duration>) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.pause = pause;
        }
    }

    /// The pull from `queue` that started at `started` has ended.
    pub fn finished(&mut self, queue: usize, started: Instant, now: Instant, outcome: PullOutcome) {
        let PullLimits { interval, max_concurrency, .. } = self.bounds;
        let Some(queue) = self.queues.get_mut(queue) else { return };
        let all_in_flight = queue.in_flight >= queue.concurrency;
        queue.in_flight = queue.in_flight.saturating_sub(1);
        let is_alone = std::mem::take(&mut queue.goes_alone) || queue.is_alone(now);
        if !matches!(outcome, PullOutcome::Throttled(_) | PullOutcome::Failed(_)) {
            self.bucket.accepted(started);
        }
        match outcome {
            // Only where it held a pull up: else there would be room for many at once as soon as
            // the queue is empty and holds them.
            PullOutcome::Many if all_in_flight && !is_alone => {
                queue.concurrency = (queue.concurrency + 1).min(max_concurrency);
            }
            PullOutcome::Many => {}
            PullOutcome::Few => queue.concurrency = queue.concurrency.saturating_sub(1).max(1),
            PullOutcome::Empty => {
                queue.concurrency = 1;
                queue.hold(started + interval);
            }
            PullOutcome::Throttled(wait) => {
                if self.bucket.refused(started, now, wait) && self.bucket.is_refused() {
                    queue.concurrency = (queue.concurrency / 2).max(1);
                }
            }
            PullOutcome::Failed(wait) => {
                queue.concurrency = 1;
                queue.hold(now + wait);
            }
        }
    }

    /// Keeps within other bounds from now on. Only the rate holds up the next pull: a wait by the
    /// bounds before may be long.
    pub fn set_bounds(&mut self, bounds: PullLimits) {
        for queue in &mut self.queues {
            queue.concurrency = queue.concurrency.min(bounds.max_concurrency);
        }
        self.bucket.set_max(bounds.max_rate);
        self.bounds = bounds;
        self.retry_now();
    }

    /// What made pulls fail may have been mended: only the rate holds up the next one.
    pub fn retry_now(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.not_before = None);
    }

    /// Pulls in flight at most, as of now.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.queues.iter().map(|queue| queue.concurrency).sum()
    }

    /// Pulls a second at most, as of now.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let rate = 1.0 / self.bucket.interval().as_secs_f64();
        let rate_of = |queue: &Queue| queue.pause.map_or(rate, |pause| 1.0 / pause.as_secs_f64());
        self.queues.iter().map(rate_of).sum::<f64>().min(rate)
    }

    /// Pulls a second at most.
    #[must_use]
    pub fn max_rate(&self) -> f64 {
        self.bounds.max_rate
    }

    /// Pulls in flight from `queue`.
    #[must_use]
    pub fn in_flight(&self, queue: usize) -> usize {
        self.queues.get(queue).map_or(0, |queue| queue.in_flight)
    }
}

impl Queue {
    fn is_alone(&self, now: Instant) -> bool {
        self.alone_until.is_some_and(|until| now < until)
    }

    /// When its next pull may start, but for the rate.
    fn ready_at(&self, now: Instant) -> Instant {
        let paused_until = self.last_start.zip(self.pause).map(|(last, pause)| last + pause);
        [self.not_before, paused_until].into_iter().flatten().fold(now, Instant::max)
    }

    fn hold(&mut self, until: Instant) {
        self.not_before = self.not_before.max(Some(until));
    }
}

/// A rate limit that neither wastes a quota nor runs over it, whatever the window by which the
/// other end counts: requests are spaced evenly, those that come late catch up within
/// [`Bucket::BURST`], and no span of a second ever holds more than the rate.
///
/// At the other end one can: a request that is faster on its way than one a second before comes
/// too close to it. How much faster they can be is learned from what is refused for it. A refusal
/// holds all requests for a time. Where one soon follows another it is no matter of the way, and the
/// rate is cut; after a second one in a row, one request at a time finds out whether it is over.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    /// Requests a second, as of now and at most.
    rate: f64,
    max: f64,
    /// The time in which no more requests go than the rate allows in a second: that, and by how much
    /// one may be faster on its way than another.
    window: Duration,
    /// When the next request would be due if all came on time.
    due: Instant,
    /// When the last requests went, as many as go in a second.
    gone: VecDeque<Instant>,
    /// Refused since the last one that was accepted.
    refusals: u32,
    /// Accepted since the last one that was refused.
    accepted: usize,
    /// The window as it was before the last refusal, if that was taken for jitter.
    narrower: Option<Duration>,
    /// When the last refusal came in, and until when it holds.
    refused: Option<(Instant, Instant)>,
}

impl RateLimiter {
    /// Requests that may go at once after a pause.
    const BURST: u32 = 5;
    /// The rate is never cut below this.
    const MIN_RATE: f64 = 1.0;
    /// The window at first, and at least.
    const WINDOW: Duration = Duration::from_millis(1010);
    /// The window at most: what is refused even then is refused for the rate.
    const MAX_WINDOW: Duration = Duration::from_millis(1100);
    /// What a request that was refused adds to it,
    const WIDER: Duration = Duration::from_millis(10);
    /// and one that was not takes away. One of 500 may be refused for other reasons.
    const NARROWER: Duration = Duration::from_micros(20);

    /// A bucket for `rate` requests a second.
    #[must_use]
    pub fn new(rate: f64, now: Instant) -> Self {
        let max = rate.max(Self::MIN_RATE);
        let (window, gone) = (Self::WINDOW, VecDeque::new());
        Self {
            rate: max,
            max,
            window,
            due: now,
            gone,
            refusals: 0,
            accepted: 0,
            narrower: None,
            refused: None,
        }
    }

    /// When the next request may go.
    #[must_use]
    pub fn ready_at(&self) -> Instant {
        let spaced = self.due.checked_sub(self.interval() * (Self::BURST - 1)).unwrap_or(self.due);
        let last = self.gone.len().checked_sub(self.in_a_second());
        let room = last.and_then(|last| self.gone.get(last)).map(|gone| *gone + self.window);
        let held = self.refused.map(|(_, until)| until);
        [room, held].into_iter().flatten().fold(spaced, Instant::max)
    }

    /// A request goes.
    pub fn take(&mut self, now: Instant) {
        self.due = self.due.max(now) + self.interval();
        self.gone.push_back(now);
        while self.gone.len() > self.in_a_second() {
            self.gone.pop_front();
        }
    }

    /// The request that went at `gone` was refused, for a rate that is too high: none goes for
    /// `wait`. Tells whether this is news: those that were in flight with another that was
    /// refused are refused with it.
    pub fn refused(&mut self, gone: Instant, now: Instant, wait: Duration) -> bool {
        if self.refused.is_some_and(|(last, _)| gone < last) {
            return false;
        }
        self.refusals += 1;
        // A rate that is too high does not come back to the most, nor is it refused so seldom.
        let may_be_jitter = self.rate >= self.max
            && self.accepted >= self.in_a_second() / 2
            && self.window < Self::MAX_WINDOW;
        self.accepted = 0;
        // What lasts is cut once more, but no further: it may be no matter of the rate.
        let cut = match (self.refusals, self.narrower.take()) {
            (1, _) if may_be_jitter => {
                self.narrower = Some(self.window);
                self.window = (self.window + Self::WIDER).min(Self::MAX_WINDOW);
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

    /// The request that went at `gone` was not refused: the rate rises by a thousandth of the most, up
    /// to that.
    pub fn accepted(&mut self, gone: Instant) {
        // One from before a refusal tells nothing of what came after.
        if self.refused.is_some_and(|(last, _)| gone < last) {
            return;
        }
        self.refusals = 0;
        self.accepted = self.accepted.saturating_add(1);
        self.window = (self.window - Self::NARROWER).max(Self::WINDOW);
        self.rate = (self.rate + self.max / 1000.0).min(self.max);
    }

    /// Whether one request after the other was refused: one at a time is to go.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refusals > 1
    }

    /// Refusals in a row.
    #[must_use]
    pub fn refusals(&self) -> u32 {
        self.refusals
    }

    fn in_a_second(&self) -> usize {
        self.rate as usize
    }

    /// The most changes to `max`: a rate that was cut by refusals stays cut.
    pub fn set_max(&mut self, max: f64) {
        let is_cut = self.rate < self.max;
        self.max = max.max(Self::MIN_RATE);
        self.rate = if is_cut { self.rate.min(self.max) } else { self.max };
    }

    fn interval(&self) -> Duration {
        self.window.div_f64(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const BOUNDS: PullLimits =
        PullLimits { interval: Duration::from_secs(1), max_concurrency: 4, max_rate: 100.0 };

    /// As many pulls in flight as may be, all of them full, until there are four at once.
    fn widen(pace: &mut PullScheduler, now: Instant) {
        assert_eq!(pace.concurrency(), 1);
        widen_queue(pace, 0, now);
        assert_eq!(pace.concurrency(), 4);
    }

    fn widen_queue(pace: &mut PullScheduler, queue: usize, now: Instant) {
        for concurrency in [1, 2, 3] {
            assert_eq!(pace.queues[queue].concurrency, concurrency);
            (0..concurrency).for_each(|_| {
                pace.started(queue, now);
            });
            (0..concurrency).for_each(|_| pace.finished(queue, now, now, PullOutcome::Many));
        }
    }

    fn pull(pace: &mut PullScheduler, now: Instant, outcome: PullOutcome) {
        pace.started(0, now);
        pace.finished(0, now, now, outcome);
    }

    #[test]
    fn other_bounds_hold_at_once_and_lift_no_cut() {
        let now = Instant::now();
        let mut pace = PullScheduler::new(BOUNDS, 1, now);
        widen(&mut pace, now);
        pace.set_bounds(PullLimits { max_concurrency: 2, max_rate: 50.0, ..BOUNDS });
        assert_eq!((pace.concurrency(), pace.bucket.rate), (2, 50.0));
        pace.set_bounds(PullLimits { max_concurrency: 8, ..BOUNDS });
        assert_eq!((pace.concurrency(), pace.bucket.rate), (2, 100.0), "more only as it is needed");
        let mut bucket = RateLimiter::new(100.0, now);
        bucket.take(now);
        assert!(bucket.refused(now, now, Duration::ZERO));
        let cut = bucket.rate;
        assert!(cut < 100.0);
        bucket.set_max(200.0);
        assert_eq!(bucket.rate, cut);
        bucket.set_max(20.0);
        assert_eq!(bucket.rate, 20.0);
    }

    #[test]
    fn full_answers_widen_and_an_empty_one_narrows_to_one() {
        let now = Instant::now();
        let mut pace = PullScheduler::new(BOUNDS, 1, now);
        widen(&mut pace, now);
        // More room than is used is not made.
        pull(&mut pace, now, PullOutcome::Many);
        assert_eq!(pace.concurrency(), 4);
        let later = now + Duration::from_secs(1);
        pace.started(0, later);
        pace.started(0, later);
        pace.finished(0, later, later, PullOutcome::Empty);
        assert_eq!(pace.next(later + BOUNDS.interval), NextPull::AfterAnother);
        pace.finished(0, later, later, PullOutcome::Many);
        assert_eq!(pace.next(later), NextPull::At(later + BOUNDS.interval));
    }

    #[test]
    fn an_empty_answer_that_was_held_long_is_followed_at_once() {
        let now = Instant::now();
        let mut pace = PullScheduler::new(BOUNDS, 1, now);
        pace.started(0, now);
        let answered = now + Duration::from_secs(5);
        pace.finished(0, now, answered, PullOutcome::Empty);
        assert_eq!(pace.next(answered), NextPull::Now(0));
    }

    #[test]
    fn every_failure_waits() {
        let (now, wait) = (Instant::now(), Duration::from_secs(7));
        for outcome in [PullOutcome::Throttled(wait), PullOutcome::Failed(wait)] {
            let mut pace = PullScheduler::new(BOUNDS, 1, now);
            (0..3).for_each(|_| pull(&mut pace, now, PullOutcome::Many));
            pull(&mut pace, now, outcome);
            assert_eq!(pace.next(now), NextPull::At(now + wait), "{outcome:?}");
            // A good answer that was under way meanwhile does not shorten the wait.
            pull(&mut pace, now, PullOutcome::Many);
            assert_eq!(pace.next(now), NextPull::At(now + wait), "{outcome:?}");
            assert!(pace.concurrency() <= 3, "{outcome:?}");
        }
    }

    #[test]
    fn after_a_failure_one_alone_finds_out_whether_it_is_over() {
        let (start, wait) = (Instant::now(), Duration::from_secs(7));
        let mut pace = PullScheduler::new(BOUNDS, 1, start);
        widen(&mut pace, start);
        let now = start + Duration::from_secs(2);
        (0..4).for_each(|_| {
            pace.started(0, now);
        });
        pace.finished(0, now, now, PullOutcome::Failed(wait));
        let later = now + wait;
        assert_eq!(pace.next(later), NextPull::AfterAnother, "three are still under way");
        (0..3).for_each(|_| pace.finished(0, now, now, PullOutcome::Failed(wait)));
        assert_eq!(pace.next(later), NextPull::Now(0));
        pace.started(0, later);
        assert_eq!(pace.next(later), NextPull::AfterAnother, "one at a time");
        pace.finished(0, later, later, PullOutcome::Failed(wait));
        assert_eq!(pace.next(later), NextPull::At(later + wait));
        // It may have been mended: one again, not as many as there were.
        pace.retry_now();
        pace.started(0, later);
        assert_eq!(pace.next(later + wait), NextPull::AfterAnother, "one at a time");
    }

    #[test]
    fn what_goes_alone_has_nothing_beside_it_in_its_queue_and_nothing_alone_in_another() {
        let start = Instant::now();
        let mut pace = PullScheduler::new(BOUNDS, 3, start);
        widen_queue(&mut pace, 0, start);
        let now = start + Duration::from_secs(2);
        assert!(!pace.started(0, now) && !pace.started(0, now));
        let until = now + Duration::from_secs(45);
        pace.go_alone(0, until);
        pace.go_alone(1, until);
        pace.go_alone(1, now);
        // The first has two in flight that were started before.
        let next = |pace: &PullScheduler, at| match pace.next(at) {
            NextPull::Now(queue) => Some(queue),
            _ => None,
        };
        assert_eq!(next(&pace, now), Some(1));
        assert!(pace.started(1, now), "an earlier end does not take back a later one");
        assert_eq!(next(&pace, now), Some(2), "another queue goes on");
        assert!(!pace.started(2, now));
        assert_eq!(next(&pace, now), None);
        pace.finished(0, now, now, PullOutcome::Many);
        pace.finished(0, now, now, PullOutcome::Many);
        assert_eq!(next(&pace, now), None, "one that goes alone is in flight");
        // It stays so when the time is over before it ends.
        assert_eq!(next(&pace, until), Some(0));
        pace.finished(1, now, now, PullOutcome::Many);
        assert_eq!(pace.next(now), NextPull::Now(0));
        assert!(pace.started(0, now));
        assert_eq!(next(&pace, now), None);
        pace.finished(0, now, now, PullOutcome::Many);
        assert_eq!(pace.concurrency(), 3, "what goes alone makes no room");
        // Over: as after a failure it widens anew.
        let later = until + Duration::from_secs(1);
        assert_eq!(pace.next(later), NextPull::Now(1));
        assert!(!pace.started(1, later));
        assert!(!pace.started(0, later));
        pace.finished(0, later, later, PullOutcome::Many);
        assert!(!pace.started(0, later) && !pace.started(0, later));
    }

    #[test]
    fn what_may_have_been_mended_is_tried_as_soon_as_the_rate_allows() {
        let now = Instant::now();
        let mut pace = PullScheduler::new(BOUNDS, 1, now);
        for _ in 0..RateLimiter::BURST {
            pull(&mut pace, now, PullOutcome::Failed(Duration::from_secs(60)));
            pace.retry_now();
        }
        let space = RateLimiter::WINDOW / 100;
        assert_eq!(pace.next(now), NextPull::At(now + space));
    }

    #[test]
    fn the_rate_is_neither_overrun_nor_wasted() {
        let start = Instant::now();
        let mut bucket = RateLimiter::new(100.0, start);
        let mut now = start;
        let mut gone = Vec::new();
        // A clock that ticks each 1 ms and wakes up to 3 ms late, and once a second 60 ms.
        while now < start + Duration::from_secs(10) {
            while bucket.ready_at() <= now {
                bucket.take(now);
                gone.push(now);
            }
            let late = if gone.len() % 99 == 0 { 60 } else { gone.len() as u64 % 4 };
            now += Duration::from_millis(1 + late);
        }
        for (first, next) in gone.iter().zip(&gone[100..]) {
            assert!(*next - *first > Duration::from_secs(1), "101 in a second");
        }
        assert!(gone.len() > 970, "{}", gone.len());
    }

    /// Requests for a minute, 100 a second at most, to somebody 20 ms away who lets `quota` through in
    /// any second, each up to `jitter` longer on its way: how many were let through, and how many
    /// refused.
    fn sent_with(jitter: Duration, quota: usize) -> (usize, usize) {
        let start = Instant::now();
        let mut bucket = RateLimiter::new(100.0, start);
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
                let (came, number, gone) = first;
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
                answers.insert((came + Duration::from_millis(20), number, gone, is_good));
            }
            while let Some(first) = answers.first().copied().filter(|first| first.0 <= now) {
                answers.pop_first();
                let (_, _, gone, is_good) = first;
                match is_good {
                    true => bucket.accepted(gone),
                    false => {
                        bucket.refused(gone, now, Duration::from_millis(20));
                    }
                }
            }
            while bucket.ready_at() <= now {
                bucket.take(now);
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
        let mut bucket = RateLimiter::new(100.0, start);
        let mut now = start;
        // Two seconds of every twenty, for an hour: the requests in flight, then one at a time.
        for _ in 0..180 {
            for _ in 0..4 {
                bucket.refused(now, now + wait, wait);
            }
            for _ in 0..3 {
                now += Duration::from_millis(500);
                bucket.refused(now, now, wait);
            }
            assert_eq!(bucket.window, RateLimiter::WINDOW);
            for _ in 0..1800 {
                now += Duration::from_millis(10);
                bucket.accepted(now);
            }
            assert_eq!(bucket.rate, 100.0);
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

    #[test]
    fn refused_together_is_refused_once_and_one_alone_finds_out_when_it_is_over() {
        let (start, wait) = (Instant::now(), Duration::from_millis(100));
        let mut pace = PullScheduler::new(BOUNDS, 1, start);
        widen(&mut pace, start);
        let gone = start + Duration::from_secs(2);
        (0..4).for_each(|_| {
            pace.started(0, gone);
        });
        let refused = gone + Duration::from_millis(40);
        (0..4).for_each(|_| pace.finished(0, gone, refused, PullOutcome::Throttled(wait)));
        // One may have been faster on its way than another.
        assert_eq!((pace.rate().round(), pace.concurrency()), (89.0, 4));
        assert_eq!(pace.next(refused), NextPull::At(refused + wait));

        let mut probe = refused;
        for rate in [89.0, 71.0, 71.0] {
            probe += wait;
            assert_eq!(pace.next(probe), NextPull::Now(0));
            pace.started(0, probe);
            pace.finished(0, probe, probe, PullOutcome::Throttled(wait));
            assert_eq!(pace.rate().round(), rate);
        }
        probe += wait;
        pace.started(0, probe);
        assert_eq!(pace.next(probe + wait), NextPull::AfterAnother);
        pace.finished(0, probe, probe, PullOutcome::Many);
        for turn in 1..300 {
            let now = probe + Duration::from_millis(20 * turn);
            assert_eq!(pace.next(now), NextPull::Now(0));
            pull(&mut pace, now, PullOutcome::Many);
        }
        assert_eq!(pace.rate().round(), 99.0);
    }

    /// Pulls as the pace allows for `seconds`, from queues that are never empty but for those in
    /// `quiet`, each pull taking 40 ms; how often from each.
    fn pulls_by_queue(pace: &mut PullScheduler, seconds: u64, quiet: &[usize]) -> Vec<usize> {
        let start = Instant::now();
        let mut counts = vec![0; pace.queues.len()];
        let mut in_flight: VecDeque<(Instant, usize)> = VecDeque::new();
        let mut now = start;
        while now < start + Duration::from_secs(seconds) {
            while let Some((gone, queue)) = in_flight.front().copied()
                && gone + Duration::from_millis(40) <= now
            {
                in_flight.pop_front();
                let outcome =
                    if quiet.contains(&queue) { PullOutcome::Empty } else { PullOutcome::Many };
                pace.finished(queue, gone, now, outcome);
            }
            while let NextPull::Now(queue) = pace.next(now) {
                pace.started(queue, now);
                in_flight.push_back((now, queue));
                counts[queue] += 1;
            }
            now += Duration::from_millis(1);
        }
        counts
    }

    #[test]
    fn queues_share_the_rate_evenly_and_what_one_leaves_another_uses() {
        let bounds = PullLimits { max_concurrency: 32, max_rate: 20.0, ..BOUNDS };
        let mut pace = PullScheduler::new(bounds, 3, Instant::now());
        let counts = pulls_by_queue(&mut pace, 10, &[]);
        let all: usize = counts.iter().sum();
        assert!((195..=205).contains(&all), "{counts:?}");
        assert!(counts.iter().all(|count| all / 3 - count.min(&(all / 3)) <= 2), "{counts:?}");

        let mut pace = PullScheduler::new(bounds, 3, Instant::now());
        let counts = pulls_by_queue(&mut pace, 10, &[0, 2]);
        assert!((9..=11).contains(&counts[0]) && (9..=11).contains(&counts[2]), "{counts:?}");
        assert!(counts[1] > 170, "{counts:?}");
    }

    #[test]
    fn a_queue_that_fails_holds_up_no_other_and_a_refused_rate_all() {
        let (now, wait) = (Instant::now(), Duration::from_secs(7));
        let mut pace = PullScheduler::new(BOUNDS, 2, now);
        pace.started(0, now);
        pace.finished(0, now, now, PullOutcome::Failed(wait));
        assert_eq!(pace.next(now), NextPull::Now(1));
        pace.started(1, now);
        assert_eq!(pace.next(now), NextPull::At(now + wait));
        pace.finished(1, now, now, PullOutcome::Throttled(wait * 2));
        assert_eq!(pace.next(now), NextPull::At(now + wait * 2));
        let later = now + wait * 2;
        pace.started(0, later);
        pace.finished(0, later, later, PullOutcome::Throttled(wait));
        let later = later + wait;
        assert_eq!(pace.next(later), NextPull::Now(1));
        pace.started(1, later);
        assert_eq!(pace.next(later), NextPull::AfterAnother, "one alone finds out");
    }

    #[test]
    fn a_pause_holds_one_queue_from_start_to_start_and_no_other() {
        let now = Instant::now();
        let at = |millis| now + Duration::from_millis(millis);
        let mut pace = PullScheduler::new(BOUNDS, 2, now);
        pace.set_pause(0, Some(Duration::from_millis(400)));
        assert_eq!(pace.next(now), NextPull::Now(0), "the first does not wait");
        pace.started(0, now);
        pace.finished(0, now, at(50), PullOutcome::Many);
        assert_eq!(pace.next(at(50)), NextPull::Now(1));
        pace.started(1, at(50));
        pace.finished(1, at(50), at(100), PullOutcome::Many);
        assert_eq!(pace.next(at(100)), NextPull::Now(1), "the other goes on");
        pace.started(1, at(100));
        pace.started(1, at(100));
        assert_eq!(pace.next(at(100)), NextPull::At(at(400)));
        assert_eq!(pace.next(at(400)), NextPull::Now(0));
        // However many may be in flight.
        pace.started(0, at(400));
        assert_eq!(pace.next(at(400)), NextPull::At(at(800)));
        pace.set_pause(0, None);
        assert_eq!(pace.next(at(410)), NextPull::Now(0));
    }

    #[test]
    fn the_rate_that_is_told_is_that_of_the_pauses() {
        let now = Instant::now();
        let mut pace = PullScheduler::new(BOUNDS, 2, now);
        let full = pace.rate();
        assert!(full > 98.0 && (pace.max_rate() - 100.0).abs() < 0.1);
        pace.set_pause(0, Some(Duration::from_millis(500)));
        assert!((pace.rate() - full).abs() < 0.1, "the other may have it all");
        pace.set_pause(1, Some(Duration::from_secs(1)));
        assert!((pace.rate() - 3.0).abs() < 0.1);
    }
}
