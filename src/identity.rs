//! What others of the same user see of this process.

use std::io;

use nix::sys::prctl::set_dumpable;

/// Keeps other programs of the same user from reading this process's memory, environment and open
/// files, and the kernel from writing it to a file when it crashes. To be called again after a
/// change of the user, which undoes it.
///
/// # Errors
/// When the system refuses.
pub fn hide_memory() -> io::Result<()> {
    Ok(set_dumpable(false)?)
}
