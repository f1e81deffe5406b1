//! The attempts to deliver events that have failed at a sink, in SQL.
//!
//! An event that its sink takes at the first attempt has no row here. Whether there can be others
//! among those delivered is asked once for all that are recorded together.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};
use serde::Serialize;

use super::rows::time;
use super::store::Store;
use crate::journal::error::Result;
use crate::journal::types::{EventId, SinkId};

/// Attempts that are kept of an event at a sink, the newest ones.
const MAX_ATTEMPTS: i64 = 20;

/// An attempt to deliver an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Why it failed; `None` if the sink took the event.
    pub error: Option<String>,
}

impl Store {
    /// Adds that an event failed now, unless it is no longer pending. Its row in `pending` is still
    /// as it was: an error that it has already is not stored again.
    pub(super) fn add_failure(
        &self,
        sink: SinkId,
        event: EventId,
        now: i64,
        error: &str,
    ) -> Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO attempts (event, sink, number, at, is_delivered, error)
             SELECT event, sink,
                    1 + ifnull((SELECT max(number) FROM attempts
                                WHERE attempts.event = ?2 AND attempts.sink = ?1), 0),
                    ?3, 0, nullif(?4, last_error)
             FROM pending WHERE sink = ?1 AND event = ?2
             RETURNING number",
        )?;
        let mut added = insert.query(params![sink.0, event.0, now, error])?;
        let number: Option<i64> = added.next()?.map(|row| row.get(0)).transpose()?;
        drop(added);
        number.map_or(Ok(()), |number| self.trim_attempts(sink, event, number))
    }

    /// Whether a delivery at `sink` can be that of an event which had failed: others that are
    /// pending have no time at which they are due.
    pub(super) fn has_failed(&self, sink: SinkId) -> Result<bool> {
        let mut select = self
            .connection
            .prepare_cached("SELECT 1 FROM pending WHERE sink = ?1 AND due IS NOT NULL")?;
        Ok(select.exists([sink.0])?)
    }

    /// Adds that the sink takes those of a range now which had failed and are pending.
    pub(super) fn add_deliveries(
        &self,
        sink: SinkId,
        first: EventId,
        last: EventId,
        now: i64,
    ) -> Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO attempts (event, sink, number, at, is_delivered)
             SELECT event, sink, 1 + max(number), ?4, 1 FROM attempts
             WHERE event BETWEEN ?2 AND ?3 AND sink = ?1
               AND EXISTS (SELECT 1 FROM pending
                           WHERE pending.sink = ?1 AND pending.event = attempts.event)
             GROUP BY event
             RETURNING event, number",
        )?;
        let added = insert.query_map(params![sink.0, first.0, last.0, now], |row| {
            Ok((EventId(row.get(0)?), row.get(1)?))
        })?;
        let added: Vec<(EventId, i64)> = added.collect::<rusqlite::Result<_>>()?;
        for (event, number) in added {
            self.trim_attempts(sink, event, number)?;
        }
        Ok(())
    }

    /// Deletes the attempts of an event at `sink` but for the last ones up to `newest`. The first
    /// that stays takes over the error that it had in common with the one before.
    fn trim_attempts(&self, sink: SinkId, event: EventId, newest: i64) -> Result<()> {
        let last = newest - MAX_ATTEMPTS;
        if last <= 0 {
            return Ok(());
        }
        for sql in [
            "UPDATE attempts SET error = (SELECT error FROM attempts
                                          WHERE event = ?2 AND sink = ?1 AND number = ?3)
             WHERE event = ?2 AND sink = ?1 AND number = ?3 + 1 AND error IS NULL
               AND NOT is_delivered",
            "DELETE FROM attempts WHERE event = ?2 AND sink = ?1 AND number <= ?3",
        ] {
            self.connection.prepare_cached(sql)?.execute([sink.0, event.0, last])?;
        }
        Ok(())
    }

    /// Deletes the attempts of events up to `last`, after `after`, that are no longer there.
    pub(super) fn prune_attempts(&self, after: EventId, last: EventId) -> Result<()> {
        self.connection
            .prepare_cached(
                "DELETE FROM attempts WHERE event > ?1 AND event <= ?2
                   AND NOT EXISTS (SELECT 1 FROM events WHERE id = attempts.event)",
            )?
            .execute([after.0, last.0])?;
        Ok(())
    }
}

/// The attempts of an event that are kept, by the sink's name, the newest last.
pub(super) fn of_event(
    connection: &Connection,
    event: EventId,
) -> rusqlite::Result<BTreeMap<String, Vec<Attempt>>> {
    let mut select = connection.prepare_cached(
        "SELECT name, at, is_delivered, error FROM attempts JOIN sinks ON sinks.id = sink
         WHERE event = ?1 ORDER BY sink, number",
    )?;
    let mut rows = select.query([event.0])?;
    let mut attempts: BTreeMap<String, Vec<Attempt>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let of_sink = attempts.entry(row.get(0)?).or_default();
        let error = match row.get(2)? {
            true => None,
            false => {
                let before = || of_sink.last().and_then(|attempt| attempt.error.clone());
                Some(row.get::<_, Option<String>>(3)?.or_else(before).unwrap_or_default())
            }
        };
        of_sink.push(Attempt { at: time(row, 1)?.unwrap_or_default(), error });
    }
    Ok(attempts)
}
