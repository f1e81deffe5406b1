//! What a sink writes to, where that takes one writer alone, and where a file is, however its path
//! is written.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use crate::folder;

/// What a sink writes to, as its settings name it.
#[derive(Clone, Debug)]
pub struct SinkOutput {
    /// What it is.
    pub target: OutputTarget,
    /// The key of the sink's entry that names it.
    pub key: &'static str,
    /// Whether the sink makes files beside its file, by its path, that are called like another.
    pub claims: Option<fn(&Path, &OutputPath) -> bool>,
}

/// What takes the lines of one writer alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OutputTarget {
    /// A file.
    File(PathBuf),
    /// The standard output of the process.
    Standard,
}

impl SinkOutput {
    /// The file that the key `path` names.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self { target: OutputTarget::File(without_dots(path)), key: "path", claims: None }
    }

    /// Standard output, which the sink's `type` names.
    #[must_use]
    pub fn standard() -> Self {
        Self { target: OutputTarget::Standard, key: "type", claims: None }
    }
}

impl OutputTarget {
    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Standard => None,
        }
    }
}

/// The path without `.` and doubled slashes, so that two ways to write one file compare equal.
fn without_dots(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// The place of a file that is there or could be: two ways to write it, by links, `..`, hard
/// links or folders that are mounted twice, are the same place.
#[derive(Clone, Debug)]
pub struct OutputPath {
    path: PathBuf,
    /// Device and inode of the folder and of the file, as far as they are there.
    folder: Option<(u64, u64)>,
    file: Option<(u64, u64)>,
}

impl OutputPath {
    /// The place that `path` leads to. Blocks on the file system.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let path = folder::real(path);
        let (folder, file) = (path.parent().and_then(identity), identity(&path));
        Self { path, folder, file }
    }

    /// Its path, all links followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name in its folder.
    pub fn name(&self) -> Option<&OsStr> {
        self.path.file_name()
    }

    /// Whether what is written to one is written to the other.
    pub fn is(&self, other: &Self) -> bool {
        let is_linked = self.file.is_some() && self.file == other.file;
        is_linked || (self.name() == other.name() && self.is_beside(other))
    }

    /// Whether both are in one folder.
    pub fn is_beside(&self, other: &Self) -> bool {
        let is_one = self.folder.is_some() && self.folder == other.folder;
        is_one || self.path.parent() == other.path.parent()
    }
}

/// Only of what lines can be put in and kept: many may write to `/dev/null`.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let about = fs::metadata(path).ok()?;
    (about.is_file() || about.is_dir()).then_some((about.dev(), about.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn one_file_is_one_place_however_it_is_written() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir(at("d")).unwrap();
        fs::create_dir(at("d/e")).unwrap();
        symlink("d", at("link")).unwrap();
        symlink("a", at("d/first")).unwrap();
        symlink("../d/first", at("d/second")).unwrap();
        symlink("round", at("d/round")).unwrap();
        let same = ["d/a", "link/a", "d/./a", "d//a", "d/e/../a", "d/first", "link/second"];
        // Before the file is there, and after.
        for _ in 0..2 {
            for path in same {
                let place = OutputPath::of(&at(path));
                assert!(place.is(&OutputPath::of(&at("d/a"))), "{path}");
                assert!(place.path().ends_with("d/a"), "{place:?}");
            }
            for other in ["d/b", "d/e/a", "d/a.1", "none/a", "d/round", "a", "d/no/thing"] {
                assert!(!OutputPath::of(&at(other)).is(&OutputPath::of(&at("d/a"))), "{other}");
            }
            fs::write(at("d/a"), "").unwrap();
        }
        fs::hard_link(at("d/a"), at("hard")).unwrap();
        assert!(OutputPath::of(&at("hard")).is(&OutputPath::of(&at("d/a"))));
        assert!(!OutputPath::of(&at("hard")).is_beside(&OutputPath::of(&at("d/a"))));
        assert!(OutputPath::of(&at("none/../x")).is(&OutputPath::of(&at("x"))));
    }
}
