//! What is done with rotated files, beside the deliveries: compressing and deleting.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::{Compression, GzBuilder};
use nix::unistd::Gid;
use tokio::task::spawn_blocking;

use super::rotation::{Names, gzip_names, sync_folder};
use super::settings::{Compress, Settings};

/// The care for the rotated files of one sink. Holds nothing of the file that is written to,
/// so that its lock does not wait for a compression.
#[derive(Debug)]
pub(super) struct Upkeep {
    sink: String,
    names: Names,
    compress: Compress,
    keep: Option<usize>,
    work: Mutex<Work>,
    stop: AtomicBool,
}

/// How far the work is: at most one run at a time, and none is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Due,
    Running,
    RunningAndDue,
    Idle,
}

impl Upkeep {
    /// Due at once: an earlier process may have been interrupted.
    pub(super) fn new(sink: &str, names: &Names, settings: &Settings) -> Self {
        Self {
            sink: sink.to_owned(),
            names: names.clone(),
            compress: settings.compress,
            keep: settings.keep,
            work: Mutex::new(Work::Due),
            stop: AtomicBool::new(false),
        }
    }

    /// There is a new rotated file.
    pub(super) fn ask(&self) {
        let mut work = self.work();
        *work = match *work {
            Work::Due | Work::Idle => Work::Due,
            Work::Running | Work::RunningAndDue => Work::RunningAndDue,
        };
    }

    /// Starts the work if it is due, beside the deliveries. One that is under way does what has
    /// become due since as well.
    pub(super) fn start(self: &Arc<Self>) {
        let mut work = self.work();
        if *work == Work::Due {
            *work = Work::Running;
            let upkeep = Arc::clone(self);
            // Nothing to wait for: `work` tells when it is over, and `stop` ends it.
            drop(spawn_blocking(move || upkeep.run()));
        }
    }

    fn run(&self) {
        loop {
            if let Err(error) = self.tend() {
                let (sink, folder) = (&self.sink, self.names.folder().display());
                tracing::warn!(sink, %error, %folder, "cannot tend to rotated files");
            }
            let mut work = self.work();
            if *work == Work::Running {
                *work = Work::Idle;
                return;
            }
            *work = Work::Running;
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the work soon, whatever is left of it.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Deletes and compresses rotated files as the settings say. Interrupted at any point it
    /// leaves every line in at least one whole file, and the next run goes on.
    fn tend(&self) -> io::Result<()> {
        for unfinished in self.names.unfinished()? {
            fs::remove_file(unfinished)?;
        }
        // Before compressing: what goes need not be compressed first.
        if let Some(keep) = self.keep {
            let rotated = self.names.rotated()?;
            // Counted by time: an interrupted run may have left one in both forms.
            let mut times: Vec<_> = rotated.iter().map(|rotated| rotated.at).collect();
            times.dedup();
            let surplus = times.len().saturating_sub(keep);
            for gone in rotated.iter().filter(|rotated| times[..surplus].contains(&rotated.at)) {
                fs::remove_file(&gone.path)?;
            }
        }
        if self.compress == Compress::Gzip {
            for rotated in self.names.rotated()?.iter().filter(|rotated| !rotated.gzip) {
                gzip(&rotated.path, self.names.folder(), &self.stop)?;
            }
        }
        Ok(())
    }
}

/// Replaces a file by its compressed form. The new one gets its name only when it is whole and
/// on disk, the old one goes only after that.
fn gzip(path: &Path, folder: &Path, stop: &AtomicBool) -> io::Result<()> {
    let (whole, unfinished) = gzip_names(path);
    let made = compress(path, &unfinished, stop);
    if !matches!(made, Ok(true)) {
        if let Err(error) = fs::remove_file(&unfinished)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, file = %unfinished.display(), "cannot remove a leftover");
        }
        return made.map(drop);
    }
    fs::rename(&unfinished, &whole)?;
    sync_folder(folder)?;
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
    // The inode lets a mark that was made in the file be found again in its compressed form.
    let mut encoder =
        GzBuilder::new().comment(about.ino().to_string()).write(target, Compression::default());
    let mut chunk = vec![0; 64 * 1024];
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match source.read(&mut chunk)? {
            0 => break,
            read => encoder.write_all(&chunk[..read])?,
        }
    }
    let target = encoder.finish()?;
    target.set_modified(about.modified()?)?;
    target.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upkeep(path: &Path, more: &str) -> Upkeep {
        let settings = toml::from_str(&format!("path = {path:?}\n{more}")).unwrap();
        Upkeep::new("a", &Names::new(path), &settings)
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
        let upkeep = upkeep(&folder.path().join("a.jsonl"), "compress = 'gzip'");
        let rotated = folder.path().join("a-20260102T030405.678Z.jsonl");
        let (whole, unfinished) = gzip_names(&rotated);
        fs::write(&rotated, "{}\n").unwrap();

        upkeep.stop();
        upkeep.tend().unwrap();
        assert!(rotated.exists() && !whole.exists() && !unfinished.exists(), "stopped");
        fs::write(&unfinished, "half").unwrap();
        fs::write(&whole, "of an earlier run that ended before it deleted the plain file").unwrap();
        upkeep.stop.store(false, Ordering::Relaxed);
        upkeep.tend().unwrap();
        assert!(!rotated.exists() && !unfinished.exists());
        assert_eq!(text(&whole), "{}\n");
    }

    #[test]
    fn only_what_is_beyond_keep_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let names = Names::new(&path);
        for day in 1..=5 {
            let name = format!("a-2026010{day}T030405.678Z.jsonl");
            fs::write(folder.path().join(name), "{}\n").unwrap();
        }
        fs::write(folder.path().join("a-mine.jsonl"), "{}\n").unwrap();
        upkeep(&path, "").tend().unwrap();
        assert_eq!(names.rotated().unwrap().len(), 5);
        upkeep(&path, "keep = 2").tend().unwrap();
        let left = names.rotated().unwrap();
        assert_eq!(left.len(), 2);
        assert!(left[0].path.ends_with("a-20260104T030405.678Z.jsonl"));
        assert!(folder.path().join("a-mine.jsonl").exists());
    }
}
