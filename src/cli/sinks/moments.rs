//! How times are told.

use chrono::{DateTime, TimeDelta, Utc};

use crate::format::time as words;

/// `now`, `in 8.0 s`
pub(super) fn until(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match seconds(at - now) {
        left if left < 1.0 => "now".to_owned(),
        left => format!("in {}", words(left)),
    }
}

/// Not below zero, whatever the clock does.
pub(super) fn seconds(time: TimeDelta) -> f64 {
    time.to_std().unwrap_or_default().as_secs_f64()
}
