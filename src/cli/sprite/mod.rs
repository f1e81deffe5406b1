//! `sprited sprite`: what a sprite is, whether or not an event tells of it.

mod beside;
mod check;
mod found;
mod keep;
mod remote;
mod report;
mod text;

use super::exit::Exit;
use super::open_journal;

/// Look at a sprite: its index, its sheets, and which players read it.
#[derive(Debug, clap::Args)]
pub(super) struct SpriteArgs {
    #[command(subcommand)]
    command: SpriteCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SpriteCommand {
    Check(check::SpriteCheckArgs),
}

pub(super) fn run(args: &SpriteArgs) -> Exit {
    open_journal::end(match &args.command {
        SpriteCommand::Check(args) => check::run(args),
    })
}
