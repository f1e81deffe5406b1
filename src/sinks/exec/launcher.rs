//! How a program comes to end with the daemon, however that ends.
//!
//! The kernel kills a process with its parent only if it asks for that itself. So this program
//! starts itself, asks, and becomes the program that is meant: the same process, under the same id.
//! It runs before anything else in `main`, is no command, and nobody is to call it by hand.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Write};
use std::iter::Peekable;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::execv;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Where the daemon finds its own program, also when another file has its name by now.
pub const SELF: &str = "/proc/self/exe";

/// The exit code for "not now", as in sysexits.h: of a program, and of a launcher that cannot
/// become it.
pub(super) const EX_TEMPFAIL: i32 = 75;

/// The first argument of a launcher, which is no command of the program.
const LAUNCHER_ARGUMENT: &str = "--launch-program-of-exec-sink";

/// Marks the launcher's own error in the output: the program cannot know it.
pub(super) struct Token(String);

/// Has `launcher`, this program, become the program `words`, which runs in `directory`. The command
/// may get an environment; the program takes it over.
pub(super) fn command(launcher: &Path, directory: &Path, words: &[String]) -> (Command, Token) {
    let token = format!("{:032x}", rand::random::<u128>());
    let mut command = Command::new(launcher);
    command
        .args([LAUNCHER_ARGUMENT, &std::process::id().to_string(), &token])
        .arg(directory)
        .args(words);
    (command, Token(token))
}

impl Token {
    /// Why the program was never run, if that is what this end and output mean.
    pub(super) fn failure(&self, status: ExitStatus, output: &[u8]) -> Option<io::Error> {
        let said = str::from_utf8(output).ok()?.strip_prefix(&self.0)?.trim();
        let errno = said.parse().ok().filter(|_| status.code() == Some(EX_TEMPFAIL))?;
        Some(io::Error::from_raw_os_error(errno))
    }
}

/// Becomes the program that these arguments of the process name, its own name first. Returns the
/// exit code of a launcher that cannot; `None`, having done nothing, if they are not a launcher's.
pub fn run(arguments: &[OsString]) -> Option<u8> {
    let mut words = arguments.iter().skip(1).map(OsString::as_os_str).peekable();
    words.next_if(|word| *word == LAUNCHER_ARGUMENT)?;
    let parent = words.next().and_then(OsStr::to_str).and_then(|word| word.parse().ok());
    let token = words.next().unwrap_or_default();
    let failed = become_program(parent, words);
    let errno = failed.raw_os_error().unwrap_or(Errno::EINVAL as i32);
    let mut stderr = io::stderr().lock();
    // Where nobody listens any more, nobody waits for it either.
    drop(writeln!(stderr, "{} {errno}", token.to_string_lossy()));
    u8::try_from(EX_TEMPFAIL).ok()
}

/// Returns only if it fails.
fn become_program<'a>(
    parent: Option<u32>,
    mut words: Peekable<impl Iterator<Item = &'a OsStr>>,
) -> io::Error {
    let missing = || io::Error::from(io::ErrorKind::InvalidInput);
    let (Some(parent), Some(directory)) = (parent, words.next()) else { return missing() };
    let Some(program) = words.next() else { return missing() };
    let prepared = set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from);
    if let Err(error) = prepared.and_then(|()| std::env::set_current_dir(directory)) {
        return error;
    }
    // A parent that ended before that was asked kills nobody: another has taken its place.
    if parent_id() != parent {
        return Errno::ESRCH.into();
    }
    match execute(program, words) {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

/// Not by the standard library, which has a shell run a file that is no program: one that was cut
/// off to nothing, say, would then end well.
fn execute<'a>(
    program: &'a OsStr,
    arguments: impl Iterator<Item = &'a OsStr>,
) -> io::Result<Infallible> {
    let words = std::iter::once(program).chain(arguments);
    let words = words.map(|word| CString::new(word.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    // Rust has every program ignore it, and what is ignored stays so. What has a handler does not.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    let _handled = signal(SignalKind::pipe())?;
    Ok(execv(&words[0], &words)?)
}
