//! What the files that a sink makes get: their permissions, and their group.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::unistd::Group;
use serde::{Deserialize, Deserializer, de};

/// A file's permissions: 9 bits, of which the owner's for reading and writing are always set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl FileMode {
    /// The permissions of a folder of such files: who may read them may list and enter it.
    pub(super) fn of_folder(self) -> u32 {
        self.0 | (self.0 & 0o444) >> 2
    }
}

impl Default for FileMode {
    fn default() -> Self {
        Self(0o640)
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 8)
            .ok()
            .filter(|mode| mode & !0o777 == 0 && mode & 0o600 == 0o600 && !text.starts_with('+'))
            .map(Self)
            .ok_or_else(|| {
                de::Error::custom(
                    "the mode must be three or four octal digits like \"0640\", \
                     with reading and writing for the owner",
                )
            })
    }
}

/// What a new file gets.
#[derive(Clone, Debug)]
pub(super) struct Ownership {
    pub(super) mode: FileMode,
    pub(super) group: Option<Group>,
}

/// Why a file does not get it, with advice.
#[derive(Debug, thiserror::Error)]
pub(super) enum OwnershipError {
    #[error(
        "cannot set the group of {} to {group}: {source}; make the service's user a member with \
         SupplementaryGroups={group} in the unit",
        path.display()
    )]
    Group { path: PathBuf, group: String, source: io::Error },
    #[error("cannot set the mode of {}: {source}", path.display())]
    Mode { path: PathBuf, source: io::Error },
}

impl Ownership {
    /// Blocks on the list of groups.
    ///
    /// # Errors
    /// When the system knows no such group.
    pub(super) fn find(mode: FileMode, group: Option<&str>) -> anyhow::Result<Self> {
        let group = group.map(|name| {
            let group = Group::from_name(name).with_context(|| format!("group {name}"))?;
            group.with_context(|| format!("the group {name} does not exist"))
        });
        Ok(Self { mode, group: group.transpose()? })
    }

    /// Gives it to a file that was made at `path`.
    pub(super) fn apply(&self, file: &File, path: &Path) -> Result<(), OwnershipError> {
        self.give(file, self.mode.0, path)
    }

    /// Gives it to a folder that was made at `path`.
    pub(super) fn apply_to_folder(&self, file: &File, path: &Path) -> Result<(), OwnershipError> {
        self.give(file, self.mode.of_folder(), path)
    }

    fn give(&self, file: &File, mode: u32, path: &Path) -> Result<(), OwnershipError> {
        let path = || path.to_owned();
        if let Some(group) = &self.group {
            nix::unistd::fchown(file, None, Some(group.gid)).map_err(|error| {
                let (group, source) = (group.name.clone(), error.into());
                OwnershipError::Group { path: path(), group, source }
            })?;
        }
        // Last, since it takes away what marks a file or folder as unfinished.
        let mode = Permissions::from_mode(mode);
        file.set_permissions(mode).map_err(|source| OwnershipError::Mode { path: path(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_the_files_may_enter_their_folder() {
        for (file, folder) in [(0o644, 0o755), (0o640, 0o750), (0o600, 0o700), (0o664, 0o775)] {
            assert_eq!(FileMode(file).of_folder(), folder);
        }
    }
}
