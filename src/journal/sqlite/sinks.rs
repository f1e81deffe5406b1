//! The sinks that the journal has heard of, and what it keeps of each, in SQL.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::counters::Counter;
use super::following::skip;
use super::rows::time;
use super::store::Store;
use crate::journal::error::Result;
use crate::journal::types::{Backlog, EventId, Leftover, SinkHistory, SinkId};

impl Store {
    pub(in crate::journal) fn register(&mut self, names: &[String]) -> Result<Vec<SinkId>> {
        let mut add = self.connection.prepare_cached(
            "INSERT INTO sinks (name, active) VALUES (?1, 0) ON CONFLICT (name) DO NOTHING",
        )?;
        let mut find = self.connection.prepare_cached("SELECT id FROM sinks WHERE name = ?1")?;
        let mut id = |name: &String| {
            add.execute([name])?;
            find.query_row([name], |row| row.get(0).map(SinkId))
        };
        Ok(names.iter().map(&mut id).collect::<rusqlite::Result<_>>()?)
    }

    /// From here on these sinks, and no others, hold events up. What others still had to take, those
    /// get now that follow whatever becomes of it.
    pub(in crate::journal) fn activate(
        &mut self,
        sinks: &[SinkId],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let before = {
            let mut deactivate = self
                .connection
                .prepare_cached("UPDATE sinks SET active = 0 WHERE active RETURNING id")?;
            let before = deactivate.query_map([], |row| row.get(0).map(SinkId))?;
            before.collect::<rusqlite::Result<Vec<_>>>()?
        };
        let mut activate =
            self.connection.prepare_cached("UPDATE sinks SET active = 1 WHERE id = ?1")?;
        for sink in sinks {
            activate.execute([sink.0])?;
        }
        for removed in before.into_iter().filter(|sink| !sinks.contains(sink)) {
            skip(&self.connection, &mut self.deltas, removed, now.timestamp_millis())?;
        }
        Ok(())
    }

    pub(in crate::journal) fn checkpoint(&self, sink: SinkId) -> Result<Option<String>> {
        let mut select = self.connection.prepare_cached("SELECT mark FROM sinks WHERE id = ?1")?;
        Ok(select.query_row([sink.0], |row| row.get(0)).optional()?.flatten())
    }

    pub(in crate::journal) fn set_checkpoint(&self, sink: SinkId, checkpoint: &str) -> Result<()> {
        let mut update =
            self.connection.prepare_cached("UPDATE sinks SET mark = ?2 WHERE id = ?1")?;
        update.execute(params![sink.0, checkpoint])?;
        Ok(())
    }

    pub(in crate::journal) fn history(&self, sink: SinkId) -> Result<SinkHistory> {
        let mut select =
            self.connection.prepare_cached("SELECT event FROM rejected WHERE sink = ?1")?;
        let rejected = select.query_map([sink.0], |row| row.get(0).map(EventId))?;
        Ok(SinkHistory {
            has_taken: self.total(Counter::Delivered(sink))? > 0,
            rejected: rejected.collect::<rusqlite::Result<_>>()?,
        })
    }

    pub(in crate::journal) fn forget_rejected(&mut self, sink: SinkId) -> Result<EventId> {
        let mut delete = self.connection.prepare_cached("DELETE FROM rejected WHERE sink = ?1")?;
        delete.execute([sink.0])?;
        Ok(EventId(self.next_id - 1))
    }

    pub(in crate::journal) fn orphans(&self) -> Result<Vec<Backlog>> {
        backlogs(&self.connection, "NOT active")
    }

    pub(in crate::journal) fn leftovers(&self) -> Result<Vec<Leftover>> {
        // Beside a single max() SQLite takes the other columns from the row that has it.
        let mut select = self.connection.prepare_cached(
            "SELECT name, count(*), last_error, max(ifnull(last_failed, 0)),
               (SELECT since FROM paused WHERE paused.sink = sinks.id)
             FROM sinks CROSS JOIN pending ON pending.sink = sinks.id
             WHERE active GROUP BY sinks.id ORDER BY name",
        )?;
        let rows = select.query_map([], |row| {
            let pending = row.get::<_, i64>(1)?.cast_unsigned();
            let paused = time(row, 4)?;
            Ok(Leftover { sink: row.get(0)?, pending, last_error: row.get(2)?, paused })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// Of the sinks for which `which` holds, those at which something is left.
pub(super) fn backlogs(connection: &Connection, which: &str) -> Result<Vec<Backlog>> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT name, (SELECT count(*) FROM pending WHERE sink = sinks.id),
           (SELECT count(*) FROM dead WHERE sink = sinks.id)
         FROM sinks WHERE {which} ORDER BY name"
    ))?;
    let rows = select.query_map([], |row| {
        let count = |column| row.get(column).map(i64::cast_unsigned);
        Ok(Backlog { sink: row.get(0)?, pending: count(1)?, dead: count(2)? })
    })?;
    let all: Vec<Backlog> = rows.collect::<rusqlite::Result<_>>()?;
    Ok(all.into_iter().filter(|left| left.pending > 0 || left.dead > 0).collect())
}
