//! The wait that an answer of HTTP asks for.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};

/// The longest wait that an answer may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Returns the wait that a Retry-After header asks for, in seconds or as a date, at most an hour.
/// `None` where it says neither.
#[must_use]
pub fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        (http_date(value)? - now).to_std().unwrap_or_default()
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// A date in the form HTTP prescribes, or in one of the two older ones it still allows.
fn http_date(value: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = DateTime::parse_from_rfc2822(value) {
        return Some(date.to_utc());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())
        .map(|date| date.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_every_form_and_bounded() {
        let now = "1994-11-06T08:49:07Z".parse().unwrap();
        let seconds = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("0"), Some(0));
        assert_eq!(seconds("999999999999999999999999"), Some(3600));
        assert_eq!(seconds("86400"), Some(3600));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:49:37 GMT"), Some(30));
        assert_eq!(seconds("Sun Nov  6 08:49:37 1994"), Some(30));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds("-5"), None);
        assert_eq!(seconds(""), None);
    }
}
