//! Whether somebody has the journal.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::stat::{major, minor};

use super::side_files::lock_file;

/// Whether a daemon, or a command in its place, has the journal at `path`, as far as the kernel tells.
/// Takes no lock: that would keep a daemon off which starts at this moment. Blocks for some system
/// calls.
#[must_use]
pub fn is_in_use(path: &Path) -> bool {
    match (fs::metadata(lock_file(path)), fs::read_to_string("/proc/locks")) {
        (Ok(lock), Ok(locks)) => locks.lines().any(|line| locks_whole(line, &lock)),
        _ => false,
    }
}

/// Whether a line of `/proc/locks` is about a lock of this file by flock(2):
/// `1: FLOCK  ADVISORY  WRITE 1234 fd:00:5678 0 EOF`.
fn locks_whole(line: &str, file: &Metadata) -> bool {
    let device = file.dev();
    let id = format!("{:02x}:{:02x}:{}", major(device), minor(device), file.ino());
    let words: Vec<&str> = line.split_whitespace().collect();
    words.get(1) == Some(&"FLOCK") && words.get(5) == Some(&id.as_str())
}
