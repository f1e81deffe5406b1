//! The end of the file as its last write has left it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// Where the next line goes.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The end as it was left, if a line can begin there. `None` where nobody knows.
    pub(super) end: Option<FileEnd>,
    /// A failed write that could not be taken back yet.
    pub(super) torn: Option<TornWrite>,
    /// Whether the log has named another program that writes to it.
    pub(super) has_warned: bool,
}

/// The end of the file at a moment: another one shows that something else was done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileEnd {
    pub(super) offset: u64,
    /// When the file changed, in seconds and nanoseconds.
    pub(super) changed: (i64, i64),
}

/// What a failed write left in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TornWrite {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl FileEnd {
    pub(super) fn of(about: &Metadata) -> Self {
        Self { offset: about.len(), changed: (about.ctime(), about.ctime_nsec()) }
    }
}
