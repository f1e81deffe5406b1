//! Where a journal is, and the room that is left there.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use nix::sys::statvfs::statvfs;

/// The place of a journal at the moment of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalPlace {
    path: PathBuf,
    /// `None` if the file system does not tell.
    free: Option<ByteSize>,
}

impl JournalPlace {
    /// Blocks for a system call.
    pub(super) fn now(path: &Path) -> Self {
        Self { path: path.to_owned(), free: free_space(path).ok() }
    }
}

impl fmt::Display for JournalPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.free {
            Some(free) => write!(f, "{path} has {free} free on its file system"),
            None => write!(f, "{path} is on a file system that does not tell its free space"),
        }
    }
}

/// The bytes that the file system of `path` has free for this user. Blocks for a system call.
///
/// # Errors
/// When there is no such path, or its file system does not tell.
pub fn free_space(path: &Path) -> io::Result<ByteSize> {
    let space = statvfs(path)?;
    Ok(ByteSize(space.blocks_available().saturating_mul(space.fragment_size())))
}
