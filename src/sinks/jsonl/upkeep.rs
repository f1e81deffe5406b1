//! What is done with rotated files, beside the deliveries: compressing and deleting.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::{Compression, GzBuilder};
use nix::unistd::Gid;

use super::rotation::{Names, gzip_names, sync_folder};
use super::settings::Compress;

/// Compresses and deletes rotated files as the settings say, until all is done or `stop` is
/// set. Interrupted at any point it leaves every line in at least one whole file, and the next
/// run goes on.
///
/// # Errors
/// When a file cannot be compressed or deleted; it stays as it is until the next run.
pub(super) fn tend(
    names: &Names,
    compress: Compress,
    keep: Option<usize>,
    stop: &AtomicBool,
) -> io::Result<()> {
    for unfinished in names.unfinished()? {
        fs::remove_file(unfinished)?;
    }
    // Before compressing: what goes need not be compressed first.
    if let Some(keep) = keep {
        let rotated = names.rotated()?;
        // Counted by name without suffix: an interrupted run may have left one in both forms.
        let mut stamps: Vec<_> = rotated.iter().map(|rotated| rotated.at).collect();
        stamps.dedup();
        let surplus = stamps.len().saturating_sub(keep);
        for gone in rotated.iter().filter(|rotated| stamps[..surplus].contains(&rotated.at)) {
            fs::remove_file(&gone.path)?;
        }
    }
    if compress == Compress::Gzip {
        for rotated in names.rotated()?.iter().filter(|rotated| !rotated.gzip) {
            gzip(&rotated.path, names.folder(), stop)?;
        }
    }
    Ok(())
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
        let names = Names::new(&folder.path().join("a.jsonl"));
        let rotated = folder.path().join("a-20260102T030405.678Z.jsonl");
        let (whole, unfinished) = gzip_names(&rotated);
        fs::write(&rotated, "{}\n").unwrap();
        let go = AtomicBool::new(false);

        tend(&names, Compress::Gzip, None, &AtomicBool::new(true)).unwrap();
        assert!(rotated.exists() && !whole.exists() && !unfinished.exists(), "stopped");
        fs::write(&unfinished, "half").unwrap();
        fs::write(&whole, "of an earlier run that ended before it deleted the plain file").unwrap();
        tend(&names, Compress::Gzip, None, &go).unwrap();
        assert!(!rotated.exists() && !unfinished.exists());
        assert_eq!(text(&whole), "{}\n");
    }

    #[test]
    fn only_what_is_beyond_keep_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::new(&folder.path().join("a.jsonl"));
        for day in 1..=5 {
            let name = format!("a-2026010{day}T030405.678Z.jsonl");
            fs::write(folder.path().join(name), "{}\n").unwrap();
        }
        fs::write(folder.path().join("a-mine.jsonl"), "{}\n").unwrap();
        let go = AtomicBool::new(false);
        tend(&names, Compress::None, None, &go).unwrap();
        assert_eq!(names.rotated().unwrap().len(), 5);
        tend(&names, Compress::None, Some(2), &go).unwrap();
        let left = names.rotated().unwrap();
        assert_eq!(left.len(), 2);
        assert!(left[0].path.ends_with("a-20260104T030405.678Z.jsonl"));
        assert!(folder.path().join("a-mine.jsonl").exists());
    }
}
