//! A journal that is not where it was: what tells of it, and the start that does without.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::files::with_suffix;
use super::lock;
use super::schema::OpenError;

/// What follows the journal's name in that of a copy which the daemon made of it at its end.
pub(super) const RESCUED: &str = ".rescued-";
/// The same of files that made way for a restored or a new journal.
pub(super) const REPLACED: &str = ".replaced-";
/// What follows a journal's name in those of all copies that a daemon or a command leaves beside it.
pub const COPIES: [&str; 2] = [RESCUED, REPLACED];
/// A journal's own files. Its database first: without it the others are no journal to anybody.
const FILES: [&str; 3] = ["", "-wal", "-shm"];
/// Names that are tried within one second.
pub(super) const NAMES: u32 = 100;
/// What follows both: when it was made.
const STAMP: &str = "%Y%m%dT%H%M%SZ";
pub(super) const STAMP_LEN: usize = "20260102T030405Z".len();

/// What stands in the place of a journal.
enum Place {
    Journal,
    /// A file without content: a start that was cut off, or was told to begin anew.
    Blank,
    Nothing,
}

/// Why a start may not make a journal at `path`: there is none, and yet there was one, as a
/// rescued copy, the lock file or the write-ahead log beside it tells. `None` if there is one, or
/// nothing tells of one.
#[must_use]
pub fn missing(path: &Path) -> Option<OpenError> {
    let log = with_suffix(path, "-wal");
    let has_log = fs::metadata(&log).is_ok_and(|about| about.len() > 0);
    let has_log = has_log.then_some(log);
    let lock = || lock::file(path);
    let sign = match place(path) {
        Place::Journal => None,
        // SQLite would delete the log. A lock file without content is that of a first start which was
        // cut off, or that of one which was told to begin anew.
        Place::Blank => {
            has_log.or_else(|| lock::is_signed(path).then(|| rescued(path).pop().unwrap_or(lock())))
        }
        Place::Nothing => {
            rescued(path).pop().or(has_log).or_else(|| Some(lock()).filter(|lock| lock.exists()))
        }
    };
    sign.map(|sign| {
        let rescued = rescued(path).pop();
        OpenError::Missing { path: path.to_owned(), sign, rescued }
    })
}

/// Refuses to go on where a journal is missing. Where there never was one it leaves a file without
/// content, so that the lock file alone always tells of a journal that was there.
pub(super) fn refuse(path: &Path) -> Result<(), OpenError> {
    if let Some(missing) = missing(path) {
        // A daemon may be about to rescue it.
        if lock::file(path).exists() {
            drop(lock::take(path)?);
        }
        return Err(missing);
    }
    if let Place::Nothing = place(path) {
        begin(path)?;
    }
    Ok(())
}

/// Lets the next start make a new journal at `path` although one was there. What is left of that
/// one stays: files that would be in the way move aside, and their new names are returned. Where
/// there is a journal, nothing happens. Blocks for a few file operations.
///
/// # Errors
/// When a daemon has the journal, or its folder cannot be written.
pub fn give_up(path: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let lock = lock::take(path)?;
    if let Place::Journal = place(path) {
        return Ok(Vec::new());
    }
    let moved =
        set_aside(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    lock.unsign().map_err(|source| OpenError::File { path: lock::file(path), source })?;
    begin(path)?;
    Ok(moved)
}

/// Copies that were rescued of the journal at `path`, the newest last.
#[must_use]
pub fn rescued(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let beginning = [name.as_encoded_bytes(), RESCUED.as_bytes()].concat();
    let is_copy = |path: &PathBuf| {
        path.file_name().is_some_and(|name| {
            let name = name.as_encoded_bytes();
            name.starts_with(&beginning) && !name.ends_with(b"-wal") && !name.ends_with(b"-shm")
        })
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_copy).collect();
    found.sort();
    found
}

/// A free name for a copy of the journal at `path` that is rescued now.
pub(super) fn rescued_name(path: &Path) -> PathBuf {
    free_name(path, RESCUED)
}

/// Moves what is left of the journal at `path` to names that are free, and returns these. Together
/// they are a database again.
pub(super) fn set_aside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let aside = free_name(path, REPLACED);
    let mut moved = Vec::new();
    for suffix in FILES {
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
    let to = with_suffix(&free_name(path, REPLACED), "-wal");
    fs::rename(log, &to)?;
    Ok(to)
}

fn free_name(path: &Path, what: &str) -> PathBuf {
    let now: DateTime<Utc> = Utc::now();
    let first = with_suffix(path, &format!("{what}{}", now.format(STAMP)));
    let is_free = |name: &PathBuf| {
        FILES.iter().all(|suffix| with_suffix(name, suffix).symlink_metadata().is_err())
    };
    let others = (2..NAMES).map(|number| with_suffix(&first, &format!("-{number}")));
    std::iter::once(first.clone()).chain(others).find(is_free).unwrap_or(first)
}

fn place(path: &Path) -> Place {
    match fs::metadata(path) {
        Ok(about) if about.len() == 0 => Place::Blank,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Place::Nothing,
        // Whatever it is, opening it will tell.
        _ => Place::Journal,
    }
}

/// SQLite would make the file readable for all.
fn begin(path: &Path) -> Result<(), OpenError> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.map(drop).map_err(|source| OpenError::File { path: path.to_owned(), source })
}
