//! A journal that is not where it was: what shows that it was there, and the start without it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::OpenError;
use super::lock;
use super::side_files::{self, lock_file, log_file, rescued, set_aside};

enum Place {
    Journal,
    /// A file without content: a start that was cut off, or was told to start without a journal.
    Blank,
    Nothing,
}

/// Why a start may not make a journal at `path`: there is none, and yet there was one, as a
/// rescued copy, the lock file or the write-ahead log beside it shows. `None` if there is one, or
/// nothing shows that there was.
#[must_use]
pub fn missing(path: &Path) -> Option<OpenError> {
    let log = side_files::has_log(path).then(|| log_file(path));
    let sign = match place(path) {
        Place::Journal => None,
        // SQLite would delete the log. A lock file without content is that of a first start which
        // was cut off, or that of one which was told to start without a journal.
        Place::Blank => {
            log.or_else(|| lock::marked(path).map(|sign| rescued(path).pop().unwrap_or(sign)))
        }
        Place::Nothing => {
            let lock = Some(lock_file(path)).filter(|lock| lock.exists());
            rescued(path).pop().or(log).or(lock).or_else(|| lock::marked(path))
        }
    };
    sign.map(|sign| {
        let rescued = rescued(path).pop();
        OpenError::Missing { path: path.to_owned(), sign, rescued }
    })
}

/// Refuses to go on where a journal is missing. Where there never was one it leaves a file without
/// content, so that the lock file alone always shows that a journal was there.
pub(super) fn refuse(path: &Path) -> Result<(), OpenError> {
    if let Some(missing) = missing(path) {
        // A daemon may be about to rescue it.
        if lock_file(path).exists() {
            drop(lock::take(path)?);
        }
        return Err(missing);
    }
    if let Place::Nothing = place(path) {
        create_blank(path)?;
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
    lock.unmark().map_err(|source| OpenError::File { path: lock_file(path), source })?;
    create_blank(path)?;
    Ok(moved)
}

fn place(path: &Path) -> Place {
    match fs::metadata(path) {
        Ok(about) if about.len() == 0 => Place::Blank,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Place::Nothing,
        // Opening it shows what it is.
        _ => Place::Journal,
    }
}

/// SQLite would make the file readable for all.
fn create_blank(path: &Path) -> Result<(), OpenError> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.map(drop).map_err(|source| OpenError::File { path: path.to_owned(), source })
}
