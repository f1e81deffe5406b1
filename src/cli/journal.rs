//! `sprited journal`: the journal's file.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::beside::{self, Stop};
use super::text::plain;
use super::{ConfigArg, Exit, answer};
use crate::journal::{CareError, backup, check, compact};

/// Check, copy or compact the journal's file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exits with 74 if the journal is damaged or cannot be used.

Examples:
  sprited journal check
  sprited journal backup /backup/journal.db
  sprited journal compact                 while the daemon is stopped")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read every page and look whether all is whole; beside a running daemon.
    Check {
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Copy it to a new file, as it stands at one moment; beside a running daemon.
    Backup {
        #[command(flatten)]
        config: ConfigArg,
        /// The copy: a name that is free.
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Give unused space back to the file system; the daemon must be stopped.
    Compact {
        #[command(flatten)]
        config: ConfigArg,
    },
}

/// Does it.
#[must_use]
pub fn run(args: &Args) -> Exit {
    beside::end(match &args.command {
        Command::Check { config } => run_check(config),
        Command::Backup { config, to } => run_backup(config, to),
        Command::Compact { config } => run_compact(config),
    })
}

impl From<CareError> for Stop {
    fn from(error: CareError) -> Self {
        match error {
            CareError::Open(error) => error.into(),
            CareError::Read(error) => error.into(),
            CareError::Copy { .. } => Self::because(Exit::Failure, error),
            CareError::InUse { .. } | CareError::Sqlite { .. } => {
                Self::because(Exit::Journal, error)
            }
        }
    }
}

fn run_check(config: &ConfigArg) -> Result<Exit, Stop> {
    let path = beside::configuration(config)?.journal.path;
    let spinner = spinner("reading every page");
    let (damage, faults) = check(&path)?;
    spinner.finish_and_clear();
    if damage.is_empty() && faults.is_empty() {
        return Ok(answer(format!("{}: whole\n", path.display()).as_bytes(), Exit::Success));
    }
    let mut lines: Vec<String> = damage.iter().map(|line| plain(line)).collect();
    lines.extend(faults.iter().map(|f| format!("{}: {}", f.what, f.first.join(", "))));
    let text = format!(
        "{}: damaged; restore it from a backup, or keep a copy and report it\n  {}\n",
        path.display(),
        lines.join("\n  ")
    );
    Ok(answer(text.as_bytes(), Exit::Journal))
}

fn run_backup(config: &ConfigArg, to: &std::path::Path) -> Result<Exit, Stop> {
    let path = beside::configuration(config)?.journal.path;
    let style = ProgressStyle::with_template("{wide_bar} {percent} % {eta}")
        .expect("the template is well-formed");
    let bar = ProgressBar::new(0).with_style(style);
    let size = backup(&path, to, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    Ok(answer(format!("{}: {size}, whole\n", to.display()).as_bytes(), Exit::Success))
}

fn run_compact(config: &ConfigArg) -> Result<Exit, Stop> {
    let path = beside::configuration(config)?.journal.path;
    let spinner = spinner("rewriting it");
    let (before, after) = compact(&path)?;
    spinner.finish_and_clear();
    let text = format!("{}: {before} before, {after} now\n", path.display());
    Ok(answer(text.as_bytes(), Exit::Success))
}

/// Shows on a terminal that it goes on.
fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
