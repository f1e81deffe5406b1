//! Rotated files: what they are called, and which of them the sink has written.

use std::path::{Path, PathBuf};
use std::{fs, io};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use flate2::read::GzDecoder;

use super::checkpoint::FileId;
use crate::sinks::OutputPath;

const STAMP: &str = "%Y%m%dT%H%M%S%.3fZ";
const STAMP_LEN: usize = "20260102T030405.678Z".len();
const TAG_LEN: usize = 8;
const GZIP: &str = ".gz";
const UNFINISHED: &str = ".tmp";

/// The names of a sink's files: `sprites.jsonl`, rotated
/// `sprites-20260102T030405.678Z-1a2b3c4d.jsonl`, compressed with `.gz` after it. Names sort by
/// age. The tag at the end fits one file of one sink: a name alone makes no file a sink's own.
#[derive(Clone, Debug)]
pub(super) struct Names {
    sink: String,
    place: OutputPath,
    stem: String,
    extension: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotated {
    pub(super) at: DateTime<Utc>,
    pub(super) path: PathBuf,
    pub(super) gzip: bool,
}

/// What the name of a file says of it.
#[derive(Clone, Copy, Debug)]
struct Claim {
    at: DateTime<Utc>,
    /// Every file that is rotated gets one; earlier versions gave none.
    tag: Option<u32>,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Gzip,
    Unfinished,
}

impl Names {
    /// The names of the files of `sink`, which writes to `path`: they are where that leads to.
    pub(super) fn new(sink: &str, path: &Path) -> Self {
        let place = OutputPath::of(path);
        let part = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned());
        Self {
            sink: sink.to_owned(),
            stem: part(place.path().file_stem()).unwrap_or_default(),
            extension: part(place.path().extension()).map(|e| format!(".{e}")).unwrap_or_default(),
            place,
        }
    }

    /// The file that is written to, itself rather than a link to it.
    pub(super) fn path(&self) -> &Path {
        self.place.path()
    }

    pub(super) fn folder(&self) -> &Path {
        folder_of(self.path())
    }

    /// The files that the sink has rotated, oldest first, and how many others are called like them.
    pub(super) fn rotated(&self) -> io::Result<(Vec<Rotated>, usize)> {
        let claims = self.claims()?.into_iter().filter(|(_, claim)| claim.form != Form::Unfinished);
        let (own, foreign): (Vec<_>, Vec<_>) =
            claims.partition(|(path, claim)| self.is_own(path, *claim));
        let rotated = |(path, claim): (PathBuf, Claim)| Rotated {
            at: claim.at,
            path,
            gzip: claim.form == Form::Gzip,
        };
        let mut rotated: Vec<_> = own.into_iter().map(rotated).collect();
        rotated.sort_by_key(|rotated| (rotated.at, rotated.gzip));
        Ok((rotated, foreign.len()))
    }

    /// The name for a file that is rotated at `now`: later than every one that a file has got, so
    /// that they sort by age even when the clock went back, and taken by none.
    pub(super) fn next(&self, now: DateTime<Utc>, file: FileId) -> io::Result<PathBuf> {
        let tagged = self.claims()?.into_iter().filter(|(_, claim)| claim.tag.is_some());
        let last = tagged.map(|(_, claim)| claim.at + TimeDelta::milliseconds(1)).max();
        let at = last.map_or(now, |earliest| earliest.max(now)).format(STAMP);
        let tag = file.tag(&self.sink);
        let name = format!("{}-{at}-{tag:0TAG_LEN$x}{}", self.stem, self.extension);
        Ok(self.folder().join(name))
    }

    /// The bytes of the longest name that a rotated file gets, compressed or not.
    pub(super) fn longest(&self, is_compressed: bool) -> usize {
        let rotated = self.stem.len() + 1 + STAMP_LEN + 1 + TAG_LEN + self.extension.len();
        rotated + if is_compressed { GZIP.len() + UNFINISHED.len() } else { 0 }
    }

    /// Whether a rotated file could be called so.
    pub(super) fn rotate_to(&self, place: &OutputPath) -> bool {
        let claims = |name: &std::ffi::OsStr| self.claim(name.to_str()?);
        self.place.is_beside(place) && place.name().and_then(claims).is_some()
    }

    /// Whether the sink writes there: to the file itself or to a rotated one.
    pub(super) fn write_to(&self, place: &OutputPath) -> bool {
        self.place.is(place) || self.rotate_to(place)
    }

    fn is_own(&self, path: &Path, claim: Claim) -> bool {
        let identity = match claim.form {
            Form::Plain => plain_identity(path),
            Form::Gzip => gzip_identity(path),
            Form::Unfinished => None,
        };
        claim.tag.is_some() && identity.map(|file| file.tag(&self.sink)) == claim.tag
    }

    fn claims(&self) -> io::Result<Vec<(PathBuf, Claim)>> {
        let entries = fs::read_dir(self.folder())?.collect::<io::Result<Vec<_>>>()?;
        let claim = |entry: &fs::DirEntry| self.claim(entry.file_name().to_str()?);
        Ok(entries.iter().filter_map(|entry| Some((entry.path(), claim(entry)?))).collect())
    }

    fn claim(&self, name: &str) -> Option<Claim> {
        let unfinished = format!("{GZIP}{UNFINISHED}");
        let endings =
            [("", Form::Plain), (GZIP, Form::Gzip), (unfinished.as_str(), Form::Unfinished)];
        let rest = name.strip_prefix(&self.stem)?.strip_prefix('-')?;
        endings.into_iter().find_map(|(ending, form)| {
            let stem = rest.strip_suffix(ending)?.strip_suffix(&self.extension)?;
            let (stamp, tag) = (stem.get(..STAMP_LEN)?, &stem[STAMP_LEN..]);
            let at = NaiveDateTime::parse_from_str(stamp, STAMP).ok()?.and_utc();
            let tag = match tag.strip_prefix('-') {
                Some(tag) if tag.len() == TAG_LEN => Some(u32::from_str_radix(tag, 16).ok()?),
                None if tag.is_empty() => None,
                _ => return None,
            };
            Some(Claim { at, tag, form })
        })
    }
}

fn plain_identity(path: &Path) -> Option<FileId> {
    let about = fs::symlink_metadata(path).ok()?;
    about.is_file().then(|| FileId::of(&about))
}

/// Of the file that was compressed into this one: its header says.
pub(super) fn gzip_identity(path: &Path) -> Option<FileId> {
    plain_identity(path)?;
    let decoder = GzDecoder::new(fs::File::open(path).ok()?);
    identity_in(decoder.header()?.comment()?)
}

/// What [`FileId`] wrote into the header of a compressed file.
pub(super) fn identity_in(comment: &[u8]) -> Option<FileId> {
    std::str::from_utf8(comment).ok()?.parse().ok()
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

/// Whether `place` is called like the files that are rotated from `path`. Blocks on the file
/// system.
pub(super) fn is_rotated(path: &Path, place: &OutputPath) -> bool {
    Names::new("", path).rotate_to(place)
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-01-02T03:04:05.678Z".parse().unwrap()
    }

    /// Makes a file and rotates it.
    fn rotate(names: &Names) -> PathBuf {
        fs::write(names.path(), "{}\n").unwrap();
        let file = plain_identity(names.path()).unwrap();
        let next = names.next(now(), file).unwrap();
        fs::rename(names.path(), &next).unwrap();
        next
    }

    fn is_named(path: &Path, stamp: &str) -> bool {
        let name = path.file_name().unwrap().to_str().unwrap();
        let tag = name.strip_prefix(stamp).unwrap().strip_suffix(".jsonl").unwrap();
        tag.len() == TAG_LEN && tag.chars().all(|c| c.is_ascii_hexdigit())
    }

    #[test]
    fn rotated_names_sort_by_age_and_are_never_taken() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::new("a", &folder.path().join("sprites.jsonl"));
        let first = rotate(&names);
        assert!(is_named(&first, "sprites-20260102T030405.678Z-"), "{first:?}");
        let file = plain_identity(&first).unwrap();
        let second = names.next(now() - TimeDelta::hours(1), file).unwrap();
        assert!(is_named(&second, "sprites-20260102T030405.679Z-"), "{second:?}");
        fs::rename(&first, gzip_names(&first).0).unwrap();
        assert_eq!(names.next(now(), file).unwrap(), second, "a compressed name is taken as well");
        fs::write(folder.path().join("sprites-20990102T030405.678Z.jsonl"), "").unwrap();
        assert_eq!(names.next(now(), file).unwrap(), second, "one of others moves no date");
    }

    #[test]
    fn a_name_makes_no_file_the_sinks_own() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let names = Names::new("a", &at("a.jsonl"));
        let own = [rotate(&names), rotate(&names), rotate(&names)];
        for name in [
            "a-20260102T030405.678Z.jsonl.gz",
            "a-20260102T030405.677Z.jsonl",
            "a-20260102T030405.677Z-0123abcd.jsonl",
            "a-20260102T030405.677Z-0123abcd.jsonl.gz",
            "a-2026.jsonl",
            "b-20260102T030405.678Z.jsonl",
            "a.jsonl",
            "a.jsonl.1",
            "a.jsonl-20260101.gz",
        ] {
            fs::write(at(name), "{}\n").unwrap();
        }
        // One of them under the name of another, a copy, a link, a folder, and what another sink
        // rotated at the same path.
        let name = own[0].to_str().unwrap().to_owned();
        let later = name.replace("05.678", "06.678");
        fs::copy(&own[0], &later).unwrap();
        symlink(&own[0], name.replace("05.678", "07.678")).unwrap();
        fs::create_dir(name.replace("05.678", "08.678")).unwrap();
        fs::rename(&own[2], own[1].to_str().unwrap().replace("05.679", "09.679")).unwrap();
        rotate(&Names::new("b", &at("a.jsonl")));
        let (rotated, foreign) = names.rotated().unwrap();
        let paths: Vec<_> = rotated.into_iter().map(|rotated| rotated.path).collect();
        assert_eq!(paths, own[..2]);
        assert_eq!(foreign, 9);
    }

    #[test]
    fn the_names_of_rotated_files_are_known_before_there_are_any() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| OutputPath::of(&folder.path().join(name));
        let is_one =
            |of: &str, name: &str| Names::new("", &folder.path().join(of)).rotate_to(&at(name));
        for stem in ["a-20260102T030405.678Z", "a-20260102T030405.678Z-0123abcd"] {
            for ending in ["", ".gz", ".gz.tmp"] {
                assert!(is_one("a.jsonl", &format!("{stem}.jsonl{ending}")), "{stem} {ending}");
                assert!(is_one("a", &format!("{stem}{ending}")), "{stem} {ending}");
                assert!(is_one("a.gz", &format!("{stem}.gz{ending}")), "{stem} {ending}");
            }
        }
        for other in [
            "a.jsonl",
            "a-.jsonl",
            "a-20260102.jsonl",
            "a-20260102T030405.678Z",
            "a-20260102T030405.678Z.json",
            "a-20261302T030405.678Z.jsonl",
            "a-20260102T030405.678Z-x.jsonl",
            "a-20260102T030405.678Z-0123abcd-.jsonl",
            "a-b-20260102T030405.678Z.jsonl",
            "none/a-20260102T030405.678Z.jsonl",
        ] {
            assert!(!is_one("a.jsonl", other), "{other}");
        }
    }
}
