//! What the commands of the journal's file share.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::exit::{Exit, answer, json_line};
use crate::cli::open_journal::{CliError, ConfigArg};
use crate::identity::Owner;

#[derive(Debug, clap::Args)]
pub(super) struct JournalCommon {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer<'a, T> {
    journal: &'a Path,
    #[serde(flatten)]
    done: T,
}

impl JournalCommon {
    pub(super) fn journal(&self) -> Result<PathBuf, CliError> {
        Ok(self.config.to_read_as_owner()?.journal)
    }

    pub(super) fn answer<T: Serialize>(
        &self,
        journal: &Path,
        done: T,
        words: impl FnOnce(&T) -> String,
        exit: Exit,
    ) -> Result<Exit, CliError> {
        let text =
            if self.json { json_line(&Answer { journal, done })? } else { words(&done) + "\n" };
        Ok(answer(text.as_bytes(), exit))
    }
}

/// Works as this user, or as the one that it is.
pub(super) fn during<T>(whose: Option<&Owner>, work: impl FnOnce() -> T) -> Result<T, CliError> {
    Ok(match whose {
        Some(owner) => owner.during(work)?,
        None => work(),
    })
}
