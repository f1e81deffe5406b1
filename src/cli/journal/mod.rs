//! `sprited journal`: maintenance of the journal's file.

mod common;
mod restore;

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use self::common::{JournalCommon, during};
use super::exit::Exit;
use super::open_journal::{self, CliError};
use super::screen::spinner;
use crate::identity::Owner;
use crate::journal::{MaintenanceError, SourceJournal, Violation, check, compact};
use crate::sanitize::one_line;

/// Check, back up, restore or compact the journal.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 74 if the journal is damaged or cannot be used. As root it works as the owner of the
journal's folder; a backup belongs to the owner of its own folder.

With --json, the answer has journal and, for check, ok, damage (SQLite's report on the pages) and
violations, of each what, count, first; for backup, copy and size_bytes; for restore, copy, events,
newest (when the newest of them was pulled), pending, sinks (of each that has any, pending and
dead), paused (by hand; sink is null for pulling) and aside (the files moved aside); for compact,
before_bytes and after_bytes.

Examples:
  sprited journal check
  sprited journal check --json
  sprited journal backup /backup/journal.db
  sprited journal restore /backup/journal.db
  sprited journal compact                 while the daemon is stopped"
)]
pub(super) struct JournalArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read and verify every page; the daemon may be running.
    Check(JournalCommon),
    /// Copy the journal, as it is at one moment, to a new file; the daemon may be running.
    Backup {
        #[command(flatten)]
        common: JournalCommon,
        /// Destination file; must not exist.
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Restore a backup, or a copy that a daemon rescued; the daemon must be stopped. Existing
    /// files are moved aside.
    Restore {
        #[command(flatten)]
        common: JournalCommon,
        /// The copy; it is not changed.
        #[arg(value_name = "FILE")]
        from: PathBuf,
        /// Do not ask before an existing journal is moved aside.
        #[arg(long, short)]
        yes: bool,
    },
    /// Return unused space to the file system; the daemon must be stopped.
    Compact(JournalCommon),
}

pub(super) fn run(args: &JournalArgs) -> Exit {
    open_journal::end(match &args.command {
        Command::Check(common) => run_check(common),
        Command::Backup { common, to } => run_backup(common, to),
        Command::Restore { common, from, yes } => restore::run(common, from, *yes),
        Command::Compact(common) => run_compact(common),
    })
}

#[derive(Serialize)]
struct Checked {
    ok: bool,
    damage: Vec<String>,
    violations: Vec<Violation>,
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

impl From<MaintenanceError> for CliError {
    fn from(error: MaintenanceError) -> Self {
        match error {
            MaintenanceError::Open(error) => error.into(),
            MaintenanceError::Read(error) => error.into(),
            MaintenanceError::Copy { .. } | MaintenanceError::Restore { .. } => {
                Self::because(Exit::Failure, error)
            }
            MaintenanceError::InUse { .. }
            | MaintenanceError::Sqlite { .. }
            | MaintenanceError::Unfit { .. } => Self::because(Exit::Journal, error),
        }
    }
}

fn run_check(common: &JournalCommon) -> Result<Exit, CliError> {
    let path = common.journal()?;
    let spinner = spinner("reading every page");
    let (damage, violations) = check(&path)?;
    spinner.finish_and_clear();
    let ok = damage.is_empty() && violations.is_empty();
    let exit = if ok { Exit::Success } else { Exit::Journal };
    common.answer(&path, Checked { ok, damage, violations }, |found| check_text(&path, found), exit)
}

fn check_text(path: &Path, Checked { ok, damage, violations }: &Checked) -> String {
    let path = path.display();
    if *ok {
        return format!("{path}: whole");
    }
    let mut lines: Vec<String> = damage.iter().map(|line| one_line(line)).collect();
    lines.extend(violations.iter().map(|kind| format!("{}: {}", kind.what, kind.first.join(", "))));
    let lines = lines.join("\n  ");
    format!(
        "{path}: damaged; restore a backup with `sprited journal restore FILE`, or keep a copy \
         and report it\n  {lines}"
    )
}

fn run_backup(common: &JournalCommon, to: &Path) -> Result<Exit, CliError> {
    let path = common.config.to_read()?.journal;
    let style = ProgressStyle::with_template("{wide_bar} {percent} % {eta}")
        .expect("the template is well-formed");
    let bar = ProgressBar::new(0).with_style(style);
    // The copy may be meant for a folder that only root can write, or for somebody else's.
    let (whose, to_whom) = (Owner::of(&path)?, Owner::of(to)?);
    let original = during(whose.as_ref(), || SourceJournal::open(&path))??;
    let copied = during(to_whom.as_ref(), || {
        original.copy(to, |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        })
    })?;
    during(whose.as_ref(), || drop(original))?;
    let size = copied?;
    bar.finish_and_clear();
    let words = |_: &_| format!("{}: {size}, whole", to.display());
    let copied = Copied { copy: to, size_bytes: size.as_u64() };
    common.answer(&path, copied, words, Exit::Success)
}

fn run_compact(common: &JournalCommon) -> Result<Exit, CliError> {
    let path = common.journal()?;
    let spinner = spinner("rewriting it");
    let (before, after) = compact(&path)?;
    spinner.finish_and_clear();
    let words = |_: &_| format!("{}: {before} before, {after} now", path.display());
    let done = Compacted { before_bytes: before.as_u64(), after_bytes: after.as_u64() };
    common.answer(&path, done, words, Exit::Success)
}
