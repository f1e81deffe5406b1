//! The file that is written to: opened, locked, appended to, repaired.

use std::fs::{File, Metadata, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::Group;

use super::identity::Identity;
use super::mark::Mark;
use super::rotation::{folder_of, sync_folder};
use crate::sinks::Place;

/// Why the file cannot be used. Names it and says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{} is locked by another writer: give every sink of every daemon a file of its own, \
         or stop the other one",
        .0.display()
    )]
    Locked(PathBuf),
    #[error(
        "cannot give {} to the group {group}: {source}; the service's user has to be a member \
         of it, by SupplementaryGroups={group} in the unit",
        path.display()
    )]
    Group { path: PathBuf, group: String, source: io::Error },
    #[error("{} is not a regular file: name one, or a new one", .0.display())]
    NotAFile(PathBuf),
    #[error(
        "{} does not begin like a file of JSON lines and is left alone: name another, or move \
         it away",
        .0.display()
    )]
    Foreign(PathBuf),
    #[error(
        "{} is the same file as {}, which another sink writes to: give each a file of its own",
        .0.display(), .1.display()
    )]
    Shared(PathBuf, PathBuf),
    #[error("{} changed under its name again and again while it was opened", .0.display())]
    Restless(PathBuf),
}

/// Names the file and what was being done to it.
pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Io { what, path, source }
}

/// What a new file gets.
#[derive(Clone, Debug)]
pub(super) struct Ownership {
    pub(super) mode: u32,
    pub(super) group: Option<Group>,
}

/// The sticky bit, which means nothing on a file: one that has it and no content was made here,
/// and a failure or a crash came before its [`Ownership`].
const UNFINISHED: u32 = 0o1000;

impl Ownership {
    /// Gives it to a file that was made at `path`.
    pub(super) fn apply(&self, file: &File, path: &Path) -> Result<(), LogError> {
        if let Some(group) = &self.group {
            nix::unistd::fchown(file, None, Some(group.gid)).map_err(|error| LogError::Group {
                path: path.to_owned(),
                group: group.name.clone(),
                source: error.into(),
            })?;
        }
        // Last, since it takes UNFINISHED away.
        file.set_permissions(Permissions::from_mode(self.mode))
            .map_err(failed("set the mode of", path))
    }
}

/// The open file. It is locked as long as this lives, and every line in it is whole, unless
/// `torn_at` says otherwise.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Tells it from every other file that is there now.
    number: (u64, u64),
    /// Tells it from every other file that ever was there.
    identity: Identity,
    /// Where a failed write began that could not be taken back yet.
    torn_at: Option<u64>,
}

/// Whether more is to be written after what was put into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    All,
    Part,
}

/// How much of the last line tells the end of a file from that of another, in bytes.
const MAX_TAIL: u64 = 4096;

/// A file may be moved away between opening and looking; not this often in a row.
const ATTEMPTS: usize = 5;

/// How long the lock of another writer is waited for.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);

impl Log {
    /// Opens the file, or makes it, for this writer alone.
    pub(super) fn open(path: &Path, ownership: &Ownership) -> Result<Self, LogError> {
        for _ in 0..ATTEMPTS {
            let (file, is_new) = match File::options().read(true).append(true).open(path) {
                Ok(file) => (file, false),
                Err(error) if error.kind() == ErrorKind::NotFound => match create(path) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                    created => (created.map_err(failed("create", path))?, true),
                },
                Err(error) => return Err(failed("open", path)(error)),
            };
            let about = file.metadata().map_err(failed("look at", path))?;
            if !about.is_file() {
                return Err(LogError::NotAFile(path.to_owned()));
            }
            lock(&file, path)?;
            let (number, identity) = ((about.dev(), about.ino()), Identity::of(&about));
            let log = Self { path: path.to_owned(), file, number, identity, torn_at: None };
            if log.is_at_its_path()? {
                log.finish_creation(is_new, ownership)?;
                log.cut_partial_line()?;
                return Ok(log);
            }
        }
        Err(LogError::Restless(path.to_owned()))
    }

    /// Whether the file still has its name: another program may have rotated it.
    pub(super) fn is_at_its_path(&self) -> Result<bool, LogError> {
        match std::fs::metadata(&self.path) {
            Ok(about) => Ok((about.dev(), about.ino()) == self.number),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("look at", &self.path)(error)),
        }
    }

    /// Which file it is.
    pub(super) fn identity(&self) -> Identity {
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

    /// The place at its end, by what stands before it.
    pub(super) fn end(&self) -> Result<Mark, LogError> {
        let length = self.len()?;
        let start = length.saturating_sub(MAX_TAIL);
        let mut tail = vec![0; usize::try_from(length - start).unwrap_or_default()];
        self.file.read_exact_at(&mut tail, start).map_err(failed("read", &self.path))?;
        Ok(Mark::new(self.identity, length, &tail))
    }

    /// Appends what `fill` puts into `lines` each time it is called, until it tells that this was
    /// all, and syncs it. All of it then stands there, or nothing. `lines` is empty before each
    /// call; what is in it is of no meaning before and after.
    pub(super) fn append(
        &mut self,
        lines: &mut Vec<u8>,
        mut fill: impl FnMut(&mut Vec<u8>) -> Filled,
    ) -> Result<Mark, LogError> {
        self.repair()?;
        let start = self.len()?;
        let written = loop {
            lines.clear();
            let filled = fill(lines);
            if let Err(error) = (&self.file).write_all(lines) {
                break Err(error);
            }
            if filled == Filled::All {
                break self.file.sync_data();
            }
        };
        if let Err(error) = written {
            self.torn_at = Some(start);
            if let Err(error) = self.repair() {
                tracing::warn!(%error, "a failed write cannot be taken back yet");
            }
            return Err(failed("write to", &self.path)(error));
        }
        Ok(Mark::new(self.identity, self.len()?, lines))
    }

    /// Takes back what a failed write left. Does nothing where none did.
    pub(super) fn repair(&mut self) -> Result<(), LogError> {
        if let Some(good) = self.torn_at {
            if self.len()? > good {
                self.file
                    .set_len(good)
                    .map_err(failed("take back a failed write to", &self.path))?;
            }
            self.torn_at = None;
        }
        Ok(())
    }

    /// Makes everything in it and its name last.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        sync_folder(folder_of(Place::of(&self.path).path()))
            .map_err(failed("sync the folder of", &self.path))
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

    /// Cuts off what stands after the last line end: the rest of a write that a crash ended.
    fn cut_partial_line(&self) -> Result<(), LogError> {
        let read = failed("read", &self.path);
        let length = self.len()?;
        let good = match whole_lines(&self.file, length) {
            Ok(Some(good)) => good,
            Ok(None) => return Err(LogError::Foreign(self.path.clone())),
            Err(error) => return Err(read(error)),
        };
        if good < length {
            self.file.set_len(good).map_err(failed("cut a partial line off", &self.path))?;
            let (file, bytes) = (self.path.display(), length - good);
            tracing::warn!(%file, bytes, "cut off a partial last line");
        }
        Ok(())
    }
}

/// How many of the first `length` bytes are whole lines; `None` for a file of something else,
/// of which no byte may be cut.
fn whole_lines(file: &File, length: u64) -> io::Result<Option<u64>> {
    let mut chunk = vec![0; 64 * 1024];
    if length > 0 {
        file.read_exact_at(&mut chunk[..1], 0)?;
        // A crash of the machine can leave zeros where a line was being written.
        if !matches!(chunk[0], b'{' | 0) {
            return Ok(None);
        }
    }
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(chunk.len() as u64);
        let part = &mut chunk[..usize::try_from(end - start).unwrap_or(usize::MAX)];
        file.read_exact_at(part, start)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(Some(start + at as u64 + 1));
        }
        end = start;
    }
    Ok(Some(0))
}

/// Locks the file, with a little patience: at a reload the sink that goes may still be at its
/// last write, and a child that is just being started holds every lock for a moment.
fn lock(file: &File, path: &Path) -> Result<(), LogError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_PATIENCE / 10);
            }
            Err(TryLockError::WouldBlock) => return Err(LogError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed("lock", path)(error)),
        }
    }
}

/// Makes the file, for its owner alone until it is finished: where `path` leads to, if that is a
/// link to none.
fn create(path: &Path) -> io::Result<File> {
    let mode = UNFINISHED | 0o600;
    let place = Place::of(path);
    File::options().read(true).append(true).create_new(true).mode(mode).open(place.path())
}

fn is_unfinished(about: &Metadata) -> bool {
    about.len() == 0 && about.permissions().mode() & UNFINISHED != 0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PLAIN: Ownership = Ownership { mode: 0o640, group: None };

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
            (String::new(), ""),
        ] {
            fs::write(&path, before).unwrap();
            Log::open(&path, &PLAIN).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
        fs::write(&path, "a,b\n1,2").unwrap();
        assert!(matches!(Log::open(&path, &PLAIN), Err(LogError::Foreign(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n1,2");
        assert!(matches!(Log::open(folder.path(), &PLAIN), Err(LogError::Io { .. })));
        assert!(matches!(Log::open(Path::new("/dev/null"), &PLAIN), Err(LogError::NotAFile(_))));
    }

    #[test]
    fn a_file_half_made_is_finished_and_one_made_by_others_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        drop(create(&path).unwrap());
        assert_ne!(mode() & UNFINISHED, 0);
        Log::open(&path, &PLAIN).unwrap();
        assert_eq!(mode(), 0o640);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Log::open(&path, &PLAIN).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn what_could_not_be_taken_back_at_once_is_before_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut log = Log::open(&path, &PLAIN).unwrap();
        let mut put = |line: &str, torn_at| {
            log.torn_at = torn_at;
            let fill = |lines: &mut Vec<u8>| {
                lines.extend(line.bytes());
                Filled::All
            };
            log.append(&mut Vec::new(), fill).unwrap();
            log.torn_at
        };
        put("{\"a\":1}\n", None);
        fs::File::options().append(true).open(&path).unwrap().write_all(b"{\"half").unwrap();
        assert_eq!(put("{\"b\":2}\n", Some(8)), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\":2}\n");
        put("{}\n", Some(10_000));
        assert_eq!(fs::metadata(&path).unwrap().len(), 19, "nothing grows by a repair");
    }

    #[test]
    fn the_mark_of_a_batch_is_the_end_of_the_file_however_many_writes_it_took() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut log = Log::open(&path, &PLAIN).unwrap();
        let mut buffer = b"of the batch before".to_vec();
        for writes in 1..4 {
            let mut left = writes;
            let mark = log.append(&mut buffer, |lines| {
                left -= 1;
                lines.extend(format!("{{\"of\":{writes}}}\n{{\"left\":{left}}}\n").bytes());
                if left == 0 { Filled::All } else { Filled::Part }
            });
            assert_eq!(mark.unwrap(), log.end().unwrap());
        }
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 12);
    }

    #[test]
    fn a_second_writer_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let first = Log::open(&path, &PLAIN).unwrap();
        let error = Log::open(&path, &PLAIN).unwrap_err();
        assert!(matches!(error, LogError::Locked(_)));
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        drop(first);
        Log::open(&path, &PLAIN).unwrap();
    }
}
