//! How commands open the journal beside the daemon, and how they end where they cannot go on.

use std::fmt::Display;
use std::io;

use super::args::ConfigArg;
use super::exit::{Exit, complain, ended};
use crate::config::{Config, ConfigErrors};
use crate::identity::{self, IdentityError};
use crate::journal::{self, JournalReader, OpenError};

/// Why a command cannot go on.
#[derive(Debug)]
pub(super) enum CliError {
    Configuration(ConfigErrors),
    Open(OpenError),
    Read(journal::JournalError),
    Output(io::Error),
    /// Root may not become the owner of a place.
    Refused(IdentityError),
    /// Anything else, in words.
    Because(Exit, String),
}

impl CliError {
    pub(super) fn because(exit: Exit, why: impl Display) -> Self {
        Self::Because(exit, why.to_string())
    }
}

impl From<journal::JournalError> for CliError {
    fn from(error: journal::JournalError) -> Self {
        Self::Read(error)
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<IdentityError> for CliError {
    fn from(refused: IdentityError) -> Self {
        Self::Refused(refused)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Says why, if it did not go on.
pub(super) fn end(done: Result<Exit, CliError>) -> Exit {
    match done {
        Ok(exit) => exit,
        Err(CliError::Configuration(faults)) => {
            complain(faults);
            Exit::Configuration
        }
        Err(CliError::Open(error)) => {
            let error = was_there(&error).unwrap_or(error);
            complain(format_args!("{error}{}", what_to_do(&error)));
            Exit::Journal
        }
        Err(CliError::Refused(refused)) => {
            complain(refused);
            Exit::Journal
        }
        Err(CliError::Read(error)) => {
            complain(format_args!("the journal cannot be read: {}", error.reason()));
            Exit::Journal
        }
        Err(CliError::Output(error)) => ended(&error, Exit::Success),
        Err(CliError::Because(exit, why)) => {
            complain(why);
            exit
        }
    }
}

/// The configuration of a command that does not touch the journal.
pub(super) fn settings(arg: &ConfigArg) -> Result<Config, CliError> {
    Ok(Config::load(&arg.path).map_err(CliError::Configuration)?.config)
}

/// The configuration of a command that opens the journal, as whose owner root goes on. To be called
/// once: that one need not be able to read it.
pub(super) fn configuration(arg: &ConfigArg) -> Result<Config, CliError> {
    let config = settings(arg)?;
    identity::become_owner(&config.journal.path)?;
    Ok(config)
}

pub(super) fn open(arg: &ConfigArg) -> Result<JournalReader, CliError> {
    Ok(JournalReader::open(&configuration(arg)?.journal.path)?)
}

/// What to say where the journal is not there and was.
fn was_there(error: &OpenError) -> Option<OpenError> {
    let OpenError::File { path, source } = error else { return None };
    let is_absent = source.kind() == io::ErrorKind::NotFound;
    is_absent.then(|| journal::missing(path)).flatten()
}

/// What the error does not say, since to a daemon it means something else.
fn what_to_do(error: &OpenError) -> String {
    if let OpenError::File { source, .. } = error
        && source.kind() == io::ErrorKind::NotFound
    {
        return "; the first `sprited run` creates it: start the daemon, or name its configuration \
                with --config"
            .to_owned();
    }
    as_whom(error).unwrap_or_else(|| match error {
        OpenError::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            "; run the command as root or as the service's user".to_owned()
        }
        _ => String::new(),
    })
}

/// What root should know where something may have been refused to the user that it has become.
pub(super) fn as_whom(error: &OpenError) -> Option<String> {
    let user = identity::became()?;
    let may_be_refused = match error {
        OpenError::File { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
        OpenError::Unusable { .. } => true,
        _ => false,
    };
    let place = user.place().display();
    may_be_refused.then(|| {
        format!(
            "; started as root, sprited works there as {user}, who owns {place}; files that this \
             user cannot use belong to another, perhaps root; check the folder and give sprited's \
             files to that user, files of sinks too: chown --reference={place} -h {place}/*"
        )
    })
}
