//! Moments as the command line takes them.

use chrono::{DateTime, TimeDelta, Utc};

/// A moment: a date, or a time back from now.
pub(super) fn parse_moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    humantime::parse_duration(text)
        .ok()
        .and_then(|back| Utc::now().checked_sub_signed(TimeDelta::from_std(back).ok()?))
        .ok_or_else(|| {
            "expected a time back from now, such as 2h or 7d, or a date such as \
             2026-01-31T12:00:00Z"
                .to_owned()
        })
}
