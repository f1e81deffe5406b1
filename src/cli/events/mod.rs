//! `sprited events`: what the journal holds, looked at and changed beside the daemon.

mod bulk;
mod discard;
mod format;
mod list;
mod pretty_json;
mod redeliver;
mod selection;
mod show;
pub(super) mod tail;
mod target;

use super::exit::Exit;
use super::open_journal;

/// Look at the events in the journal; deliver them again, or discard them.
#[derive(Debug, clap::Args)]
pub(super) struct EventsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Redeliver(redeliver::RedeliverArgs),
    Discard(discard::DiscardArgs),
}

pub(super) fn run(args: &EventsArgs) -> Exit {
    open_journal::end(match &args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Redeliver(args) => redeliver::run(args),
        Command::Discard(args) => discard::run(args),
    })
}
