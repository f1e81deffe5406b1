//! When events of which there may be many are logged, such as dead letters: a few one by one, a burst
//! of them as it begins, once a minute while it lasts, and when it is over. Pure: the time is passed
//! in.

use std::time::Duration;

use tokio::time::Instant;

/// Events within a minute that are logged one by one.
const MAX_LOGGED: u64 = 5;
/// Between two log lines of a burst, and the time without an event after which it is over.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct LogBurst(Option<Burst>);

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
pub(super) enum BurstLog {
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
    /// Events in it, with those that were logged one by one.
    pub(super) all: u64,
    pub(super) is_over: bool,
}

impl LogBurst {
    pub(super) fn occurred(&mut self, now: Instant) -> BurstLog {
        if self.0.as_ref().is_some_and(|burst| !burst.is_large && burst.is_past(now)) {
            self.0 = None;
        }
        let fresh = Burst { since: now, minute: now, in_minute: 0, all: 0, is_large: false };
        let burst = self.0.get_or_insert(fresh);
        burst.in_minute += 1;
        burst.all += 1;
        if burst.is_large {
            BurstLog::Counted
        } else if burst.all > MAX_LOGGED {
            burst.is_large = true;
            burst.minute = now;
            burst.in_minute = 0;
            BurstLog::Begins
        } else {
            BurstLog::Logged
        }
    }

    /// Whether events are counted, not logged one by one.
    pub(super) fn is_large(&self) -> bool {
        self.0.as_ref().is_some_and(|burst| burst.is_large)
    }

    /// Returns when [`LogBurst::report`] has something to say.
    pub(super) fn next_report(&self) -> Option<Instant> {
        self.0.as_ref().filter(|burst| burst.is_large).map(|burst| burst.minute + REPORT_INTERVAL)
    }

    /// Returns what to log of a burst, once a minute.
    pub(super) fn report(&mut self, now: Instant) -> Option<BurstReport> {
        let burst = self.0.as_mut().filter(|burst| burst.is_large && burst.is_past(now))?;
        let is_over = burst.in_minute == 0;
        let report = BurstReport { lasted: now - burst.since, all: burst.all, is_over };
        (burst.minute, burst.in_minute) = (now, 0);
        if is_over {
            self.0 = None;
        }
        Some(report)
    }

    /// Returns what to log of a burst as the loop ends.
    pub(super) fn end(&mut self, now: Instant) -> Option<BurstReport> {
        let burst = self.0.take().filter(|burst| burst.is_large)?;
        Some(BurstReport { lasted: now - burst.since, all: burst.all, is_over: true })
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
        let (mut burst, start) = (LogBurst::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!((0..MAX_LOGGED).all(|_| burst.occurred(at(0)) == BurstLog::Logged));
        assert_eq!((burst.next_report(), burst.report(at(300))), (None, None), "too few");
        // A minute later that many are logged again.
        assert!((0..MAX_LOGGED).all(|_| burst.occurred(at(60)) == BurstLog::Logged));
        assert_eq!(burst.occurred(at(61)), BurstLog::Begins);
        assert!((0..9000).all(|_| burst.occurred(at(62)) == BurstLog::Counted));
        assert_eq!(burst.next_report(), Some(at(121)));
        assert_eq!(burst.report(at(120)), None);
        let lasts =
            |lasted, all, is_over| Some(BurstReport { lasted: at(lasted) - at(0), all, is_over });
        assert_eq!(burst.report(at(121)), lasts(61, 9006, false));
        assert_eq!(burst.occurred(at(150)), BurstLog::Counted);
        assert_eq!(burst.report(at(181)), lasts(121, 9007, false));
        assert_eq!(burst.report(at(241)), lasts(181, 9007, true));
        assert_eq!((burst.next_report(), burst.occurred(at(242))), (None, BurstLog::Logged));
    }

    #[test]
    fn a_burst_that_lasts_to_the_end_is_reported() {
        let (mut burst, start) = (LogBurst::default(), Instant::now());
        assert_eq!((0..30).filter(|_| burst.occurred(start) == BurstLog::Begins).count(), 1);
        let report = burst.end(start).unwrap();
        assert_eq!((report.all, report.is_over), (30, true));
        burst.occurred(start);
        assert_eq!(burst.end(start), None);
    }
}
