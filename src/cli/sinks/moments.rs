//! How times are told.

use chrono::{DateTime, Utc};

use crate::format::{seconds, time};

/// `now`, `in 8.0 s`
pub(super) fn until(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match seconds(at - now) {
        left if left < 1.0 => "now".to_owned(),
        left => format!("in {}", time(left)),
    }
}
