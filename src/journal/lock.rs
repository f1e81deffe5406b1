//! The lock file that keeps a second daemon off a journal.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::presence::with_suffix;
use super::schema::OpenError;

/// The lock, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that has not yet begun its program has it
        // open as well. If this fails, closing does it a moment later.
        drop(self.0.unlock());
    }
}

/// The lock file of the journal at `path`.
pub(super) fn file(path: &Path) -> PathBuf {
    with_suffix(path, ".lock")
}

/// Takes the lock of the journal at `path`.
pub(super) fn take(path: &Path) -> Result<Lock, OpenError> {
    let lock = file(path);
    let failed = |source| OpenError::File { path: lock.clone(), source };
    let file = open(&lock, path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned(), lock }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Opens the lock file, or makes it. Whatever another user has put there is not followed anywhere, nor
/// waited for.
fn open(lock: &Path, journal: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).mode(0o600).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let made = match options.clone().create_new(true).open(lock) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return options.open(lock).map_err(|error| match error.raw_os_error() {
                Some(errno) if errno == Errno::ELOOP as i32 => {
                    io::Error::other("it is a link, and a lock file must be none; delete it")
                }
                _ => error,
            });
        }
        made => made?,
    };
    // Made by root, it would keep the journal's own user off; SQLite does so by its files.
    if geteuid().is_root()
        && let Ok(journal) = journal.symlink_metadata()
    {
        fchown(&made, Some(journal.uid()), Some(journal.gid()))?;
    }
    Ok(made)
}
