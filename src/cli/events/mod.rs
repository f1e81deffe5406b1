//! `sprited events`: shows and changes what the journal holds, beside the daemon.

pub(super) mod bulk;
mod dead_letters;
mod discard;
pub(super) mod format;
mod list;
mod redeliver;
pub(super) mod selection;
mod show;
pub(super) mod tail;
pub(super) mod target;

use super::exit::Exit;
use super::open_journal;

/// List, show, redeliver or discard events in the journal.
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
