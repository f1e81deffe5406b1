//! How many pulls at once, and when the next one may start. Pure: the time is passed in.

use std::time::Duration;

use tokio::time::Instant;

use super::rate::RateLimiter;

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

/// The limits within which a [`PullScheduler`] adapts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PullLimits {
    /// The least time between the starts of two pulls that found nothing in a queue.
    pub interval: Duration,
    /// Pulls in flight at most, from one queue.
    pub max_concurrency: usize,
    /// Pulls a second at most, from all queues together.
    pub max_rate: f64,
}

/// Schedules pulls from queues, numbered from 0, that share one rate: each adapts for itself, and
/// those that could pull take turns. What a quiet one leaves, a busy one uses.
#[derive(Debug)]
pub struct PullScheduler {
    limits: PullLimits,
    limiter: RateLimiter,
    queues: Vec<Queue>,
    /// The queue whose turn it is, if it can pull.
    turn: usize,
}

#[derive(Clone, Debug, Default)]
struct Queue {
    concurrency: usize,
    in_flight: usize,
    not_before: Option<Instant>,
    /// Until when its pulls go alone.
    alone_until: Option<Instant>,
    /// Whether the one in flight does.
    goes_alone: bool,
    last_start: Option<Instant>,
    /// The least time from then to the next.
    pause: Option<Duration>,
}

impl PullScheduler {
    /// Returns a scheduler that begins with one pull at a time from each of `queues` queues.
    #[must_use]
    pub fn new(limits: PullLimits, queues: usize, now: Instant) -> Self {
        let limiter = RateLimiter::new(limits.max_rate, now);
        let queue = Queue { concurrency: 1, ..Queue::default() };
        Self { limits, limiter, queues: vec![queue; queues], turn: 0 }
    }

    /// When the next pull may start.
    pub fn next(&self, now: Instant) -> NextPull {
        if self.limiter.is_refused() && self.queues.iter().any(|queue| queue.in_flight > 0) {
            return NextPull::AfterAnother;
        }
        let ready_at = self.limiter.ready_at();
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

    /// A pull from `queue` starts. Returns whether it goes alone.
    pub fn started(&mut self, queue: usize, now: Instant) -> bool {
        self.limiter.take(now);
        self.turn = (queue + 1) % self.queues.len().max(1);
        let Some(queue) = self.queues.get_mut(queue) else { return false };
        queue.in_flight += 1;
        queue.last_start = Some(now);
        queue.goes_alone = queue.is_alone(now);
        queue.goes_alone
    }

    /// Pulls from `queue` that start before `until` go alone: none beside it from this queue, and
    /// of such pulls none from another. Those from other queues go on: what goes alone may take
    /// much memory, but not more than this queue's pulls side by side may.
    pub fn go_alone(&mut self, queue: usize, until: Instant) {
        let Some(queue) = self.queues.get_mut(queue) else { return };
        queue.concurrency = 1;
        queue.alone_until = queue.alone_until.max(Some(until));
    }

    /// Pulls from `queue` start at least so far apart, whatever they find; `None`: only the rate
    /// and what they find hold them up.
    pub fn set_pause(&mut self, queue: usize, pause: Option<Duration>) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.pause = pause;
        }
    }

    /// The pull from `queue` that started at `started` has ended.
    pub fn finished(&mut self, queue: usize, started: Instant, now: Instant, outcome: PullOutcome) {
        let PullLimits { interval, max_concurrency, .. } = self.limits;
        let Some(queue) = self.queues.get_mut(queue) else { return };
        let all_in_flight = queue.in_flight >= queue.concurrency;
        queue.in_flight = queue.in_flight.saturating_sub(1);
        let is_alone = std::mem::take(&mut queue.goes_alone) || queue.is_alone(now);
        if !matches!(outcome, PullOutcome::Throttled(_) | PullOutcome::Failed(_)) {
            self.limiter.accepted(started);
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
                if self.limiter.refused(started, now, wait) && self.limiter.is_refused() {
                    queue.concurrency = (queue.concurrency / 2).max(1);
                }
            }
            PullOutcome::Failed(wait) => {
                queue.concurrency = 1;
                queue.hold(now + wait);
            }
        }
    }

    /// Keeps within other limits from now on. Only the rate holds up the next pull: a wait by the
    /// limits before may be long.
    pub fn set_limits(&mut self, limits: PullLimits) {
        for queue in &mut self.queues {
            queue.concurrency = queue.concurrency.min(limits.max_concurrency);
        }
        self.limiter.set_max(limits.max_rate);
        self.limits = limits;
        self.retry_now();
    }

    /// What made pulls fail may have been mended: only the rate holds up the next one.
    pub fn retry_now(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.not_before = None);
    }

    /// Returns the most pulls in flight, as of now.
    pub fn concurrency(&self) -> usize {
        self.queues.iter().map(|queue| queue.concurrency).sum()
    }

    /// Returns the most pulls a second, as of now.
    pub fn rate(&self) -> f64 {
        let rate = 1.0 / self.limiter.interval().as_secs_f64();
        let rate_of = |queue: &Queue| queue.pause.map_or(rate, |pause| 1.0 / pause.as_secs_f64());
        self.queues.iter().map(rate_of).sum::<f64>().min(rate)
    }

    /// Pulls a second at most.
    pub fn max_rate(&self) -> f64 {
        self.limits.max_rate
    }

    /// Pulls in flight from `queue`.
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const LIMITS: PullLimits =
        PullLimits { interval: Duration::from_secs(1), max_concurrency: 4, max_rate: 100.0 };

    /// As many pulls in flight as may be, all of them full, until there are four at once.
    fn widen(scheduler: &mut PullScheduler, now: Instant) {
        assert_eq!(scheduler.concurrency(), 1);
        widen_queue(scheduler, 0, now);
        assert_eq!(scheduler.concurrency(), 4);
    }

    fn widen_queue(scheduler: &mut PullScheduler, queue: usize, now: Instant) {
        for concurrency in [1, 2, 3] {
            assert_eq!(scheduler.queues[queue].concurrency, concurrency);
            (0..concurrency).for_each(|_| {
                scheduler.started(queue, now);
            });
            (0..concurrency).for_each(|_| scheduler.finished(queue, now, now, PullOutcome::Many));
        }
    }

    fn pull(scheduler: &mut PullScheduler, now: Instant, outcome: PullOutcome) {
        scheduler.started(0, now);
        scheduler.finished(0, now, now, outcome);
    }

    #[test]
    fn other_limits_hold_at_once() {
        let now = Instant::now();
        let mut scheduler = PullScheduler::new(LIMITS, 1, now);
        widen(&mut scheduler, now);
        scheduler.set_limits(PullLimits { max_concurrency: 2, max_rate: 50.0, ..LIMITS });
        assert_eq!((scheduler.concurrency(), scheduler.rate().round()), (2, 50.0));
        scheduler.set_limits(PullLimits { max_concurrency: 8, ..LIMITS });
        assert_eq!(
            (scheduler.concurrency(), scheduler.rate().round()),
            (2, 99.0),
            "more only as it is needed"
        );
    }

    #[test]
    fn full_answers_widen_and_an_empty_one_narrows_to_one() {
        let now = Instant::now();
        let mut scheduler = PullScheduler::new(LIMITS, 1, now);
        widen(&mut scheduler, now);
        // More room than is used is not made.
        pull(&mut scheduler, now, PullOutcome::Many);
        assert_eq!(scheduler.concurrency(), 4);
        let later = now + Duration::from_secs(1);
        scheduler.started(0, later);
        scheduler.started(0, later);
        scheduler.finished(0, later, later, PullOutcome::Empty);
        assert_eq!(scheduler.next(later + LIMITS.interval), NextPull::AfterAnother);
        scheduler.finished(0, later, later, PullOutcome::Many);
        assert_eq!(scheduler.next(later), NextPull::At(later + LIMITS.interval));
    }

    #[test]
    fn an_empty_answer_that_was_held_long_is_followed_at_once() {
        let now = Instant::now();
        let mut scheduler = PullScheduler::new(LIMITS, 1, now);
        scheduler.started(0, now);
        let answered = now + Duration::from_secs(5);
        scheduler.finished(0, now, answered, PullOutcome::Empty);
        assert_eq!(scheduler.next(answered), NextPull::Now(0));
    }

    #[test]
    fn every_failure_waits() {
        let (now, wait) = (Instant::now(), Duration::from_secs(7));
        for outcome in [PullOutcome::Throttled(wait), PullOutcome::Failed(wait)] {
            let mut scheduler = PullScheduler::new(LIMITS, 1, now);
            (0..3).for_each(|_| pull(&mut scheduler, now, PullOutcome::Many));
            pull(&mut scheduler, now, outcome);
            assert_eq!(scheduler.next(now), NextPull::At(now + wait), "{outcome:?}");
            // A good answer that was under way meanwhile does not shorten the wait.
            pull(&mut scheduler, now, PullOutcome::Many);
            assert_eq!(scheduler.next(now), NextPull::At(now + wait), "{outcome:?}");
            assert!(scheduler.concurrency() <= 3, "{outcome:?}");
        }
    }

    #[test]
    fn after_a_failure_one_alone_finds_out_whether_it_is_over() {
        let (start, wait) = (Instant::now(), Duration::from_secs(7));
        let mut scheduler = PullScheduler::new(LIMITS, 1, start);
        widen(&mut scheduler, start);
        let now = start + Duration::from_secs(2);
        (0..4).for_each(|_| {
            scheduler.started(0, now);
        });
        scheduler.finished(0, now, now, PullOutcome::Failed(wait));
        let later = now + wait;
        assert_eq!(scheduler.next(later), NextPull::AfterAnother, "three are still under way");
        (0..3).for_each(|_| scheduler.finished(0, now, now, PullOutcome::Failed(wait)));
        assert_eq!(scheduler.next(later), NextPull::Now(0));
        scheduler.started(0, later);
        assert_eq!(scheduler.next(later), NextPull::AfterAnother, "one at a time");
        scheduler.finished(0, later, later, PullOutcome::Failed(wait));
        assert_eq!(scheduler.next(later), NextPull::At(later + wait));
        // It may have been mended: one again, not as many as there were.
        scheduler.retry_now();
        scheduler.started(0, later);
        assert_eq!(scheduler.next(later + wait), NextPull::AfterAnother, "one at a time");
    }

    #[test]
    fn what_goes_alone_has_nothing_beside_it_in_its_queue_and_nothing_alone_in_another() {
        let start = Instant::now();
        let mut scheduler = PullScheduler::new(LIMITS, 3, start);
        widen_queue(&mut scheduler, 0, start);
        let now = start + Duration::from_secs(2);
        assert!(!scheduler.started(0, now) && !scheduler.started(0, now));
        let until = now + Duration::from_secs(45);
        scheduler.go_alone(0, until);
        scheduler.go_alone(1, until);
        scheduler.go_alone(1, now);
        // The first has two in flight that were started before.
        let next = |scheduler: &PullScheduler, at| match scheduler.next(at) {
            NextPull::Now(queue) => Some(queue),
            _ => None,
        };
        assert_eq!(next(&scheduler, now), Some(1));
        assert!(scheduler.started(1, now), "an earlier end does not take back a later one");
        assert_eq!(next(&scheduler, now), Some(2), "another queue goes on");
        assert!(!scheduler.started(2, now));
        assert_eq!(next(&scheduler, now), None);
        scheduler.finished(0, now, now, PullOutcome::Many);
        scheduler.finished(0, now, now, PullOutcome::Many);
        assert_eq!(next(&scheduler, now), None, "one that goes alone is in flight");
        // It stays so when the time is over before it ends.
        assert_eq!(next(&scheduler, until), Some(0));
        scheduler.finished(1, now, now, PullOutcome::Many);
        assert_eq!(scheduler.next(now), NextPull::Now(0));
        assert!(scheduler.started(0, now));
        assert_eq!(next(&scheduler, now), None);
        scheduler.finished(0, now, now, PullOutcome::Many);
        assert_eq!(scheduler.concurrency(), 3, "what goes alone makes no room");
        // Over: as after a failure it widens anew.
        let later = until + Duration::from_secs(1);
        assert_eq!(scheduler.next(later), NextPull::Now(1));
        assert!(!scheduler.started(1, later));
        assert!(!scheduler.started(0, later));
        scheduler.finished(0, later, later, PullOutcome::Many);
        assert!(!scheduler.started(0, later) && !scheduler.started(0, later));
    }

    #[test]
    fn what_may_have_been_mended_is_tried_as_soon_as_the_rate_allows() {
        let now = Instant::now();
        let mut scheduler = PullScheduler::new(LIMITS, 1, now);
        for _ in 0..RateLimiter::BURST {
            pull(&mut scheduler, now, PullOutcome::Failed(Duration::from_secs(60)));
            scheduler.retry_now();
        }
        let interval = RateLimiter::WINDOW / 100;
        assert_eq!(scheduler.next(now), NextPull::At(now + interval));
    }

    #[test]
    fn refused_together_is_refused_once_and_one_alone_finds_out_when_it_is_over() {
        let (start, wait) = (Instant::now(), Duration::from_millis(100));
        let mut scheduler = PullScheduler::new(LIMITS, 1, start);
        widen(&mut scheduler, start);
        let sent_at = start + Duration::from_secs(2);
        (0..4).for_each(|_| {
            scheduler.started(0, sent_at);
        });
        let refused = sent_at + Duration::from_millis(40);
        (0..4).for_each(|_| scheduler.finished(0, sent_at, refused, PullOutcome::Throttled(wait)));
        // One may have been faster on its way than another.
        assert_eq!((scheduler.rate().round(), scheduler.concurrency()), (89.0, 4));
        assert_eq!(scheduler.next(refused), NextPull::At(refused + wait));

        let mut probe = refused;
        for rate in [89.0, 71.0, 71.0] {
            probe += wait;
            assert_eq!(scheduler.next(probe), NextPull::Now(0));
            scheduler.started(0, probe);
            scheduler.finished(0, probe, probe, PullOutcome::Throttled(wait));
            assert_eq!(scheduler.rate().round(), rate);
        }
        probe += wait;
        scheduler.started(0, probe);
        assert_eq!(scheduler.next(probe + wait), NextPull::AfterAnother);
        scheduler.finished(0, probe, probe, PullOutcome::Many);
        for turn in 1..300 {
            let now = probe + Duration::from_millis(20 * turn);
            assert_eq!(scheduler.next(now), NextPull::Now(0));
            pull(&mut scheduler, now, PullOutcome::Many);
        }
        assert_eq!(scheduler.rate().round(), 99.0);
    }

    /// Pulls as the scheduler allows for `seconds`, from queues that are never empty but for those
    /// in `quiet`, each pull taking 40 ms; how often from each.
    fn pulls_by_queue(scheduler: &mut PullScheduler, seconds: u64, quiet: &[usize]) -> Vec<usize> {
        let start = Instant::now();
        let mut counts = vec![0; scheduler.queues.len()];
        let mut in_flight: VecDeque<(Instant, usize)> = VecDeque::new();
        let mut now = start;
        while now < start + Duration::from_secs(seconds) {
            while let Some((sent_at, queue)) = in_flight.front().copied()
                && sent_at + Duration::from_millis(40) <= now
            {
                in_flight.pop_front();
                let outcome =
                    if quiet.contains(&queue) { PullOutcome::Empty } else { PullOutcome::Many };
                scheduler.finished(queue, sent_at, now, outcome);
            }
            while let NextPull::Now(queue) = scheduler.next(now) {
                scheduler.started(queue, now);
                in_flight.push_back((now, queue));
                counts[queue] += 1;
            }
            now += Duration::from_millis(1);
        }
        counts
    }

    #[test]
    fn queues_share_the_rate_evenly_and_what_one_leaves_another_uses() {
        let limits = PullLimits { max_concurrency: 32, max_rate: 20.0, ..LIMITS };
        let mut scheduler = PullScheduler::new(limits, 3, Instant::now());
        let counts = pulls_by_queue(&mut scheduler, 10, &[]);
        let all: usize = counts.iter().sum();
        assert!((195..=205).contains(&all), "{counts:?}");
        assert!(counts.iter().all(|count| all / 3 - count.min(&(all / 3)) <= 2), "{counts:?}");

        let mut scheduler = PullScheduler::new(limits, 3, Instant::now());
        let counts = pulls_by_queue(&mut scheduler, 10, &[0, 2]);
        assert!((9..=11).contains(&counts[0]) && (9..=11).contains(&counts[2]), "{counts:?}");
        assert!(counts[1] > 170, "{counts:?}");
    }

    #[test]
    fn a_queue_that_fails_holds_up_no_other_and_a_refused_rate_all() {
        let (now, wait) = (Instant::now(), Duration::from_secs(7));
        let mut scheduler = PullScheduler::new(LIMITS, 2, now);
        scheduler.started(0, now);
        scheduler.finished(0, now, now, PullOutcome::Failed(wait));
        assert_eq!(scheduler.next(now), NextPull::Now(1));
        scheduler.started(1, now);
        assert_eq!(scheduler.next(now), NextPull::At(now + wait));
        scheduler.finished(1, now, now, PullOutcome::Throttled(wait * 2));
        assert_eq!(scheduler.next(now), NextPull::At(now + wait * 2));
        let later = now + wait * 2;
        scheduler.started(0, later);
        scheduler.finished(0, later, later, PullOutcome::Throttled(wait));
        let later = later + wait;
        assert_eq!(scheduler.next(later), NextPull::Now(1));
        scheduler.started(1, later);
        assert_eq!(scheduler.next(later), NextPull::AfterAnother, "one alone finds out");
    }

    #[test]
    fn a_pause_holds_one_queue_from_start_to_start_and_no_other() {
        let now = Instant::now();
        let at = |millis| now + Duration::from_millis(millis);
        let mut scheduler = PullScheduler::new(LIMITS, 2, now);
        scheduler.set_pause(0, Some(Duration::from_millis(400)));
        assert_eq!(scheduler.next(now), NextPull::Now(0), "the first does not wait");
        scheduler.started(0, now);
        scheduler.finished(0, now, at(50), PullOutcome::Many);
        assert_eq!(scheduler.next(at(50)), NextPull::Now(1));
        scheduler.started(1, at(50));
        scheduler.finished(1, at(50), at(100), PullOutcome::Many);
        assert_eq!(scheduler.next(at(100)), NextPull::Now(1), "the other goes on");
        scheduler.started(1, at(100));
        scheduler.started(1, at(100));
        assert_eq!(scheduler.next(at(100)), NextPull::At(at(400)));
        assert_eq!(scheduler.next(at(400)), NextPull::Now(0));
        // However many may be in flight.
        scheduler.started(0, at(400));
        assert_eq!(scheduler.next(at(400)), NextPull::At(at(800)));
        scheduler.set_pause(0, None);
        assert_eq!(scheduler.next(at(410)), NextPull::Now(0));
    }

    #[test]
    fn the_rate_that_is_told_is_that_of_the_pauses() {
        let now = Instant::now();
        let mut scheduler = PullScheduler::new(LIMITS, 2, now);
        let full = scheduler.rate();
        assert!(full > 98.0 && (scheduler.max_rate() - 100.0).abs() < 0.1);
        scheduler.set_pause(0, Some(Duration::from_millis(500)));
        assert!((scheduler.rate() - full).abs() < 0.1, "the other may have it all");
        scheduler.set_pause(1, Some(Duration::from_secs(1)));
        assert!((scheduler.rate() - 3.0).abs() < 0.1);
    }
}
