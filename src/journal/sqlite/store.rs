//! The connection that writes, with what is kept in memory beside it, and its transactions.

use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::time::Instant;

use super::body::Compressor;
use super::counters::{self, Counter, Deltas};
use super::key_index::KeyIndex;
use super::open::BUSY_TIMEOUT;
use crate::journal::error::Result;
use crate::journal::receipts::Receipts;
use crate::journal::settings::JournalSettings;
use crate::journal::side_files::log_beside;
use crate::journal::types::EventId;

/// The write-ahead log is cut to this part of `max_size` whenever it starts over.
const LOG_SHARE: u64 = 8;
/// No more of it is kept, in bytes.
const MAX_LOG_SIZE: u64 = 64 * 1024 * 1024;
/// The write-ahead log is emptied into the database at this length, in bytes, unless somebody reads
/// in it. A start after a crash has to read it, and an append waits while it is emptied.
pub const LOG_LENGTH: u64 = 8 * 1024 * 1024;
/// Of a page, as SQLite makes them.
const PAGE_BYTES: u64 = 4096;

pub(in crate::journal) struct Store {
    pub(super) connection: Connection,
    pub(super) settings: JournalSettings,
    pub(super) next_id: i64,
    pub(super) deltas: Deltas,
    pub(super) key_index: KeyIndex,
    pub(super) compressor: Compressor,
    pub(super) receipts: Receipts,
    data_version: i64,
    /// Whether the last append was refused for the journal's size.
    pub(in crate::journal) was_full: bool,
    /// Rows that the connection had changed when the open transaction began.
    changes: u64,
    /// The last request by hand that the open transaction sees.
    pub(in crate::journal) last_request: i64,
    /// Where the next step of pruning by age goes on.
    pub(super) aged_after: EventId,
    /// Where the next step of pruning for space goes on.
    pub(super) bodies_after: EventId,
}

impl Store {
    pub(in crate::journal) fn new(
        connection: Connection,
        settings: JournalSettings,
    ) -> rusqlite::Result<Self> {
        // Another daemon whose lock file was removed may be at its last commit: it is waited for,
        // and whatever it begins after that it does not end.
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
            last_request: 0,
            aged_after: EventId::default(),
            bodies_after: EventId::default(),
        })
    }

    pub(in crate::journal) fn set_limits(&mut self, settings: JournalSettings) -> Result<()> {
        bound_log(&self.connection, &settings)?;
        // The file stays where it is.
        self.settings =
            JournalSettings { path: std::mem::take(&mut self.settings.path), ..settings };
        Ok(())
    }

    pub(in crate::journal) fn settings(&self) -> &JournalSettings {
        &self.settings
    }

    pub(in crate::journal) fn path(&self) -> &Path {
        &self.settings.path
    }

    pub(in crate::journal) fn begin(&mut self) -> Result<()> {
        self.deltas.clear();
        self.changes = self.connection.total_changes();
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        self.last_request = counters::last_request(&self.connection)?;
        Ok(())
    }

    /// Returns whether anything was written: a commit of nothing succeeds on a full disk.
    pub(in crate::journal) fn commit(&mut self) -> Result<bool> {
        self.key_index.move_over(&self.connection, EventId(self.next_id))?;
        self.deltas.write(&self.connection)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.key_index.committed();
        Ok(self.connection.total_changes() != self.changes)
    }

    pub(in crate::journal) fn roll_back(&mut self) {
        self.key_index.rolled_back();
        // Fails where SQLite has rolled back by itself, which is as well.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::debug!(%error, "journal rollback failed");
        }
    }

    pub(super) fn count(&mut self, counter: Counter, rows: usize) {
        self.deltas.add_rows(counter, rows);
    }

    /// A counter as of now, with what the open transaction adds.
    pub(super) fn total(&self, counter: Counter) -> Result<i64> {
        let (name, sink) = counter.row();
        let stored: Option<i64> = self
            .connection
            .prepare_cached("SELECT value FROM counters WHERE name = ?1 AND sink = ?2")?
            .query_row(params![name, sink], |row| row.get(0))
            .optional()?;
        Ok(stored.unwrap_or_default() + self.deltas.of(counter))
    }

    pub(super) fn size(&self) -> Result<ByteSize> {
        size(&self.connection)
    }

    /// Moves the write-ahead log into the database and empties it, unless somebody reads in it.
    pub(in crate::journal) fn empty_log(&self) -> Result<()> {
        // Nobody is waited for: this is on the way of all that is written.
        self.connection.busy_timeout(Duration::ZERO)?;
        let emptied = self
            .connection
            .prepare_cached("PRAGMA wal_checkpoint(TRUNCATE)")
            .and_then(|mut checkpoint| checkpoint.query_row([], |_| Ok(())));
        self.connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(emptied?)
    }

    pub(in crate::journal) fn changed_outside(&mut self) -> Result<bool> {
        let now = data_version(&self.connection)?;
        Ok(std::mem::replace(&mut self.data_version, now) != now)
    }
}

/// Bytes in use in the database at `path` and its write-ahead log.
pub(super) fn size(connection: &Connection) -> Result<ByteSize> {
    let number = |sql| -> rusqlite::Result<u64> {
        let mut pragma = connection.prepare_cached(sql)?;
        Ok(pragma.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned())
    };
    let used = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
    // SQLite has followed all links.
    let log = log_beside(Path::new(connection.path().unwrap_or_default()));
    let log = log.metadata().map_or(0, |file| file.len());
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
