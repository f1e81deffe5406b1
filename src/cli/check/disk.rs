//! Whether the journal's disk is fit for it: room, what a flush takes, and that it is a disk.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use nix::sys::statfs::{
    AFS_SUPER_MAGIC, CODA_SUPER_MAGIC, FsType, NCP_SUPER_MAGIC, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC,
    TMPFS_MAGIC, statfs,
};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::report::CheckStep;
use crate::cli::exit::Exit;
use crate::folder::{self, Synced, UNSYNCED};
use crate::identity::IdentityError;
use crate::journal::{self, JournalSettings};

const DISK_TIMEOUT: Duration = Duration::from_secs(15);
/// With less than this, an append may find no room.
const MIN_FREE: ByteSize = ByteSize::mib(16);
/// With a slower one, pulls as many as the cloud allows cannot be stored: docs/performance.md has
/// the formula. Lower by what a disk may be slower than now while it is used.
const SLOW_FLUSH: Duration = Duration::from_millis(50);
/// Flushes that are timed; the median counts.
const TIMED_FLUSHES: usize = 5;
/// What is written before each: a page of the database.
const PAGE: [u8; 4096] = [0x5a; 4096];

const STEP: &str = "disk";

/// Where a file system keeps what it takes, if not on a disk of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Elsewhere {
    Memory,
    Network,
}

#[derive(Clone, Copy, Debug)]
struct Disk {
    elsewhere: Option<Elsewhere>,
    synced: Synced,
    free: ByteSize,
    /// How much the journal may still grow.
    growth: ByteSize,
    flush: Duration,
}

/// Takes the step for the disk of this journal. The file that is written for it has no name.
/// Skipped if root was `refused` to be the journal's owner.
pub(super) async fn check(journal: &JournalSettings, refused: Option<&IdentityError>) -> CheckStep {
    if refused.is_some() {
        return CheckStep::skip(STEP, "see journal");
    }
    let owned = journal.clone();
    match timeout(DISK_TIMEOUT, spawn_blocking(move || measure(&owned))).await {
        Ok(Ok(Ok(disk))) => judge(disk),
        // The journal's own step says what is wrong with its folder.
        Ok(Ok(Err(error))) if is_about_folder(&error) => CheckStep::skip(STEP, "see journal"),
        Ok(Ok(Err(error))) => failed(
            format!("nothing can be written: {error}"),
            "free some space, or check the disk; nothing is pulled while it cannot be written",
        ),
        Ok(Err(_)) => failed("the check was interrupted".to_owned(), "try again"),
        Err(_) => failed(
            format!("no answer within {} s", DISK_TIMEOUT.as_secs()),
            "check the disk; `dmesg` shows its errors",
        ),
    }
}

fn failed(detail: String, advice: &str) -> CheckStep {
    CheckStep::fail(STEP, Exit::Journal, detail, advice)
}

fn is_about_folder(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Blocks.
fn measure(JournalSettings { path, max_size, .. }: &JournalSettings) -> io::Result<Disk> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let elsewhere = elsewhere(statfs(folder)?.filesystem_type());
    let free = journal::free_space(folder)?;
    let taken = [path.clone(), journal::log_file(path)].iter().map(size).sum();
    let growth = ByteSize(max_size.as_u64().saturating_sub(taken));
    Ok(Disk { elsewhere, synced: folder::sync(folder)?, free, growth, flush: flush(folder)? })
}

fn elsewhere(kind: FsType) -> Option<Elsewhere> {
    match kind {
        TMPFS_MAGIC => Some(Elsewhere::Memory),
        NFS_SUPER_MAGIC | SMB_SUPER_MAGIC | AFS_SUPER_MAGIC | CODA_SUPER_MAGIC
        | NCP_SUPER_MAGIC => Some(Elsewhere::Network),
        _ => None,
    }
}

fn size(path: &PathBuf) -> u64 {
    fs::metadata(path).map_or(0, |about| about.len())
}

/// The median of what it takes to have a page on the disk.
fn flush(folder: &Path) -> io::Result<Duration> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = [Duration::ZERO; TIMED_FLUSHES];
    for time in &mut times {
        let start = Instant::now();
        file.write_all(&PAGE)?;
        file.sync_data()?;
        *time = start.elapsed();
    }
    times.sort_unstable();
    Ok(times[TIMED_FLUSHES / 2])
}

fn judge(Disk { elsewhere, synced, free, growth, flush }: Disk) -> CheckStep {
    let flush_time = format!("{:.1} ms", flush.as_secs_f64() * 1000.0);
    let detail = format!("{free} free; a flush takes {flush_time}");
    if free < MIN_FREE {
        let advice = "free some space, or set journal.path to another disk; nothing is pulled \
                      while it is full";
        return failed(detail, advice);
    }
    let mut advice: Vec<String> = Vec::new();
    match elsewhere {
        Some(Elsewhere::Memory) => advice.push(
            "it is a memory file system, which loses confirmed events at a reboot: set \
             journal.path to a disk"
                .to_owned(),
        ),
        Some(Elsewhere::Network) => advice.push(
            "it is a network file system, on which the database's log and locks are not safe: set \
             journal.path to a local disk"
                .to_owned(),
        ),
        None => {}
    }
    if synced == Synced::Unsupported {
        advice.push(UNSYNCED.to_owned());
    }
    if free < growth {
        advice.push(format!(
            "the journal may grow by {growth}: free some space, or lower journal.max_size"
        ));
    }
    if flush > SLOW_FLUSH {
        advice.push(
            "it may be too slow for the 1,600 events a second that the cloud allows: set \
             journal.path to a faster disk if so many may come"
                .to_owned(),
        );
    }
    if advice.is_empty() {
        return CheckStep::ok(STEP, detail);
    }
    CheckStep::warn(STEP, detail, advice.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::StepOutcome;

    const GOOD: Disk = Disk {
        elsewhere: None,
        synced: Synced::Lasting,
        free: ByteSize::gib(20),
        growth: ByteSize::gib(16),
        flush: Duration::from_millis(2),
    };

    #[test]
    fn a_disk_is_judged_by_all_that_it_lacks() {
        let said = |disk| judge(disk).advice.unwrap_or_default();
        assert_eq!(judge(GOOD).outcome, StepOutcome::Ok);
        assert_eq!(judge(GOOD).detail, "20.0 GiB free; a flush takes 2.0 ms");
        assert_eq!(judge(Disk { free: ByteSize::mib(15), ..GOOD }).outcome, StepOutcome::Fail);
        let network = Disk { elsewhere: elsewhere(NFS_SUPER_MAGIC), ..GOOD };
        assert!(said(network).contains("a network file system"), "{}", said(network));
        let unsynced = said(Disk { synced: Synced::Unsupported, ..GOOD });
        assert!(unsynced.contains("cannot sync a folder"), "{unsynced}");
        let bad = Disk {
            elsewhere: elsewhere(TMPFS_MAGIC),
            free: ByteSize::gib(2),
            flush: Duration::from_millis(51),
            ..GOOD
        };
        assert_eq!(judge(bad).outcome, StepOutcome::Warn);
        assert_eq!(said(bad).split("; ").count(), 3, "{}", said(bad));
        assert!(said(bad).contains("grow by 16.0 GiB"), "{}", said(bad));
    }
}
