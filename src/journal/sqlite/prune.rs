//! Pruning: keeps the journal within its bounds, a small step at a time.
//!
//! What is pending or dead at any sink, an orphaned one included, is never touched.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::params;

use super::counters::Counter;
use super::rows::sinks;
use super::store::Store;
use crate::event::Key;
use crate::journal::error::Result;
use crate::journal::settings::MIN_RETENTION;
use crate::journal::types::{EventId, SinkId};

/// What a daemon waits between two steps, so that appends come between them.
pub const PRUNE_PAUSE: Duration = Duration::from_millis(20);

/// Events that one step goes through.
const PRUNE_BATCH: i64 = 64;
/// Bodies go from this share of `max_size` on, in percent.
const SHORT_OF_SPACE: u64 = 90;
/// Free pages given back to the file system in one step.
const VACUUM_PAGES: u32 = 64;

/// No sink, in the configuration or not, has the event pending or dead.
const SETTLED: &str = "
  NOT EXISTS (SELECT 1 FROM sinks CROSS JOIN pending
              ON pending.sink = sinks.id AND pending.event = events.id)
  AND NOT EXISTS (SELECT 1 FROM sinks CROSS JOIN dead
                  ON dead.sink = sinks.id AND dead.event = events.id)";

impl Store {
    /// One step; returns whether there is more to do.
    pub(in crate::journal) fn prune(&mut self, now: DateTime<Utc>) -> Result<bool> {
        let is_short = self.is_short_of_space()?;
        let more_aged = self.prune_aged(now, is_short)?;
        let more_bodies = is_short && self.prune_bodies()?;
        self.vacuum()?;
        Ok(more_aged || more_bodies)
    }

    /// A step through the events from the oldest on, as far as they are past their retention.
    fn prune_aged(&mut self, now: DateTime<Utc>, is_short: bool) -> Result<bool> {
        let retention = self.settings.retention;
        let retention = if is_short { retention.min(MIN_RETENTION) } else { retention };
        let oldest_kept = (now - retention).timestamp_millis();
        let Some((last, last_pulled)) = self.step_end()? else {
            self.aged_after = EventId::default();
            return Ok(false);
        };
        let deleted = self.delete_aged(last, oldest_kept)?;
        // Events are stored in the order of their age, but for what the clock did meanwhile: one
        // from the future shows nothing of those behind it.
        let is_young = (oldest_kept..=now.timestamp_millis()).contains(&last_pulled);
        self.aged_after = if is_young && deleted == 0 { EventId::default() } else { last };
        Ok(!is_young)
    }

    /// A step through the bodies that are left, from the oldest on, and the attempts at the same
    /// events. It goes on where the last one
    /// ended, however long ago: what one sink has pending is not gone through with each step
    /// to find what another has taken.
    fn prune_bodies(&mut self) -> Result<bool> {
        let last: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT max(event) FROM (SELECT event FROM bodies WHERE event > ?1
                                         ORDER BY event LIMIT ?2)",
            )?
            .query_row([self.bodies_after.0, PRUNE_BATCH], |row| row.get(0))?;
        let Some(last) = last else {
            self.bodies_after = EventId::default();
            return Ok(false);
        };
        self.connection
            .prepare_cached(&format!(
                "DELETE FROM bodies WHERE event > ?1 AND event <= ?2
                   AND EXISTS (SELECT 1 FROM events WHERE events.id = bodies.event AND {SETTLED})"
            ))?
            .execute([self.bodies_after.0, last])?;
        // What would tell of a delivery that cannot be made again.
        self.connection
            .prepare_cached(&format!(
                "DELETE FROM attempts WHERE event > ?1 AND event <= ?2
                   AND EXISTS (SELECT 1 FROM events
                               WHERE events.id = attempts.event AND {SETTLED})"
            ))?
            .execute([self.bodies_after.0, last])?;
        self.bodies_after = EventId(last);
        Ok(true)
    }

    fn is_short_of_space(&self) -> Result<bool> {
        let limit = self.settings.max_size.as_u64() / 100 * SHORT_OF_SPACE;
        Ok(self.size()?.as_u64() > limit)
    }

    /// The last event of this step, and when it was pulled.
    fn step_end(&self) -> Result<Option<(EventId, i64)>> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, first_pulled FROM (SELECT id, first_pulled FROM events
                                           WHERE id > ?1 ORDER BY id LIMIT ?2)
             ORDER BY id DESC LIMIT 1",
        )?;
        let mut rows = select.query(params![self.aged_after.0, PRUNE_BATCH])?;
        let row = rows.next()?;
        Ok(row
            .map(|row| Ok::<_, rusqlite::Error>((EventId(row.get(0)?), row.get(1)?)))
            .transpose()?)
    }

    fn delete_aged(&mut self, last: EventId, oldest_kept: i64) -> Result<usize> {
        let after = self.aged_after;
        self.key_index.read(&self.connection)?;
        let pruned = {
            let mut delete = self.connection.prepare_cached(&format!(
                "DELETE FROM events WHERE id > ?1 AND id <= ?2 AND first_pulled < ?3 AND {SETTLED}
                 RETURNING id, key, sinks"
            ))?;
            let rows = delete.query_map(params![after.0, last.0, oldest_kept], |row| {
                Ok((row.get(0)?, Key::from_bytes(row.get(1)?), sinks(row, 2)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<(i64, Key, Vec<SinkId>)>>>()?
        };
        for (id, key, sinks) in &pruned {
            self.key_index.remove(&self.connection, *key)?;
            let confirmed = self
                .connection
                .prepare_cached("DELETE FROM confirmations WHERE event = ?1")?
                .execute([id])?;
            self.receipts.forget(EventId(*id));
            for table in ["occurrences", "posted", "bodies", "results"] {
                let delete = format!("DELETE FROM {table} WHERE event = ?1");
                self.connection.prepare_cached(&delete)?.execute([id])?;
            }
            self.count(Counter::PrunedConfirmed, confirmed);
            self.count(Counter::PrunedUnrouted, usize::from(sinks.is_empty()));
            for sink in sinks {
                self.count(Counter::PrunedOf(*sink), 1);
            }
        }
        if !pruned.is_empty() {
            self.prune_attempts(after, last)?;
        }
        self.count(Counter::Pruned, pruned.len());
        Ok(pruned.len())
    }

    fn vacuum(&self) -> Result<()> {
        let mut vacuum = self
            .connection
            .prepare_cached(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        // Each step frees one page.
        let mut freed = vacuum.query([])?;
        while freed.next()?.is_some() {}
        Ok(())
    }
}
