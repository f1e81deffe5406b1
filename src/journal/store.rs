//! What the journal's methods are in SQL. Called by the writer's thread only, within the
//! transaction that the writer opens and commits.

use std::num::ParseIntError;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::body::{self, Compressor};
use super::counters::{Counter, Deltas};
use super::key_index::KeyIndex;
use super::schema::BUSY_TIMEOUT;
use super::{Appended, EventId, Fresh, Result, Route, Settings, SinkId};
use crate::event::{self, AppId, Event, Key};

/// An event without TaskId that is equal to one confirmed longer ago than this happened anew.
const NEW_OCCURRENCE: TimeDelta = TimeDelta::minutes(10);

/// The write-ahead log is cut to this part of `max_size` whenever it begins anew.
const LOG_SHARE: u64 = 8;
/// No more of it is kept, in bytes.
const MAX_LOG_SIZE: u64 = 64 * 1024 * 1024;
/// It is emptied when it is half as large; and at 16 MiB, which a start after a crash has to read.
const MAX_LOG_PAGES: u64 = 4096;
/// Of a page, as SQLite makes them.
const PAGE_BYTES: u64 = 4096;

/// What became of an event that was to be stored.
pub(super) struct Stored {
    pub(super) appended: Appended,
    /// A fresh event, and the sinks that want it.
    pub(super) fresh: Option<(Fresh, Vec<SinkId>)>,
}

pub(super) struct Store {
    pub(super) connection: Connection,
    pub(super) settings: Settings,
    next_id: i64,
    pub(super) deltas: Deltas,
    pub(super) key_index: KeyIndex,
    compressor: Compressor,
    data_version: i64,
    /// Whether the last append was refused for the journal's size.
    pub(super) was_full: bool,
    /// Rows that the connection had changed when the open transaction began.
    changes: u64,
    /// Where the next step of pruning by age goes on.
    pub(super) aged_after: EventId,
    /// Where the next step of pruning for space goes on.
    pub(super) bodies_after: EventId,
}

impl Store {
    pub(super) fn new(connection: Connection, settings: Settings) -> rusqlite::Result<Self> {
        let next_id =
            connection
                .query_row("SELECT ifnull(max(id), 0) + 1 FROM events", [], |row| row.get(0))?;
        let key_index = KeyIndex::open(&connection, EventId(next_id))?;
        // What a long read has made of the log is no use to a journal that may not be as large.
        let log_size = (settings.max_size.as_u64() / LOG_SHARE).min(MAX_LOG_SIZE);
        connection.pragma_update(None, "journal_size_limit", log_size.cast_signed())?;
        // The longer it is, the more often a page is written into it before it is written to the
        // database once.
        let log_pages = (log_size / 2 / PAGE_BYTES).min(MAX_LOG_PAGES);
        connection.pragma_update(None, "wal_autocheckpoint", log_pages.cast_signed())?;
        Ok(Self {
            data_version: data_version(&connection)?,
            connection,
            settings,
            next_id,
            deltas: Deltas::default(),
            key_index,
            compressor: Compressor::default(),
            was_full: false,
            changes: 0,
            aged_after: EventId::default(),
            bodies_after: EventId::default(),
        })
    }

    pub(super) fn begin(&mut self) -> Result<()> {
        self.deltas.clear();
        self.changes = self.connection.total_changes();
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    /// Tells whether anything was written: a commit of nothing succeeds on a full disk.
    pub(super) fn commit(&mut self) -> Result<bool> {
        self.key_index.move_over(&self.connection, EventId(self.next_id))?;
        self.deltas.write(&self.connection)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.key_index.committed();
        Ok(self.connection.total_changes() != self.changes)
    }

    pub(super) fn roll_back(&mut self) {
        self.key_index.rolled_back();
        // Fails where SQLite has rolled back by itself, which is as well.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::debug!(%error, "a rollback of the journal failed");
        }
    }

    pub(super) fn count(&mut self, counter: Counter, by: i64) {
        self.deltas.add(counter, by);
    }

    /// Stores one event, unless it is known.
    pub(super) fn append(
        &mut self,
        event: &Arc<Event>,
        routes: &[Route],
        now: DateTime<Utc>,
    ) -> Result<Stored> {
        let newest = match event.task_id {
            Some(_) => None,
            None => self.newest_occurrence(event.key)?,
        };
        let (number, id) = match newest {
            Some(newest) => newest,
            None => match self.insert(event, routes)? {
                Some(stored) => return Ok(stored),
                None => (0, self.known(event.key)?),
            },
        };
        if event.task_id.is_none() && self.is_confirmed_long_since(id, now)? {
            return self.append_occurrence(event, number + 1, routes);
        }
        self.count(Counter::SeenAgain, 1);
        let pending = self.is_pending(id)?;
        let recurs = event.task_id.is_none();
        Ok(Stored { appended: Appended { id, fresh: false, pending, recurs }, fresh: None })
    }

    /// Stores an event that is equal to others as one of its own.
    fn append_occurrence(
        &mut self,
        event: &Arc<Event>,
        mut number: u32,
        routes: &[Route],
    ) -> Result<Stored> {
        loop {
            let key = event.key.occurrence(number);
            let anew = Arc::new(Event { key, ..Event::clone(event) });
            if let Some(stored) = self.insert(&anew, routes)? {
                self.connection
                    .prepare_cached(
                        "INSERT INTO occurrences (key, number, event) VALUES (?1, ?2, ?3)
                         ON CONFLICT (key) DO UPDATE
                           SET number = excluded.number, event = excluded.event",
                    )?
                    .execute(params![event.key.as_bytes(), number, stored.appended.id.0])?;
                return Ok(stored);
            }
            // Numbers begin anew once the newest was pruned; some older ones may still be there.
            number += 1;
        }
    }

    /// Inserts an event and its pending rows; `None` if another has its key.
    fn insert(&mut self, event: &Arc<Event>, routes: &[Route]) -> Result<Option<Stored>> {
        let sinks: Vec<SinkId> = routes
            .iter()
            .filter(|route| route.wanted.matches(event))
            .map(|route| route.sink)
            .collect();
        let id = EventId(self.next_id);
        if !self.key_index.add(&self.connection, event.key, id)? {
            return Ok(None);
        }
        self.connection
            .prepare_cached(
                "INSERT INTO events (id, key, app, type, file_id, task_id, first_pulled, replaced,
                                     sinks)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                id.0,
                event.key.as_bytes(),
                event.app.0.cast_signed(),
                event.event_type,
                event.file_id,
                event.task_id,
                event.first_pulled.timestamp_millis(),
                event.replaced,
                sinks_text(&sinks),
            ])?;
        self.connection
            .prepare_cached("INSERT INTO bodies (event, body) VALUES (?1, ?2)")?
            .execute(params![id.0, self.compressor.compress(&event.body)])?;
        self.next_id += 1;
        self.count(Counter::Received, 1);
        if sinks.is_empty() {
            self.count(Counter::Unrouted, 1);
        }
        for sink in &sinks {
            self.connection
                .prepare_cached("INSERT INTO pending (sink, event) VALUES (?1, ?2)")?
                .execute(params![sink.0, id.0])?;
            self.count(Counter::Routed(*sink), 1);
        }
        let recurs = event.task_id.is_none();
        let appended = Appended { id, fresh: true, pending: !sinks.is_empty(), recurs };
        let fresh = Fresh { id, event: event.clone() };
        Ok(Some(Stored { appended, fresh: Some((fresh, sinks)) }))
    }

    /// The newest further occurrence of the event with this key, if it had any.
    fn newest_occurrence(&self, key: Key) -> Result<Option<(u32, EventId)>> {
        Ok(self
            .connection
            .prepare_cached("SELECT number, event FROM occurrences WHERE key = ?1")?
            .query_row([key.as_bytes()], |row| Ok((row.get(0)?, EventId(row.get(1)?))))
            .optional()?)
    }

    /// The event that has the key.
    fn known(&mut self, key: Key) -> Result<EventId> {
        let found = self.key_index.find(&self.connection, key)?;
        Ok(found.ok_or(rusqlite::Error::QueryReturnedNoRows)?)
    }

    /// Or may have been confirmed then: of a call that was asked, the answer may be lost.
    fn is_confirmed_long_since(&self, id: EventId, now: DateTime<Utc>) -> Result<bool> {
        let at: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT max(at) FROM (SELECT at FROM confirmations WHERE event = ?1
                                      UNION ALL SELECT at FROM confirming WHERE event = ?1)",
            )?
            .query_row([id.0], |row| row.get(0))?;
        let long_since = (now - NEW_OCCURRENCE).timestamp_millis();
        Ok(at.is_some_and(|at| at < long_since))
    }

    pub(super) fn confirming(
        &mut self,
        events: &[EventId],
        now: DateTime<Utc>,
    ) -> Result<Vec<EventId>> {
        let mut note = self.connection.prepare_cached(
            "INSERT INTO confirming (event, at) SELECT id, ?2 FROM events WHERE id = ?1
             ON CONFLICT (event) DO NOTHING",
        )?;
        let mut renew =
            self.connection.prepare_cached("UPDATE confirming SET at = ?2 WHERE event = ?1")?;
        let mut noted = Vec::new();
        for event in events {
            let row = [event.0, now.timestamp_millis()];
            if note.execute(row)? == 1 {
                noted.push(*event);
            } else {
                renew.execute(row)?;
            }
        }
        Ok(noted)
    }

    pub(super) fn not_confirming(&mut self, events: &[EventId]) -> Result<()> {
        let mut forget =
            self.connection.prepare_cached("DELETE FROM confirming WHERE event = ?1")?;
        for event in events {
            forget.execute([event.0])?;
        }
        Ok(())
    }

    /// An event that was pruned before its handle was taken back leaves no trace.
    pub(super) fn confirmed(&mut self, events: &[EventId], now: DateTime<Utc>) -> Result<()> {
        let mut is_there =
            self.connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM events WHERE id = ?1)")?;
        let mut note = self.connection.prepare_cached(
            "INSERT INTO confirmations (event, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?;
        let mut renew =
            self.connection.prepare_cached("UPDATE confirmations SET at = ?2 WHERE event = ?1")?;
        let mut confirmed = 0;
        for event in events {
            let row = [event.0, now.timestamp_millis()];
            if !is_there.query_row([event.0], |row| row.get::<_, bool>(0))? {
                continue;
            }
            if note.execute(row)? == 1 {
                confirmed += 1;
            } else {
                renew.execute(row)?;
            }
        }
        self.deltas.add(Counter::Confirmed, confirmed);
        Ok(())
    }

    pub(super) fn register(&mut self, names: &[String]) -> Result<Vec<SinkId>> {
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

    /// From here on these sinks, and no others, hold events up.
    pub(super) fn activate(&mut self, sinks: &[SinkId]) -> Result<()> {
        self.connection.execute("UPDATE sinks SET active = 0 WHERE active", [])?;
        let mut activate =
            self.connection.prepare_cached("UPDATE sinks SET active = 1 WHERE id = ?1")?;
        for sink in sinks {
            activate.execute([sink.0])?;
        }
        Ok(())
    }

    /// Bytes in use in database and write-ahead log.
    pub(super) fn size(&self) -> Result<ByteSize> {
        size(&self.connection, &self.settings.path)
    }

    /// Moves the write-ahead log into the database and empties it, unless somebody reads in it.
    pub(super) fn empty_log(&self) -> Result<()> {
        // Nobody is waited for: this is on the way of all that is written.
        self.connection.busy_timeout(Duration::ZERO)?;
        let emptied = self
            .connection
            .prepare_cached("PRAGMA wal_checkpoint(TRUNCATE)")
            .and_then(|mut checkpoint| checkpoint.query_row([], |_| Ok(())));
        self.connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(emptied?)
    }

    pub(super) fn changed_outside(&mut self) -> rusqlite::Result<bool> {
        let now = data_version(&self.connection)?;
        Ok(std::mem::replace(&mut self.data_version, now) != now)
    }
}

/// Bytes in use in the database at `path` and its write-ahead log.
pub(super) fn size(connection: &Connection, path: &Path) -> Result<ByteSize> {
    let number = |sql| -> rusqlite::Result<u64> {
        let mut pragma = connection.prepare_cached(sql)?;
        Ok(pragma.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned())
    };
    let used = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = std::fs::metadata(log).map_or(0, |file| file.len());
    Ok(ByteSize::b(used * number("PRAGMA page_size")? + log))
}

/// Changes with each commit of another connection.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// The numbers in the column `sinks` of an event.
pub(super) fn sinks(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<SinkId>> {
    let text = row.get_ref(column)?.as_str()?;
    let numbers = text.split_ascii_whitespace().map(|number| number.parse().map(SinkId));
    numbers.collect::<std::result::Result<_, _>>().map_err(|error: ParseIntError| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}

/// What stands in the column `sinks` of an event.
pub(super) fn sinks_text(sinks: &[SinkId]) -> String {
    sinks.iter().map(|sink| sink.0.to_string()).collect::<Vec<_>>().join(" ")
}

/// The event in the columns from `first` on: key, app, type, file_id, task_id, body,
/// first_pulled, replaced.
pub(super) fn event_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Event> {
    let first_pulled: i64 = row.get(first + 6)?;
    Ok(Event::from_stored(event::Stored {
        key: Key::from_bytes(row.get(first)?),
        app: AppId(row.get::<_, i64>(first + 1)?.cast_unsigned()),
        event_type: row.get(first + 2)?,
        file_id: row.get(first + 3)?,
        task_id: row.get(first + 4)?,
        body: body::column(row, first + 5)?,
        first_pulled: DateTime::from_timestamp_millis(first_pulled).unwrap_or_default(),
        replaced: row.get(first + 7)?,
    }))
}
