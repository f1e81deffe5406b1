//! The time as the service sees it.
//!
//! Owns the offset between this machine's clock and the service's, learned from the Date header
//! of an answer that refused a signature for its time. Whatever that header says, nothing here
//! fails: a date outside of reason is not learned.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Datelike, TimeDelta, Utc};

/// A smaller change cannot be why a signature was refused (the service takes 300 s either way)
/// and is not worth a line in the log.
const MIN_CORRECTION_SECONDS: u64 = 30;

/// Years a server's clock can truly show; anything else is a broken or hostile header.
const PLAUSIBLE_YEARS: std::ops::RangeInclusive<i32> = 2020..=2100;

/// Stands for a difference that no answer has shown yet.
const UNKNOWN_DIFFERENCE: i64 = i64::MIN;

/// Seconds to add to this machine's clock.
#[derive(Debug)]
pub(super) struct Clock {
    /// Added when signing.
    offset: AtomicI64,
    /// By the last answer, whether signing needs it or not.
    seen: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { offset: AtomicI64::new(0), seen: AtomicI64::new(UNKNOWN_DIFFERENCE) }
    }
}

impl Clock {
    /// How far the service's clock was ahead by the last answer, to about a second.
    pub(super) fn seen(&self) -> Option<i64> {
        Some(self.seen.load(Ordering::Relaxed)).filter(|seen| *seen != UNKNOWN_DIFFERENCE)
    }

    /// Looks at the Date header of an answer that came at `local`.
    pub(super) fn see(&self, date: Option<&str>, local: DateTime<Utc>) {
        if let Some(server) = date.and_then(parse) {
            let ahead = server.timestamp().saturating_sub(local.timestamp());
            self.seen.store(ahead, Ordering::Relaxed);
        }
    }

    pub(super) fn offset(&self) -> i64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// The service's time by an offset that [`Clock::offset`] gave.
    pub(super) fn at(local: DateTime<Utc>, offset: i64) -> DateTime<Utc> {
        TimeDelta::try_seconds(offset)
            .and_then(|offset| local.checked_add_signed(offset))
            .unwrap_or(local)
    }

    /// Learns from the Date header of an answer that came at `local` to a request signed with
    /// the offset `used`. Returns whether signing again can help.
    pub(super) fn learn(&self, date: Option<&str>, local: DateTime<Utc>, used: i64) -> bool {
        let Some(server) = date.and_then(parse) else { return false };
        let learned = server.timestamp().saturating_sub(local.timestamp());
        let before = self.offset.swap(learned, Ordering::Relaxed);
        if learned.abs_diff(before) >= MIN_CORRECTION_SECONDS {
            tracing::warn!(
                offset_seconds = learned,
                "local clock differs from the service's; requests are signed with the service's \
                 time (set the clock, by NTP for instance)"
            );
        }
        learned.abs_diff(used) >= MIN_CORRECTION_SECONDS
    }
}

fn parse(date: &str) -> Option<DateTime<Utc>> {
    let date = DateTime::parse_from_rfc2822(date).ok()?.to_utc();
    PLAUSIBLE_YEARS.contains(&date.year()).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> DateTime<Utc> {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn an_offset_is_learned_both_ways_and_unlearned() {
        let clock = Clock::default();
        assert!(clock.learn(Some("Thu, 01 Jan 2026 01:00:00 GMT"), local(), 0));
        assert_eq!(clock.offset(), 3600);
        // A second request that was signed before the first learned: worth a retry as well.
        assert!(clock.learn(Some("Thu, 01 Jan 2026 01:00:01 GMT"), local(), 0));
        // One that was signed with the right time and still refused: not.
        assert!(!clock.learn(Some("Thu, 01 Jan 2026 01:00:01 GMT"), local(), 3600));
        assert!(clock.learn(Some("Wed, 31 Dec 2025 23:00:00 GMT"), local(), 3601));
        assert_eq!(clock.offset(), -3600);
        assert!(clock.learn(Some("Thu, 01 Jan 2026 00:00:00 GMT"), local(), -3600));
        assert_eq!(clock.offset(), 0);
    }

    #[test]
    fn a_machine_without_a_battery_is_set_right() {
        let clock = Clock::default();
        assert!(clock.learn(Some("Thu, 01 Jan 2026 00:00:00 GMT"), DateTime::UNIX_EPOCH, 0));
        assert_eq!(Clock::at(DateTime::UNIX_EPOCH, clock.offset()), local());
    }

    #[test]
    fn a_hostile_date_is_not_learned() {
        let clock = Clock::default();
        for date in [
            "",
            "now",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Fri, 31 Dec 262142 23:59:59 GMT",
            "Thu, 01 Jan 2026 25:61:61 GMT",
            "Thu, 99 Jan 2026 00:00:00 +9999",
            "2026-01-01T00:00:00Z",
        ] {
            assert!(!clock.learn(Some(date), local(), 0), "{date}");
        }
        assert!(!clock.learn(None, local(), 0));
        assert_eq!(clock.offset(), 0);
    }

    #[test]
    fn no_offset_overflows() {
        for offset in [i64::MIN, i64::MAX, i64::MAX / 1000, 1 << 50] {
            assert_eq!(Clock::at(local(), offset), local(), "{offset}");
        }
    }
}
