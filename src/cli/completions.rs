//! `sprited completions`: what a shell needs to complete the command line.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Exit, answer};

/// Write the completions of a shell to stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sprited completions bash > /usr/share/bash-completion/completions/sprited
  sprited completions zsh > /usr/share/zsh/site-functions/_sprited
  sprited completions fish > /usr/share/fish/vendor_completions.d/sprited.fish")]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Does it.
#[must_use]
pub fn run(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sprited", &mut script);
    answer(&script, Exit::Success)
}
