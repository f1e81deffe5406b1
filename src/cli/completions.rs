//! `sprited completions`: what a shell needs to complete the command line.

use clap::Command;
use clap_complete::Shell;

use super::exit::{Exit, answer};

/// Write the completions of a shell to stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sprited completions bash > /usr/share/bash-completion/completions/sprited
  sprited completions zsh > /usr/share/zsh/site-functions/_sprited
  sprited completions fish > /usr/share/fish/vendor_completions.d/sprited.fish")]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Writes the completions of `command`.
pub(super) fn run(args: &CompletionsArgs, mut command: Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "sprited", &mut script);
    answer(&script, Exit::Success)
}
