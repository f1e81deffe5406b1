//! How long the daemon leaves the journal to others that write: the command line above all.
//!
//! SQLite has no queue for them. They try again and again, every 100 ms before long, and give up
//! after some seconds; a writer that takes the next transaction at once hardly ever lets them in.

use std::time::Duration;

use tokio::time::Instant;

/// Others get a share of one for so many of the daemon's.
const OWN_SHARES: u32 = 4;
/// What is due to others before they get it: a transaction now and then waits for nobody.
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// The longest that they get at once: in this time each of them tries.
const MAX_PAUSE: Duration = Duration::from_millis(150);

#[derive(Clone, Copy, Debug)]
pub(super) struct WriteFairness {
    due: Duration,
    /// When the open transaction began, or the last one ended.
    since: Instant,
}

impl WriteFairness {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: Duration::ZERO, since: now }
    }

    /// How long a transaction that could begin now has to wait. What passes without one counts.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let due = self.due.saturating_sub(now - self.since);
        if due < MIN_PAUSE { Duration::ZERO } else { due }
    }

    pub(super) fn began(&mut self, now: Instant) {
        self.due = self.due.saturating_sub(now - self.since);
        self.since = now;
    }

    pub(super) fn ended(&mut self, now: Instant) {
        self.due = (self.due + (now - self.since) / OWN_SHARES).min(MAX_PAUSE);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs transactions of `length` ms with `between` them for 10 s; returns the share of the time
    /// that is left to others, and the longest wait.
    fn run(length: u64, between: u64) -> (f64, Duration) {
        let start = Instant::now();
        let (mut now, mut fairness) = (start, WriteFairness::new(start));
        let (mut own, mut longest) = (Duration::ZERO, Duration::ZERO);
        while now - start < Duration::from_secs(10) {
            let wait = fairness.wait(now);
            longest = longest.max(wait);
            now += wait;
            fairness.began(now);
            now += Duration::from_millis(length);
            own += Duration::from_millis(length);
            fairness.ended(now);
            now += Duration::from_millis(between);
        }
        (1.0 - own.as_secs_f64() / (now - start).as_secs_f64(), longest)
    }

    #[test]
    fn others_get_a_fifth_of_the_time_and_whoever_leaves_it_waits_for_nobody() {
        for length in [1, 2, 20, 100, 500] {
            let (others, longest) = run(length, 0);
            assert!((0.19..0.21).contains(&others), "{length}: {others}");
            assert!(longest >= MIN_PAUSE, "{length}: {longest:?}");
        }
        assert_eq!(run(5000, 0).1, MAX_PAUSE);
        for (length, between) in [(1, 1), (20, 5), (20, 30), (100, 25)] {
            assert_eq!(run(length, between).1, Duration::ZERO, "{length}, {between}");
        }
    }
}
