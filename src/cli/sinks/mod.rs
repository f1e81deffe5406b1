//! `sprited sinks`: how the sinks of the running daemon are, and what an operator asks of one.

mod list;
mod moments;
mod pause;
mod retry;
mod test;

use super::exit::Exit;
use super::open_journal;

/// List, test, retry, pause and resume the sinks of the running daemon.
#[derive(Debug, clap::Args)]
pub(super) struct SinksArgs {
    #[command(subcommand)]
    command: SinksCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SinksCommand {
    List(list::SinkListArgs),
    Test(test::SinkTestArgs),
    Retry(retry::SinkRetryArgs),
    Pause(pause::SinkPauseArgs),
    Resume(pause::SinkResumeArgs),
}

pub(super) fn run(args: &SinksArgs) -> Exit {
    open_journal::end(match &args.command {
        SinksCommand::List(args) => list::run(args),
        SinksCommand::Test(args) => test::run(args),
        SinksCommand::Retry(args) => retry::run(args),
        SinksCommand::Pause(args) => pause::pause(args),
        SinksCommand::Resume(args) => pause::resume(args),
    })
}
