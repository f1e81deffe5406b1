//! What can go wrong: with a journal that is open, at opening it, and with its file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytesize::ByteSize;
use rusqlite::ErrorCode::{
    CannotOpen, DatabaseCorrupt, DiskFull, NotADatabase, ReadOnly, SystemIoFailure,
};

use super::place::JournalPlace;
use super::settings::JournalSettings;
use super::sqlite::schema::VERSION;
use super::types::Unprunable;

/// Why the journal did not do what it was asked. Nothing of it happened.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum JournalError {
    /// SQLite could not write or read.
    #[error("the journal cannot be written: {0}")]
    Sqlite(Arc<str>),
    /// SQLite could not write or read for its disk; the daemon's writer has found the place, and
    /// knows `max_size`.
    #[error("{}", of_disk(*fault, reason, found.as_ref()))]
    Disk { fault: DiskFault, reason: Arc<str>, found: Option<(JournalPlace, ByteSize)> },
    /// `max_size` is reached, and all of it is pending or dead.
    #[error(
        "the journal has reached journal.max_size = {max_size}: {size} are in use; {place}; \
         {unprunable}"
    )]
    Full { size: ByteSize, max_size: ByteSize, place: JournalPlace, unprunable: Unprunable },
    /// Its file or its write-ahead log was deleted, moved or replaced; nothing brings it back.
    #[error("{0}; sprited copies what it has open, and ends")]
    Gone(Arc<str>),
    #[error(
        "{0}, and another sprited has taken the journal; this one writes nothing more, and ends"
    )]
    Taken(Arc<str>),
    /// Whether its files are in place cannot be seen at the moment.
    #[error("cannot see whether the journal is in place: {0}")]
    Unseen(Arc<str>),
    /// The writer has ended.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    /// Returns what SQLite said, or the whole: whether a read or a write failed, the caller knows
    /// better.
    pub fn reason(&self) -> String {
        match self {
            Self::Sqlite(reason) | Self::Disk { reason, .. } => reason.to_string(),
            other => other.to_string(),
        }
    }

    /// The same, with the place of the journal of these settings if its disk is at fault. Blocks
    /// for a system call.
    pub(super) fn at(self, settings: &JournalSettings) -> Self {
        match self {
            Self::Disk { fault, reason, .. } => {
                let found = (JournalPlace::now(&settings.path), settings.max_size);
                Self::Disk { fault, reason, found: Some(found) }
            }
            other => other,
        }
    }

    /// Whether the daemon ends by it.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::Taken(_))
    }
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        let reason = error.to_string().into();
        let disk = |fault| Self::Disk { fault, reason: Arc::clone(&reason), found: None };
        match error.sqlite_error_code() {
            Some(DiskFull) => disk(DiskFault::Full),
            Some(SystemIoFailure | ReadOnly | CannotOpen) => disk(DiskFault::Failing),
            _ => Self::Sqlite(reason),
        }
    }
}

/// What is wrong with the disk of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// It has no room.
    Full,
    /// It fails, or nothing may be written there.
    Failing,
}

fn of_disk(fault: DiskFault, reason: &str, found: Option<&(JournalPlace, ByteSize)>) -> String {
    match (fault, found) {
        (_, None) => format!("the journal cannot be written: {reason}"),
        (DiskFault::Full, Some((place, max_size))) => format!(
            "the journal's disk is full: {place}; make room there, and set journal.max_size \
             ({max_size}) to what that disk can hold ({reason})"
        ),
        (DiskFault::Failing, Some((place, _))) => {
            format!("the journal cannot be written: {reason}; {place}; check that disk")
        }
    }
}

/// A result of the journal.
pub type Result<T> = std::result::Result<T, JournalError>;

/// Why a journal was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum OpenError {
    /// Its file, folder or lock file cannot be used.
    #[error("cannot open the journal {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(
        "the journal {} is in use by another sprited (its lock file is {}); \
         give each instance a journal of its own",
        path.display(), lock.display()
    )]
    InUse { path: PathBuf, lock: PathBuf },
    /// Its file has hard links.
    #[error(
        "the journal {} has {names} names, each with a write-ahead log of its own: what is stored by \
         one is missing by another; see them with `find {} -xdev -samefile {}`, and remove all but \
         the one in journal.path (a copy is made by `sprited journal backup FILE`)",
        path.display(), path.parent().unwrap_or(path).display(), path.display()
    )]
    Linked { path: PathBuf, names: u64 },
    /// It is a mount point.
    #[error(
        "the journal {} is a file that is mounted by itself, so that its write-ahead log and its \
         lock would stand in another folder than its own; mount its folder instead",
        path.display()
    )]
    Mounted { path: PathBuf },
    /// There is none, although there was one.
    #[error(
        "there is no journal {}, but {} tells that there was one: what was pending in it may be \
         nowhere else; restore it with `sprited journal restore {}`, or start without it once \
         with `sprited run --new-journal`",
        path.display(), sign.display(),
        rescued.as_ref().map_or("FILE".to_owned(), |rescued| rescued.display().to_string())
    )]
    Missing {
        path: PathBuf,
        /// The file that shows it.
        sign: PathBuf,
        /// The newest copy of it that the daemon made at its end.
        rescued: Option<PathBuf>,
    },
    #[error(
        "{} is not a journal of sprited and was left alone; \
         set journal.path to another file, or move this one away",
        path.display()
    )]
    Foreign { path: PathBuf },
    #[error(
        "the journal {} has version {version}, this sprited knows {VERSION}; \
         start the newer sprited again, or set journal.path to another file",
        path.display()
    )]
    Newer { path: PathBuf, version: i32 },
    /// It was written by an older sprited, and only the daemon may change its tables.
    #[error(
        "the journal {} has version {version}, which the daemon migrates to version {VERSION} when \
         it starts; start it, or use the sprited that wrote the journal",
        path.display()
    )]
    Older { path: PathBuf, version: i32 },
    /// SQLite cannot work with it as things are: the disk is full, say, or another process keeps
    /// it. That may pass.
    #[error(
        "the journal {} cannot be used at the moment: {source}; \
         see that its disk has space and can be written; the next start tries again",
        path.display()
    )]
    Unusable { path: PathBuf, source: rusqlite::Error },
    #[error(
        "the journal {} cannot be read and was left alone: {source}; \
         restore a backup with `sprited journal restore FILE`, or move it away together with its \
         -wal file and start without it once with `sprited run --new-journal`",
        path.display()
    )]
    Damaged { path: PathBuf, source: rusqlite::Error },
}

impl OpenError {
    /// From an error of SQLite about the journal at `path`. Only what is wrong with its content is
    /// damage.
    pub(super) fn of_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged { path, source },
            _ => Self::Unusable { path, source },
        }
    }

    /// Whether it may pass by itself, so that another start makes sense.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unusable { .. } => true,
            Self::File { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::ReadOnlyFilesystem
            ),
            _ => false,
        }
    }
}

/// Why nothing, or not all, was done. The journal is as it was.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum MaintenanceError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(
        "the journal {} is in use by a running sprited; stop that one first, with \
         `systemctl stop sprited` say",
        path.display()
    )]
    InUse { path: PathBuf },
    #[error("the journal {}: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error(transparent)]
    Read(#[from] JournalError),
    #[error("cannot write the copy {}: {source}", path.display())]
    Copy { path: PathBuf, source: io::Error },
    #[error("cannot restore {}: {source}", path.display())]
    Restore { path: PathBuf, source: io::Error },
    /// What was to be restored is no journal that this version can use.
    #[error("cannot restore {}: {why}; nothing was changed", path.display())]
    Unfit { path: PathBuf, why: String },
}

impl MaintenanceError {
    /// Whether the journal itself is damaged, so that trying again makes no sense.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => {
                matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
            }
            Self::Open(_) | Self::Read(_) => true,
            Self::InUse { .. } | Self::Copy { .. } => false,
            Self::Restore { .. } | Self::Unfit { .. } => false,
        }
    }
}
