//! When dead letters are logged: a few one by one, a burst of them as it begins, once a minute
//! while it lasts, and when it is over. Pure: the time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// Dead letters within a minute that are logged one by one.
const MAX_LOGGED: u64 = 5;
/// Between two log lines of a burst, and the time without a dead letter after which it is over.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct DeadLetterBurst(Option<Burst>);

#[derive(Debug)]
struct Burst {
    since: Instant,
    /// When the minute began that is counted.
    minute: Instant,
    in_minute: u64,
    all: u64,
    /// Whether there were more than [`MAX_LOGGED`] within a minute.
    is_large: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeadLetterLog {
    /// On a line of its own.
    Logged,
    /// As the beginning of a burst.
    Begins,
    /// Not at all: it is counted.
    Counted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BurstReport {
    pub(super) lasted: Duration,
    /// Dead letters in it, with those that were logged one by one.
    pub(super) dead: u64,
    pub(super) is_over: bool,
}

impl DeadLetterBurst {
    pub(super) fn dead(&mut self, now: Instant) -> DeadLetterLog {
        if self.0.as_ref().is_some_and(|burst| !burst.is_large && burst.is_past(now)) {
            self.0 = None;
        }
        let fresh = Burst { since: now, minute: now, in_minute: 0, all: 0, is_large: false };
        let burst = self.0.get_or_insert(fresh);
        burst.in_minute += 1;
        burst.all += 1;
        if burst.is_large {
            DeadLetterLog::Counted
        } else if burst.all > MAX_LOGGED {
            burst.is_large = true;
            burst.minute = now;
            burst.in_minute = 0;
            DeadLetterLog::Begins
        } else {
            DeadLetterLog::Logged
        }
    }

    /// Whether dead letters are counted, not logged one by one.
    pub(super) fn is_large(&self) -> bool {
        self.0.as_ref().is_some_and(|burst| burst.is_large)
    }

    /// Returns when [`DeadLetterBurst::report`] has something to say.
    pub(super) fn next_report(&self) -> Option<Instant> {
        self.0.as_ref().filter(|burst| burst.is_large).map(|burst| burst.minute + REPORT_INTERVAL)
    }

    /// Returns what to log of a burst, once a minute.
    pub(super) fn report(&mut self, now: Instant) -> Option<BurstReport> {
        let burst = self.0.as_mut().filter(|burst| burst.is_large && burst.is_past(now))?;
        let is_over = burst.in_minute == 0;
        let report = BurstReport { lasted: now - burst.since, dead: burst.all, is_over };
        (burst.minute, burst.in_minute) = (now, 0);
        if is_over {
            self.0 = None;
        }
        Some(report)
    }

    /// Returns what to log of a burst as the loop ends.
    pub(super) fn end(&mut self, now: Instant) -> Option<BurstReport> {
        let burst = self.0.take().filter(|burst| burst.is_large)?;
        Some(BurstReport { lasted: now - burst.since, dead: burst.all, is_over: true })
    }
}

impl Burst {
    fn is_past(&self, now: Instant) -> bool {
        now >= self.minute + REPORT_INTERVAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_logged_and_many_are_counted_once_a_minute() {
        let (mut burst, start) = (DeadLetterBurst::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!((0..MAX_LOGGED).all(|_| burst.dead(at(0)) == DeadLetterLog::Logged));
        assert_eq!((burst.next_report(), burst.report(at(300))), (None, None), "too few");
        // A minute later that many are logged again.
        assert!((0..MAX_LOGGED).all(|_| burst.dead(at(60)) == DeadLetterLog::Logged));
        assert_eq!(burst.dead(at(61)), DeadLetterLog::Begins);
        assert!((0..9000).all(|_| burst.dead(at(62)) == DeadLetterLog::Counted));
        assert_eq!(burst.next_report(), Some(at(121)));
        assert_eq!(burst.report(at(120)), None);
        let lasts =
            |lasted, dead, is_over| Some(BurstReport { lasted: at(lasted) - at(0), dead, is_over });
        assert_eq!(burst.report(at(121)), lasts(61, 9006, false));
        assert_eq!(burst.dead(at(150)), DeadLetterLog::Counted);
        assert_eq!(burst.report(at(181)), lasts(121, 9007, false));
        assert_eq!(burst.report(at(241)), lasts(181, 9007, true));
        assert_eq!((burst.next_report(), burst.dead(at(242))), (None, DeadLetterLog::Logged));
    }

    #[test]
    fn a_burst_that_lasts_to_the_end_is_reported() {
        let (mut burst, start) = (DeadLetterBurst::default(), Instant::now());
        assert_eq!((0..30).filter(|_| burst.dead(start) == DeadLetterLog::Begins).count(), 1);
        let report = burst.end(start).unwrap();
        assert_eq!((report.dead, report.is_over), (30, true));
        burst.dead(start);
        assert_eq!(burst.end(start), None);
    }
}
