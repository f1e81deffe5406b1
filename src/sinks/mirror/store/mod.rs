//! The store `folder`: copies in a folder of this machine.
//!
//! A file gets its name when it is whole and on disk; a manifest is written when all that it names is.
//! So whatever is there at any moment can be used, and a crash leaves nothing but files in a spool,
//! which the next start removes. All of it blocks.

mod error;
mod folder;
mod spool;

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use sha2::{Digest, Sha256};

pub(super) use self::error::StoreError;
use self::error::failed_io;
use self::folder::OpenFolder;
pub(super) use self::spool::Spool;
use super::prefix::Prefix;
use super::settings::MirrorSettings;
use crate::sinks::ownership::Ownership;
use crate::sprite::{MANIFEST_VERSION, MAX_MANIFEST_BYTES, MAX_TEXT_BYTES, Manifest, Place};
use crate::sync::lock;

/// The index in a set.
pub(super) const VTT_NAME: &str = "thumbnails.vtt";

/// A folder of sprites.
#[derive(Debug)]
pub(super) struct FolderStore {
    path: PathBuf,
    prefix: Option<Prefix>,
    ownership: Ownership,
    spool: Mutex<Option<Arc<Spool>>>,
}

/// A sheet in the spool, and its name in a set.
#[derive(Debug)]
pub(super) struct NewSheet {
    pub(super) name: String,
    /// The name of its file in the spool.
    pub(super) spooled: String,
    pub(super) sha256: [u8; 32],
}

/// A manifest of any version.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// What stands under a manifest's name.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    /// Something that cannot be read as one.
    Foreign,
    Manifest(Box<Manifest>),
}

impl FolderStore {
    /// Touches no file.
    ///
    /// # Errors
    /// When the system knows no such group.
    pub(super) fn new(settings: &MirrorSettings) -> anyhow::Result<Self> {
        Ok(Self {
            path: settings.path.clone(),
            prefix: settings.prefix.clone(),
            ownership: Ownership::find(settings.mode, settings.group.as_deref())?,
            spool: Mutex::default(),
        })
    }

    /// Where files go until they have a name.
    pub(super) fn spool(&self) -> Result<Arc<Spool>, StoreError> {
        let mut kept = lock(&self.spool);
        if let Some(spool) = kept.as_ref()
            && spool.is_in_place()?
        {
            return Ok(Arc::clone(spool));
        }
        let spool = Arc::new(Spool::open(&self.top()?)?);
        *kept = Some(Arc::clone(&spool));
        Ok(spool)
    }

    /// What stands under the name of a place's manifest.
    pub(super) fn manifest(&self, place: &Place) -> Result<Found, StoreError> {
        let manifest = place.manifest();
        let (folder, name) = parted(&manifest);
        let Some(folder) = self.find(folder)? else { return Ok(Found::Nothing) };
        let limit = MAX_MANIFEST_BYTES as u64 + 1;
        let Some(bytes) = folder.read(name, limit)? else { return Ok(Found::Nothing) };
        if let Ok(Versioned { version }) = serde_json::from_slice(&bytes)
            && version > MANIFEST_VERSION
        {
            return Err(StoreError::Newer { path: folder.path().join(name), version });
        }
        Ok(match serde_json::from_slice(&bytes) {
            Ok(manifest) => Found::Manifest(Box::new(manifest)),
            Err(_) => Found::Foreign,
        })
    }

    /// Whether the set has its index and these sheets, by their names and lengths. The files that a
    /// manifest names can have been removed: by somebody who tidied up, or by a rule for their age.
    pub(super) fn has(&self, set: &str, sheets: &[(String, u64)]) -> Result<bool, StoreError> {
        let Some(folder) = self.find(set)? else { return Ok(false) };
        for (name, length) in sheets {
            let Some(file) = folder.open(name)? else { return Ok(false) };
            let about = file.metadata().map_err(failed_io("look at", folder.path().join(name)))?;
            if about.len() != *length {
                return Ok(false);
            }
        }
        Ok(folder.open(VTT_NAME)?.is_some())
    }

    /// The index of a set, if it is there and is text.
    pub(super) fn index(&self, set: &str) -> Result<Option<String>, StoreError> {
        let Some(folder) = self.find(set)? else { return Ok(None) };
        let bytes = folder.read(VTT_NAME, MAX_TEXT_BYTES as u64 + 1)?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// Writes the files of a set that are not there already, and has all of them on disk.
    pub(super) fn write_set(
        &self,
        spool: &Arc<Spool>,
        set: &str,
        vtt: &str,
        sheets: &[NewSheet],
    ) -> Result<(), StoreError> {
        let folder = self.make(set)?;
        for NewSheet { name, spooled, sha256 } in sheets {
            if !is_there(&folder, name, sha256)? {
                folder.take(spool.folder(), spooled, name, &self.ownership)?;
            }
        }
        if !is_there(&folder, VTT_NAME, &Sha256::digest(vtt).into())? {
            let spooled = spool.write(vtt.as_bytes())?;
            folder.take(spool.folder(), spooled.name(), VTT_NAME, &self.ownership)?;
        }
        folder.sync()
    }

    /// Writes the manifest of a place. What it names is on disk.
    pub(super) fn write_manifest(
        &self,
        spool: &Arc<Spool>,
        place: &Place,
        manifest: &Manifest,
    ) -> Result<(), StoreError> {
        let path = place.manifest();
        let (folder, name) = parted(&path);
        let text = serde_json::to_vec(manifest).expect("texts and numbers are always writable");
        let folder = self.make(folder)?;
        let spooled = spool.write(&text)?;
        folder.take(spool.folder(), spooled.name(), name, &self.ownership)?;
        folder.sync()
    }

    /// Writes a file for everybody to read, and reads it back.
    pub(super) fn write_probe(&self, name: &str, text: &[u8]) -> Result<(), StoreError> {
        let top = self.top()?;
        let spool = self.spool()?;
        let spooled = spool.write(text)?;
        top.take(spool.folder(), spooled.name(), name, &self.ownership)?;
        top.sync()?;
        let read = top.read(name, text.len() as u64 + 1)?;
        if read.as_deref() != Some(text) {
            let source = io::Error::other("it holds other bytes than were written");
            return Err(failed_io("read back", top.path().join(name))(source));
        }
        Ok(())
    }

    /// Removes it.
    pub(super) fn remove_probe(&self, name: &str) -> Result<(), StoreError> {
        self.top()?.remove(name)
    }

    /// The folder that all is in, made if only its prefix is missing.
    fn top(&self) -> Result<OpenFolder, StoreError> {
        let root = OpenFolder::at(&self.path)?;
        let prefix = self.prefix.as_ref().map_or("", Prefix::as_str);
        below(root, prefix, |folder, name| folder.make(name, &self.ownership).map(Some))
            .and_then(|top| top.ok_or_else(|| StoreError::Absent(self.path.clone())))
    }

    fn make(&self, path: &str) -> Result<OpenFolder, StoreError> {
        below(self.top()?, path, |folder, name| folder.make(name, &self.ownership).map(Some))
            .and_then(|made| made.ok_or_else(|| StoreError::Absent(self.path.join(path))))
    }

    fn find(&self, path: &str) -> Result<Option<OpenFolder>, StoreError> {
        below(self.top()?, path, OpenFolder::folder)
    }
}

/// The folder at a path below another one, each found or made by `step`.
fn below(
    folder: OpenFolder,
    path: &str,
    step: impl Fn(&OpenFolder, &str) -> Result<Option<OpenFolder>, StoreError>,
) -> Result<Option<OpenFolder>, StoreError> {
    let mut at = folder;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        match step(&at, name)? {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// Folder and name of a path.
fn parted(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Whether the folder has the file already, with the same bytes.
fn is_there(folder: &OpenFolder, name: &str, sha256: &[u8; 32]) -> Result<bool, StoreError> {
    let Some(mut there) = folder.open(name)? else { return Ok(false) };
    let failed = || failed_io("read", folder.path().join(name));
    let mut hash = Sha256::new();
    let mut part = vec![0; 64 * 1024];
    loop {
        match there.read(&mut part).map_err(failed())? {
            0 => break,
            length => hash.update(&part[..length]),
        }
    }
    Ok(<[u8; 32]>::from(hash.finalize()) == *sha256)
}
