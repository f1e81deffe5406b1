//! What a file system does for the names in a folder: has them on disk, if it can, takes them up to
//! a length, and has them lead elsewhere.
//!
//! Knows nothing of the crate.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::statvfs::statvfs;

/// What an operator has to know of a folder that cannot be synced.
pub const UNSYNCED: &str = "its file system cannot sync a folder: after a power cut a file that was \
                            new, or had got another name, may be missing from it";

/// The most links that are followed one after the other, as the kernel has it.
const MAX_LINKS: usize = 40;

/// The longest path that the system takes, in bytes.
const MAX_PATH: usize = 4095;

/// Whether the names in a folder are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synced {
    /// They are.
    Lasting,
    /// They are when the file system likes, as with SMB and some of FUSE.
    Unsupported,
}

/// Has the names in a folder on disk. Blocks.
///
/// # Errors
/// When it cannot be opened, or its disk fails.
pub fn sync(folder: &Path) -> io::Result<Synced> {
    synced(File::open(folder)?.sync_all())
}

/// The same, and tells by the log where that cannot be done: once for a file system.
///
/// # Errors
/// As [`sync`].
pub fn sync_or_tell(folder: &Path) -> io::Result<()> {
    sync_opened_or_tell(&File::open(folder)?, folder)
}

/// The same of a folder that is open; `folder` is what the log calls it.
///
/// # Errors
/// When its disk fails.
pub fn sync_opened_or_tell(file: &File, folder: &Path) -> io::Result<()> {
    /// The devices that were told of: no more than are mounted.
    static TOLD: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());
    if synced(file.sync_all())? == Synced::Unsupported {
        let device = file.metadata()?.dev();
        if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(device) {
            tracing::warn!(folder = %folder.display(), "a folder is used as it is: {UNSYNCED}");
        }
    }
    Ok(())
}

/// The name of a file that cannot be made, since it is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} of {bytes} bytes, where its file system takes {limit}")]
pub struct TooLong {
    what: &'static str,
    bytes: usize,
    limit: usize,
}

/// Whether a file whose name has so many bytes can be made in a folder, as far as its length goes.
/// Blocks.
///
/// # Errors
/// When the folder cannot be looked at.
pub fn refuses(folder: &Path, name: usize) -> io::Result<Option<TooLong>> {
    let names = usize::try_from(statvfs(folder)?.name_max()).unwrap_or(usize::MAX);
    if name > names {
        return Ok(Some(TooLong { what: "a name", bytes: name, limit: names }));
    }
    let path = folder.as_os_str().len() + "/".len() + name;
    let too_long = TooLong { what: "a path", bytes: path, limit: MAX_PATH };
    Ok((path > MAX_PATH).then_some(too_long))
}

/// Returns the path without links, though the file, or some of its folders, may not be there.
/// Blocks.
#[must_use]
pub fn real(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { break };
        let folder = real_folder(folder);
        path = folder.join(name);
        let Ok(target) = fs::read_link(&path) else { break };
        path = folder.join(target);
    }
    path
}

fn real_folder(folder: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(folder) {
        return real;
    }
    match (folder.parent(), folder.components().next_back()) {
        (Some(parent), Some(Component::Normal(name))) => real_folder(parent).join(name),
        (Some(parent), Some(Component::ParentDir)) => {
            let parent = real_folder(parent);
            parent.parent().map_or(parent.clone(), Path::to_owned)
        }
        _ => folder.to_owned(),
    }
}

/// What a file system says that knows no such request. Everything else is a failure.
fn synced(said: io::Result<()>) -> io::Result<Synced> {
    const UNKNOWN: [Errno; 4] = [Errno::EINVAL, Errno::EBADF, Errno::EOPNOTSUPP, Errno::ENOSYS];
    match said {
        Ok(()) => Ok(Synced::Lasting),
        Err(error) if UNKNOWN.iter().any(|code| error.raw_os_error() == Some(*code as i32)) => {
            Ok(Synced::Unsupported)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_system_does_not_know_is_no_failure_of_its_disk() {
        let said = |code: Errno| synced(Err(io::Error::from(code)));
        for code in [Errno::EINVAL, Errno::ENOTSUP, Errno::EOPNOTSUPP, Errno::ENOSYS, Errno::EBADF]
        {
            assert_eq!(said(code).unwrap(), Synced::Unsupported, "{code}");
        }
        for code in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT, Errno::EROFS] {
            assert_eq!(said(code).unwrap_err().raw_os_error(), Some(code as i32), "{code}");
        }
        assert_eq!(sync(tempfile::tempdir().unwrap().path()).unwrap(), Synced::Lasting);
        assert!(sync(Path::new("/no/such/folder")).is_err());
    }

    #[test]
    fn the_longest_name_can_be_made_and_the_next_cannot() {
        let folder = tempfile::tempdir().unwrap();
        let longest = (1..).take_while(|n| refuses(folder.path(), *n).unwrap().is_none()).count();
        let make = |length: usize| std::fs::write(folder.path().join("x".repeat(length)), "");
        make(longest).unwrap();
        assert!(make(longest + 1).is_err());
        let said = refuses(folder.path(), longest + 1).unwrap().unwrap().to_string();
        assert!(said.contains(&format!("takes {longest}")), "{said}");
        // Of a path, by what it is beside the name.
        let mut deep = folder.path().to_owned();
        while refuses(&deep, longest).unwrap().is_none() {
            deep.push("y".repeat(200));
            std::fs::create_dir(&deep).unwrap();
        }
        assert!(std::fs::write(deep.join("x".repeat(longest)), "").is_err());
        let fits = (1..).take_while(|n| refuses(&deep, *n).unwrap().is_none()).count();
        std::fs::write(deep.join("x".repeat(fits)), "").unwrap();
        assert!(std::fs::write(deep.join("x".repeat(fits + 1)), "").is_err());
    }
}
