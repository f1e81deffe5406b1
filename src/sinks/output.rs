//! What a sink writes to, where that takes one writer alone.

use std::path::{Component, Path, PathBuf};

use super::OutputPath;

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
    #[must_use]
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
