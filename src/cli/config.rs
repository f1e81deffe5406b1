//! `sprited config`: what there is to know of the configuration as such.

use super::exit::{Exit, answer, complain};
use crate::config;

/// What a configuration may hold.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Schema(Schema),
}

/// Write the configuration's JSON Schema to stdout, for editors.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It has every key, its type and its default, and refuses unknown keys. What has to hold between
keys is for `sprited check --offline` to say.

Example:
  sprited config schema > sprited.schema.json

An editor with TOML support takes it from the first line of a configuration:
  #:schema ./sprited.schema.json"
)]
struct Schema {}

pub(super) fn run(args: &ConfigArgs) -> Exit {
    let Command::Schema(Schema {}) = args.command;
    match serde_json::to_vec_pretty(&config::schema()) {
        Ok(mut text) => {
            text.push(b'\n');
            answer(&text, Exit::Success)
        }
        Err(error) => {
            complain(error);
            Exit::Failure
        }
    }
}
