//! The file that is written to: opened, locked, known again.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::OFlag;

use super::checkpoint::{Checkpoint, FileId};
use super::error::{LogError, failed, failed_in_folder};
use super::rotation::folder_of;
use crate::folder;
use crate::sinks::OutputPath;
use crate::sinks::ownership::Ownership;

/// The sticky bit, which means nothing on a file: one that has it and no content was made here,
/// and a failure or a crash came before its [`Ownership`].
const UNFINISHED: u32 = 0o1000;

/// The open file. It is locked as long as this lives.
#[derive(Debug)]
pub(super) struct Log {
    /// Its path in the configuration.
    pub(super) path: PathBuf,
    /// Where that led to when it was opened: what is done beside the file is done there.
    place: PathBuf,
    pub(super) file: File,
    /// Tells it from every other file that is there now.
    number: (u64, u64),
    /// Tells it from every other file that ever was there.
    identity: FileId,
    /// Where the next line goes, and what could not be taken back yet.
    pub(super) tail: Tail,
}

/// How much of the last line tells the end of a file from that of another, in bytes.
const MAX_TAIL: u64 = 4096;

/// A file may be moved away between opening and looking; not this often in a row.
const OPEN_ATTEMPTS: usize = 5;

/// How long the lock of another writer is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_millis(250);

impl Log {
    /// Opens the file, or makes it, for this writer alone. Where it `was_open` before, whatever has
    /// come to stand under its name is written on.
    pub(super) fn open(
        path: &Path,
        ownership: &Ownership,
        was_open: bool,
    ) -> Result<Self, LogError> {
        for _ in 0..OPEN_ATTEMPTS {
            // Before it is opened, which to a device may mean something.
            if let Ok(about) = fs::metadata(path)
                && let Some(error) = LogError::of_kind(path, &about)
            {
                return Err(error);
            }
            let place = OutputPath::of(path).path().to_owned();
            let (file, is_new) = match open_file(&place) {
                Ok(file) => (file, false),
                Err(error) if error.kind() == ErrorKind::NotFound => match create(&place) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                    created => (created.map_err(failed("create", path))?, true),
                },
                Err(error) => return Err(failed("open", path)(error)),
            };
            let about = file.metadata().map_err(failed("look at", path))?;
            if let Some(error) = LogError::of_kind(path, &about) {
                return Err(error);
            }
            lock(&file, path)?;
            let (number, identity) = ((about.dev(), about.ino()), FileId::of(&about));
            let tail = Tail::default();
            let path = path.to_owned();
            let mut log = Self { path, place, file, number, identity, tail };
            if log.is_at_its_path()? {
                log.finish_creation(is_new, ownership)?;
                log.cut_partial_line(was_open)?;
                log.end_line()?;
                return Ok(log);
            }
        }
        Err(LogError::Unstable(path.to_owned()))
    }

    /// Where it was when it was opened, all links followed.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Whether its path still leads to it: another program may have rotated it, or changed a link.
    pub(super) fn is_at_its_path(&self) -> Result<bool, LogError> {
        match fs::metadata(&self.path) {
            Ok(about) => Ok((about.dev(), about.ino()) == self.number),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("look at", &self.path)(error)),
        }
    }

    pub(super) fn identity(&self) -> FileId {
        self.identity
    }

    /// Its length in bytes, asked anew: another program may have truncated it.
    pub(super) fn len(&self) -> Result<u64, LogError> {
        Ok(self.file.metadata().map_err(failed("look at", &self.path))?.len())
    }

    /// When it was made, as far as the file system knows.
    pub(super) fn born(&self) -> Result<SystemTime, LogError> {
        let about = self.file.metadata().map_err(failed("look at", &self.path))?;
        about.created().or_else(|_| about.modified()).map_err(failed("look at", &self.path))
    }

    /// The byte at `offset`, which is before its end.
    pub(super) fn byte_at(&self, offset: u64) -> Result<u8, LogError> {
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, offset).map_err(failed("read", &self.path))?;
        Ok(byte[0])
    }

    /// The place at its end, by what stands before it.
    pub(super) fn end(&self) -> Result<Checkpoint, LogError> {
        let length = self.len()?;
        let start = length.saturating_sub(MAX_TAIL);
        let mut tail = vec![0; usize::try_from(length - start).unwrap_or_default()];
        self.file.read_exact_at(&mut tail, start).map_err(failed("read", &self.path))?;
        Ok(Checkpoint::new(self.identity, length, &tail))
    }

    /// Makes everything in it and its name last.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        folder::sync_or_tell(folder_of(&self.place))
            .map_err(failed_in_folder("sync the folder of", &self.path))
    }

    /// Gives a file that was made here, now or before a crash, what it is to have.
    fn finish_creation(&self, is_new: bool, ownership: &Ownership) -> Result<(), LogError> {
        // Asked under the lock, so that no other writer is at the same.
        let about = self.file.metadata().map_err(failed("look at", &self.path))?;
        if is_new || is_unfinished(&about) {
            ownership.apply(&self.file, &self.path)?;
            self.sync()?;
        }
        Ok(())
    }

    /// Cuts off what stands after the last line end, if it is the rest of a line of events: a crash
    /// ended its write. Anything else is another program's, and stays.
    fn cut_partial_line(&self, was_open: bool) -> Result<(), LogError> {
        let read = failed("read", &self.path);
        let length = self.len()?;
        let good = match whole_lines(&self.file, length) {
            Ok(Some(good)) => good,
            Ok(None) if was_open => return Ok(()),
            Ok(None) => return Err(LogError::Foreign(self.path.clone())),
            Err(error) => return Err(read(error)),
        };
        let is_own = |first: u8| matches!(first, b'{' | 0);
        if good < length && is_own(self.byte_at(good)?) {
            self.file.set_len(good).map_err(failed("cut a partial line off", &self.path))?;
            let (file, bytes) = (self.path.display(), length - good);
            tracing::warn!(%file, bytes, "cut off a partial last line");
        }
        Ok(())
    }
}

/// How many of the first `length` bytes are whole lines; `None` for a file of something else,
/// of which no byte may be cut.
pub(super) fn whole_lines(file: &File, length: u64) -> io::Result<Option<u64>> {
    let begins = |at: u64, with: &[u8]| -> io::Result<bool> {
        let mut first = [0];
        file.read_exact_at(&mut first, at)?;
        Ok(with.contains(&first[0]))
    };
    let whole = line_start(file, length)?;
    // A crash of the machine can leave zeros where a line was being written.
    if length == 0 || begins(0, b"{\0")? {
        return Ok(Some(whole));
    }
    // Another program can have put something before the lines of a file that was empty.
    let Some(end) = whole.checked_sub(1) else { return Ok(None) };
    let has_lines = begins(line_start(file, end)?, b"{")?;
    Ok(has_lines.then_some(whole))
}

/// Where the line begins that `end` is in, or after which it stands.
fn line_start(file: &File, mut end: u64) -> io::Result<u64> {
    let mut chunk = vec![0; 64 * 1024];
    while end > 0 {
        let start = end.saturating_sub(chunk.len() as u64);
        let part = &mut chunk[..usize::try_from(end - start).unwrap_or(usize::MAX)];
        file.read_exact_at(part, start)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Locks the file, with a little patience: at a reload the sink that goes may still be at its
/// last write, and a child that is just being started holds every lock for a moment.
fn lock(file: &File, path: &Path) -> Result<(), LogError> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_TIMEOUT / 10);
            }
            Err(TryLockError::WouldBlock) => return Err(LogError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed("lock", path)(error)),
        }
    }
}

/// Opens the file at `place`, which is no link; what has become of it meanwhile is not waited for.
pub(super) fn open_file(place: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    File::options().read(true).append(true).custom_flags(flags.bits()).open(place)
}

/// Makes the file, for its owner alone until it is finished.
fn create(place: &Path) -> io::Result<File> {
    let mode = UNFINISHED | 0o600;
    File::options().read(true).append(true).create_new(true).mode(mode).open(place)
}

fn is_unfinished(about: &Metadata) -> bool {
    about.len() == 0 && about.permissions().mode() & UNFINISHED != 0
}

/// Where the next line goes.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The end as it was left, if a line can begin there. `None` where nobody knows.
    pub(super) end: Option<FileEnd>,
    /// A failed write that could not be taken back yet.
    pub(super) torn: Option<TornWrite>,
    /// Whether the log has named another program that writes to it.
    pub(super) has_warned: bool,
}

/// The end of the file at a moment: another one shows that something else was done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileEnd {
    pub(super) offset: u64,
    /// When the file changed, in seconds and nanoseconds.
    pub(super) changed: (i64, i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TornWrite {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl FileEnd {
    pub(super) fn of(about: &Metadata) -> Self {
        Self { offset: about.len(), changed: (about.ctime(), about.ctime_nsec()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;
    use crate::sinks::FileMode;

    const PLAIN: Ownership = Ownership { mode: FileMode(0o640), group: None };

    #[test]
    fn a_partial_last_line_is_cut_off_and_a_foreign_file_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let long = "x".repeat(200_000);
        for (before, after) in [
            (format!("{{}}\n{{\"half\":\"{long}"), "{}\n"),
            (format!("{{\"half\":\"{long}"), ""),
            ("{}\n\0\0\0".to_owned(), "{}\n"),
            ("\0\0".to_owned(), ""),
            ("{}\n{}\n".to_owned(), "{}\n{}\n"),
            ("{}\nof another program".to_owned(), "{}\nof another program\n"),
            (String::new(), ""),
        ] {
            fs::write(&path, before).unwrap();
            Log::open(&path, &PLAIN, false).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
        let mixed = "of others\n{}\n";
        fs::write(&path, mixed).unwrap();
        Log::open(&path, &PLAIN, false).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), mixed);
        fs::write(&path, "a,b\n1,2").unwrap();
        assert!(matches!(Log::open(&path, &PLAIN, false), Err(LogError::Foreign(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n1,2");
        Log::open(&path, &PLAIN, true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n1,2\n", "come since it was open");
    }

    #[test]
    fn what_is_no_regular_file_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink("pipe", at("link")).unwrap();
        for (path, what) in [
            (folder.path().to_owned(), "a folder"),
            (at("pipe"), "a pipe"),
            (at("link"), "a pipe"),
            (at("socket"), "a socket"),
            (PathBuf::from("/dev/null"), "a device"),
        ] {
            let error = Log::open(&path, &PLAIN, false).unwrap_err().to_string();
            assert!(error.contains(&format!("{} is {what}, not", path.display())), "{error}");
        }
        std::os::unix::fs::symlink("round", at("round")).unwrap();
        assert!(Log::open(&at("round"), &PLAIN, false).is_err());
    }

    #[test]
    fn a_file_half_made_is_finished_and_one_made_by_others_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        drop(create(&path).unwrap());
        assert_ne!(mode() & UNFINISHED, 0);
        Log::open(&path, &PLAIN, false).unwrap();
        assert_eq!(mode(), 0o640);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Log::open(&path, &PLAIN, false).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_second_writer_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let first = Log::open(&path, &PLAIN, false).unwrap();
        let error = Log::open(&path, &PLAIN, false).unwrap_err();
        assert!(matches!(error, LogError::Locked(_)));
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        drop(first);
        Log::open(&path, &PLAIN, false).unwrap();
    }
}
