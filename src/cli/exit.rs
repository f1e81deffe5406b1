//! How commands end: their exit status, the answer on stdout, the complaint on stderr, be it of a
//! panic.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

use serde::Serialize;

/// How a command ended, as sysexits(3) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Success,
    /// Something was not done; the message names it.
    Failure,
    /// The command line cannot be understood, or asks for a change that nobody confirmed.
    Usage,
    /// The journal cannot be read or written.
    Journal,
    /// The cloud refuses the credentials.
    Credentials,
    /// The configuration cannot be used.
    Configuration,
}

impl Exit {
    /// The process's exit status.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 64,
            Self::Journal => 74,
            Self::Credentials => 77,
            Self::Configuration => 78,
        }
    }

    /// Reports on stderr why the command ends so.
    pub(super) fn because(self, message: impl Display) -> Self {
        complain(message);
        self
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Writes an answer to stdout; `exit` unless that fails.
pub(super) fn answer(bytes: &[u8], exit: Exit) -> Exit {
    match print(bytes) {
        Ok(()) => exit,
        Err(error) => ended(&error, exit),
    }
}

pub(super) fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// An answer for programs, on one line.
pub(super) fn json_line(answer: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(answer)? + "\n")
}

/// Reports on stderr why a command cannot go on.
pub(super) fn complain(message: impl Display) {
    // Without a stderr the exit code is all there is.
    drop(writeln!(io::stderr().lock(), "sprited: {message}"));
}

pub(super) fn ended(error: &io::Error, exit: Exit) -> Exit {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return exit;
    }
    Exit::Failure.because(format_args!("cannot write the answer: {error}"))
}

/// Has every panic, which is a bug, report its place and its message if that stands in the code. A
/// message that was formatted at run time may hold anything, a secret or an event, and is left out.
pub(super) fn install_panic_hook() {
    panic::set_hook(Box::new(|panic| complain(panic_text(panic, &Backtrace::capture()))));
}

fn panic_text(panic: &PanicHookInfo<'_>, backtrace: &Backtrace) -> String {
    let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
    let words = panic.payload().downcast_ref::<&'static str>();
    let words = words.map_or_else(String::new, |words| format!(": {words}"));
    let mut text = format!("panicked{place}{words}: this is a bug in sprited, please report it");
    // Names of functions and lines, no values. By RUST_BACKTRACE, as anywhere.
    if backtrace.status() == BacktraceStatus::Captured {
        text.push_str(&format!("\n{backtrace}"));
    }
    text
}
