//! Where files are written before they get their names: on the same file system, for nobody else to
//! read.
//!
//! Each sink of each process has one of its own and holds its lock. One that nobody holds belonged to
//! a process that is gone: it is removed, whatever is in it.

use std::fs::TryLockError;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::error::{StoreError, failed_io};
use super::folder::OpenFolder;
use crate::sinks::FileMode;
use crate::sinks::ownership::Ownership;

/// The folder of all spools.
const SPOOLS: &str = ".sprited-tmp";
const PREFIX: &str = "spool-";
const PRIVATE: Ownership = Ownership { mode: FileMode(0o600), group: None };

/// A folder for files that have no name yet. It is removed with the value.
#[derive(Debug)]
pub(in crate::sinks::mirror) struct Spool {
    all: OpenFolder,
    name: String,
    own: OpenFolder,
}

impl Spool {
    /// Makes one in `top`, and removes those that nobody holds.
    pub(super) fn open(top: &OpenFolder) -> Result<Self, StoreError> {
        let all = top.make(SPOOLS, &PRIVATE)?;
        remove_stale(&all)?;
        loop {
            let name = format!("{PREFIX}{:016x}", rand::random::<u64>());
            let own = all.make(&name, &PRIVATE)?;
            // Where locks are not known, nothing is removed either.
            if let Err(TryLockError::WouldBlock) = own.file().try_lock() {
                continue;
            }
            let spool = Self { all, name, own };
            if spool.is_in_place()? {
                return Ok(spool);
            }
            return Self::open(top);
        }
    }

    /// Its path.
    pub(in crate::sinks::mirror) fn path(&self) -> &Path {
        self.own.path()
    }

    pub(super) fn folder(&self) -> &OpenFolder {
        &self.own
    }

    /// Whether its path still leads to it: somebody may have tidied up.
    pub(super) fn is_in_place(&self) -> Result<bool, StoreError> {
        let there = match std::fs::symlink_metadata(self.path()) {
            Ok(there) => there,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed_io("look at", self.path())(error)),
        };
        Ok((there.dev(), there.ino()) == self.own.identity()?)
    }

    /// Writes a file of these bytes.
    pub(super) fn write(self: &Arc<Self>, bytes: &[u8]) -> Result<Spooled, StoreError> {
        let spooled =
            Spooled { spool: Arc::clone(self), name: format!("{:016x}", rand::random::<u64>()) };
        self.own.create(&spooled.name, bytes)?;
        Ok(spooled)
    }
}

/// A file in a spool. It is removed with the value, unless it has got another name.
#[derive(Debug)]
pub(super) struct Spooled {
    spool: Arc<Spool>,
    name: String,
}

impl Spooled {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        // What stays is removed with the spool.
        self.spool.own.remove(&self.name).ok();
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What stays is removed by the next one.
        self.all.remove_folder(&self.name).ok();
    }
}

fn remove_stale(all: &OpenFolder) -> Result<(), StoreError> {
    for name in all.names()?.iter().filter(|name| name.starts_with(PREFIX)) {
        let Some(folder) = all.folder(name)? else { continue };
        if folder.file().try_lock().is_err() {
            continue;
        }
        for file in folder.names()? {
            folder.remove(&file)?;
        }
        all.remove_folder(name)?;
        tracing::debug!(folder = %folder.path().display(), "removed what an ended process left");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_a_dead_process_left_goes_and_what_a_live_one_has_stays() {
        let root = tempfile::tempdir().unwrap();
        let top = OpenFolder::at(root.path()).unwrap();
        let spools = || fs::read_dir(root.path().join(SPOOLS)).unwrap().count();
        let first = Spool::open(&top).unwrap();
        fs::write(first.path().join("half"), "x").unwrap();
        let left = root.path().join(SPOOLS).join("spool-0000000000000001");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("half"), "x").unwrap();
        fs::write(root.path().join(SPOOLS).join("of others"), "x").unwrap();
        let second = Spool::open(&top).unwrap();
        assert!(!left.exists() && first.path().join("half").exists());
        assert_eq!(spools(), 3);
        assert!(first.is_in_place().unwrap());
        drop(second);
        assert_eq!(spools(), 2);
        fs::remove_dir_all(root.path().join(SPOOLS)).unwrap();
        assert!(!first.is_in_place().unwrap());
        assert!(Spool::open(&top).unwrap().is_in_place().unwrap());
    }
}
