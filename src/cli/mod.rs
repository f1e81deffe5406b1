//! The command line: what can be asked of the program, and how its answers end.
//!
//! Owns the commands' arguments, help and exit codes; one file per command. Answers go to stdout,
//! everything else to stderr. Whoever closes stdout early has seen enough: that is no failure.

mod audit;
mod check;
mod completion;
mod completions;
mod config;
mod control;
#[cfg(feature = "emulator")]
mod demo;
#[cfg(feature = "emulator")]
mod emulator;
mod events;
mod exit;
mod init;
mod journal;
mod man;
mod mirror;
mod moment;
mod open_journal;
mod pausing;
mod process;
mod prompt;
mod pulling;
mod receive;
mod reconcile;
mod reload;
mod run;
mod screen;
mod sinks;
mod sprite;
mod status;
mod unit;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use self::exit::Exit;
use self::exit::{complain, ended};
use crate::identity;
use crate::sinks::exec::launcher;

/// The demo among the examples, where it is built in.
const DEMO: &str = if cfg!(feature = "emulator") {
    "\n  sprited demo                            run a demonstration, without a cloud account"
} else {
    ""
};

/// Delivers Tencent Cloud VOD events from the reliable-callback queue to the configured sinks, and
/// confirms them.
#[derive(Debug, Parser)]
#[command(
    name = "sprited",
    version = env!("SPRITED_VERSION"),
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = format!("Examples:{DEMO}
  sprited check                           check configuration, credentials, queue and sinks
  sprited run                             pull, deliver and confirm until told to stop
  sprited status                          show the status of the daemon

Exit codes: 0 done, 1 failed, 64 usage, 74 journal, 77 rejected credentials, 78 configuration.")
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Status(status::StatusArgs),
    Reload(reload::ReloadArgs),
    #[cfg(feature = "emulator")]
    Demo(demo::DemoArgs),
    #[cfg(feature = "emulator")]
    Emulator(Box<vod_emulator::EmulatorArgs>),
    Pause(pulling::PauseArgs),
    Resume(pulling::ResumeArgs),
    Receive(receive::ReceiveArgs),
    Events(events::EventsArgs),
    Tail(events::tail::TailArgs),
    Sinks(sinks::SinksArgs),
    Sprite(sprite::SpriteArgs),
    Mirror(mirror::MirrorArgs),
    Reconcile(reconcile::ReconcileArgs),
    Audit(audit::AuditArgs),
    Journal(journal::JournalArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs the command that the arguments name, the program's name first. Returns its exit status.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(code) = launcher::run(&arguments) {
        return code.into();
    }
    exit::install_panic_hook();
    if let Err(error) = identity::hide_memory() {
        complain(format_args!(
            "cannot hide the memory from other programs of this user, which could read secrets: \
             {error}"
        ));
    }
    if let Some(exit) = completion::run(&arguments, Cli::command) {
        return exit.into();
    }
    match init::run(&arguments) {
        Some(code) => code.into(),
        None => dispatch(arguments).into(),
    }
}

fn dispatch(arguments: Vec<OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is a mistake.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            return match error.print() {
                Ok(()) => exit,
                Err(error) => ended(&error, exit),
            };
        }
    };
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Reload(args) => reload::run(&args),
        #[cfg(feature = "emulator")]
        Command::Demo(args) => demo::run(&args),
        #[cfg(feature = "emulator")]
        Command::Emulator(args) => emulator::run(*args),
        Command::Pause(args) => pulling::pause(&args),
        Command::Resume(args) => pulling::resume(&args),
        Command::Receive(args) => receive::run(&args),
        Command::Events(args) => events::run(&args),
        Command::Tail(args) => events::tail::run(&args),
        Command::Sinks(args) => sinks::run(&args),
        Command::Sprite(args) => sprite::run(&args),
        Command::Mirror(args) => mirror::run(&args),
        Command::Reconcile(args) => reconcile::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Journal(args) => journal::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_explains_itself() {
        fn walk(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {} has no help", command.get_name(), arg);
            }
            command.get_subcommands().for_each(walk);
        }
        let mut command = Cli::command();
        command.build();
        walk(&command);
    }
}
