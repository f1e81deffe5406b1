//! How commands read the configuration and open the journal beside the daemon, and how they end
//! where they cannot go on.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use super::exit::{Exit, complain, ended};
use crate::config::{Config, ConfigErrors, DEFAULT_PATH, Located, PartialConfig};
use crate::identity::{self, IdentityError};
use crate::journal::{self, OpenError};
use crate::units::counted;

/// Mistakes told by a command that goes on all the same, at most.
const MAX_MISTAKES_TOLD: usize = 5;

#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Configuration(#[from] ConfigErrors),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the journal cannot be read: {}", .0.reason())]
    Read(#[from] journal::JournalError),
    #[error(transparent)]
    Output(#[from] io::Error),
    /// Root may not become the owner of a place.
    #[error(transparent)]
    Refused(#[from] IdentityError),
    #[error("{1}")]
    Because(Exit, String),
}

impl CliError {
    pub(super) fn because(exit: Exit, why: impl Display) -> Self {
        Self::Because(exit, why.to_string())
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_) => Exit::Configuration,
            Self::Open(_) | Self::Refused(_) | Self::Read(_) => Exit::Journal,
            Self::Output(_) => Exit::Failure,
            Self::Because(exit, _) => *exit,
        }
    }
}

/// Returns how the command ends; reports the error if it could not go on.
pub(super) fn end(done: Result<Exit, CliError>) -> Exit {
    let error = match done {
        Ok(exit) => return exit,
        Err(CliError::Output(error)) => return ended(&error, Exit::Success),
        Err(CliError::Open(error)) => {
            let error = was_there(&error).unwrap_or(error);
            return Exit::Journal.because(format_args!("{error}{}", what_to_do(&error)));
        }
        Err(error) => error,
    };
    error.exit().because(&error)
}

/// Which configuration a command works with.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ConfigArg {
    /// Configuration file.
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        env = "SPRITED_CONFIG",
        default_value = DEFAULT_PATH
    )]
    pub(super) path: PathBuf,
}

impl ConfigArg {
    /// The configuration of a command that does not touch the journal.
    pub(super) fn load(&self) -> Result<Config, CliError> {
        Ok(Config::load(&self.path)?.config)
    }

    /// The configuration of a command that opens the journal, as whose owner root goes on. To be
    /// called once: that one need not be able to read it.
    pub(super) fn load_as_owner(&self) -> Result<Config, CliError> {
        let config = self.load()?;
        identity::become_owner(&config.journal.path)?;
        Ok(config)
    }
}

/// What a command needs that reads a journal.
pub(super) struct ToRead {
    pub(super) journal: PathBuf,
    /// Whether its events may be of several applications.
    pub(super) has_several_apps: bool,
}

impl ConfigArg {
    /// What a command needs that reads the journal, whatever else is wrong with the file.
    pub(super) fn to_read(&self) -> Result<ToRead, CliError> {
        let config = PartialConfig::load(&self.path)?;
        let journal = config.journal_path()?;
        warn_of_mistakes(&self.path, &config);
        // Where that cannot be read, a column too many does no harm.
        let has_several_apps = config.apps().map_or(true, |apps| apps.len() > 1);
        Ok(ToRead { journal, has_several_apps })
    }

    /// The same, and root goes on as the journal's owner. To be called once.
    pub(super) fn to_read_as_owner(&self) -> Result<ToRead, CliError> {
        let to_read = self.to_read()?;
        identity::become_owner(&to_read.journal)?;
        Ok(to_read)
    }
}

/// Tells the mistakes in a file of which the command has all that it needs.
pub(super) fn warn_of_mistakes(file: &Path, config: &PartialConfig) {
    let mistakes = config.mistakes();
    if mistakes.is_empty() {
        return;
    }
    let count = counted(mistakes.len() as u64, "mistake");
    let mut text =
        format!("warning: {} has {count} in what this command does not use", file.display());
    for mistake in mistakes.iter().take(MAX_MISTAKES_TOLD) {
        text.push_str(&format!("\n  {}", Located(file, mistake)));
    }
    if let more @ 1.. = mistakes.len().saturating_sub(MAX_MISTAKES_TOLD) {
        text.push_str(&format!("\n  and {more} more; `sprited check --offline` lists all"));
    }
    complain(text);
}

/// The error of a journal that is missing and was there before.
fn was_there(error: &OpenError) -> Option<OpenError> {
    let OpenError::File { path, source } = error else { return None };
    let is_absent = source.kind() == io::ErrorKind::NotFound;
    is_absent.then(|| journal::missing(path)).flatten()
}

/// Advice that the error does not give, since it means something else to a daemon.
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

/// Advice for root, where something may have been refused to the user that it has become.
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
