//! Columns of the journal's rows, read and written.

use std::fmt::Write as _;
use std::num::ParseIntError;

use chrono::{DateTime, Utc};
use rusqlite::Row;
use rusqlite::types::Type;

use super::body;
use crate::event::{AfterResult, AppId, Event, EventOrigin, Key, StoredEvent};
use crate::journal::types::SinkId;

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let millis: Option<i64> = row.get(column)?;
    Ok(millis.and_then(DateTime::from_timestamp_millis))
}

/// What became of an event at the sink before, where there was one.
pub(super) fn after(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<AfterResult>> {
    let Some(text) = row.get_ref(column)?.as_str_or_null()? else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}

pub(super) fn sinks(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<SinkId>> {
    let text = row.get_ref(column)?.as_str()?;
    let numbers = text.split_ascii_whitespace().map(|number| number.parse().map(SinkId));
    numbers.collect::<Result<_, _>>().map_err(|error: ParseIntError| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}

pub(super) fn sinks_text(sinks: &[SinkId]) -> String {
    let mut text = String::new();
    for (index, sink) in sinks.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        write!(text, "{space}{}", sink.0).expect("memory can be written to");
    }
    text
}

/// How an event arrived, as a number.
pub(super) fn origin_number(origin: EventOrigin) -> i64 {
    match origin {
        EventOrigin::Queue => 0,
        EventOrigin::Callback => 1,
        EventOrigin::Reconcile => 2,
    }
}

fn origin(number: i64) -> EventOrigin {
    let all = [EventOrigin::Callback, EventOrigin::Reconcile];
    all.into_iter().find(|origin| origin_number(*origin) == number).unwrap_or_default()
}

/// The event in the columns from `first` on: key, app, type, file_id, task_id, body,
/// first_pulled, replaced, origin.
pub(super) fn event_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Event> {
    let first_pulled: i64 = row.get(first + 6)?;
    Ok(Event::from_stored(StoredEvent {
        key: Key::from_bytes(row.get(first)?),
        app: AppId(row.get::<_, i64>(first + 1)?.cast_unsigned()),
        event_type: row.get(first + 2)?,
        file_id: row.get(first + 3)?,
        task_id: row.get(first + 4)?,
        body: body::column(row, first + 5)?,
        first_pulled: DateTime::from_timestamp_millis(first_pulled).unwrap_or_default(),
        replaced: row.get(first + 7)?,
        origin: origin(row.get(first + 8)?),
    }))
}
