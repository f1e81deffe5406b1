//! What the journal's methods are in SQL. Called by the writer's thread only, within the
//! transaction that the writer opens and commits.

use std::fmt::Write as _;
use std::num::ParseIntError;
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior};
use tokio::time::Instant;

use super::body::{self, Compressor};
use super::counters::{self, Counter, Deltas};
use super::id_ranges::runs;
use super::key_index::KeyIndex;
use super::receipts::Receipts;
use super::schema::BUSY_TIMEOUT;
use super::{EventId, JournalSettings, Result, SinkId};
use crate::event::{self, AppId, Event, Key};

/// The write-ahead log is cut to this part of `max_size` whenever it begins anew.
const LOG_SHARE: u64 = 8;
/// No more of it is kept, in bytes.
const MAX_LOG_SIZE: u64 = 64 * 1024 * 1024;
/// The write-ahead log is emptied into the database at this length, in bytes, unless somebody reads
/// in it. A start after a crash has to read it, and an append waits while it is emptied.
pub const LOG_LENGTH: u64 = 8 * 1024 * 1024;
/// Of a page, as SQLite makes them.
const PAGE_BYTES: u64 = 4096;

pub(super) struct Store {
    pub(super) connection: Connection,
    pub(super) settings: JournalSettings,
    pub(super) next_id: i64,
    pub(super) deltas: Deltas,
    pub(super) key_index: KeyIndex,
    pub(super) compressor: Compressor,
    pub(super) receipts: Receipts,
    data_version: i64,
    /// Whether the last append was refused for the journal's size.
    pub(super) was_full: bool,
    /// Rows that the connection had changed when the open transaction began.
    changes: u64,
    /// The last request by hand that the open transaction sees.
    pub(super) requests: i64,
    /// Where the next step of pruning by age goes on.
    pub(super) aged_after: EventId,
    /// Where the next step of pruning for space goes on.
    pub(super) bodies_after: EventId,
}

impl Store {
    pub(super) fn new(connection: Connection, settings: JournalSettings) -> rusqlite::Result<Self> {
        // Another daemon whose lock file was removed may be at its last commit: it is waited for, and
        // whatever it begins after that it does not end.
        let begin = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
        let next_id =
            begin.query_row("SELECT ifnull(max(id), 0) + 1 FROM events", [], |row| row.get(0))?;
        let key_index = KeyIndex::open(&begin, EventId(next_id))?;
        begin.commit()?;
        bound_log(&connection, &settings)?;
        Ok(Self {
            data_version: data_version(&connection)?,
            connection,
            settings,
            next_id,
            deltas: Deltas::default(),
            key_index,
            compressor: Compressor::default(),
            receipts: Receipts::new(Instant::now()),
            was_full: false,
            changes: 0,
            requests: 0,
            aged_after: EventId::default(),
            bodies_after: EventId::default(),
        })
    }

    pub(super) fn set_limits(&mut self, settings: JournalSettings) -> rusqlite::Result<()> {
        bound_log(&self.connection, &settings)?;
        // The file stays where it is.
        self.settings =
            JournalSettings { path: std::mem::take(&mut self.settings.path), ..settings };
        Ok(())
    }

    pub(super) fn begin(&mut self) -> Result<()> {
        self.deltas.clear();
        self.changes = self.connection.total_changes();
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        self.requests = counters::requests(&self.connection)?;
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

    /// Counts rows.
    pub(super) fn count(&mut self, counter: Counter, rows: usize) {
        self.deltas.add_rows(counter, rows);
    }

    /// An event that was pruned before its handle was taken back leaves no trace.
    pub(super) fn confirmed(&mut self, events: &[EventId], now: DateTime<Utc>) -> Result<()> {
        let mut renew = self
            .connection
            .prepare_cached("UPDATE confirmations SET at = ?3 WHERE event BETWEEN ?1 AND ?2")?;
        let mut note = self.connection.prepare_cached(
            "INSERT INTO confirmations (event, at)
             SELECT id, ?3 FROM events WHERE id BETWEEN ?1 AND ?2 ON CONFLICT DO NOTHING",
        )?;
        for (first, last) in runs(events.iter().copied()) {
            let run = [first.0, last.0, now.timestamp_millis()];
            renew.execute(run)?;
            self.deltas.add_rows(Counter::Confirmed, note.execute(run)?);
        }
        events.iter().for_each(|event| self.receipts.forget(*event));
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

fn bound_log(connection: &Connection, settings: &JournalSettings) -> rusqlite::Result<()> {
    // What a long read has made of the log is no use to a journal that may not be as large.
    let log_size = (settings.max_size.as_u64() / LOG_SHARE).min(MAX_LOG_SIZE);
    connection.pragma_update(None, "journal_size_limit", log_size.cast_signed())?;
    // The longer it is, the more often a page is written into it before it is written to the
    // database once.
    let log_pages = (log_size / 2).min(LOG_LENGTH) / PAGE_BYTES;
    connection.pragma_update(None, "wal_autocheckpoint", log_pages.cast_signed())
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
    let mut text = String::new();
    for (index, sink) in sinks.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        write!(text, "{space}{}", sink.0).expect("memory can be written to");
    }
    text
}

/// The event in the columns from `first` on: key, app, type, file_id, task_id, body,
/// first_pulled, replaced.
pub(super) fn event_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Event> {
    let first_pulled: i64 = row.get(first + 6)?;
    Ok(Event::from_stored(event::StoredEvent {
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
