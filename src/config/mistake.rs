//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong with the file, in words that say what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands; `None` if it is about the file as a whole.
    pub place: Option<Location>,
    /// What is wrong. Never holds a secret.
    pub message: String,
}

/// A place in the file, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Location {
    /// Where the byte at `offset` of `text` stands.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).map_or(0, |part| part.chars().count()) + 1;
        Self { line, column }
    }
}

/// A mistake together with its file: `sprited.toml:12: unknown key …`.
#[derive(Clone, Copy, Debug)]
pub struct Located<'p>(pub &'p Path, pub &'p Mistake);

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(file, Mistake { place, message }) = self;
        match place {
            Some(place) => write!(f, "{}:{}: {message}", file.display(), place.line),
            None => write!(f, "{}: {message}", file.display()),
        }
    }
}

/// A configuration that cannot be used: everything that is wrong with it, by line.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors {
    /// The file it was read from.
    pub file: PathBuf,
    /// The mistakes; at least one.
    pub mistakes: Vec<Mistake>,
    /// Warnings, which alone would not keep it from being used.
    pub warnings: Vec<Mistake>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            Located(&self.file, mistake).fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        let text = "a = 1\n# ä\nbü = 2\n";
        let at = text.find('2').unwrap();
        assert_eq!(Location::of(text, at), Location { line: 3, column: 6 });
        assert_eq!(Location::of(text, 0), Location { line: 1, column: 1 });
        assert_eq!(Location::of(text, 9_999).line, 4);
    }
}
