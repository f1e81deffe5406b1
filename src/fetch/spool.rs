//! A sheet on its way into a temporary file, which goes when nobody keeps it.
//!
//! All that touches the disk happens on threads that may block.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;

use sha2::{Digest, Sha256};
use tempfile::TempPath;
use tokio::runtime::Handle;

use crate::sprite::{NotASheet, SheetImage, look_at};

/// What the names of the temporary files begin with.
pub const SPOOL_PREFIX: &str = ".sprited-sheet-";

/// A temporary file. Removed off the runtime when it is dropped.
#[derive(Debug)]
pub(super) struct SpoolFile(Option<TempPath>);

impl SpoolFile {
    /// The file, for somebody who sees to its removal.
    pub(super) fn keep(mut self) -> Option<TempPath> {
        self.0.take()
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        let Some(path) = self.0.take() else { return };
        // Dropped with its work, the closure removes it as well.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(path))),
            Err(_) => drop(path),
        }
    }
}

/// A sheet that is being written. Its methods block.
pub(super) struct Spool {
    file: File,
    path: SpoolFile,
    hash: Sha256,
    bytes: u64,
}

/// A sheet that was written.
#[derive(Debug)]
pub(super) struct SpooledSheet {
    pub(super) path: SpoolFile,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
    pub(super) image: Result<SheetImage, NotASheet>,
}

impl Spool {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let temporary = tempfile::Builder::new().prefix(SPOOL_PREFIX).tempfile_in(folder)?;
        let (file, path) = temporary.into_parts();
        Ok(Self { file, path: SpoolFile(Some(path)), hash: Sha256::new(), bytes: 0 })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Looks at what was written.
    pub(super) fn finish(mut self) -> io::Result<SpooledSheet> {
        self.file.rewind()?;
        let image = match look_at(&self.file, self.bytes) {
            Err(NotASheet::Unreadable(error)) => return Err(error),
            image => image,
        };
        let sha256 = self.hash.finalize().into();
        Ok(SpooledSheet { path: self.path, bytes: self.bytes, sha256, image })
    }
}
