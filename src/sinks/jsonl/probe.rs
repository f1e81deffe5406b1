//! Whether the file could be used, by what its use does: for `sprited check`, and before a reload.
//!
//! Without the lock and without making the file, so that a daemon that runs is not disturbed.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytesize::ByteSize;
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;
use tempfile::{NamedTempFile, TempPath};

use super::File;
use super::error::{LogError, failed, failed_in_folder};
use super::log::{open_file, whole_lines};
use super::rotation::Names;
use super::settings::Compress;
use crate::folder::{self, Synced, UNSYNCED};

/// What is written for the trial: a page, as no line is shorter than its block on the disk.
const PAGE: [u8; 4096] = [b'\n'; 4096];

/// With less room than this its disk is as good as full.
const MIN_FREE: ByteSize = ByteSize::mib(16);

const TRIAL_PREFIX: &str = ".sprited-check-";

impl File {
    /// Makes the system calls that a delivery and a rotation make.
    pub(super) fn probe(&self) -> anyhow::Result<()> {
        let path = &self.settings.path;
        match fs::metadata(path) {
            Ok(about) => self.probe_file(&about)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at", path)(error).into()),
        }
        self.refuse_shared()?;
        let names = self.names();
        let folder = names.folder();
        let about = fs::metadata(folder).with_context(|| {
            format!("cannot read the folder {}; it must exist", folder.display())
        })?;
        anyhow::ensure!(about.is_dir(), "{} is not a folder", folder.display());
        self.refuse_long_names(&names)?;
        self.try_folder(folder)?;
        folder::sync(folder).map_err(failed_in_folder("sync the folder of", path))?;
        Ok(())
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let names = self.names();
        let folder = names.folder();
        let mut warnings = Vec::new();
        if let Ok(Synced::Unsupported) = folder::sync(folder) {
            warnings.push(format!("{}: {UNSYNCED}", folder.display()));
        }
        if let Ok(space) = statvfs(folder) {
            let free = ByteSize(space.blocks_available().saturating_mul(space.fragment_size()));
            if free < MIN_FREE {
                warnings.push(format!("{}: only {free} free", folder.display()));
            }
        }
        warnings
    }

    /// Whether the names of rotated files would be too long. The file itself can be used all the
    /// same, it only grows on.
    pub(super) fn refuse_long_names(&self, names: &Names) -> Result<(), LogError> {
        if !self.settings.rotates() {
            return Ok(());
        }
        let path = &self.settings.path;
        let longest = names.longest(self.settings.compress == Compress::Gzip);
        match folder::refuses(names.folder(), longest) {
            Ok(None) => Ok(()),
            Ok(Some(limit)) => Err(LogError::TooLong { path: path.clone(), limit }),
            Err(error) => Err(failed("look at the folder of", path)(error)),
        }
    }

    fn probe_file(&self, about: &fs::Metadata) -> anyhow::Result<()> {
        let path = &self.settings.path;
        if let Some(error) = LogError::of_kind(path, about) {
            return Err(error.into());
        }
        let names = self.names();
        let file = open_file(names.path()).map_err(failed("open", path))?;
        let lines = whole_lines(&file, about.len()).map_err(failed("read", path))?;
        if lines.is_none() {
            return Err(LogError::Foreign(path.clone()).into());
        }
        file.sync_all().map_err(failed("sync", path))?;
        let folder = fs::metadata(names.folder()).map_err(failed("look at the folder of", path))?;
        if self.settings.rotates() && !may_rename(about, &folder) {
            anyhow::bail!(
                "{} cannot be rotated: in a folder with the sticky bit only its owner may rename \
                 it; use a folder of its own",
                path.display()
            );
        }
        Ok(())
    }

    /// Makes a file in the folder, writes to it, and gives it another name where the sink would.
    /// Nothing is left of it; where no name is needed it has none.
    fn try_folder(&self, folder: &Path) -> anyhow::Result<()> {
        let path = &self.settings.path;
        let may_not = || format!("cannot create files in {}", folder.display());
        let write = |mut file: &fs::File| {
            // The file itself may be another's, who is not to be disturbed.
            let locked = file.try_lock().map_err(io::Error::from);
            locked.map_err(failed("lock a file beside", path))?;
            let written = file.write_all(&PAGE).and_then(|()| file.sync_all());
            written.map_err(failed("write to a file beside", path))
        };
        if !self.settings.rotates() {
            let trial = tempfile::tempfile_in(folder).with_context(may_not)?;
            self.ownership.apply(&trial, path)?;
            return Ok(write(&trial)?);
        }
        let trial = tempfile::Builder::new().prefix(TRIAL_PREFIX).tempfile_in(folder);
        let trial: NamedTempFile = trial.with_context(may_not)?;
        self.ownership.apply(trial.as_file(), path)?;
        write(trial.as_file())?;
        let mut renamed = trial.path().as_os_str().to_owned();
        renamed.push("-renamed");
        let renamed = PathBuf::from(renamed);
        fs::rename(trial.path(), &renamed).map_err(failed("rename a file beside", path))?;
        TempPath::try_from_path(renamed)?.close().map_err(failed("delete a file beside", path))?;
        Ok(())
    }
}

/// Whether a file can be given another name in its folder, which can be written to.
fn may_rename(file: &fs::Metadata, folder: &fs::Metadata) -> bool {
    const STICKY: u32 = 0o1000;
    let own = geteuid();
    let is_own = |about: &fs::Metadata| about.uid() == own.as_raw();
    folder.mode() & STICKY == 0 || own.is_root() || is_own(file) || is_own(folder)
}
