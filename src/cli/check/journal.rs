//! Whether the journal can be used. Looks only: makes none, and takes no lock that would keep a
//! daemon out which starts at this moment.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::report::CheckStep;
use crate::cli::exit::Exit;
use crate::identity::{self, IdentityError};
use crate::journal::{self, Backlog, JournalReader, OpenError};
use crate::sanitize::one_line;
use crate::units::counted;

/// The longest that the disk may take; SQLite waits up to 5 s for another's transaction.
const DISK_TIMEOUT: Duration = Duration::from_secs(15);

const STEP: &str = "journal";

/// Takes the step for the journal at `path` of a daemon with these sinks; fails if root was
/// `refused` to be its owner.
pub(super) async fn check(
    path: &Path,
    sinks: &[&str],
    refused: Option<&IdentityError>,
) -> CheckStep {
    if let Some(refused) = refused {
        let text = refused.to_string();
        let (detail, advice) = text.split_once("; ").unwrap_or((&text, "run it as that user"));
        return CheckStep::fail(STEP, Exit::Journal, detail, advice);
    }
    let owned = path.to_owned();
    let sinks: Vec<String> = sinks.iter().map(ToString::to_string).collect();
    match timeout(DISK_TIMEOUT, spawn_blocking(move || check_blocking(&owned, &sinks))).await {
        Ok(Ok(step)) => step,
        Ok(Err(_)) => failed(path, "the check was interrupted", "try again"),
        Err(_) => failed(
            path,
            format_args!("no answer from its disk within {} s", DISK_TIMEOUT.as_secs()),
            "check the disk, or whether a network file system is unreachable",
        ),
    }
}

fn failed(path: &Path, what: impl std::fmt::Display, advice: &str) -> CheckStep {
    CheckStep::fail(STEP, Exit::Journal, format!("{}: {what}", path.display()), advice)
}

fn check_blocking(path: &Path, sinks: &[String]) -> CheckStep {
    if let Ok(Some(why)) = journal::too_long(path) {
        return failed(path, why, "set journal.path to a shorter one");
    }
    let lock = journal::lock_file(path);
    if lock.symlink_metadata().is_ok_and(|about| !about.is_file()) {
        let what = "is not a regular file, so no daemon can lock it";
        return failed(&lock, what, "move it away; links are not followed there");
    }
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => missing(path),
        Err(error) => failed(
            path,
            error,
            "set journal.path to another file, or make this one \
                                           accessible",
        ),
        Ok(about) if about.is_file() && about.len() == 0 => missing(path),
        Ok(_) => existing(path, sinks),
    }
}

/// Whether one could be made.
fn missing(path: &Path) -> CheckStep {
    if let Some(error) = journal::missing(path) {
        let text = error.to_string();
        let (detail, advice) = text.split_once("; ").unwrap_or((&text, "check the folder"));
        return CheckStep::fail(STEP, Exit::Journal, detail, advice);
    }
    let [database, ..] = journal::all_files(path);
    let folder = database.parent().unwrap_or(Path::new("/"));
    match access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => CheckStep::ok(
            STEP,
            format!("{} does not exist yet; the first start creates it", path.display()),
        ),
        Err(error) => {
            let error = io::Error::from(error);
            failed(
                path,
                format_args!("cannot be created in its folder: {error}"),
                "create the folder and let the service's user write there; systemd creates \
                 /var/lib/sprited when it starts the service",
            )
        }
    }
}

fn existing(path: &Path, sinks: &[String]) -> CheckStep {
    let [database, beside @ ..] = journal::all_files(path);
    // The folder, too: the write-ahead log stands there.
    let folder = database.parent().unwrap_or(Path::new("/"));
    let found = beside.iter().filter(|file| file.symlink_metadata().is_ok());
    for place in [&*database, folder].into_iter().chain(found.map(PathBuf::as_path)) {
        if let Err(error) = access(place, AccessFlags::R_OK | AccessFlags::W_OK) {
            let error = io::Error::from(error);
            let what = format_args!("cannot be written: {error}");
            if let Some(user) = identity::became() {
                let advice = format!(
                    "the daemon would work there as {user}, who owns the folder: chown \
                     --reference={} {}",
                    folder.display(),
                    place.display()
                );
                return failed(place, what, &advice);
            }
            let advice =
                "check as root or as the service's user; mount the file system for writing";
            return failed(place, what, advice);
        }
    }
    let found = match JournalReader::open(path) {
        Ok(reader) => {
            reader.sums().and_then(|sums| Ok((sums, reader.backlogs()?, reader.paused()?)))
        }
        Err(error) => {
            let text = error.to_string();
            let (detail, advice) = text.split_once("; ").unwrap_or((&text, "check the file"));
            if matches!(error, OpenError::Older { .. }) {
                return CheckStep::warn(STEP, detail, advice);
            }
            return CheckStep::fail(STEP, Exit::Journal, detail, advice);
        }
    };
    match found {
        Ok((sums, backlogs, paused)) => {
            let pending = if sums.pending == 1 { "delivery" } else { "deliveries" };
            let mut detail = format!(
                "{}: {} received, {} {pending} pending",
                path.display(),
                counted(sums.received, "event"),
                sums.pending
            );
            if journal::is_in_use(path) {
                detail.push_str("; in use by a running sprited");
            }
            let foreign_files = foreign_files(path, owner);
            if !foreign_files.is_empty() {
                let advice = format!(
                    "the service writes as its folder's owner: chown --reference={} {}",
                    folder.display(),
                    foreign_files.join(" ")
                );
                return CheckStep::warn(
                    STEP,
                    format!("{detail}; owned by another user than its folder"),
                    advice,
                );
            }
            if let Some(copy) = journal::rescued(path).last() {
                let advice = format!(
                    "a daemon rescued {} when its journal was gone: `sprited journal restore` \
                     restores it; if it is not needed any more, move it away",
                    copy.display()
                );
                return CheckStep::warn(STEP, format!("{detail}; a rescued copy exists"), advice);
            }
            if !paused.is_empty() {
                let paused: Vec<_> = paused.iter().map(ToString::to_string).collect();
                return CheckStep::warn(
                    STEP,
                    format!("{detail}; paused by hand: {}", paused.join(", ")),
                    "`sprited resume` resumes pulling, `sprited sinks resume NAME` a sink; the cloud \
                     keeps an event for 4 days",
                );
            }
            let is_orphan = |left: &&Backlog| !sinks.contains(&left.sink);
            let orphans: Vec<String> = backlogs.iter().filter(is_orphan).map(orphan).collect();
            if orphans.is_empty() {
                return CheckStep::ok(STEP, detail);
            }
            let advice = "hand them to another sink with `sprited events redeliver --from OLD \
                          --sink NEW`, discard them with `sprited events discard --sink \
                          OLD`, or configure a sink of that name";
            let orphans = orphans.join("; ");
            CheckStep::warn(
                STEP,
                format!("{detail}; for sinks that are not configured: {orphans}"),
                advice,
            )
        }
        Err(error) => failed(path, error, "restore a backup with `sprited journal restore FILE`"),
    }
}

/// The journal's files that are not their folder's owner's: made by root, perhaps, by a command or
/// a daemon that was started by hand. Root would not notice it otherwise.
fn foreign_files(path: &Path, owner: impl Fn(&Path) -> Option<u32>) -> Vec<String> {
    let files = journal::all_files(path);
    let wanted = files[0].parent().and_then(&owner).filter(|owner| *owner != 0);
    let Some(wanted) = wanted else { return Vec::new() };
    let is_foreign = |file: &&PathBuf| owner(file).is_some_and(|owner| owner != wanted);
    files.iter().filter(is_foreign).map(|file| file.display().to_string()).collect()
}

fn owner(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|about| about.uid())
}

fn orphan(Backlog { sink, pending, dead }: &Backlog) -> String {
    format!("{pending} pending and {dead} dead at {}", one_line(sink))
}

/// Whether a daemon has the journal at `path`, as far as is known.
pub(super) async fn has_daemon(path: &Path) -> bool {
    let owned = path.to_owned();
    matches!(
        timeout(DISK_TIMEOUT, spawn_blocking(move || journal::is_in_use(&owned))).await,
        Ok(Ok(true))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_root_made_in_the_service_s_folder_shows() {
        let found = |folder: u32, lock: u32| {
            foreign_files(Path::new("/state/journal.db"), |path| match path.to_str().unwrap() {
                "/state" => Some(folder),
                "/state/journal.db" => Some(997),
                "/state/journal.db.lock" => Some(lock),
                _ => None,
            })
        };
        assert_eq!(found(997, 997), Vec::<String>::new());
        assert_eq!(found(997, 0), ["/state/journal.db.lock"]);
        assert_eq!(found(998, 0), ["/state/journal.db", "/state/journal.db.lock"]);
        // Root's own folder says nothing about who is to write there.
        assert_eq!(found(0, 0), Vec::<String>::new());
    }
}
