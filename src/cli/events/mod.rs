//! `sprited events`: what the journal holds.

use super::{ConfigArg, Exit, complain};

/// Look at the events in the journal.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(List),
    Show(Show),
}

/// List events, the newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sprited events list --state dead
  sprited events list --sink sprites --limit 5 --json")]
struct List {
    #[command(flatten)]
    config: ConfigArg,
    /// Only those in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only those of this sink.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Only those of this EventType.
    #[arg(long = "type", value_name = "EVENTTYPE")]
    event_type: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Answer in JSON, one line for each event.
    #[arg(long)]
    json: bool,
}

/// Show one event as it was received, and what became of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  sprited events show 3f9a2c")]
struct Show {
    #[command(flatten)]
    config: ConfigArg,
    /// Its key, or the beginning of it.
    key: String,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum State {
    /// Some sink has yet to take it.
    Pending,
    /// Every sink that wanted it has it.
    Delivered,
    /// Some sink refused it for good.
    Dead,
    /// No sink wanted it.
    Unrouted,
}

/// Does it.
#[must_use]
pub fn run(args: &Args) -> Exit {
    match &args.command {
        Command::List(List { config, state, sink, event_type, limit, json }) => {
            let _ = (config, state, sink, event_type, limit, json);
        }
        Command::Show(Show { config, key, json }) => {
            let _ = (config, key, json);
        }
    }
    complain("`events` is not in this build");
    Exit::Failure
}
