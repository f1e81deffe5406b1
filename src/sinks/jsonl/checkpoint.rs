//! How far everything is recorded.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::file_id::FileId;

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
}
