//! A copy of a journal restored to its place.

use std::fmt::Display;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::ErrorCode::NotADatabase;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::Serialize;

use super::maintenance::{begin, check_output, new_file, open_alone, take_lock, write_pages};
use super::open::version;
use super::paused::{PausedPart, parts as paused};
use super::schema::VERSION;
use super::sinks::backlogs;
use crate::folder;
use crate::journal::error::{MaintenanceError, OpenError, Result};
use crate::journal::side_files;
use crate::journal::types::Backlog;

/// The first version whose occurrences are open or closed.
const SINCE_OPEN: i32 = 5;

/// The first version that can be paused.
const SINCE_PAUSED: i32 = 8;

/// What is in a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopyContents {
    /// Events in it.
    pub events: u64,
    /// When the newest of them was first pulled.
    pub newest: Option<DateTime<Utc>>,
    /// Deliveries that it has pending: they will be made, once more where they were made after the
    /// copy.
    pub pending: u64,
    /// Those and the dead letters of each sink that has any.
    pub sinks: Vec<Backlog>,
    /// What is paused by hand in it.
    pub paused: Vec<PausedPart>,
}

impl CopyContents {
    fn read(connection: &Connection, version: i32) -> Result<Self> {
        let count = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let sinks = backlogs(connection, "TRUE")?;
        let newest = "SELECT first_pulled FROM events ORDER BY id DESC LIMIT 1";
        Ok(Self {
            events: count("SELECT count(*) FROM events")?.cast_unsigned(),
            newest: count(newest).optional()?.and_then(DateTime::from_timestamp_millis),
            pending: sinks.iter().map(|sink| sink.pending).sum(),
            sinks,
            paused: if version >= SINCE_PAUSED { paused(connection)? } else { Vec::new() },
        })
    }
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// What is in it.
    #[serde(flatten)]
    pub contents: CopyContents,
    /// Where the files went that were in its place.
    pub aside: Vec<PathBuf>,
}

/// What is to be restored, open.
#[derive(Debug)]
pub struct Replacement {
    connection: Connection,
    version: i32,
    from: PathBuf,
}

impl Replacement {
    /// Opens `from`, with all files that belong to it, to be put in the place of the journal at
    /// `path`. Blocks.
    ///
    /// # Errors
    /// When it is not a journal that this version knows, or the one that is in place.
    pub fn open(path: &Path, from: &Path) -> std::result::Result<Self, MaintenanceError> {
        let connection = open(path, from)?;
        let version = version(&connection, from).map_err(unfit)?;
        begin(&connection).map_err(damaged(from))?;
        Ok(Self { connection, version, from: from.to_owned() })
    }

    /// Returns what is in it. Blocks.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn contents(&self) -> Result<CopyContents> {
        CopyContents::read(&self.connection, self.version)
    }

    /// Puts a copy of it in the place of the journal at `path`: whole and on disk, or not at all.
    /// Files that are there move aside; what was opened stays as it is. Blocks for as long as it
    /// takes to read and write it.
    ///
    /// # Errors
    /// When a daemon has the journal; when what was opened is not whole; when the folder cannot be
    /// written. Files that moved aside already are named; all else is as it was.
    pub fn restore(&self, path: &Path) -> std::result::Result<Restored, MaintenanceError> {
        let path = &side_files::database(path);
        if path.parent().is_some_and(|folder| !folder.exists()) {
            let source = io::Error::other("its folder is not there; make it first");
            return Err(MaintenanceError::Restore { path: path.clone(), source });
        }
        let lock_file = side_files::lock_file(path);
        let was_there = [path, &lock_file].iter().any(|file| file.symlink_metadata().is_ok());
        let _lock = take_lock(path)?;
        let restored = self.put_in_place(path);
        // It would tell of a journal that never was. Whoever waits for it looks for another one.
        if restored.is_err() && !was_there {
            fs::remove_file(&lock_file).ok();
        }
        restored
    }

    /// Does so with the lock in hand.
    fn put_in_place(&self, path: &Path) -> std::result::Result<Restored, MaintenanceError> {
        let failed = |source| MaintenanceError::Restore { path: path.to_owned(), source };
        let from = self.from.as_path();
        let (file, beside) = new_file(path).map_err(failed)?;
        write_pages(&self.connection, file.path(), &mut |_, _| {}).map_err(damaged(from))?;
        close_occurrences(file.path()).map_err(damaged(from))?;
        let copy = open_alone(file.path(), OpenFlags::empty()).map_err(damaged(from))?;
        version(&copy, from).map_err(unfit)?;
        let damage = check_output(&copy, "PRAGMA integrity_check").map_err(damaged(from))?;
        if let Some(damage) = damage.first() {
            return Err(of_damage(from, damage));
        }
        let contents = CopyContents::read(&copy, self.version)?;
        file.as_file().sync_all().map_err(failed)?;
        // A log of another database would be written into this one.
        let aside = side_files::set_aside(path).map_err(failed)?;
        file.persist_noclobber(path).map_err(|error| {
            let aside: Vec<_> = aside.iter().map(|file| file.display().to_string()).collect();
            let why = format!("{}; moved aside already: {}", error.error, aside.join(", "));
            failed(io::Error::other(why))
        })?;
        folder::sync_or_tell(beside).map_err(failed)?;
        Ok(Restored { contents, aside })
    }
}

/// What was confirmed since the copy was made is not known. An event that reads like one of before
/// is another one, at the cost of a repeat.
fn close_occurrences(copy: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags)?;
    // One that does not know them yet learns of them when it is migrated.
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i32>(0))?;
    if version >= SINCE_OPEN {
        connection.pragma_update(None, "locking_mode", "exclusive")?;
        connection.execute("UPDATE occurrences SET is_open = 0 WHERE is_open", [])?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    connection.close().map_err(|(_, error)| error)
}

/// Opens what is to be restored, with its write-ahead log where it has one.
fn open(path: &Path, from: &Path) -> std::result::Result<Connection, MaintenanceError> {
    let failed = |source| MaintenanceError::Restore { path: from.to_owned(), source };
    let about = from.metadata().map_err(failed)?;
    if about.len() == 0 {
        return Err(unfit(OpenError::Foreign { path: from.to_owned() }));
    }
    let is_same = |other: Metadata| (other.dev(), other.ino()) == (about.dev(), about.ino());
    if path.metadata().is_ok_and(is_same) {
        return Err(failed(io::Error::other("it is the journal that is in place")));
    }
    // Who may write beside it must not put a link in its place meanwhile.
    let from = &from.canonicalize().map_err(failed)?;
    let has_log = side_files::has_log(from);
    let opened = if has_log {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        Connection::open_with_flags(from, flags)
    } else {
        open_alone(from, OpenFlags::SQLITE_OPEN_NOFOLLOW)
    };
    opened.map_err(damaged(from))
}

/// What an error says of a file that is to be restored.
fn unfit(error: OpenError) -> MaintenanceError {
    match error {
        OpenError::Foreign { path } => {
            MaintenanceError::Unfit { path, why: "it is not a journal of sprited".to_owned() }
        }
        OpenError::Newer { path, version } => {
            let why = format!(
                "it has version {version}, this sprited knows {VERSION}: restore it with a sprited \
                 as new as the one that wrote it"
            );
            MaintenanceError::Unfit { path, why }
        }
        OpenError::Damaged { path, source } => match source.sqlite_error_code() {
            Some(NotADatabase) => unfit(OpenError::Foreign { path }),
            _ => of_damage(&path, source),
        },
        OpenError::Unusable { path, source } => MaintenanceError::Sqlite { path, source },
        other => other.into(),
    }
}

fn damaged(from: &Path) -> impl Fn(rusqlite::Error) -> MaintenanceError {
    move |source| unfit(OpenError::of_sqlite(from, source))
}

fn of_damage(from: &Path, damage: impl Display) -> MaintenanceError {
    let why = format!("it is damaged: {damage}");
    MaintenanceError::Unfit { path: from.to_owned(), why }
}
