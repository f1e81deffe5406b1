//! What is done with rotated files, beside the deliveries: compressing and deleting.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use flate2::{Compression, GzBuilder};
use nix::errno::Errno;
use nix::unistd::Gid;
use tokio::task::spawn_blocking;

use super::checkpoint::FileId;
use super::rotation::{Names, Rotated, folder_of, gzip_identity, gzip_names};
use super::settings::{Compress, JsonlSettings};
use crate::folder;
use crate::sync::lock;

/// The care for the rotated files of one sink. Holds nothing of the file that is written to,
/// so that its lock does not wait for a compression.
#[derive(Debug)]
pub(super) struct RotatedFiles {
    sink: String,
    path: PathBuf,
    compress: Compress,
    keep: Option<usize>,
    work: Mutex<Work>,
    stop: AtomicBool,
    has_warned: AtomicBool,
}

/// How far the work is: at most one run at a time, and none is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Due,
    Running,
    RunningAndDue,
    Idle,
}

impl RotatedFiles {
    /// Due at once: an earlier process may have been interrupted.
    pub(super) fn new(sink: &str, settings: &JsonlSettings) -> Self {
        Self {
            sink: sink.to_owned(),
            path: settings.path.clone(),
            compress: settings.compress,
            keep: settings.keep,
            work: Mutex::new(Work::Due),
            stop: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
        }
    }

    pub(super) fn request(&self) {
        let mut work = lock(&self.work);
        *work = match *work {
            Work::Due | Work::Idle => Work::Due,
            Work::Running | Work::RunningAndDue => Work::RunningAndDue,
        };
    }

    /// Starts the work if it is due, beside the deliveries. One that is under way does what has
    /// become due since as well.
    pub(super) fn start(self: &Arc<Self>) {
        let mut work = lock(&self.work);
        if *work == Work::Due {
            *work = Work::Running;
            let rotated_files = Arc::clone(self);
            // Nothing to wait for: `work` tells when it is over, and `stop` ends it.
            drop(spawn_blocking(move || rotated_files.run()));
        }
    }

    fn run(&self) {
        loop {
            if let Err(error) = self.clean_up() {
                let (sink, file) = (&self.sink, self.path.display());
                tracing::warn!(sink, %error, %file, "cannot list the rotated files");
            }
            let mut work = lock(&self.work);
            if *work == Work::Running {
                *work = Work::Idle;
                return;
            }
            *work = Work::Running;
        }
    }

    /// Ends the work soon, whatever is left of it.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Deletes and compresses the files that the sink has rotated, as the settings say; others are
    /// left alone, whatever they are called. Interrupted at any point it leaves every line in at
    /// least one whole file, and the next run goes on. A file that fails holds up no other.
    fn clean_up(&self) -> io::Result<()> {
        let (mut rotated, foreign) = Names::new(&self.sink, &self.path).rotated()?;
        self.warn_of_foreign(foreign);
        // Before compressing: what goes need not be compressed first.
        if let Some(keep) = self.keep {
            // Counted by time: an interrupted run may have left one in both forms.
            let mut times: Vec<_> = rotated.iter().map(|rotated| rotated.at).collect();
            times.dedup();
            let first = times.len().checked_sub(keep).and_then(|surplus| times.get(surplus));
            let is_kept = |rotated: &Rotated| first.is_none_or(|first| rotated.at >= *first);
            for gone in rotated.extract_if(.., |rotated| !is_kept(rotated)) {
                self.log_failure(&gone.path, delete(&gone));
            }
        }
        for Rotated { path, .. } in rotated.iter().filter(|rotated| !rotated.gzip) {
            self.log_failure(
                path,
                match self.compress {
                    Compress::Gzip => gzip(path, &self.stop),
                    Compress::None => remove_if_there(&gzip_names(path).1),
                },
            );
        }
        Ok(())
    }

    fn log_failure(&self, file: &Path, result: io::Result<()>) {
        if let Err(error) = result {
            let (sink, file) = (&self.sink, file.display());
            tracing::warn!(sink, %error, %file, "cannot clean up a rotated file");
        }
    }

    /// Once: an operator who waits for `keep` to delete them would wait for ever.
    fn warn_of_foreign(&self, files: usize) {
        if files > 0 && !self.has_warned.swap(true, Ordering::Relaxed) {
            let (sink, file) = (&self.sink, self.path.display());
            tracing::warn!(
                sink,
                %file,
                files,
                "files of unknown origin are named like rotated ones; left unchanged"
            );
        }
    }
}

/// Deletes a rotated file, and what an interrupted compression left beside it.
fn delete(rotated: &Rotated) -> io::Result<()> {
    if !rotated.gzip {
        remove_if_there(&gzip_names(&rotated.path).1)?;
    }
    fs::remove_file(&rotated.path)
}

/// A name that is too long, as that of a compressed file may be where none is made, is no file's.
fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.raw_os_error() == Some(Errno::ENAMETOOLONG as i32) => Ok(()),
        removed => removed,
    }
}

/// Replaces a file by its compressed form. The new one gets its name only when it is whole and
/// on disk, the old one goes only after that.
fn gzip(path: &Path, stop: &AtomicBool) -> io::Result<()> {
    let (whole, unfinished) = gzip_names(path);
    let file = FileId::of(&fs::symlink_metadata(path)?);
    // One of an earlier run that ended before it deleted the plain file is made again.
    if fs::symlink_metadata(&whole).is_ok() && gzip_identity(&whole) != Some(file) {
        let message = format!("{} exists and was not made from this file", whole.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    remove_if_there(&unfinished)?;
    let made = compress(path, &unfinished, stop);
    if !matches!(made, Ok(true)) {
        remove_if_there(&unfinished)?;
        return made.map(drop);
    }
    fs::rename(&unfinished, &whole)?;
    folder::sync_or_tell(folder_of(path))?;
    fs::remove_file(path)
}

/// Whether it came to the end; `false` when it was stopped.
fn compress(from: &Path, to: &Path, stop: &AtomicBool) -> io::Result<bool> {
    let mut source = File::open(from)?;
    let about = source.metadata()?;
    let target =
        File::options().write(true).create_new(true).mode(about.mode() & 0o777).open(to)?;
    target.set_permissions(about.permissions())?;
    if target.metadata()?.gid() != about.gid() {
        nix::unistd::fchown(&target, None, Some(Gid::from_raw(about.gid())))?;
    }
    // By this it is known as the sink's own, and a checkpoint that was made in the file is found
    // again.
    let file = FileId::of(&about).to_string();
    let mut encoder = GzBuilder::new().comment(file).write(target, Compression::default());
    let mut chunk = vec![0; 64 * 1024];
    let (mut length, mut last) = (0, b'\n');
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let read = source.read(&mut chunk)?;
        let Some(end) = chunk[..read].last() else { break };
        (length, last) = (length + read as u64, *end);
        encoder.write_all(&chunk[..read])?;
    }
    // Of another program, which may have had it open as it was rotated.
    if last != b'\n' {
        encoder.write_all(b"\n")?;
    }
    let target = encoder.finish()?;
    target.set_modified(about.modified()?)?;
    target.sync_all()?;
    if source.metadata()?.len() != length {
        return Err(io::Error::other("another program writes to the file; compressing it later"));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotated_files(path: &Path, more: &str) -> RotatedFiles {
        let settings = toml::from_str(&format!("path = {path:?}\n{more}")).unwrap();
        RotatedFiles::new("a", &settings)
    }

    /// Makes a file and rotates it.
    fn rotate(path: &Path, line: &str) -> PathBuf {
        fs::write(path, line).unwrap();
        let file = FileId::of(&fs::metadata(path).unwrap());
        let next = Names::new("a", path).next(chrono::Utc::now(), file).unwrap();
        fs::rename(path, &next).unwrap();
        next
    }

    fn text(path: &Path) -> String {
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(File::open(path).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn an_interrupted_compression_is_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let rotated_files = rotated_files(&path, "compress = 'gzip'");
        let rotated = rotate(&path, "{}\n");
        let (whole, unfinished) = gzip_names(&rotated);

        rotated_files.stop();
        rotated_files.clean_up().unwrap();
        assert!(rotated.exists() && !whole.exists() && !unfinished.exists(), "stopped");
        fs::write(&unfinished, "half").unwrap();
        rotated_files.stop.store(false, Ordering::Relaxed);
        // One that ended before it deleted the plain file.
        assert!(compress(&rotated, &whole, &rotated_files.stop).unwrap());
        rotated_files.clean_up().unwrap();
        assert!(!rotated.exists() && !unfinished.exists());
        assert_eq!(text(&whole), "{}\n");

        let rotated = rotate(&path, "{}\n");
        let (_, unfinished) = gzip_names(&rotated);
        fs::write(&unfinished, "half").unwrap();
        self::rotated_files(&path, "").clean_up().unwrap();
        assert!(rotated.exists() && !unfinished.exists(), "nothing is compressed any more");
    }

    #[test]
    fn only_what_is_beyond_keep_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let rotated: Vec<_> = (0..5).map(|_| rotate(&path, "{}\n")).collect();
        let (whole, unfinished) = gzip_names(&rotated[1]);
        // In both forms, and one more that is not whole.
        assert!(compress(&rotated[1], &whole, &AtomicBool::new(false)).unwrap());
        fs::write(&unfinished, "half").unwrap();
        let there = || rotated.iter().map(|path| path.exists()).collect::<Vec<_>>();
        for keep in ["", "keep = 5", "keep = 6"] {
            rotated_files(&path, keep).clean_up().unwrap();
            assert_eq!(there(), [true; 5], "{keep}");
        }
        fs::write(&unfinished, "half").unwrap();
        rotated_files(&path, "keep = 4").clean_up().unwrap();
        assert_eq!(there(), [false, true, true, true, true]);
        fs::write(&unfinished, "half").unwrap();
        rotated_files(&path, "keep = 2").clean_up().unwrap();
        assert_eq!(there(), [false, false, false, true, true]);
        assert!(!whole.exists() && !unfinished.exists());
    }

    /// Such a name leaves no room for `.gz.tmp`, or not even for `.gz`.
    #[test]
    fn files_whose_compressed_name_would_be_too_long_are_deleted_like_others() {
        for length in [216, 219, 222] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("n".repeat(length - ".jsonl".len()) + ".jsonl");
            let rotated: Vec<_> = (0..3).map(|_| rotate(&path, "{}\n")).collect();
            let rotated_files = rotated_files(&path, "keep = 1");
            rotated_files.clean_up().unwrap();
            let there: Vec<_> = rotated.iter().map(|path| path.exists()).collect();
            assert_eq!(there, [false, false, true], "{length}");
            remove_if_there(&gzip_names(&rotated[2]).1).unwrap();
        }
    }

    #[test]
    fn what_the_sink_has_not_rotated_is_left_alone_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let at = |name: &str| folder.path().join(name);
        // Where the compressed form of one that is its own would go.
        let taken = rotate(&path, "{\"own\":1}\n");
        let foreign = [
            at("a-20200102T030405.678Z.jsonl"),
            at("a-20200102T030405.678Z.jsonl.gz"),
            at("a-20200102T030406.678Z.jsonl.gz.tmp"),
            at("a-20200102T030407.678Z-0123abcd.jsonl"),
            at("a-20200102T030407.678Z-0123abcd.jsonl.gz"),
            at("a-20200102T030408.678Z-0123abcd.jsonl.gz.tmp"),
            at("a-mine.jsonl"),
            at("a.jsonl.1"),
            gzip_names(&taken).0,
        ];
        for path in &foreign {
            fs::write(path, "{\"mine\":1}\n").unwrap();
        }
        let own = rotate(&path, "{}\n");
        rotated_files(&path, "keep = 2\ncompress = 'gzip'").clean_up().unwrap();
        for path in &foreign {
            assert_eq!(fs::read_to_string(path).unwrap(), "{\"mine\":1}\n", "{path:?}");
        }
        assert!(taken.exists(), "its place is taken");
        assert!(!own.exists() && gzip_names(&own).0.exists(), "one that fails holds up no other");
    }
}
