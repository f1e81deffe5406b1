//! The lock file that keeps a second daemon off a journal.
//!
//! A lock is as good as the file that others find under its name. So whoever takes it checks
//! whether it has the file that stands there, and the daemon checks before each commit: where its
//! lock file was removed or replaced it takes the lock again, or finds that another one has it. The
//! check is made within the transaction, and whoever opens the journal waits for such a transaction
//! with the lock in hand: so nothing is written after another has begun to read.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::error::{JournalError, OpenError, Result};
use super::side_files::{database, link_mark, lock_file};
use crate::sync::lock;

/// What stands in the lock file of a journal that has its tables.
const MARK: &[u8] = b"There is a journal beside this file.\n";
/// The file may be replaced between opening and looking; not this often in a row.
const MAX_ATTEMPTS: usize = 5;
/// How often a start looks whether a command is done with the lock, and after which pauses: such a
/// command has it for one short transaction.
const LOOKS: usize = 10;
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// The lock, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
    /// The file beside the link by which the journal was found, if it was by one.
    link_mark: Option<PathBuf>,
    /// That file, locked.
    link_lock: Option<File>,
}

impl Lock {
    /// Whether its file is the one that others find.
    fn is_in_place(&self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        match fs::symlink_metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Marks the file as that of a journal that is there. Where it cannot be written, a journal
    /// that is emptied later passes for one that was never begun.
    fn mark(&self) {
        let marked = mark(&self.file).and_then(|()| match &self.link_mark {
            Some(beside_link) => mark(&open(beside_link, &self.path)?),
            None => Ok(()),
        });
        if let Err(error) = marked {
            tracing::debug!(%error, "journal lock file cannot be written");
        }
    }

    pub(super) fn unmark(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        match self.link_mark.as_deref().filter(|mark| has_content(mark)) {
            Some(beside_link) => open(beside_link, &self.path)?.set_len(0),
            None => Ok(()),
        }
    }
}

fn mark(mut file: &File) -> io::Result<()> {
    if file.metadata()?.len() > 0 { Ok(()) } else { file.write_all(MARK) }
}

/// The file that shows that there was a journal with tables at `path`: its lock file, or the one
/// beside the link that led to it.
pub(super) fn marked(path: &Path) -> Option<PathBuf> {
    [Some(lock_file(path)), link_mark(path)].into_iter().flatten().find(|file| has_content(file))
}

fn has_content(file: &Path) -> bool {
    fs::symlink_metadata(file).is_ok_and(|about| about.is_file() && about.len() > 0)
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that has not yet begun its program has it
        // open as well. If this fails, closing does it a moment later.
        drop(self.file.unlock());
        drop(self.link_lock.as_ref().map(File::unlock));
    }
}

/// The lock of an open journal, taken again where its file is gone. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct HeldLock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// `None` once the journal is closed.
    lock: Option<Lock>,
    /// Whether it was logged that the lock cannot be taken again.
    has_warned: bool,
}

#[derive(Debug)]
pub(super) struct Guard(HeldLock);

impl Drop for Guard {
    fn drop(&mut self) {
        lock(&self.0.0).lock = None;
    }
}

impl HeldLock {
    /// The lock of a journal that has its tables: from here on the lock file is marked.
    pub(super) fn new(lock: Lock) -> Self {
        lock.mark();
        Self(Arc::new(Mutex::new(State { lock: Some(lock), has_warned: false })))
    }

    pub(super) fn guard(&self) -> Guard {
        Guard(self.clone())
    }

    /// Checks whether the lock of the journal at `path`, whose own files are in place, still keeps
    /// others off; if not, takes it again. Where that cannot be done nobody else can either, and
    /// the next check tries again. Two system calls as long as all is well; blocks for these. Fails
    /// with [`JournalError::Taken`] when somebody else has it.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        let mut state = lock(&self.0);
        let Some(lock) = &state.lock else { return Ok(()) };
        if lock.is_in_place().unwrap_or(true) {
            return Ok(());
        }
        let file = lock.path.display().to_string();
        match take(path) {
            Ok(lock) => {
                lock.mark();
                *state = State { lock: Some(lock), has_warned: false };
                tracing::warn!(
                    file,
                    "journal lock file was removed or replaced; created and locked again"
                );
                Ok(())
            }
            Err(OpenError::InUse { .. }) => Err(JournalError::Taken(
                format!("the lock file {file} was removed or replaced under the daemon").into(),
            )),
            Err(error) => {
                if !std::mem::replace(&mut state.has_warned, true) {
                    tracing::warn!(
                        file,
                        %error,
                        "journal lock file was removed or replaced and cannot be created again: \
                         move away what stands in its place"
                    );
                }
                Ok(())
            }
        }
    }
}

/// Takes the lock of the journal at `path`.
pub(super) fn take(path: &Path) -> std::result::Result<Lock, OpenError> {
    let lock = lock_file(path);
    let failed = |source| OpenError::File { path: lock.clone(), source };
    for _ in 0..MAX_ATTEMPTS {
        let file = open(&lock, &database(path)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path: path.to_owned(), lock });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let link_mark = link_mark(path);
        let taken =
            Lock { file, path: lock.clone(), link_mark, link_lock: lock_beside_link(path)? };
        if taken.is_in_place().map_err(failed)? {
            return Ok(taken);
        }
    }
    Err(failed(io::Error::other("it was replaced again and again")))
}

/// The same, once a command is done that has it for a moment. Blocks for half a second where
/// another daemon has it.
pub(super) fn take_soon(path: &Path) -> std::result::Result<Lock, OpenError> {
    for _ in 1..LOOKS {
        match take(path) {
            Err(OpenError::InUse { .. }) => thread::sleep(LOOK_PAUSE),
            taken => return taken,
        }
    }
    take(path)
}

/// Locks the file beside a link, if there is one: there a version before 0.2 locks, which may still
/// run while this one starts.
fn lock_beside_link(path: &Path) -> std::result::Result<Option<File>, OpenError> {
    let Some(lock) = link_mark(path) else { return Ok(None) };
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(&lock) else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned(), lock }),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Opens the lock file, or makes it. Whatever another user has put there is not followed anywhere,
/// nor waited for.
fn open(lock: &Path, journal: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).mode(0o600).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let made = match options.clone().create_new(true).open(lock) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return options.open(lock).map_err(|error| match error.raw_os_error() {
                Some(errno) if errno == Errno::ELOOP as i32 => {
                    io::Error::other("it is a link, and a lock file must be none; delete it")
                }
                _ => error,
            });
        }
        made => made?,
    };
    // Made by root, it would keep the journal's own user off; SQLite does so by its files.
    if geteuid().is_root()
        && let Ok(journal) = journal.symlink_metadata()
    {
        fchown(&made, Some(journal.uid()), Some(journal.gid()))?;
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn held() -> (tempfile::TempDir, PathBuf, PathBuf, HeldLock) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.db");
        let held = HeldLock::new(take(&path).unwrap());
        let lock = lock_file(&path);
        (folder, path, lock, held)
    }

    fn is_free(path: &Path) -> bool {
        !matches!(take(path), Err(OpenError::InUse { .. }))
    }

    #[test]
    fn a_lock_file_that_is_removed_or_replaced_is_made_again() {
        let (folder, path, lock, held) = held();
        for replace in [false, true, false] {
            fs::remove_file(&lock).unwrap();
            if replace {
                fs::write(&lock, "").unwrap();
            }
            assert_eq!(held.check(&path), Ok(()));
            assert!(!is_free(&path), "nobody else gets it");
            assert_eq!(held.check(&path), Ok(()));
        }
        // A copy of it, as of a folder that was restored.
        let copy = folder.path().join("copy");
        fs::copy(&lock, &copy).unwrap();
        fs::rename(copy, &lock).unwrap();
        assert_eq!(held.check(&path), Ok(()));
        assert!(!is_free(&path));
        drop(held.guard());
        assert!(is_free(&path));
        fs::remove_file(&lock).unwrap();
        assert_eq!(held.check(&path), Ok(()));
        assert!(!lock.exists(), "what is closed takes no lock");
    }

    #[test]
    fn a_lock_that_another_has_taken_is_lost() {
        let (_folder, path, lock, held) = held();
        fs::remove_file(&lock).unwrap();
        let other = take(&path).unwrap();
        assert!(matches!(held.check(&path), Err(JournalError::Taken(_))));
        drop(other);
        assert_eq!(held.check(&path), Ok(()), "a command that is over");
    }

    #[test]
    fn what_can_be_no_lock_file_keeps_everybody_off_and_is_left_alone() {
        let (folder, path, lock, held) = held();
        let target = folder.path().join("target");
        let ways: [&dyn Fn(); 3] =
            [&|| fs::create_dir(&lock).unwrap(), &|| symlink(&target, &lock).unwrap(), &|| {
                nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).unwrap()
            }];
        for way in ways {
            fs::remove_file(&lock).unwrap();
            way();
            assert_eq!(held.check(&path), Ok(()));
            assert!(matches!(take(&path), Err(OpenError::File { .. })));
            if lock.is_dir() {
                fs::remove_dir(&lock).unwrap();
                fs::write(&lock, "").unwrap();
            }
        }
        assert!(!target.exists());
        fs::remove_file(&lock).unwrap();
        assert_eq!(held.check(&path), Ok(()));
        assert!(!is_free(&path));
    }

    #[test]
    fn an_earlier_version_that_runs_by_a_link_keeps_this_one_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link.db");
        symlink("j.db", &path).unwrap();
        assert!(is_free(&path));
        let earlier = File::create(link_mark(&path).unwrap()).unwrap();
        earlier.lock().unwrap();
        assert!(!is_free(&path));
        drop(earlier);
        assert!(is_free(&path));
    }
}
