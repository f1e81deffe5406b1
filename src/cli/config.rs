//! `sprited config`: the format of the configuration, and the one in force.

use super::control::{AskedDaemon, PROMPT};
use super::exit::{Exit, answer, complain, json_line};
use super::open_journal::{self, CliError, ConfigArg};
use crate::config::{self, Config, ConfigInForce};
use crate::control::Request;

/// Describe the format of the configuration, or show the one in force.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(Show),
    Schema(Schema),
}

/// Show the configuration in force: every key with its value and where the value comes from.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The answer is TOML. A comment behind each value names the line of the file that sets it, or says
that it is the default; a key that is not set is a comment. Secrets are masked, references to
secrets are not. Of a webhook's URL, user, path and query are masked, because they may hold secrets.
What stands in `command` of an exec sink is shown as it is: keep secrets out of it.
Exit code: 0, 78 if the file has mistakes, and with --running 1 if no daemon answers.

With --json, the answer has file and tables, and with --running has_changed. Each table has table (its
name), unset and keys; each key has key (its name), value, line and unset. A value without a line is the default; a value of null is
not set, and unset says what applies instead.

Examples:
  sprited config show
  sprited config show --running --json | jq '.tables[] | select(.table == \"poll\")'"
)]
struct Show {
    #[command(flatten)]
    config: ConfigArg,
    /// Show what the running daemon has in force instead of what the file says.
    #[arg(long)]
    running: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
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
    match &args.command {
        Command::Show(args) if args.running => open_journal::end(show_running(args)),
        Command::Show(args) => open_journal::end(show(args)),
        Command::Schema(Schema {}) => {
            answer(format!("{:#}\n", config::schema()).as_bytes(), Exit::Success)
        }
    }
}

fn show(args: &Show) -> Result<Exit, CliError> {
    let shown = Config::load(&args.config.path)?.shown;
    let text = if args.json { json_line(&shown)? } else { shown.to_string() };
    Ok(answer(text.as_bytes(), Exit::Success))
}

fn show_running(args: &Show) -> Result<Exit, CliError> {
    let daemon = AskedDaemon::of(&args.config)?;
    let in_force: ConfigInForce = daemon.ask_now(&Request::Config, PROMPT)?;
    let text = if args.json { json_line(&in_force)? } else { in_force.config.to_string() };
    let ended = answer(text.as_bytes(), Exit::Success);
    match in_force.has_changed {
        Some(false) => {}
        Some(true) => complain(format_args!(
            "{} has changed since; sprited reload applies it",
            in_force.config.file.display()
        )),
        None => complain(format_args!(
            "the daemon cannot read {} any more",
            in_force.config.file.display()
        )),
    }
    Ok(ended)
}
