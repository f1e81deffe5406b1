//! How commands ask the running daemon.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::exit::Exit;
use super::open_journal::{CliError, ConfigArg};
use super::process;
use crate::control::{self, AskError, RefusalKind, Request};
use crate::journal;

/// How long a daemon may take over what it does at once.
pub(super) const PROMPT: Duration = Duration::from_secs(10);

/// The daemon of a configuration, whether or not it runs.
#[derive(Debug)]
pub(super) struct AskedDaemon {
    /// Its journal, by which it is found.
    pub(super) journal: PathBuf,
}

impl AskedDaemon {
    /// Finds the journal in the configuration, whatever else is wrong with that; root goes on as the
    /// journal's owner. To be called once.
    pub(super) fn of(config: &ConfigArg) -> Result<Self, CliError> {
        Ok(Self { journal: config.to_read_as_owner()?.journal })
    }

    /// Asks it, and waits for its answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        request: &Request,
        wait: Duration,
    ) -> Result<T, AskError> {
        control::ask(&journal::control_socket(&self.journal), request, wait).await
    }

    /// The same for a command that does nothing else.
    pub(super) fn ask_now<T: DeserializeOwned>(
        &self,
        request: &Request,
        wait: Duration,
    ) -> Result<T, CliError> {
        self.try_ask(request, wait)?.map_err(|error| self.error(error))
    }

    /// The same for one that knows what to do without a daemon.
    pub(super) fn try_ask<T: DeserializeOwned>(
        &self,
        request: &Request,
        wait: Duration,
    ) -> Result<Result<T, AskError>, CliError> {
        process::block_on(self.ask(request, wait))
            .map_err(|error| CliError::because(Exit::Failure, error))
    }

    /// Whether a daemon has the journal, wherever its socket is.
    pub(super) fn is_there(&self) -> bool {
        journal::is_in_use(&self.journal)
    }

    /// How a command ends where a daemon is there that cannot be asked.
    pub(super) fn unanswering(&self) -> CliError {
        let socket = journal::control_socket(&self.journal);
        CliError::because(
            Exit::Failure,
            format_args!(
                "a daemon has the journal {} but does not answer at {}: it is starting or stopping, \
                 or of an earlier version; nothing was changed: try again, or restart it",
                self.journal.display(),
                socket.display()
            ),
        )
    }

    /// How a command ends that could not ask.
    pub(super) fn error(&self, error: AskError) -> CliError {
        match &error {
            AskError::NoDaemon(_) if self.is_there() => self.unanswering(),
            AskError::Failed { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                let advice = "run the command as root or as the service's user";
                CliError::because(Exit::Failure, format_args!("{error}; {advice}"))
            }
            AskError::NoDaemon(_) => {
                let why = match journal::missing(&self.journal) {
                    Some(missing) => format!("; {missing}"),
                    None => "; is it running? (systemctl status sprited)".to_owned(),
                };
                CliError::because(Exit::Failure, format_args!("{error}{why}"))
            }
            AskError::Refused(refusal) if refusal.kind == RefusalKind::UnknownSink => {
                CliError::because(Exit::Usage, error)
            }
            _ => CliError::because(Exit::Failure, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn whoever_may_not_ask_is_told_who_may() {
        let daemon = AskedDaemon { journal: "/state/j.db".into() };
        let source = io::Error::from_raw_os_error(nix::errno::Errno::EACCES as i32);
        let socket = PathBuf::from("/state/j.db.sock");
        assert_eq!(
            daemon.error(AskError::Failed { socket, source }).to_string(),
            "cannot ask the daemon at /state/j.db.sock: Permission denied (os error 13); run the \
             command as root or as the service's user"
        );
    }
}
