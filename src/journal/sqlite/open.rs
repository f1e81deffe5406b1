//! Opening the journal's database, without ever starting empty over something.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::migrations;
use super::schema::{
    APPLICATION_ID, EVENTS, FAILURES, FOLLOWING, KEYS_COMPLETE, OCCURRENCES, OTHERS, PAUSED,
    POSTED, RECONCILED, REJECTED, VERSION,
};
use crate::journal::error::OpenError;
use crate::journal::path_rules;

/// How long a statement waits for another process to end its short transaction.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the journal for writing; makes it where there is no file, or an empty one.
pub(in crate::journal) fn open(path: &Path) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::File { path: path.to_owned(), source };
    // SQLite would make the file readable for all; its -wal and -shm files take over this mode.
    let file =
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    let is_new = file.metadata().map_err(failed)?.len() == 0;
    drop(file);
    let failed_sqlite = |source| OpenError::of_sqlite(path, source);
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failed_sqlite)?;
    if is_new || is_blank(&connection).map_err(failed_sqlite)? {
        create(&connection).map_err(failed_sqlite)?;
    }
    let version = version(&connection, path)?;
    configure(&connection).map_err(failed_sqlite)?;
    if version < VERSION {
        migrations::migrate(&connection, version).map_err(failed_sqlite)?;
    }
    Ok(connection)
}

/// Opens an existing journal beside the daemon for reading.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, OpenError> {
    open_existing(path, AccessFlags::R_OK, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens an existing journal for writing, beside the daemon or not; what keeps a second daemon
/// off does not keep this off.
pub(super) fn open_beside(path: &Path) -> Result<Connection, OpenError> {
    let access = AccessFlags::R_OK | AccessFlags::W_OK;
    let connection = open_existing(path, access, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    configure(&connection).map_err(|source| OpenError::of_sqlite(path, source))?;
    Ok(connection)
}

fn open_existing(
    path: &Path,
    wanted: AccessFlags,
    flags: OpenFlags,
) -> Result<Connection, OpenError> {
    path_rules::refuse_second_name(path)?;
    // Not by opening it: closing it again would take a daemon in this process its locks.
    access(path, wanted)
        .map_err(|errno| OpenError::File { path: path.to_owned(), source: errno.into() })?;
    let failed_sqlite = |source| OpenError::of_sqlite(path, source);
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed_sqlite)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed_sqlite)?;
    check(&connection, path)?;
    Ok(connection)
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // The marks come in the transaction of the tables: a start that is cut off leaves an empty
    // database, which the next start recognizes by its lack of both.
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {EVENTS} {KEYS_COMPLETE} {OCCURRENCES} {OTHERS} {REJECTED} {POSTED} \
         {RECONCILED} {FAILURES} {PAUSED} {FOLLOWING} PRAGMA application_id = {APPLICATION_ID}; \
         PRAGMA user_version = {VERSION}; COMMIT;"
    ))
}

/// Whether a start was cut off before it had made the tables.
fn is_blank(connection: &Connection) -> rusqlite::Result<bool> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    Ok(number("PRAGMA application_id")? == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0)
}

/// Whether the file at `path` is a journal of an earlier version, by its first page. To
/// open it then takes seconds for each million events. Blocks for a read.
#[must_use]
pub fn is_older(path: &Path) -> bool {
    let mut header = [0; 72];
    if !path.metadata().is_ok_and(|about| about.is_file()) {
        return false;
    }
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    let number = |at: usize| {
        let bytes = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(i32::from_be_bytes)
    };
    // SQLite's header: the user version and the application id.
    read.is_ok()
        && number(68) == Some(APPLICATION_ID)
        && number(60).is_some_and(|version| (1..VERSION).contains(&version))
}

/// Refuses what is no journal of this version.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    match version(connection, path)? {
        VERSION => Ok(()),
        version => Err(OpenError::Older { path: path.to_owned(), version }),
    }
}

/// The version of a journal, this or an earlier one.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<i32, OpenError> {
    let failed_sqlite = |source| OpenError::of_sqlite(path, source);
    let number =
        |sql| connection.query_row(sql, [], |row| row.get::<_, i32>(0)).map_err(failed_sqlite);
    let id = number("PRAGMA application_id")?;
    if id != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let version = number("PRAGMA user_version")?;
    if version > VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), version });
    }
    Ok(version)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // In WAL mode anything less may lose commits to a power cut, and a confirm follows a commit.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "cache_size", -6144)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Else SQLite checks whether another value would suit another plan, and prepares some
    // statements again at each use.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}
