//! `sprited completions`: completion scripts for shells.

use clap_complete::Shell;
use clap_complete::env::Shells;

use super::completion::VARIABLE;
use super::exit::{Exit, answer};

const PROGRAM: &str = "sprited";

/// Print the completion script of a shell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It also completes event types, and the sinks and applications of the configuration that the
command would read, if the user can read it. The script asks the program: after an upgrade,
replace it with that of the new version.

Examples:
  sprited completions bash > /usr/share/bash-completion/completions/sprited
  sprited completions zsh > /usr/share/zsh/site-functions/_sprited
  sprited completions fish > /usr/share/fish/vendor_completions.d/sprited.fish"
)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    if let Some(shell) = Shells::builtins().completer(&args.shell.to_string()) {
        shell
            .write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)
            .expect("a vector takes all that is written");
    }
    if args.shell == Shell::Zsh {
        // The first time, the file itself is called as the function that it is named for.
        script.extend_from_slice(
            b"if [ \"$funcstack[1]\" = \"_sprited\" ]; then\n    \
              _clap_dynamic_completer_sprited \"$@\"\nfi\n",
        );
    }
    answer(&script, Exit::Success)
}
