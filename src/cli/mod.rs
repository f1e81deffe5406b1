//! The command line: what can be asked of the program, and how its answers end.
//!
//! Owns the commands' arguments, help and exit codes; one file per command. Answers go to
//! stdout, everything else to stderr. Whoever closes stdout early has seen enough: that is no
//! failure.

pub mod audit;
pub mod check;
pub mod completions;
pub mod config;
#[cfg(feature = "emulator")]
pub mod demo;
#[cfg(feature = "emulator")]
mod emulator;
pub mod events;
mod init;
pub mod journal;
pub mod man;
mod open_journal;
mod panics;
mod process;
pub mod run;
pub mod status;
mod text;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::DEFAULT_PATH;
use crate::identity;
use crate::sinks::exec::launcher;

/// The demo among the examples, where it is built in.
const DEMO: &str = if cfg!(feature = "emulator") {
    "\n  sprited demo                            see it work, without a cloud account"
} else {
    ""
};

/// Delivers Tencent Cloud VOD events from the reliable-callback queue to where they are wanted,
/// and confirms them.
#[derive(Debug, Parser)]
#[command(
    name = "sprited",
    version = env!("SPRITED_VERSION"),
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = format!("Examples:{DEMO}
  sprited check                           look at configuration, credentials, queue and sinks
  sprited run                             pull, deliver and confirm until told to stop
  sprited status                          what the daemon does now

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
    #[cfg(feature = "emulator")]
    Demo(demo::Args),
    #[cfg(feature = "emulator")]
    Emulator(vod_emulator::EmulatorArgs),
    Events(events::EventsArgs),
    Tail(events::tail::TailArgs),
    Audit(audit::AuditArgs),
    Journal(journal::JournalArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Which configuration a command works with.
#[derive(Clone, Debug, Args)]
pub struct ConfigArg {
    /// The configuration.
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        env = "SPRITED_CONFIG",
        default_value = DEFAULT_PATH
    )]
    pub path: PathBuf,
}

/// How a command ended, as sysexits(3) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Success,
    /// Something was not, and the message says what.
    Failure,
    /// The command line cannot be understood.
    Usage,
    /// The journal cannot be read or written.
    Journal,
    /// The cloud refuses the credentials.
    Credentials,
    /// The configuration cannot be used.
    Configuration,
}

impl Exit {
    /// The process's exit status.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 64,
            Self::Journal => 74,
            Self::Credentials => 77,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Does what the arguments of the process say, the program's name first. Returns its exit status.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(code) = launcher::run(&arguments) {
        return code.into();
    }
    panics::keep_quiet_about_state();
    if let Err(error) = identity::hide_memory() {
        complain(format_args!(
            "cannot keep the memory from other programs of the same user, who could find secrets \
             in it: {error}"
        ));
    }
    match init::run(&arguments) {
        Some(code) => code.into(),
        None => obey(arguments).into(),
    }
}

/// Understands the arguments and does what they say.
fn obey(arguments: Vec<OsString>) -> Exit {
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
        #[cfg(feature = "emulator")]
        Command::Demo(args) => demo::run(&args),
        #[cfg(feature = "emulator")]
        Command::Emulator(args) => emulator::run(args),
        Command::Events(args) => events::run(&args),
        Command::Tail(args) => events::tail::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Journal(args) => journal::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// Writes an answer to stdout; `exit` unless that fails.
fn answer(bytes: &[u8], exit: Exit) -> Exit {
    match print(bytes) {
        Ok(()) => exit,
        Err(error) => ended(&error, exit),
    }
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Says on stderr why a command cannot go on.
fn complain(message: impl std::fmt::Display) {
    // Without a stderr there is nobody to tell; the exit code still does.
    drop(writeln!(io::stderr().lock(), "sprited: {message}"));
}

fn ended(error: &io::Error, exit: Exit) -> Exit {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return exit;
    }
    complain(format_args!("cannot write the answer: {error}"));
    Exit::Failure
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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
