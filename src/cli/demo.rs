//! `sprited demo`: cloud and daemon in one process.

use super::{Exit, complain};

/// Show it at work: a local stand-in of the cloud makes events, a sink gets them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Needs no account, no configuration and no network. Everything it writes is in a
temporary folder that is gone when it ends.

Examples:
  sprited demo
  sprited demo --events 3                 end by itself after three events"
)]
pub struct Args {
    /// End after this many events and show the sums; otherwise it goes on until Ctrl-C.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    events: Option<u32>,
}

/// Does it.
#[must_use]
pub fn run(args: &Args) -> Exit {
    let _ = args.events;
    complain("`demo` is not in this build");
    Exit::Failure
}
