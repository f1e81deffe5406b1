//! Why the store cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::sinks::ownership::OwnershipError;

/// Why the store cannot be used, with advice where there is some.
#[derive(Debug, thiserror::Error)]
pub(in crate::sinks::mirror) enum StoreError {
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the folder {} does not exist: create it for the service's user", .0.display())]
    Absent(PathBuf),
    #[error(
        "{} is a link, or no {what}: below its path the sink follows no links; move it away",
        path.display()
    )]
    Foreign { what: &'static str, path: PathBuf },
    #[error(
        "{} is of version {version}, which a later version of sprited wrote: this one leaves it as it \
         is; run that one again",
        path.display()
    )]
    Newer { path: PathBuf, version: u32 },
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
}

/// Names what was being done, and to what.
pub(super) fn failed(
    what: &'static str,
    path: impl AsRef<Path>,
) -> impl FnOnce(Errno) -> StoreError {
    let failed = failed_io(what, path);
    move |errno| failed(errno.into())
}

/// The same of a failure of the standard library.
pub(super) fn failed_io(
    what: &'static str,
    path: impl AsRef<Path>,
) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.as_ref().to_owned();
    move |source| StoreError::Io { what, path, source }
}
