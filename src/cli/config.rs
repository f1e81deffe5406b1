//! `sprited config`: the format of the configuration.

use super::exit::{Exit, answer};
use crate::config;

/// Describe the format of the configuration.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Schema(Schema),
}

/// Print the configuration's JSON Schema, for editors.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The schema has every key, its type, its range and its default, and rejects unknown keys. `sprited
check --offline` also checks what must hold between keys.

Example:
  sprited config schema > sprited.schema.json

An editor with TOML support finds it by the first line of a configuration:
  #:schema ./sprited.schema.json"
)]
struct Schema {}

pub(super) fn run(args: &ConfigArgs) -> Exit {
    let Command::Schema(Schema {}) = args.command;
    answer(format!("{:#}\n", config::schema()).as_bytes(), Exit::Success)
}
