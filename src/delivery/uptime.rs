//! The time in which a sink is healthy, and how much of an event's failures counts against the
//! event. Pure: the time is passed in.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::limits::MAX_RETRY_AFTER;

/// From the first success of the sink after the start or an outage to the last one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uptime(Option<Span>);

#[derive(Clone, Copy, Debug)]
struct Span {
    healthy_since: DateTime<Utc>,
    last_success: DateTime<Utc>,
}

impl Uptime {
    pub(super) fn on_success(&mut self, now: DateTime<Utc>) {
        let healthy_since = self.0.map_or(now, |span| span.healthy_since);
        self.0 = Some(Span { healthy_since, last_success: now });
    }

    /// Ends the time: the sink is down.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }

    /// Returns how much of the time up to `now`, when an event fails again, counts towards giving
    /// it up; `None` if no other event succeeded since `last_failed`: then nothing shows that it is
    /// the event that fails, and not the sink.
    pub(super) fn counted_failure_time(
        &self,
        last_failed: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<Duration> {
        let (span, failed) = (self.0?, last_failed?);
        if span.last_success <= failed {
            return None;
        }
        // An outage before that is the sink's, and so is the time in which nobody ran. No wait
        // between two attempts is longer than the bound: a clock that was set ahead counts no more.
        let since = failed.max(span.healthy_since);
        Some((now - since).to_std().unwrap_or_default().min(MAX_RETRY_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn minutes(minutes: u64) -> Option<Duration> {
        Some(Duration::from_secs(60 * minutes))
    }

    #[test]
    fn an_event_fails_alone_only_if_another_was_taken_since_it_failed() {
        let mut uptime = Uptime::default();
        assert_eq!(uptime.counted_failure_time(Some(at(0)), at(9)), None, "none was ever taken");
        uptime.on_success(at(0));
        assert_eq!(uptime.counted_failure_time(None, at(9)), None, "it has never failed before");
        for failed in [0, 1, 5] {
            assert_eq!(
                uptime.counted_failure_time(Some(at(failed)), at(9)),
                None,
                "none since minute {failed}"
            );
        }
        uptime.on_success(at(6));
        assert_eq!(uptime.counted_failure_time(Some(at(5)), at(9)), minutes(4));
        assert_eq!(uptime.counted_failure_time(Some(at(6)), at(9)), None);
    }

    #[test]
    fn the_time_of_an_outage_and_before_the_start_does_not_count() {
        let mut uptime = Uptime::default();
        uptime.on_success(at(30));
        assert_eq!(
            uptime.counted_failure_time(Some(at(0)), at(40)),
            minutes(10),
            "it began at minute 30"
        );
        uptime.end();
        assert_eq!(uptime.counted_failure_time(Some(at(20)), at(50)), None);
        uptime.on_success(at(55));
        uptime.on_success(at(57));
        assert_eq!(
            uptime.counted_failure_time(Some(at(20)), at(60)),
            minutes(5),
            "it was up from minute 55 on"
        );
    }

    #[test]
    fn a_clock_that_was_set_counts_no_more_than_the_longest_wait() {
        let mut uptime = Uptime::default();
        uptime.on_success(at(0));
        uptime.on_success(at(2));
        let year = at(365 * 24 * 60);
        assert_eq!(uptime.counted_failure_time(Some(at(1)), year), Some(MAX_RETRY_AFTER));
        assert_eq!(
            uptime.counted_failure_time(Some(at(1)), at(-60)),
            Some(Duration::ZERO),
            "set back"
        );
    }
}
