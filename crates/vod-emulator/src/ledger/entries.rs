//! How histories are kept and times are written.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serializer;

/// The maximum number of entries of one kind that are kept of one event: the last ones.
const HISTORY_PER_EVENT: usize = 1_000;

/// Pushes without room to spare: most events have one entry, and there may be a million events.
pub(super) fn push_last<T>(list: &mut Vec<T>, entry: T) {
    if list.len() >= HISTORY_PER_EVENT {
        list.remove(0);
    }
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.push(entry);
}

pub(super) fn time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

pub(super) fn maybe_time<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => self::time(time, serializer),
        None => serializer.serialize_none(),
    }
}
