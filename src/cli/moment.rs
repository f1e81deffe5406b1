//! Moments as the command line takes them.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

/// `2026-01-31`
const DATE_LENGTH: usize = 10;

/// A moment: a time back from now, a date, which begins at midnight in UTC, or a date with a time.
pub(super) fn parse_moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if text.len() == DATE_LENGTH
        && let Ok(date) = text.parse::<NaiveDate>()
    {
        return Ok(date.and_time(NaiveTime::MIN).and_utc());
    }
    humantime::parse_duration(text)
        .ok()
        .and_then(|back| Utc::now().checked_sub_signed(TimeDelta::from_std(back).ok()?))
        .ok_or_else(|| {
            "expected a time back from now, such as 2h or 7d, a date such as 2026-01-31 (midnight \
             in UTC), or 2026-01-31T12:00:00Z"
                .to_owned()
        })
}
