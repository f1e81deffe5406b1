//! The files that a journal has beside its database, and its copies: their names, and moving them.
//!
//! They stand beside the database itself, wherever a link to it does: whoever opens it by another
//! path finds the same lock, log and copies. SQLite has it so as well.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use chrono::{DateTime, Utc};

use crate::folder;

const LOG: &str = "-wal";
const SHARED_MEMORY: &str = "-shm";
const LOCK: &str = ".lock";
const CONTROL: &str = ".sock";
/// The database and what SQLite keeps beside it. The database first: without it the others are no
/// journal to anybody.
const DATABASE_FILES: [&str; 3] = ["", LOG, SHARED_MEMORY];
/// What follows the journal's name in that of a copy which the daemon made of it at its end.
const RESCUED: &str = ".rescued-";
/// The same of files that made way for a restored or a new journal.
const REPLACED: &str = ".replaced-";
/// What follows both: when it was made.
const STAMP: &str = "%Y%m%dT%H%M%SZ";
const STAMP_LENGTH: usize = "20260102T030405Z".len();
/// Names that are tried within one second.
const MAX_NAMES: u32 = 100;

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The database of the journal at `path`, all links followed.
pub(super) fn database(path: &Path) -> PathBuf {
    folder::real(path)
}

/// The write-ahead log of the database at `path`.
#[must_use]
pub fn log_file(path: &Path) -> PathBuf {
    log_beside(&database(path))
}

/// The write-ahead log of a database, by a path that is no link.
pub(super) fn log_beside(database: &Path) -> PathBuf {
    with_suffix(database, LOG)
}

/// The lock file of the journal at `path`.
#[must_use]
pub fn lock_file(path: &Path) -> PathBuf {
    with_suffix(&database(path), LOCK)
}

/// The socket on which a daemon that has the journal at `path` is asked.
#[must_use]
pub fn control_socket(path: &Path) -> PathBuf {
    with_suffix(&database(path), CONTROL)
}

/// The file beside a link at `path` that shows that the link led to a journal: where the disk that
/// it leads to is not mounted, nothing else does. `None` if it is no link.
#[must_use]
pub fn link_mark(path: &Path) -> Option<PathBuf> {
    let is_link = path.symlink_metadata().is_ok_and(|about| about.is_symlink());
    is_link.then(|| with_suffix(path, LOCK))
}

/// Every file of the journal at `path`, the database first.
#[must_use]
pub fn all_files(path: &Path) -> [PathBuf; 4] {
    let database = database(path);
    ["", LOG, SHARED_MEMORY, LOCK].map(|suffix| with_suffix(&database, suffix))
}

/// Whether a file called `name` beside a journal called `journal` would be taken for a copy of it.
#[must_use]
pub fn is_copy_name(journal: &OsStr, name: &OsStr) -> bool {
    let rest = name.as_encoded_bytes().strip_prefix(journal.as_encoded_bytes());
    rest.is_some_and(|rest| {
        [RESCUED, REPLACED].iter().any(|kind| rest.starts_with(kind.as_bytes()))
    })
}

/// The most bytes that a copy's name, or that of its log, is longer than the journal's.
pub(super) fn longest_copy_suffix() -> usize {
    let kind = RESCUED.len().max(REPLACED.len());
    kind + STAMP_LENGTH + format!("-{MAX_NAMES}").len() + LOG.len()
}

/// Whether SQLite left a write-ahead log with content beside the database at `path`.
pub(super) fn has_log(path: &Path) -> bool {
    log_file(path).metadata().is_ok_and(|about| about.len() > 0)
}

/// Copies that were rescued of the journal at `path`, the newest last.
#[must_use]
pub fn rescued(path: &Path) -> Vec<PathBuf> {
    let path = &database(path);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let beginning = [name.as_encoded_bytes(), RESCUED.as_bytes()].concat();
    let is_copy = |path: &PathBuf| {
        path.file_name().is_some_and(|name| {
            let name = name.as_encoded_bytes();
            let is_beside_copy =
                [LOG, SHARED_MEMORY].iter().any(|end| name.ends_with(end.as_bytes()));
            name.starts_with(&beginning) && !is_beside_copy
        })
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_copy).collect();
    found.sort();
    found
}

/// A free name for a copy of the journal at `path` that is rescued now.
pub(super) fn rescued_name(path: &Path) -> PathBuf {
    free_name(&database(path), RESCUED)
}

/// Moves what is left of the journal at `path` to names that are free, and returns these. Together
/// they are a database again.
pub(super) fn set_aside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let path = &database(path);
    let aside = free_name(path, REPLACED);
    let mut moved = Vec::new();
    for suffix in DATABASE_FILES {
        let to = with_suffix(&aside, suffix);
        match fs::rename(with_suffix(path, suffix), &to) {
            Ok(()) => moved.push(to),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(moved)
}

/// Moves a write-ahead log away from a database that it is not of, and returns where to.
pub(super) fn set_log_aside(path: &Path, log: &Path) -> io::Result<PathBuf> {
    let to = log_beside(&free_name(&database(path), REPLACED));
    fs::rename(log, &to)?;
    Ok(to)
}

fn free_name(path: &Path, what: &str) -> PathBuf {
    let now: DateTime<Utc> = Utc::now();
    let first = with_suffix(path, &format!("{what}{}", now.format(STAMP)));
    let is_free = |name: &PathBuf| {
        DATABASE_FILES.iter().all(|suffix| with_suffix(name, suffix).symlink_metadata().is_err())
    };
    let others = (2..MAX_NAMES).map(|number| with_suffix(&first, &format!("-{number}")));
    std::iter::once(first.clone()).chain(others).find(is_free).unwrap_or(first)
}
