//! Whether the journal's files are the ones that the next start will find.
//!
//! A file that was deleted, moved or replaced goes on taking what is written to it by whoever has
//! it open, and nobody ever reads it again.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::error::{JournalError, Result};
use super::lock::HeldLock;
use super::side_files::log_file;

/// A file of a journal, as it was when it was opened.
#[derive(Debug)]
struct File {
    what: &'static str,
    path: PathBuf,
    device: u64,
    inode: u64,
    may_be_empty: bool,
}

#[derive(Debug)]
pub(super) struct Files {
    journal: File,
    log: File,
    lock: HeldLock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Itself,
    Nothing,
    /// Another file, or this one without its content.
    Another,
}

impl File {
    fn open(what: &'static str, path: PathBuf, may_be_empty: bool) -> io::Result<Self> {
        let about = fs::metadata(&path)?;
        Ok(Self { what, path, device: about.dev(), inode: about.ino(), may_be_empty })
    }

    fn is(&self, about: &Metadata) -> bool {
        let is_same = (about.dev(), about.ino()) == (self.device, self.inode);
        is_same && (self.may_be_empty || about.len() > 0)
    }

    fn find(&self) -> io::Result<Found> {
        match fs::metadata(&self.path) {
            Ok(about) if self.is(&about) => Ok(Found::Itself),
            Ok(_) => Ok(Found::Another),
            Err(error) if is_absent(&error) => Ok(Found::Nothing),
            Err(error) => Err(error),
        }
    }

    fn check(&self) -> Result<()> {
        let Self { what, path, .. } = self;
        let (path, happened) = match self.find() {
            Ok(Found::Itself) => return Ok(()),
            Ok(Found::Nothing) => (path.display(), "deleted or moved"),
            Ok(Found::Another) => (path.display(), "replaced or emptied"),
            Err(source) => {
                let path = path.display();
                return Err(JournalError::Unseen(format!("{what} {path}: {source}").into()));
            }
        };
        Err(JournalError::Gone(format!("{what} {path} was {happened} under the daemon").into()))
    }
}

impl Files {
    /// The files of the journal at `path`, which SQLite has open, and its lock. Fails when one of
    /// them is not there already.
    pub(super) fn of(path: &Path, lock: HeldLock) -> io::Result<Self> {
        Ok(Self {
            journal: File::open("the journal", path.to_owned(), false)?,
            // SQLite empties it now and then.
            log: File::open("the journal's write-ahead log", log_file(path), true)?,
            lock,
        })
    }

    /// Checks whether all are in place: four system calls. Blocks for as long as these take. Fails
    /// with [`JournalError::Gone`] when the journal or its log is not, [`JournalError::Taken`] when
    /// somebody else has the lock, [`JournalError::Unseen`] when that cannot be seen.
    pub(super) fn check(&self) -> Result<()> {
        self.journal.check()?;
        self.log.check()?;
        // Last: where the journal is gone no lock file is made.
        self.lock.check(&self.journal.path)
    }

    /// Whether a write-ahead log stands beside a database that it is not of: whoever opens that
    /// database next would have the log's pages written into it.
    pub(super) fn are_mixed(&self) -> bool {
        let found = |file: &File| file.find().unwrap_or(Found::Nothing);
        match (found(&self.journal), found(&self.log)) {
            (Found::Itself, Found::Another) | (Found::Another, Found::Itself) => {
                fs::metadata(&self.log.path).is_ok_and(|about| about.len() > 0)
            }
            _ => false,
        }
    }

    pub(super) fn log(&self) -> &Path {
        &self.log.path
    }
}

/// Whether this says that no file has that name; anything else leaves it open.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(Errno::ELOOP as i32)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::lock;
    use super::*;

    fn of(path: &Path) -> io::Result<Files> {
        let lock = lock::take(path).map_err(|error| io::Error::other(error.to_string()))?;
        Files::of(path, HeldLock::new(lock))
    }

    /// Files of a journal at `journal`, both there, and their folder.
    fn files(journal: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(journal);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "pages").unwrap();
        fs::write(log_file(&path), "").unwrap();
        (folder, path)
    }

    fn why(files: &Files) -> String {
        match files.check() {
            Err(JournalError::Gone(why)) => why.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn another_file_of_the_same_content_is_another() {
        let (folder, path) = files("j.db");
        let open = of(&path).unwrap();
        assert_eq!(open.check(), Ok(()));
        for (file, what) in [(path.clone(), "the journal "), (log_file(&path), "log ")] {
            let kept = folder.path().join("kept");
            fs::rename(&file, &kept).unwrap();
            assert!(why(&open).contains(what) && why(&open).contains("deleted or moved"));
            fs::copy(&kept, &file).unwrap();
            assert!(why(&open).contains(what) && why(&open).contains("replaced or emptied"));
            fs::rename(&kept, &file).unwrap();
            assert_eq!(open.check(), Ok(()));
        }
        fs::write(&path, "").unwrap();
        assert!(why(&open).contains("replaced or emptied"));
    }

    #[test]
    fn a_link_leads_to_it_until_it_leads_elsewhere() {
        let (folder, path) = files("data/j.db");
        let link = folder.path().join("link.db");
        symlink(&path, &link).unwrap();
        let open = of(&link).unwrap();
        assert_eq!(open.check(), Ok(()));
        for target in [folder.path().join("none"), link.clone(), folder.path().to_owned()] {
            fs::remove_file(&link).unwrap();
            symlink(target, &link).unwrap();
            assert!(open.check().is_err_and(|error| matches!(error, JournalError::Gone(_))));
        }
    }

    #[test]
    fn a_file_in_the_place_of_its_folder_is_no_journal() {
        let (folder, path) = files("data/j.db");
        let open = of(&path).unwrap();
        fs::rename(folder.path().join("data"), folder.path().join("moved")).unwrap();
        assert!(why(&open).contains("deleted or moved"));
        fs::write(folder.path().join("data"), "").unwrap();
        assert!(why(&open).contains("deleted or moved"));
    }
}
