//! Answers larger than the usual limit, and for how long more of them may come. Pure: the time is
//! passed in.
//!
//! An answer that is too large was handed out all the same: its events come again when their lease
//! has ended, likely together. So the larger limit holds for longer than a lease after the last
//! such answer, refused or read; then the usual one does, with pulls side by side.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Outage;

/// Of one application.
#[derive(Debug, Default)]
pub(super) struct LargeAnswers {
    /// When the events of those that were refused are to be had again.
    lent_until: Option<Instant>,
    expected_until: Option<Instant>,
    outage: Outage,
}

impl LargeAnswers {
    /// One was refused at `now` that can be read alone. `Some` if it is to be logged.
    pub(super) fn refused(&mut self, now: Instant, lease: Duration) -> Option<u64> {
        self.lent_until = Some(now + lease);
        self.expect(now, lease);
        self.outage.failed(now).map(|report| report.failures)
    }

    /// More may come after one that came at `now`.
    pub(super) fn expect(&mut self, now: Instant, lease: Duration) {
        self.expected_until = Some(now + lease + lease / 2);
    }

    /// Until when the larger limit holds.
    pub(super) fn expected_until(&self) -> Option<Instant> {
        self.expected_until
    }

    /// Whether a pull that started at `started` can have missed events that are there, as they were
    /// lent by an answer that was refused.
    pub(super) fn hides(&self, started: Instant) -> bool {
        self.lent_until.is_some_and(|until| started < until)
    }

    /// Whether the usual limit holds again since the last time it was asked.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        self.expected_until.is_some_and(|until| until <= now) && {
            self.expected_until = None;
            self.outage.recovered(now).is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_limit_outlasts_the_lease_of_the_last_large_answer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let lease = Duration::from_secs(30);
        let mut large = LargeAnswers::default();
        assert!(!large.hides(start) && !large.is_over(start));
        assert_eq!(large.refused(at(0), lease), Some(1));
        assert_eq!(large.refused(at(1), lease), None, "told once a minute");
        assert_eq!(large.expected_until(), Some(at(46)));
        assert!(large.hides(at(30)) && !large.hides(at(31)));
        large.expect(at(31), lease);
        assert_eq!(large.expected_until(), Some(at(76)));
        assert!(!large.hides(at(31)), "what was read is not lent to nobody");
        assert!(!large.is_over(at(75)));
        assert!(large.is_over(at(76)) && !large.is_over(at(77)), "told once");
        // One that was read at once is no news.
        large.expect(at(80), lease);
        assert!(!large.is_over(at(200)));
    }
}
