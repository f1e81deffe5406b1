//! What each HTTP status of a receiver means for the event that was sent.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};

/// The longest wait a receiver may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Delivered,
    /// Not now; with what the operator can do about it, where that is known.
    Retry(&'static str),
    /// The receiver will never take these very bytes.
    Reject(&'static str),
}

/// The one table of statuses. A rejected event becomes a dead letter at once, so only what can
/// be due to this event alone is a rejection; whatever may be the receiver's state or a wrong
/// configuration, of either side, would hit every event and is retried.
pub(super) fn meaning(status: u16) -> Meaning {
    use Meaning::{Delivered, Reject, Retry};
    match status {
        200..=299 => Delivered,
        300..=399 => Retry("redirects are not followed: configure the final URL"),
        // What verifying libraries answer to a wrong signature as well, hence no rejection.
        400 => Retry("if the receiver verifies signatures, compare the secrets and the clocks"),
        401 | 403 => Retry("compare the secret and the headers with what the receiver expects"),
        404 | 410 => Retry("is the URL right?"),
        405 => Retry("the URL does not accept POST; is it right?"),
        407 => Retry("the proxy refuses the credentials"),
        408 | 425 => Retry(""),
        413 => Reject("the event is larger than the receiver accepts"),
        415 => Retry("the receiver refuses the content type; is the sink's format right?"),
        422 => Reject("the receiver understood the event and refuses it"),
        429 => Retry("the receiver asks for fewer requests"),
        500..=599 => Retry("the receiver failed"),
        _ => Retry(""),
    }
}

/// The wait that a Retry-After header asks for, in seconds or as a date, at most an hour.
/// `None` where it says neither.
pub(super) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
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
    fn only_statuses_about_this_very_event_reject_it() {
        let rejected: Vec<u16> =
            (100..=999).filter(|s| matches!(meaning(*s), Meaning::Reject(_))).collect();
        assert_eq!(rejected, [413, 422]);
        let delivered: Vec<u16> =
            (100..=999).filter(|s| meaning(*s) == Meaning::Delivered).collect();
        assert_eq!(delivered, (200..300).collect::<Vec<_>>());
    }

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
