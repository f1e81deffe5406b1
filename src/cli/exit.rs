//! How commands end: their exit status, the answer on stdout, the complaint on stderr.

use std::io::{self, Write};
use std::process::ExitCode;

/// How a command ended, as sysexits(3) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Success,
    /// Something was not done; the message names it.
    Failure,
    /// The command line cannot be understood.
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
    #[must_use]
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

/// Reports on stderr why a command cannot go on.
pub(super) fn complain(message: impl std::fmt::Display) {
    // Without a stderr the exit code is all there is.
    drop(writeln!(io::stderr().lock(), "sprited: {message}"));
}

pub(super) fn ended(error: &io::Error, exit: Exit) -> Exit {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return exit;
    }
    complain(format_args!("cannot write the answer: {error}"));
    Exit::Failure
}
