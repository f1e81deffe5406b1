//! `sprited mirror`: what an operator asks of a mirror.

mod backfill;

use super::exit::Exit;
use super::open_journal;

/// Mirror the sprites of events that are older than the mirror.
#[derive(Debug, clap::Args)]
pub(super) struct MirrorArgs {
    #[command(subcommand)]
    command: MirrorCommand,
}

#[derive(Debug, clap::Subcommand)]
enum MirrorCommand {
    Backfill(backfill::BackfillArgs),
}

pub(super) fn run(args: &MirrorArgs) -> Exit {
    open_journal::end(match &args.command {
        MirrorCommand::Backfill(args) => backfill::run(args),
    })
}
