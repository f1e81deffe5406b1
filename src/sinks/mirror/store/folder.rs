//! A folder of the store, open: what is below it is reached by its descriptor and through no link.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::error::{StoreError, failed, failed_io};
use crate::folder;
use crate::sinks::ownership::Ownership;

/// The sticky bit, which means nothing where only one user writes: a folder that has it was made here,
/// and a failure or a crash came before its name was on disk and its [`Ownership`] given.
const UNFINISHED: u32 = 0o1000;

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const FILE: OFlag =
    OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// A folder, open. All of it blocks.
#[derive(Debug)]
pub(super) struct OpenFolder {
    file: File,
    /// For messages.
    path: PathBuf,
}

impl OpenFolder {
    /// The folder that the configuration names, wherever its path leads.
    pub(super) fn at(path: &Path) -> Result<Self, StoreError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Absent(path.to_owned()));
            }
            Err(error) => return Err(failed_io("open the folder", path)(error)),
        };
        let about = file.metadata().map_err(failed_io("look at", path))?;
        if !about.is_dir() {
            return Err(StoreError::Foreign { what: "folder", path: path.to_owned() });
        }
        Ok(Self { file, path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Device and inode.
    pub(super) fn identity(&self) -> Result<(u64, u64), StoreError> {
        let about = self.file.metadata().map_err(failed_io("look at", &self.path))?;
        Ok((about.dev(), about.ino()))
    }

    /// The folder of that name, if it is there.
    pub(super) fn folder(&self, name: &str) -> Result<Option<Self>, StoreError> {
        let path = self.path.join(name);
        match openat(&self.file, name, FOLDER, Mode::empty()) {
            Ok(opened) => Ok(Some(Self { file: opened.into(), path })),
            Err(Errno::ENOENT) => Ok(None),
            Err(Errno::ELOOP | Errno::ENOTDIR) => Err(StoreError::Foreign { what: "folder", path }),
            Err(errno) => Err(failed("open the folder", path)(errno)),
        }
    }

    /// The folder of that name, made if it is not there, with its name on disk.
    pub(super) fn make(&self, name: &str, ownership: &Ownership) -> Result<Self, StoreError> {
        let path = self.path.join(name);
        if self.folder(name)?.is_none() {
            let mode = Mode::from_bits_truncate(UNFINISHED | 0o700);
            match mkdirat(&self.file, name, mode) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(failed("create the folder", path)(errno)),
            }
        }
        let Some(made) = self.folder(name)? else { return Err(StoreError::Absent(path)) };
        let about = made.file.metadata().map_err(failed_io("look at", &path))?;
        if about.mode() & UNFINISHED != 0 {
            self.sync()?;
            ownership.apply_to_folder(&made.file, &path)?;
        }
        Ok(made)
    }

    /// The regular file of that name, if it is there.
    pub(super) fn open(&self, name: &str) -> Result<Option<File>, StoreError> {
        let path = self.path.join(name);
        let file: File = match openat(&self.file, name, FILE | OFlag::O_RDONLY, Mode::empty()) {
            Ok(opened) => opened.into(),
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP) => return Err(StoreError::Foreign { what: "file", path }),
            Err(errno) => return Err(failed("open", path)(errno)),
        };
        let about = file.metadata().map_err(failed_io("look at", &path))?;
        if !about.is_file() {
            return Err(StoreError::Foreign { what: "file", path });
        }
        Ok(Some(file))
    }

    /// The first `limit` bytes of the file of that name, if it is there.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(file) = self.open(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = file.take(limit).read_to_end(&mut bytes);
        read.map_err(failed_io("read", self.path.join(name)))?;
        Ok(Some(bytes))
    }

    /// Makes a new file of that name, for its owner alone, with these bytes.
    pub(super) fn create(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path.join(name);
        let flags = FILE | OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        let mode = Mode::from_bits_truncate(0o600);
        let file = openat(&self.file, name, flags, mode).map_err(failed("create", &path))?;
        File::from(file).write_all(bytes).map_err(failed_io("write", path))
    }

    /// Gives the file `temp` of another folder the name `name` in this one, over what is there: whole
    /// and on disk, or not at all. The name itself is on disk after [`OpenFolder::sync`].
    pub(super) fn take(
        &self,
        from: &Self,
        temp: &str,
        name: &str,
        ownership: &Ownership,
    ) -> Result<(), StoreError> {
        let path = from.path.join(temp);
        let Some(file) = from.open(temp)? else { return Err(StoreError::Absent(path)) };
        ownership.apply(&file, &path)?;
        file.sync_all().map_err(failed_io("sync", &path))?;
        let renamed = renameat(&from.file, temp, &self.file, name);
        renamed.map_err(failed("write", self.path.join(name)))
    }

    /// Has the names in it on disk, if its file system can.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        folder::sync_opened_or_tell(&self.file, &self.path)
            .map_err(failed_io("sync the folder", &self.path))
    }

    /// Removes a file of it, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.unlink(name, UnlinkatFlags::NoRemoveDir)
    }

    /// Removes an empty folder of it, if it is there.
    pub(super) fn remove_folder(&self, name: &str) -> Result<(), StoreError> {
        self.unlink(name, UnlinkatFlags::RemoveDir)
    }

    fn unlink(&self, name: &str, flags: UnlinkatFlags) -> Result<(), StoreError> {
        match unlinkat(&self.file, name, flags) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(failed("remove", self.path.join(name))(errno)),
        }
    }

    /// The names in it that are text.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        let listed = std::fs::read_dir(&self.path).map_err(failed_io("list", &self.path))?;
        Ok(listed.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::sinks::FileMode;

    const PUBLIC: Ownership = Ownership { mode: FileMode(0o644), group: None };

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn no_link_below_it_is_followed() {
        let (outside, inside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| inside.path().join(name);
        fs::write(outside.path().join("file"), "theirs").unwrap();
        symlink(outside.path(), at("folder")).unwrap();
        symlink(outside.path().join("file"), at("file")).unwrap();
        symlink("nowhere", at("new")).unwrap();
        let top = OpenFolder::at(inside.path()).unwrap();
        for name in ["folder", "file", "new"] {
            let said = top.make(name, &PUBLIC).unwrap_err().to_string();
            assert!(said.contains("follows no links"), "{said}");
            assert!(top.folder(name).is_err() && top.open(name).is_err(), "{name}");
            assert!(top.create(name, b"ours").is_err(), "{name}");
        }
        // What takes the name of a link takes its place.
        top.create("temp", b"ours").unwrap();
        top.take(&top, "temp", "file", &PUBLIC).unwrap();
        assert_eq!(top.read("file", 9).unwrap().unwrap(), b"ours");
        assert_eq!(fs::read_to_string(outside.path().join("file")).unwrap(), "theirs");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        // The path itself is the operator's.
        symlink(inside.path(), outside.path().join("link")).unwrap();
        assert!(OpenFolder::at(&outside.path().join("link")).unwrap().open("file").is_ok());
    }

    #[test]
    fn a_folder_half_made_is_finished_and_one_made_by_others_left_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let top = OpenFolder::at(root.path()).unwrap();
        let path = root.path().join("a");
        mkdirat(top.file(), "a", Mode::from_bits_truncate(UNFINISHED | 0o700)).unwrap();
        top.make("a", &PUBLIC).unwrap();
        assert_eq!(mode(&path), 0o755);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        top.make("a", &PUBLIC).unwrap();
        assert_eq!(mode(&path), 0o750);
        top.make("b", &Ownership { mode: FileMode(0o640), group: None }).unwrap();
        assert_eq!(mode(&root.path().join("b")), 0o750);
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&root.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let top = OpenFolder::at(root.path()).unwrap();
        assert!(matches!(top.open("pipe"), Err(StoreError::Foreign { .. })));
        assert!(matches!(top.folder("pipe"), Err(StoreError::Foreign { .. })));
        assert!(top.open("none").unwrap().is_none() && top.folder("none").unwrap().is_none());
        let absent = OpenFolder::at(&root.path().join("none")).unwrap_err().to_string();
        assert!(absent.contains("does not exist"), "{absent}");
    }
}
