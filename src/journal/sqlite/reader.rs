//! Reads the journal beside the daemon that writes it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params, params_from_iter};
use serde::Serialize;

use super::attempts::{self, Attempt};
use super::counters::JournalTotals;
use super::filter::{Filter, Order, Query};
use super::following;
use super::key_index;
use super::open::open_read_only;
use super::rows::{event_row, time};
use super::sinks::backlogs;
use crate::event::{Event, Key};
use crate::journal::error::{OpenError, Result};
use crate::journal::types::{Backlog, EventId, EventState, SinkId};

/// A sink that the journal has heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSink {
    /// Its number.
    pub id: SinkId,
    /// Its name.
    pub name: String,
    /// Whether it stood in the configuration at the daemon's last start or reload.
    pub active: bool,
}

/// An event as it stands in the journal.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Its number.
    pub id: EventId,
    /// The event; its body is `{}` if it was pruned for space.
    pub event: Event,
    /// Its state over all sinks.
    pub state: EventState,
    /// When the cloud took its handle back, as far as known.
    pub confirmed: Option<DateTime<Utc>>,
    /// Whether its body was pruned for space.
    pub is_pruned: bool,
}

/// Events that were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCount {
    /// How many were found.
    pub events: u64,
    /// Whether these are all.
    pub is_all: bool,
}

/// An event at one sink.
#[derive(Clone, Debug, Serialize)]
pub struct SinkState {
    /// The sink's name.
    pub sink: String,
    /// Whether it stood in the configuration at the daemon's last start or reload.
    pub active: bool,
    /// Its state there.
    pub state: EventState,
    /// Failed deliveries.
    pub attempts: u32,
    /// When it is due again.
    pub due: Option<DateTime<Utc>>,
    /// The first failure, in words.
    pub first_error: Option<String>,
    /// The last failure, in words.
    pub last_error: Option<String>,
    /// When it failed first.
    pub first_failed: Option<DateTime<Utc>>,
    /// When it failed last, or became a dead letter.
    pub last_failed: Option<DateTime<Utc>>,
    /// When the sink took it, of one that had failed before.
    pub delivered: Option<DateTime<Utc>>,
    /// The last attempts, the newest last, of an event that has failed at least once; at most 20.
    /// Those before a redelivery by hand are among them.
    pub last_attempts: Vec<Attempt>,
    /// The sinks that get it once this one has settled it, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<String>,
}

const STATE: &str = "
  CASE WHEN EXISTS (SELECT 1 FROM sinks CROSS JOIN pending
                    ON pending.sink = sinks.id AND pending.event = events.id) THEN 'pending'
       WHEN EXISTS (SELECT 1 FROM sinks CROSS JOIN dead
                    ON dead.sink = sinks.id AND dead.event = events.id) THEN 'dead'
       WHEN events.sinks = '' THEN 'unrouted'
       ELSE 'delivered' END";

const FOUND: &str = "events.id, key, app, type, file_id, task_id,
  (SELECT body FROM bodies WHERE event = events.id), first_pulled, replaced, origin,
  (SELECT at FROM confirmations WHERE event = events.id)";
const IS_PRUNED: &str = "NOT EXISTS (SELECT 1 FROM bodies WHERE event = events.id)";

/// The most that SQLite takes.
const NO_LIMIT: usize = i64::MAX as usize;
/// Steps of SQLite's machine between two looks at the clock: less than a millisecond.
const STEPS_AT_ONCE: i32 = 10_000;

/// A journal opened for reading. Its methods fail when it cannot be read.
#[derive(Debug)]
pub struct JournalReader(pub(super) Connection);

impl JournalReader {
    /// The most keys that [`JournalReader::keys`] finds.
    pub const MAX_KEYS: usize = 10;

    /// Opens the journal at `path`. Blocks; waits up to 5 s for a writer's short transaction.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open(path: &Path) -> std::result::Result<Self, OpenError> {
        open_read_only(path).map(Self)
    }

    /// Events for which `filter` holds, newest first, at most `limit`.
    pub fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<EventRow>> {
        Ok(self.select(&columns(), filter, Order::NewestFirst, limit, found_row)?)
    }

    /// The same, oldest first.
    pub fn list_oldest(&self, filter: &Filter, limit: usize) -> Result<Vec<EventRow>> {
        Ok(self.select(&columns(), filter, Order::OldestFirst, limit, found_row)?)
    }

    /// Events for which `filter` holds, oldest first, at most `limit`; and whether their bodies
    /// were pruned for space. Reads no body.
    pub fn ids(&self, filter: &Filter, limit: usize) -> Result<Vec<(EventId, bool)>> {
        let columns = format!("events.id, {IS_PRUNED}");
        let read = |row: &Row<'_>| Ok((EventId(row.get(0)?), row.get(1)?));
        Ok(self.select(&columns, filter, Order::OldestFirst, limit, read)?)
    }

    /// Counts the events for which `filter` holds, for at most about `patience`. Reads no body.
    pub fn count(&mut self, filter: &Filter, patience: Duration) -> Result<EventCount> {
        let end = Instant::now() + patience;
        self.0.progress_handler(STEPS_AT_ONCE, Some(move || Instant::now() >= end))?;
        let mut events = 0;
        let count = |_: &Row<'_>| {
            events += 1;
            Ok(())
        };
        // What is of no size takes no memory.
        let counted = self.select::<()>("1", filter, Order::NewestFirst, NO_LIMIT, count);
        self.0.progress_handler(0, None::<fn() -> bool>)?;
        match counted {
            Ok(_) => Ok(EventCount { events, is_all: true }),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                Ok(EventCount { events, is_all: false })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The types of the events, by name. Reads all events.
    pub fn types(&self) -> Result<Vec<String>> {
        let mut select = self.0.prepare("SELECT DISTINCT type FROM events ORDER BY type")?;
        let types = select.query_map([], |row| row.get(0))?;
        Ok(types.collect::<rusqlite::Result<_>>()?)
    }

    fn select<T>(
        &self,
        columns: &str,
        filter: &Filter,
        order: Order,
        limit: usize,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let Query { from, conditions, order_by, values } = filter.query(order);
        let mut select = self.0.prepare_cached(&format!(
            "SELECT {columns} FROM {from}
             WHERE {conditions} AND (?1 IS NULL OR ({STATE}) = ?1) {order_by} LIMIT {limit}"
        ))?;
        let rows = select.query_map(params_from_iter(values), read)?;
        rows.collect()
    }

    /// The event that was stored last.
    pub fn last(&self) -> Result<EventId> {
        let last = "SELECT ifnull(max(id), 0) FROM events";
        Ok(self.0.query_row(last, [], |row| row.get(0).map(EventId))?)
    }

    /// The event with this key.
    pub fn find(&self, key: Key) -> Result<Option<EventRow>> {
        let Some(event) = key_index::find(&self.0, key)? else { return Ok(None) };
        let sql = format!("SELECT {} FROM events WHERE events.id = ?1", columns());
        Ok(self.0.query_row(&sql, [event.0], found_row).optional()?)
    }

    /// Keys that begin with `prefix`, given in hex digits; at most [`JournalReader::MAX_KEYS`].
    pub fn keys(&self, prefix: &str) -> Result<Vec<Key>> {
        let mut select = self.0.prepare(&format!(
            "SELECT key FROM keys WHERE key BETWEEN ?1 AND ?2
             UNION
             SELECT key FROM events
               WHERE id >= (SELECT before FROM keys_complete) AND key BETWEEN ?1 AND ?2
             ORDER BY key LIMIT {}",
            Self::MAX_KEYS
        ))?;
        let bound = |fill: &str| -> Option<Key> {
            format!("{prefix}{}", fill.repeat(32_usize.saturating_sub(prefix.len()))).parse().ok()
        };
        let (Some(first), Some(last)) = (bound("0"), bound("f")) else { return Ok(Vec::new()) };
        let keys = select.query_map(params![first.as_bytes(), last.as_bytes()], |row| {
            row.get(0).map(Key::from_bytes)
        })?;
        Ok(keys.collect::<rusqlite::Result<_>>()?)
    }

    /// Every sink that the journal has heard of, by name.
    pub fn sinks(&self) -> Result<Vec<KnownSink>> {
        let mut select = self.0.prepare("SELECT id, name, active FROM sinks ORDER BY name")?;
        let rows = select.query_map([], |row| {
            Ok(KnownSink { id: SinkId(row.get(0)?), name: row.get(1)?, active: row.get(2)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The sinks at which something is left, by name.
    pub fn backlogs(&self) -> Result<Vec<Backlog>> {
        backlogs(&self.0, "true")
    }

    /// The event's state at each sink that it is for.
    pub fn sinks_of(&self, event: EventId) -> Result<Vec<SinkState>> {
        let mut attempts = attempts::of_event(&self.0, event)?;
        let mut select = self.0.prepare_cached(
            "SELECT name, active,
               CASE WHEN pending.event IS NOT NULL THEN 'pending'
                    WHEN dead.event IS NOT NULL THEN 'dead' ELSE 'delivered' END,
               coalesce(pending.attempts, dead.attempts, 0), pending.due,
               coalesce(pending.first_error, dead.first_error),
               coalesce(pending.last_error, dead.last_error),
               coalesce(pending.first_failed, dead.first_failed),
               coalesce(pending.last_failed, dead.at), sinks.id
             FROM sinks
             JOIN events ON events.id = ?1
             LEFT JOIN pending ON pending.sink = sinks.id AND pending.event = ?1
             LEFT JOIN dead ON dead.sink = sinks.id AND dead.event = ?1
             WHERE ' ' || events.sinks || ' ' LIKE '% ' || sinks.id || ' %'
                OR pending.event IS NOT NULL OR dead.event IS NOT NULL
             ORDER BY name",
        )?;
        let rows = select.query_map([event.0], |row| {
            let (sink, state): (String, _) = (row.get(0)?, state(row, 2)?);
            let last_attempts = attempts.remove(&sink).unwrap_or_default();
            let last = last_attempts.last().filter(|last| last.error.is_none());
            Ok(SinkState {
                delivered: last.filter(|_| state == EventState::Delivered).map(|last| last.at),
                sink,
                active: row.get(1)?,
                state,
                attempts: row.get(3)?,
                due: time(row, 4)?,
                first_error: row.get(5)?,
                last_error: row.get(6)?,
                first_failed: time(row, 7)?,
                last_failed: time(row, 8)?,
                last_attempts,
                then: following::names(&self.0, SinkId(row.get(9)?), event)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The journal's sums, all from one snapshot.
    pub fn sums(&self) -> Result<JournalTotals> {
        let mut select = self.0.prepare_cached(
            "SELECT name, sum(value) FROM counters GROUP BY name
             UNION ALL SELECT 'pending', count(*) FROM pending",
        )?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let sums: BTreeMap<String, i64> = rows.collect::<rusqlite::Result<_>>()?;
        let sum = |name| sums.get(name).copied().unwrap_or_default().cast_unsigned();
        Ok(JournalTotals {
            received: sum("received"),
            duplicates: sum("seen_again"),
            unrouted: sum("unrouted"),
            confirmed: sum("confirmed"),
            routed: sum("routed"),
            delivered: sum("delivered"),
            dead: sum("dead"),
            discarded: sum("discarded"),
            pending: sum("pending"),
        })
    }
}

/// What [`found_row`] reads.
fn columns() -> String {
    format!("{FOUND}, {IS_PRUNED}, {STATE}")
}

fn found_row(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        id: EventId(row.get(0)?),
        event: event_row(row, 1)?,
        confirmed: time(row, 10)?,
        is_pruned: row.get(11)?,
        state: state(row, 12)?,
    })
}

fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<EventState> {
    let word: String = row.get(column)?;
    Ok(match word.as_str() {
        "pending" => EventState::Pending,
        "dead" => EventState::Dead,
        "unrouted" => EventState::Unrouted,
        _ => EventState::Delivered,
    })
}

#[cfg(test)]
mod tests {
    use super::super::open::open;
    use super::*;

    #[test]
    fn a_count_ends_with_the_patience_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.db");
        open(&path)
            .unwrap()
            .execute_batch(
                "WITH numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 30000)
                 INSERT INTO events
                   SELECT n, CAST(printf('%016d', n) AS BLOB), 1, 'T' || (n % 3), NULL, NULL, n, 0, '', 0
                   FROM numbers;",
            )
            .unwrap();
        let mut reader = JournalReader::open(&path).unwrap();
        let (all, long) = (Filter::default(), Duration::from_secs(3600));
        let of_type = Filter { event_type: Some("T1".to_owned()), ..Filter::default() };
        let older = Filter { before: Some(EventId(101)), ..Filter::default() };
        for (filter, events) in [(&all, 30_000), (&of_type, 10_000), (&older, 100)] {
            assert_eq!(reader.count(filter, long).unwrap(), EventCount { events, is_all: true });
        }
        let cut = reader.count(&all, Duration::ZERO).unwrap();
        assert!(!cut.is_all && cut.events < 30_000, "{cut:?}");
        // What comes after it has all the time it wants.
        assert_eq!(reader.ids(&all, 100_000).unwrap().len(), 30_000);
        assert_eq!(reader.types().unwrap(), ["T0", "T1", "T2"]);
    }
}
