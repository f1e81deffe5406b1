//! What image a sheet is, by its bytes: neither names nor Content-Types are believed.

use std::io::{self, Read, Seek, SeekFrom};

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

    /// Its name, for a person.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Webp => "WebP",
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
pub fn look_at(mut reader: impl Read + Seek, length: u64) -> Result<SheetImage, NotASheet> {
    if length == 0 {
        return Err(NotASheet::Empty);
    }
    let mut head = Vec::new();
    reader.seek(SeekFrom::Start(0))?;
    reader.by_ref().take(MAX_HEAD.min(length)).read_to_end(&mut head)?;
    let mut tail = Vec::new();
    reader.seek(SeekFrom::Start(length.saturating_sub(MAX_TAIL)))?;
    reader.take(MAX_TAIL.min(length)).read_to_end(&mut tail)?;
    let format = format_of(&head)?;
    check_end(format, &head, &tail, length)?;
    // In memory: a header of a million markers costs no million system calls.
    let size = imagesize::blob_size(&head).map_err(|_| NotASheet::NoSize(format.name()))?;
    let side = |side: usize| u32::try_from(side).ok().filter(|side| *side > 0);
    let (Some(width), Some(height)) = (side(size.width), side(size.height)) else {
        return Err(NotASheet::NoSize(format.name()));
    };
    Ok(SheetImage { format, width, height })
}

/// How much of a file's beginning is read: profiles and comments may precede the size of a JPEG.
const MAX_HEAD: u64 = 1 << 20;

/// How far from the end of a file the end of its image may be: some writers pad it.
const MAX_TAIL: u64 = 1 << 10;

fn format_of(head: &[u8]) -> Result<SheetFormat, NotASheet> {
    let brand =
        || head.get(4..12).filter(|_| head.get(4..8) == Some(b"ftyp")).map(|box_| &box_[4..]);
    Err(match head {
        [0xff, 0xd8, 0xff, ..] => return Ok(SheetFormat::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => return Ok(SheetFormat::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            return Ok(SheetFormat::Webp);
        }
        [b'G', b'I', b'F', b'8', ..] => NotASheet::OtherFormat("a GIF"),
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => NotASheet::OtherFormat("a BMP"),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => NotASheet::OtherFormat("a TIFF"),
        [0x1f, 0x8b, ..] => NotASheet::Text("compressed"),
        _ if brand().is_some_and(|brand| brand.starts_with(b"avi")) => {
            NotASheet::OtherFormat("an AVIF")
        }
        _ if brand().is_some_and(is_heic) => NotASheet::OtherFormat("a HEIC"),
        _ if brand().is_some() => NotASheet::OtherFormat("a video"),
        _ => text_of(head),
    })
}

fn is_heic(brand: &[u8]) -> bool {
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"].iter().any(|own| brand == *own)
}

/// What text it is, if it is one.
fn text_of(head: &[u8]) -> NotASheet {
    let head = head[..head.len().min(1024)].to_ascii_lowercase();
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
    let has = |needle| memchr::memmem::find(head, needle).is_some();
    match head {
        [b'<', ..] if has(b"<html") || has(b"<!doctype html") => NotASheet::Text("HTML"),
        [b'<', ..] if has(b"<svg") => NotASheet::OtherFormat("an SVG"),
        [b'<', ..] => NotASheet::Text("XML"),
        [b'{' | b'[', ..] => NotASheet::Text("JSON"),
        [b'w', b'e', b'b', b'v', b't', b't', ..] => NotASheet::Text("WebVTT"),
        _ => NotASheet::Unknown,
    }
}

/// Checks that the file is whole, by the mark at the end of its image.
fn check_end(format: SheetFormat, head: &[u8], tail: &[u8], length: u64) -> Result<(), NotASheet> {
    let has = |mark: &[u8]| memchr::memmem::rfind(tail, mark).is_some();
    let (is_whole, missing) = match format {
        // In the data of an image 0 follows each 0xff.
        SheetFormat::Jpeg => (has(b"\xff\xd9"), "it has no end mark"),
        SheetFormat::Png => (has(b"\0\0\0\0IEND\xae\x42\x60\x82"), "it has no end mark"),
        SheetFormat::Webp => {
            let size = head.get(4..8).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes);
            let is_whole = size.is_some_and(|size| u64::from(size) + 8 <= length);
            (is_whole, "it is shorter than it says")
        }
    };
    if is_whole { Ok(()) } else { Err(NotASheet::CutOff(format.name(), missing)) }
}
