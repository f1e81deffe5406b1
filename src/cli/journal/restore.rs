//! `sprited journal restore`: a copy takes the journal's place, and what follows from that.

use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::common::{JournalCommon, during};
use crate::cli::exit::Exit;
use crate::cli::open_journal::CliError;
use crate::cli::prompt::{confirm, is_somebody_there};
use crate::cli::screen::spinner;
use crate::format::{seconds, time};
use crate::identity::{self, Owner};
use crate::journal::{self, CopyContents, Replacement, Restored};
use crate::reconcile::MAX_REACH;
use crate::sanitize::one_line;
use crate::units::counted;

#[derive(Serialize)]
struct RestoredCopy<'a> {
    copy: &'a Path,
    #[serde(flatten)]
    restored: Restored,
}

pub(super) fn run(common: &JournalCommon, from: &Path, yes: bool) -> Result<Exit, CliError> {
    let path = common.config.to_read()?.journal;
    // A link that leads nowhere stays, and nothing makes way.
    let is_absent = path.metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    // Root may be the only one who can read it.
    let whose = Owner::of_file(from)?;
    let replacement = during(whose.as_ref(), || Replacement::open(&path, from))??;
    if !is_absent && !yes {
        ask(&path, from, &replacement)?;
    }
    identity::become_owner(&path)?;
    // Whether it is a copy that has all that there was.
    let is_rescued = journal::rescued(&path).iter().any(|copy| is_same(copy, from));
    let spinner = spinner("copying it and reading every page");
    let restored = replacement.restore(&path)?;
    spinner.finish_and_clear();
    let words = |done: &RestoredCopy<'_>| words(&path, done, is_rescued, Utc::now());
    common.answer(&path, RestoredCopy { copy: from, restored }, words, Exit::Success)
}

fn ask(path: &Path, from: &Path, replacement: &Replacement) -> Result<(), CliError> {
    if !is_somebody_there() {
        let why = format!("{} exists; --yes moves it aside, nothing is deleted", path.display());
        return Err(CliError::because(Exit::Usage, why));
    }
    // If it cannot be read, the restore says so.
    let has = replacement.contents().map_or_else(
        |_| String::new(),
        |contents| format!(", which has {},", events(&contents, Utc::now())),
    );
    confirm(format_args!(
        "Move {} aside and put {}{has} in its place?",
        path.display(),
        from.display()
    ))
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// `3 events, the newest of 2026-12-01 04:10:00 UTC, 26 h ago`
fn events(contents: &CopyContents, now: DateTime<Utc>) -> String {
    let newest = contents.newest.map_or_else(String::new, |newest| {
        let age = time(seconds(now - newest));
        format!(", the newest of {}, {age} ago", newest.format("%Y-%m-%d %H:%M:%S UTC"))
    });
    counted(contents.events, "event") + &newest
}

fn words(path: &Path, done: &RestoredCopy<'_>, is_rescued: bool, now: DateTime<Utc>) -> String {
    let RestoredCopy { copy, restored: Restored { contents, aside } } = done;
    let mut text = format!(
        "{}: restored from {} with {}",
        path.display(),
        copy.display(),
        events(contents, now)
    );
    let waiting = contents.sinks.iter().filter(|sink| sink.pending > 0);
    let waiting: Vec<_> =
        waiting.map(|sink| format!("{} at {}", sink.pending, one_line(&sink.sink))).collect();
    text += "\npending: ";
    text += &match waiting.as_slice() {
        [] => "nothing".to_owned(),
        waiting => format!(
            "{}; what a sink has taken since the copy was made, it gets again",
            waiting.join(", ")
        ),
    };
    if !contents.paused.is_empty() {
        let paused: Vec<_> = contents.paused.iter().map(ToString::to_string).collect();
        text += &format!("\npaused by hand, as the copy was: {}", one_line(&paused.join(", ")));
    }
    if !is_rescued {
        text += &missing(path);
    }
    for file in aside {
        text += &format!("\nmoved aside: {}", file.display());
    }
    text
}

/// What the copy does not have, and where else it may be.
fn missing(path: &Path) -> String {
    let mut text = format!(
        "\nnot in it: what was pulled after the copy was made; the cloud sends it again unless it was \
         confirmed. Once the queue is empty, `sprited reconcile --since {}h` shows what sprites are \
         missing",
        MAX_REACH.as_secs() / 3600
    );
    if let Some(rescued) = journal::rescued(path).pop() {
        text += &format!("; {}, which a daemon rescued, may have it", rescued.display());
    }
    text
}
