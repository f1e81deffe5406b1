//! A copy of a journal restored to its place.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use super::maintenance::{
    begin, check_output, new_file, open_alone, sqlite, take_lock, write_pages,
};
use super::open::version;
use crate::folder;
use crate::journal::error::{JournalError, MaintenanceError, OpenError};
use crate::journal::side_files;

/// The first version whose occurrences are open or closed.
const SINCE_OPEN: i32 = 5;

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Events in it.
    pub events: u64,
    /// Deliveries that it has pending: they will be made, once more where they were made after the
    /// copy.
    pub pending: u64,
    /// Where the files went that were in its place.
    pub aside: Vec<PathBuf>,
}

/// What is to be restored, open.
#[derive(Debug)]
pub struct Replacement {
    connection: Connection,
    from: PathBuf,
}

impl Replacement {
    /// Opens `from`, with all files that belong to it, to be put in the place of the journal at
    /// `path`. Blocks.
    ///
    /// # Errors
    /// When it is not a journal that this version knows, or the one that is in place.
    pub fn open(path: &Path, from: &Path) -> Result<Self, MaintenanceError> {
        let connection = open(path, from)?;
        version(&connection, from)?;
        begin(&connection).map_err(sqlite(from))?;
        Ok(Self { connection, from: from.to_owned() })
    }

    /// Puts a copy of it in the place of the journal at `path`: whole and on disk, or not at all.
    /// Files that are there move aside; what was opened stays as it is. Blocks for as long as it
    /// takes to read and write it.
    ///
    /// # Errors
    /// When a daemon has the journal; when what was opened is not whole; when the folder cannot be
    /// written. Files that moved aside already are named; all else is as it was.
    pub fn restore(&self, path: &Path) -> Result<Restored, MaintenanceError> {
        let path = &side_files::database(path);
        let failed = |source| MaintenanceError::Restore { path: path.clone(), source };
        let from = self.from.as_path();
        if path.parent().is_some_and(|folder| !folder.exists()) {
            return Err(failed(io::Error::other("its folder is not there; make it first")));
        }
        let _lock = take_lock(path)?;
        let (file, beside) = new_file(path).map_err(failed)?;
        write_pages(&self.connection, file.path(), &mut |_, _| {}).map_err(sqlite(from))?;
        close_occurrences(file.path()).map_err(sqlite(from))?;
        let copy = open_alone(file.path(), OpenFlags::empty()).map_err(sqlite(from))?;
        version(&copy, from)?;
        if let Some(damage) =
            check_output(&copy, "PRAGMA integrity_check").map_err(sqlite(from))?.first()
        {
            let why = format!("{} is damaged: {damage}", from.display());
            return Err(JournalError::Sqlite(why.into()).into());
        }
        let number = |sql| -> Result<u64, MaintenanceError> {
            let number = copy.query_row(sql, [], |row| row.get::<_, i64>(0));
            Ok(number.map_err(sqlite(from))?.cast_unsigned())
        };
        let events = number("SELECT count(*) FROM events")?;
        let pending = number("SELECT count(*) FROM pending")?;
        file.as_file().sync_all().map_err(failed)?;
        // A log of another database would be written into this one.
        let aside = side_files::set_aside(path).map_err(failed)?;
        file.persist_noclobber(path).map_err(|error| failed(error.error))?;
        folder::sync_or_tell(beside).map_err(failed)?;
        Ok(Restored { events, pending, aside })
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
fn open(path: &Path, from: &Path) -> Result<Connection, MaintenanceError> {
    let failed = |source| MaintenanceError::Restore { path: from.to_owned(), source };
    let about = from.metadata().map_err(failed)?;
    if about.len() == 0 {
        return Err(OpenError::Foreign { path: from.to_owned() }.into());
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
    opened.map_err(sqlite(from))
}
