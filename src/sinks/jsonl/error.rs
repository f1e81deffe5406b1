//! Why the file cannot be used.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::rotation::folder_of;
use crate::folder::TooLong;
use crate::sinks::ownership::OwnershipError;

/// Why the file cannot be used, with advice.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{} is locked by another writer: give every sink of every daemon its own file, or stop \
         the other writer",
        .0.display()
    )]
    Locked(PathBuf),
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    #[error(
        "cannot read the folder {}, which is necessary to sync new names and to find rotated \
         files: give the service's user read permission, with chmod u+r or g+r",
        .0.display()
    )]
    Unreadable(PathBuf),
    #[error("{} is {what}, not a regular file: configure a file, or a path that does not exist", path.display())]
    NotAFile { path: PathBuf, what: &'static str },
    #[error(
        "{} does not begin like a file of JSON lines and is left unchanged: configure another \
         path, or move it away",
        .0.display()
    )]
    Foreign(PathBuf),
    #[error(
        "{} is the same file as {}, which another sink writes to: give each sink its own file",
        .0.display(), .1.display()
    )]
    Shared(PathBuf, PathBuf),
    #[error("{} was replaced repeatedly while it was opened", .0.display())]
    Unstable(PathBuf),
    #[error(
        "files rotated from {} would get {limit}: choose a shorter name, or omit rotate_size and \
         rotate_age",
        path.display()
    )]
    TooLong { path: PathBuf, limit: TooLong },
}

impl LogError {
    /// Of what lines cannot be put in and kept; `None` for a regular file.
    pub(super) fn of_kind(path: &Path, about: &Metadata) -> Option<Self> {
        let kind = about.file_type();
        let what = match () {
            () if kind.is_file() => return None,
            () if kind.is_dir() => "a folder",
            () if kind.is_fifo() => "a pipe",
            () if kind.is_socket() => "a socket",
            () => "a device",
        };
        Some(Self::NotAFile { path: path.to_owned(), what })
    }
}

/// Names the file and what was being done to it.
pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Io { what, path, source }
}

/// The same of the file's folder, which had to be listed or synced: either needs it to be read.
pub(super) fn failed_in_folder(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| match source.kind() {
        ErrorKind::PermissionDenied => LogError::Unreadable(folder_of(&path).to_owned()),
        _ => LogError::Io { what, path, source },
    }
}
