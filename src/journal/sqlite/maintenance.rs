//! The journal's file as a file: whether it is whole, a copy of it, and its unused space.

use std::ffi::c_int;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use tempfile::NamedTempFile;

use super::audit::{Violation, references};
use super::open;
use crate::folder;
use crate::journal::error::{JournalError, MaintenanceError, OpenError};
use crate::journal::lock::{self, Lock};

/// Pages copied in one step: 1 MiB.
const COPY_PAGES: c_int = 256;
/// The wait for a source or copy that somebody else holds.
const BUSY_WAIT: Duration = Duration::from_millis(50);

/// What is wrong with the file at `path`, by SQLite's own check of every page, and with the rows
/// that refer to others; nothing if both are empty. Reads beside a daemon; blocks for as long as
/// it takes to read the file.
///
/// # Errors
/// When it cannot be opened or read at all.
pub fn check(path: &Path) -> Result<(Vec<String>, Vec<Violation>), MaintenanceError> {
    let connection = open::open_read_only(path)?;
    let damage = check_output(&connection, "PRAGMA integrity_check").map_err(sqlite(path))?;
    if !damage.is_empty() {
        return Ok((damage, Vec::new()));
    }
    Ok((damage, references(&connection)?))
}

/// A journal as it stands at one moment, beside a daemon that goes on writing.
#[derive(Debug)]
pub struct SourceJournal {
    connection: Connection,
    path: PathBuf,
}

impl SourceJournal {
    /// Opens the journal at `path`, with all files that belong to it. Blocks.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(path: &Path) -> Result<Self, MaintenanceError> {
        let connection = open::open_read_only(path)?;
        begin(&connection).map_err(sqlite(path))?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// Copies it to the new file `to`, which appears whole and on disk, or not at all. `progress`
    /// is given how many of how many pages there are. Blocks. Returns the copy's size.
    ///
    /// # Errors
    /// When there is a file of that name, or one of the two cannot be used.
    pub fn copy(
        &self,
        to: &Path,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<ByteSize, MaintenanceError> {
        write_copy(&self.connection, &self.path, to, &mut progress)
    }
}

/// Begins a snapshot, if there is none. It opens the write-ahead log.
pub(super) fn begin(source: &Connection) -> rusqlite::Result<()> {
    if source.is_autocommit() {
        source.execute_batch("BEGIN")?;
    }
    source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

/// Copies what `source` has open, the journal at `path`, to the new file `to`, as
/// [`SourceJournal::copy`] does.
pub(super) fn write_copy(
    source: &Connection,
    path: &Path,
    to: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ByteSize, MaintenanceError> {
    let failed = |source| MaintenanceError::Copy { path: to.to_owned(), source };
    if to.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let (file, beside) = new_file(to).map_err(failed)?;
    write_pages(source, file.path(), progress).map_err(sqlite(path))?;
    verify(file.path()).map_err(|error| match error {
        MaintenanceError::Sqlite { source, .. } => {
            MaintenanceError::Sqlite { path: to.to_owned(), source }
        }
        other => other,
    })?;
    file.as_file().sync_all().map_err(failed)?;
    let size = file.as_file().metadata().map_err(failed)?.len();
    file.persist_noclobber(to).map_err(|error| failed(error.error))?;
    folder::sync_or_tell(beside).map_err(failed)?;
    Ok(ByteSize::b(size))
}

/// A file without a name of its own yet beside `to`, and the folder of both.
pub(super) fn new_file(to: &Path) -> io::Result<(NamedTempFile, &Path)> {
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new()
        .prefix(".sprited-backup-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    Ok((file, folder))
}

/// Writes the pages of `source` to the empty file `to`.
pub(super) fn write_pages(
    source: &Connection,
    to: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> rusqlite::Result<()> {
    // One snapshot for all steps: otherwise each commit of the daemon would start it again.
    begin(source)?;
    let copied = write_all(source, to, progress);
    copied.and(source.execute_batch("ROLLBACK"))
}

fn write_all(
    source: &Connection,
    to: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(to, flags)?;
    // What fails is thrown away whole: nothing to roll back to.
    copy.pragma_update(None, "journal_mode", "off")?;
    let backup = Backup::new(source, &mut copy)?;
    loop {
        let step = backup.step(COPY_PAGES)?;
        let all = u64::try_from(backup.progress().pagecount).unwrap_or_default();
        let left = u64::try_from(backup.progress().remaining).unwrap_or_default();
        progress(all.saturating_sub(left), all);
        match step {
            StepResult::Done => break,
            StepResult::Busy | StepResult::Locked => std::thread::sleep(BUSY_WAIT),
            _ => {}
        }
    }
    Ok(())
}

fn verify(copy: &Path) -> Result<(), MaintenanceError> {
    let connection = open_alone(copy, OpenFlags::empty()).map_err(sqlite(copy))?;
    open::check(&connection, copy)?;
    match check_output(&connection, "PRAGMA quick_check").map_err(sqlite(copy))?.first() {
        None => Ok(()),
        Some(damage) => {
            Err(JournalError::Sqlite(format!("the copy is damaged: {damage}").into()).into())
        }
    }
}

/// Opens a file that nobody writes and that has no write-ahead log, for reading: no files are left
/// beside it. `more` are further flags.
pub(super) fn open_alone(copy: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    let bytes = copy.as_os_str().as_encoded_bytes();
    let name: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI
        | more;
    Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)
}

/// Rewrites the journal at `path` without its unused space. Blocks; needs as much free disk as it
/// takes twice. Returns its size before and after.
///
/// # Errors
/// When a daemon has it, or it cannot be written.
pub fn compact(path: &Path) -> Result<(ByteSize, ByteSize), MaintenanceError> {
    let size = || std::fs::metadata(path).map_or(0, |file| file.len());
    // Before the lock, which would leave its file where there is no journal.
    drop(open::open_read_only(path)?);
    let _lock = take_lock(path)?;
    let connection = open::open_beside(path)?;
    // What is in the log only counts, too.
    let settle = || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    settle().map_err(sqlite(path))?;
    let before = size();
    connection.execute_batch("VACUUM").and_then(|()| settle()).map_err(sqlite(path))?;
    Ok((ByteSize::b(before), ByteSize::b(size())))
}

/// Takes the lock of a journal that no daemon has.
pub(super) fn take_lock(path: &Path) -> Result<Lock, MaintenanceError> {
    lock::take(path).map_err(|error| match error {
        OpenError::InUse { path, .. } => MaintenanceError::InUse { path },
        other => other.into(),
    })
}

/// The answer of one of SQLite's checks; nothing if it is "ok".
pub(super) fn check_output(connection: &Connection, check: &str) -> rusqlite::Result<Vec<String>> {
    let mut select = connection.prepare(check)?;
    let lines = select.query_map([], |row| row.get(0))?;
    let lines: Vec<String> = lines.collect::<rusqlite::Result<_>>()?;
    Ok(if lines == ["ok"] { Vec::new() } else { lines })
}

pub(super) fn sqlite(path: &Path) -> impl Fn(rusqlite::Error) -> MaintenanceError {
    move |source| MaintenanceError::Sqlite { path: path.to_owned(), source }
}
