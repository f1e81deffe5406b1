//! The journal's file: its tables, and opening it without ever starting empty over something.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::migrations;

/// Marks an SQLite file as a journal of sprited: "sprd" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x7370_7264;
/// The version of the tables below.
pub(super) const VERSION: i32 = 5;
/// How long a statement waits for another process to end its short transaction.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// `events` is written once per event; what changes stands in small tables beside it, and only
/// pruning and the operator's hand write to it again. A delivered event costs one inserted and
/// one deleted row of `pending` per sink. A pending row without `due` was never tried. Times are
/// milliseconds since 1970 in UTC.
pub(super) const EVENTS: &str = "
CREATE TABLE events (
  id           INTEGER PRIMARY KEY,
  key          BLOB    NOT NULL, -- unlike that of any other
  app          INTEGER NOT NULL,
  type         TEXT    NOT NULL,
  file_id      TEXT,
  task_id      TEXT,
  first_pulled INTEGER NOT NULL,
  replaced     INTEGER NOT NULL,
  sinks        TEXT    NOT NULL  -- ids of the sinks it is for; '' is unrouted
);
CREATE TABLE keys (
  key   BLOB    PRIMARY KEY,
  event INTEGER NOT NULL
) WITHOUT ROWID;
";

/// Made once the keys of the events that are there are in `keys`.
pub(super) const KEYS_COMPLETE: &str = "
CREATE TABLE keys_complete (     -- one row
  before INTEGER NOT NULL        -- events before this one are in `keys`, of the others some
);
INSERT INTO keys_complete SELECT ifnull(max(id), 0) + 1 FROM events;
";

/// See occurrences.rs.
pub(super) const OCCURRENCES: &str = "
CREATE TABLE occurrences (       -- of events that can happen again, word for word
  event   INTEGER PRIMARY KEY,
  content BLOB    NOT NULL,      -- the key of what equal events have in common
  handle  BLOB    UNIQUE,        -- a hash of that and of the handle that counts
  is_open INTEGER NOT NULL       -- whether no confirmation was sent that may have been taken
);
CREATE INDEX occurrences_content ON occurrences (content, event);
CREATE INDEX occurrences_open ON occurrences (content, event) WHERE is_open;
";

const OTHERS: &str = "
CREATE TABLE bodies (            -- apart, since deleted rows give back pages and emptied ones do not
  event INTEGER PRIMARY KEY,
  body          NOT NULL         -- text, or a blob: the text compressed, see body.rs
);
CREATE TABLE confirmations (
  event INTEGER PRIMARY KEY,
  at    INTEGER NOT NULL
);
CREATE TABLE sinks (
  id     INTEGER PRIMARY KEY,
  name   TEXT    NOT NULL UNIQUE,
  active INTEGER NOT NULL,       -- whether it stands in the configuration
  mark   TEXT                    -- the sink's own note of how far it has come
);
CREATE TABLE pending (
  sink         INTEGER NOT NULL,
  event        INTEGER NOT NULL,
  due          INTEGER,
  attempts     INTEGER NOT NULL DEFAULT 0,
  charged      INTEGER NOT NULL DEFAULT 0, -- ms that count towards give_up_after
  first_failed INTEGER,
  last_failed  INTEGER,
  first_error  TEXT,
  last_error   TEXT,
  request      INTEGER NOT NULL DEFAULT 0, -- the number of the last one by hand to deliver it; 0: none
  PRIMARY KEY (sink, event)
) WITHOUT ROWID;
CREATE INDEX pending_due ON pending (sink, due) WHERE due IS NOT NULL;
CREATE TABLE dead (
  sink         INTEGER NOT NULL,
  event        INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  first_failed INTEGER NOT NULL,
  first_error  TEXT    NOT NULL,
  last_error   TEXT    NOT NULL,
  PRIMARY KEY (sink, event)
) WITHOUT ROWID;
CREATE TABLE counters (
  name  TEXT    NOT NULL,
  sink  INTEGER NOT NULL,        -- 0 for those of no sink
  value INTEGER NOT NULL,
  PRIMARY KEY (name, sink)
) WITHOUT ROWID;
";

/// Since version 5.
pub(super) const REJECTED: &str = "
CREATE TABLE rejected (          -- since the sink last took an event
  sink  INTEGER NOT NULL,
  event INTEGER NOT NULL,        -- a dead letter, at least then
  PRIMARY KEY (sink, event)
) WITHOUT ROWID;
";

/// Why a journal was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its file, folder or lock file cannot be used.
    #[error("cannot open the journal {}: {source}", path.display())]
    File {
        /// The file that failed.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another sprited has it open.
    #[error(
        "the journal {} is in use by another sprited (its lock file is {}); \
         give each instance a journal of its own",
        path.display(), lock.display()
    )]
    InUse {
        /// The journal.
        path: PathBuf,
        /// The lock file.
        lock: PathBuf,
    },
    /// There is none, although there was one.
    #[error(
        "there is no journal {}, but {} tells that there was one: what was pending in it may be \
         nowhere else; bring it back with `sprited journal restore {}`, or start without it once \
         with `sprited run --new-journal`",
        path.display(), sign.display(),
        rescued.as_ref().map_or("FILE".to_owned(), |rescued| rescued.display().to_string())
    )]
    Missing {
        /// The journal.
        path: PathBuf,
        /// What tells of it.
        sign: PathBuf,
        /// The newest copy of it that the daemon made at its end.
        rescued: Option<PathBuf>,
    },
    /// It is a file of something else.
    #[error(
        "{} is not a journal of sprited and was left alone; \
         set journal.path to another file, or move this one away",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer sprited.
    #[error(
        "the journal {} has version {version}, this sprited knows {VERSION}; \
         start the newer sprited again, or set journal.path to another file",
        path.display()
    )]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its version.
        version: i32,
    },
    /// It was written by an older sprited, and only the daemon may change its tables.
    #[error(
        "the journal {} has version {version}, which the daemon turns into version {VERSION} when \
         it starts; start it, or use the sprited that wrote the journal",
        path.display()
    )]
    Older {
        /// The journal.
        path: PathBuf,
        /// Its version.
        version: i32,
    },
    /// SQLite cannot work with it as things are: the disk is full, say, or another process keeps
    /// it. That may pass.
    #[error(
        "the journal {} cannot be used at the moment: {source}; \
         see that its disk has space and can be written; the next start tries again",
        path.display()
    )]
    Unusable {
        /// The journal.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// SQLite cannot read it.
    #[error(
        "the journal {} cannot be read and was left alone: {source}; \
         bring a backup back with `sprited journal restore FILE`, or move it away together with its \
         -wal file and start without it once with `sprited run --new-journal`",
        path.display()
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// What SQLite said of the journal at `path`. Only what is wrong with its content is damage.
    pub(super) fn of_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged { path, source },
            _ => Self::Unusable { path, source },
        }
    }

    /// Whether it may pass by itself, so that another start makes sense.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unusable { .. } => true,
            Self::File { source, .. } => matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull
                    | std::io::ErrorKind::QuotaExceeded
                    | std::io::ErrorKind::ReadOnlyFilesystem
            ),
            _ => false,
        }
    }
}

/// Opens the journal for writing; makes it where there is no file, or an empty one.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
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
        migrations::convert(&connection, version).map_err(failed_sqlite)?;
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
        "BEGIN IMMEDIATE; {EVENTS} {KEYS_COMPLETE} {OCCURRENCES} {OTHERS} {REJECTED} \
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    ))
}

/// Whether a start was cut off before it had made the tables.
fn is_blank(connection: &Connection) -> rusqlite::Result<bool> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    Ok(number("PRAGMA application_id")? == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0)
}

/// Whether the file at `path` is a journal of an earlier version, as far as its first page tells. To
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
    // Else SQLite looks whether another value would suit another plan, and prepares some
    // statements anew at each use.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}
