//! `sprited completions`: completion scripts for shells.

use clap::Command;
use clap_complete::Shell;

use super::exit::{Exit, answer};

/// Print the completion script of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sprited completions bash > /usr/share/bash-completion/completions/sprited
  sprited completions zsh > /usr/share/zsh/site-functions/_sprited
  sprited completions fish > /usr/share/fish/vendor_completions.d/sprited.fish")]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, mut command: Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "sprited", &mut script);
    answer(&script, Exit::Success)
}
