//! How commands ask the running daemon.

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

    /// How a command ends that could not ask.
    pub(super) fn error(&self, error: AskError) -> CliError {
        match &error {
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
