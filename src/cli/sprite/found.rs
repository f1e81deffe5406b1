//! A sprite as it was found, wherever that was.

use std::path::{Path, PathBuf};

use reqwest::Url;
use tempfile::TempPath;

use crate::sprite::{SheetImage, Verified, write_vtt};

/// A sprite as it was found.
pub(super) struct FoundSprite {
    /// Where its index is, for people.
    pub(super) source: String,
    /// The URL of the index, if it has one.
    pub(super) url: Option<Url>,
    /// The index; none if it did not come.
    pub(super) index: Option<Vec<u8>>,
    /// What it holds, or why that could not be found out.
    pub(super) content: Result<SpriteContent, String>,
}

/// What a sprite holds.
pub(super) struct SpriteContent {
    pub(super) verified: Verified,
    /// In the order in which the tiles count them. Empty where the text alone was checked.
    pub(super) sheets: Vec<FoundSheet>,
    /// The sheets as the index names them, or as they are to be named in its place.
    pub(super) names: Vec<String>,
}

/// A sheet that was looked at.
pub(super) struct FoundSheet {
    /// Its URL, if it has one.
    pub(super) url: Option<Url>,
    pub(super) file: SheetFile,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
    pub(super) image: SheetImage,
}

/// Where the bytes of a sheet are.
pub(super) enum SheetFile {
    Temporary(TempPath),
    Own(PathBuf),
}

impl SheetFile {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Temporary(path) => path,
            Self::Own(path) => path,
        }
    }
}

impl FoundSheet {
    /// The name that it has where it is kept: nothing of a remote name is in it.
    pub(super) fn kept_name(&self, number: usize) -> String {
        format!("{number}.{}", self.image.format.extension())
    }

    pub(super) fn sha256_hex(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl SpriteContent {
    /// The index in the spelling that every player reads, with the sheets named as they are.
    pub(super) fn rewritten(&self) -> String {
        write_vtt(&self.verified.tiles, &self.names)
    }

    /// The same, with the names that the sheets have where they are kept.
    pub(super) fn rewritten_as_kept(&self) -> String {
        let kept: Vec<_> = self.sheets.iter().enumerate().map(|(n, it)| it.kept_name(n)).collect();
        write_vtt(&self.verified.tiles, if kept.is_empty() { &self.names } else { &kept })
    }

    /// How many tiles each sheet has.
    pub(super) fn tiles_of(&self, sheet: usize) -> usize {
        self.verified.tiles.iter().filter(|tile| tile.sheet == sheet).count()
    }
}
