//! Which file it is, whatever it is called.

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

#[cfg(test)]
mod tests {
    use super::*;

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
