//! `sprited run`: the daemon.

use super::{ConfigArg, Exit, complain};

/// Pull events, deliver them and confirm them until told to stop.
#[derive(Debug, clap::Args)]
#[command(after_help = "Signals:
  TERM, INT   stop: what is in hand is finished, at most 25 s; a second one ends at once
  HUP         read the configuration again and open the sinks' files anew

Examples:
  sprited run --config ./sprited.toml
  sprited run --once                      from cron: drain the queue and exit")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Stop once the queue is empty and nothing is pending; 1 if something stays.
    #[arg(long)]
    once: bool,
}

/// Does it.
#[must_use]
pub fn run(args: &Args) -> Exit {
    let (_, _) = (&args.config, args.once);
    complain("`run` is not in this build");
    Exit::Failure
}
