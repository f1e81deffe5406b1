//! Questions to whoever sits at the terminal.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Write};

use super::exit::Exit;
use super::open_journal::CliError;

/// Whether a question would be read and could be answered.
pub(super) fn is_somebody_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks whether to go on. Fails when the answer is not yes.
pub(super) fn confirm(question: impl Display) -> Result<(), CliError> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(CliError::because(Exit::Failure, "nothing was changed"))
}
