//! Which file it is, whatever it is called, and how far everything in it is recorded.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use sha2::{Digest as _, Sha256};

/// A file within its file system: its number, and when it was made, since a new file can get the
/// number of a deleted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    inode: u64,
    /// In nanoseconds of Unix time; 0 where the file system does not know.
    born: u64,
}

impl FileId {
    pub(super) fn of(about: &Metadata) -> Self {
        let born = about.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|since| u64::try_from(since.as_nanos()).ok());
        Self { inode: about.ino(), born: born.unwrap_or_default() }
    }

    /// By its number alone, as earlier versions recorded it.
    pub(super) fn numbered(inode: u64) -> Self {
        Self { inode, born: 0 }
    }

    /// Whether no other file was ever like it.
    pub(super) fn is_certain(self) -> bool {
        self.born != 0
    }

    /// Whether a file of this identity may be the one that was recorded as `recorded`: for certain,
    /// if that one is.
    pub(super) fn may_be(self, recorded: Self) -> bool {
        self.inode == recorded.inode && (self.born == recorded.born || !recorded.is_certain())
    }

    /// What a sink puts into the name of a file that it rotates: it fits neither another file nor
    /// another sink.
    pub(super) fn tag(self, sink: &str) -> u32 {
        let sum = Sha256::digest(format!("{sink}:{self}"));
        sum.iter().take(4).fold(0, |tag, byte| tag << 8 | u32::from(*byte))
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.inode, self.born)
    }
}

impl FromStr for FileId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (inode, born) = text.split_once(':').ok_or(())?;
        Ok(Self { inode: inode.parse().map_err(drop)?, born: born.parse().map_err(drop)? })
    }
}

/// A place in a file up to which everything is recorded: the file, the offset, and the line that
/// stands right before it, since a file can be emptied and filled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) file: FileId,
    offset: u64,
    line_len: u64,
    line_hash: u64,
}

impl Checkpoint {
    /// The checkpoint at `offset`, right after the last of `lines`.
    pub(super) fn new(file: FileId, offset: u64, lines: &[u8]) -> Self {
        let whole = lines.strip_suffix(b"\n").unwrap_or(lines);
        let start = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = &lines[start..];
        Self { file, offset, line_len: line.len() as u64, line_hash: hash(Sha256::digest(line)) }
    }

    /// Where the line before it begins, and how long that is; `None` for what is no place.
    pub(super) fn line(&self) -> Option<(u64, u64)> {
        Some((self.offset.checked_sub(self.line_len)?, self.line_len))
    }

    /// Whether the line before it sums up to this.
    pub(super) fn follows(&self, line: Sha256) -> bool {
        hash(line.finalize()) == self.line_hash
    }
}

/// Enough of a digest to tell one line from another.
fn hash(digest: impl AsRef<[u8]>) -> u64 {
    digest.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, line_len, line_hash } = self;
        write!(f, "{file}:{offset}:{line_len}:{line_hash:016x}")
    }
}

impl FromStr for Checkpoint {
    type Err = ();

    /// Reads a checkpoint of 0.1 as well, which knows the file by its number alone.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.rsplitn(4, ':');
        let mut next = || parts.next().ok_or(());
        let line_hash = u64::from_str_radix(next()?, 16).map_err(drop)?;
        let line_len = next()?.parse().map_err(drop)?;
        let offset = next()?.parse().map_err(drop)?;
        let file = next()?;
        let numbered = || file.parse().map(FileId::numbered).map_err(drop);
        let file = file.parse().or_else(|()| numbered())?;
        Ok(Self { file, offset, line_len, line_hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_text_and_back() {
        let checkpoint = Checkpoint::new("7:18446744073709551615".parse().unwrap(), 12, b"{}\n");
        assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
        assert_eq!(checkpoint.line(), Some((9, 3)));
        let of_an_earlier_version = Checkpoint { file: FileId::numbered(7), ..checkpoint };
        assert_eq!(
            checkpoint.to_string().replacen(":18446744073709551615", "", 1).parse(),
            Ok(of_an_earlier_version)
        );
        for text in ["", "1:2", "1:2:3:4:5:6", "x:2:3:00000000", "1:-2:3:0", "1:2:3:x"] {
            assert_eq!(text.parse::<Checkpoint>(), Err(()), "{text}");
        }
    }

    #[test]
    fn a_number_that_is_given_again_is_another_file() {
        let of = |inode, born| FileId { inode, born };
        assert!(of(1, 2).may_be(of(1, 2)));
        assert!(!of(1, 3).may_be(of(1, 2)) && !of(2, 2).may_be(of(1, 2)));
        assert!(!of(1, 0).may_be(of(1, 2)), "a file whose birth is unknown proves nothing");
        assert!(of(1, 2).may_be(FileId::numbered(1)) && !FileId::numbered(1).is_certain());
    }

    #[test]
    fn a_tag_fits_one_file_of_one_sink() {
        let tag = |inode, born, sink| FileId { inode, born }.tag(sink);
        let tags = [tag(1, 2, "a"), tag(1, 2, "b"), tag(1, 3, "a"), tag(12, 0, "a")];
        assert!((1..4).all(|at| !tags[..at].contains(&tags[at])), "{tags:?}");
        assert_eq!(tags[0], tag(1, 2, "a"));
    }

    #[test]
    fn an_identity_is_text_and_back() {
        let file = FileId { inode: u64::MAX, born: 7 };
        assert_eq!(file.to_string().parse(), Ok(file));
        for text in ["", "1", "1:", ":1", "1:2:3", "-1:2"] {
            assert_eq!(text.parse::<FileId>(), Err(()), "{text}");
        }
    }
}
