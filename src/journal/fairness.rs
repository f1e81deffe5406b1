//! Whose turn it is to write: others may want to, the command line above all.
//!
//! SQLite has no queue for them. They try again and again, every 100 ms before long, and give up
//! after some seconds; a writer that takes the next transaction at once hardly ever lets them in.

use std::time::Duration;

use tokio::time::Instant;

/// Others get a share of one for so many of ours.
const OURS: u32 = 4;
/// What is owed to others before they get it: a transaction now and then waits for nobody.
const MAX_OWED: Duration = Duration::from_millis(10);

/// The longest that they get at once: in this time each of them tries.
const MAX_TURN: Duration = Duration::from_millis(150);

/// How long others were kept from writing.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteFairness {
    owed: Duration,
    /// When the open transaction began, or the last one ended.
    since: Instant,
}

impl WriteFairness {
    pub(super) fn new(now: Instant) -> Self {
        Self { owed: Duration::ZERO, since: now }
    }

    /// How long a transaction that could begin now has to wait. What passes without one counts.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let owed = self.owed.saturating_sub(now - self.since);
        if owed < MAX_OWED { Duration::ZERO } else { owed }
    }

    pub(super) fn began(&mut self, now: Instant) {
        self.owed = self.owed.saturating_sub(now - self.since);
        self.since = now;
    }

    pub(super) fn ended(&mut self, now: Instant) {
        self.owed = (self.owed + (now - self.since) / OURS).min(MAX_TURN);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs transactions of `length` ms with `between` them for 10 s; tells the share of the time that
    /// is left to others, and the longest wait.
    fn run(length: u64, between: u64) -> (f64, Duration) {
        let start = Instant::now();
        let (mut now, mut turns) = (start, WriteFairness::new(start));
        let (mut ours, mut longest) = (Duration::ZERO, Duration::ZERO);
        while now - start < Duration::from_secs(10) {
            let wait = turns.wait(now);
            longest = longest.max(wait);
            now += wait;
            turns.began(now);
            now += Duration::from_millis(length);
            ours += Duration::from_millis(length);
            turns.ended(now);
            now += Duration::from_millis(between);
        }
        (1.0 - ours.as_secs_f64() / (now - start).as_secs_f64(), longest)
    }

    #[test]
    fn others_get_a_fifth_of_the_time_and_whoever_leaves_it_waits_for_nobody() {
        for length in [1, 2, 20, 100, 500] {
            let (others, longest) = run(length, 0);
            assert!((0.19..0.21).contains(&others), "{length}: {others}");
            assert!(longest >= MAX_OWED, "{length}: {longest:?}");
        }
        assert_eq!(run(5000, 0).1, MAX_TURN);
        for (length, between) in [(1, 1), (20, 5), (20, 30), (100, 25)] {
            assert_eq!(run(length, between).1, Duration::ZERO, "{length}, {between}");
        }
    }
}
