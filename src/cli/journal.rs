//! `sprited journal`: the journal's file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::beside::{self, Stop};
use super::text::plain;
use super::{ConfigArg, Exit, answer};
use crate::journal::{CareError, Fault, backup, check, compact};

/// Check, copy or compact the journal's file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exits with 74 if the journal is damaged or cannot be used.

With --json the answer has journal and, by check, ok, damage (what SQLite says of the pages) and
faults, of each what, count, first; by backup, copy and size_bytes; by compact, before_bytes and
after_bytes.

Examples:
  sprited journal check
  sprited journal check --json
  sprited journal backup /backup/journal.db
  sprited journal compact                 while the daemon is stopped")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read every page and look whether all is whole; beside a running daemon.
    Check(Common),
    /// Copy it to a new file, as it stands at one moment; beside a running daemon.
    Backup {
        #[command(flatten)]
        common: Common,
        /// The copy: a name that is free.
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Give unused space back to the file system; the daemon must be stopped.
    Compact(Common),
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    config: ConfigArg,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// Does it.
#[must_use]
pub fn run(args: &Args) -> Exit {
    beside::end(match &args.command {
        Command::Check(common) => run_check(common),
        Command::Backup { common, to } => run_backup(common, to),
        Command::Compact(common) => run_compact(common),
    })
}

/// What was done, for programs.
#[derive(Serialize)]
struct Answer<'a, T> {
    journal: &'a Path,
    #[serde(flatten)]
    done: T,
}

#[derive(Serialize)]
struct Checked {
    ok: bool,
    damage: Vec<String>,
    faults: Vec<Fault>,
}

#[derive(Serialize)]
struct Copied<'a> {
    copy: &'a Path,
    size_bytes: u64,
}

#[derive(Serialize)]
struct Compacted {
    before_bytes: u64,
    after_bytes: u64,
}

impl Common {
    fn journal(&self) -> Result<PathBuf, Stop> {
        Ok(beside::configuration(&self.config)?.journal.path)
    }

    /// Answers with `done`, in words or in JSON.
    fn answer<T: Serialize>(
        &self,
        journal: &Path,
        done: T,
        words: impl FnOnce(&T) -> String,
        exit: Exit,
    ) -> Result<Exit, Stop> {
        let text = if self.json {
            serde_json::to_string(&Answer { journal, done }).map_err(std::io::Error::from)?
        } else {
            words(&done)
        };
        Ok(answer(format!("{text}\n").as_bytes(), exit))
    }
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

fn run_check(common: &Common) -> Result<Exit, Stop> {
    let path = common.journal()?;
    let spinner = spinner("reading every page");
    let (damage, faults) = check(&path)?;
    spinner.finish_and_clear();
    let ok = damage.is_empty() && faults.is_empty();
    let exit = if ok { Exit::Success } else { Exit::Journal };
    common.answer(&path, Checked { ok, damage, faults }, |found| told(&path, found), exit)
}

fn told(path: &Path, Checked { ok, damage, faults }: &Checked) -> String {
    let path = path.display();
    if *ok {
        return format!("{path}: whole");
    }
    let mut lines: Vec<String> = damage.iter().map(|line| plain(line)).collect();
    lines.extend(faults.iter().map(|fault| format!("{}: {}", fault.what, fault.first.join(", "))));
    let lines = lines.join("\n  ");
    format!("{path}: damaged; restore it from a backup, or keep a copy and report it\n  {lines}")
}

fn run_backup(common: &Common, to: &Path) -> Result<Exit, Stop> {
    let path = common.journal()?;
    let style = ProgressStyle::with_template("{wide_bar} {percent} % {eta}")
        .expect("the template is well-formed");
    let bar = ProgressBar::new(0).with_style(style);
    let size = backup(&path, to, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let words = |_: &_| format!("{}: {size}, whole", to.display());
    let copied = Copied { copy: to, size_bytes: size.as_u64() };
    common.answer(&path, copied, words, Exit::Success)
}

fn run_compact(common: &Common) -> Result<Exit, Stop> {
    let path = common.journal()?;
    let spinner = spinner("rewriting it");
    let (before, after) = compact(&path)?;
    spinner.finish_and_clear();
    let words = |_: &_| format!("{}: {before} before, {after} now", path.display());
    let done = Compacted { before_bytes: before.as_u64(), after_bytes: after.as_u64() };
    common.answer(&path, done, words, Exit::Success)
}

/// Shows on a terminal that it goes on.
fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
