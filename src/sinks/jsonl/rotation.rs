//! Rotated files: what they are called, and which there are.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

const STAMP: &str = "%Y%m%dT%H%M%S%.3fZ";
const STAMP_LEN: usize = "20260102T030405.678Z".len();
const GZIP: &str = ".gz";
const UNFINISHED: &str = ".tmp";

/// The names of a sink's files: `sprites.jsonl`, rotated `sprites-20260102T030405.678Z.jsonl`,
/// compressed with `.gz` after it. Names sort by age.
#[derive(Clone, Debug)]
pub(super) struct Names {
    path: PathBuf,
    stem: String,
    extension: String,
}

/// A file that was rotated away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotated {
    pub(super) at: DateTime<Utc>,
    pub(super) path: PathBuf,
    pub(super) gzip: bool,
}

impl Names {
    pub(super) fn new(path: &Path) -> Self {
        let part = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned());
        Self {
            path: path.to_owned(),
            stem: part(path.file_stem()).unwrap_or_default(),
            extension: part(path.extension()).map(|e| format!(".{e}")).unwrap_or_default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The files of its own that were rotated away, oldest first.
    pub(super) fn rotated(&self) -> io::Result<Vec<Rotated>> {
        let mut rotated: Vec<_> = self
            .neighbours()?
            .filter_map(|(name, path)| {
                let gzip = name.ends_with(GZIP);
                let at = self.stamp(name.strip_suffix(GZIP).unwrap_or(&name))?;
                Some(Rotated { at, path, gzip })
            })
            .collect();
        rotated.sort_by_key(|rotated| (rotated.at, rotated.gzip));
        Ok(rotated)
    }

    /// All files that may hold earlier lines, oldest first: its own, and those that another
    /// program has rotated to a name that goes on after this one's.
    pub(super) fn earlier(&self) -> io::Result<Vec<Rotated>> {
        let current = format!("{}{}", self.stem, self.extension);
        let mut earlier = self.rotated()?;
        for (name, path) in self.neighbours()? {
            let outside =
                name.strip_prefix(&current).is_some_and(|rest| rest.starts_with(['.', '-']));
            if !outside || name.ends_with(UNFINISHED) || earlier.iter().any(|r| r.path == path) {
                continue;
            }
            if let Ok(about) = fs::metadata(&path)
                && about.is_file()
            {
                let at = about.modified().unwrap_or(SystemTime::UNIX_EPOCH).into();
                earlier.push(Rotated { at, gzip: name.ends_with(GZIP), path });
            }
        }
        earlier.sort_by_key(|rotated| rotated.at);
        Ok(earlier)
    }

    /// Compressed files whose making was interrupted.
    pub(super) fn unfinished(&self) -> io::Result<Vec<PathBuf>> {
        let is_own = |name: &str| {
            let plain = name.strip_suffix(UNFINISHED)?.strip_suffix(GZIP)?;
            self.stamp(plain)
        };
        Ok(self.neighbours()?.filter(|(name, _)| is_own(name).is_some()).map(|(_, p)| p).collect())
    }

    /// The name for a file that is rotated at `now`: later than every one there is, so that
    /// they sort by age even when the clock went back, and taken by none.
    pub(super) fn next(&self, now: DateTime<Utc>) -> io::Result<PathBuf> {
        let last = self.rotated()?.last().map(|last| last.at + TimeDelta::milliseconds(1));
        let at = last.map_or(now, |earliest| earliest.max(now));
        let name = format!("{}-{}{}", self.stem, at.format(STAMP), self.extension);
        Ok(self.folder().join(name))
    }

    /// When the file of that name was rotated; `None` for every other name.
    fn stamp(&self, name: &str) -> Option<DateTime<Utc>> {
        let stamp = name
            .strip_prefix(&self.stem)?
            .strip_prefix('-')?
            .strip_suffix(&self.extension)
            .filter(|stamp| stamp.len() == STAMP_LEN)?;
        NaiveDateTime::parse_from_str(stamp, STAMP).ok().map(|at| at.and_utc())
    }

    fn neighbours(&self) -> io::Result<impl Iterator<Item = (String, PathBuf)>> {
        let entries = fs::read_dir(self.folder())?.collect::<io::Result<Vec<_>>>()?;
        Ok(entries
            .into_iter()
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))))
    }
}

/// The name of the compressed file made of a rotated one, and the name it has until it is whole.
pub(super) fn gzip_names(rotated: &Path) -> (PathBuf, PathBuf) {
    let with = |suffix: &str| {
        let mut name = rotated.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    (with(GZIP), with(&format!("{GZIP}{UNFINISHED}")))
}

/// Makes the names in a folder last.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Which file this is, whatever it is called.
pub(super) fn identity(about: &fs::Metadata) -> (u64, u64) {
    (about.dev(), about.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_sort_by_age_and_are_never_taken() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::new(&folder.path().join("sprites.jsonl"));
        let now: DateTime<Utc> = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let first = names.next(now).unwrap();
        assert!(first.ends_with("sprites-20260102T030405.678Z.jsonl"));
        fs::write(&first, "").unwrap();
        let second = names.next(now - TimeDelta::hours(1)).unwrap();
        assert!(second.ends_with("sprites-20260102T030405.679Z.jsonl"), "{second:?}");
        fs::rename(&first, gzip_names(&first).0).unwrap();
        assert_eq!(names.next(now).unwrap(), second, "a compressed name is taken as well");
        assert!(first < second);
    }

    #[test]
    fn only_its_own_files_are_rotated_ones() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::new(&folder.path().join("a.jsonl"));
        for name in [
            "a-20260102T030405.678Z.jsonl.gz",
            "a-20260102T030405.677Z.jsonl",
            "a-20260102T030405.676Z.jsonl.gz.tmp",
            "a-2026.jsonl",
            "b-20260102T030405.678Z.jsonl",
            "a.jsonl",
            "a.jsonl.1",
            "a.jsonl-20260101.gz",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let rotated = names.rotated().unwrap();
        assert_eq!(rotated.iter().map(|r| r.gzip).collect::<Vec<_>>(), [false, true]);
        assert_eq!(names.unfinished().unwrap().len(), 1);
        assert_eq!(names.earlier().unwrap().len(), 4, "with those rotated from outside");
    }
}
