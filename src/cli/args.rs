//! The arguments that several commands have.

use std::path::PathBuf;

use clap::Args;

use crate::config::DEFAULT_PATH;

/// Which configuration a command works with.
#[derive(Clone, Debug, Args)]
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
