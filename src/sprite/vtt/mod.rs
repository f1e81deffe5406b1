//! A WebVTT index of thumbnails, read however it is written.

use std::collections::BTreeSet;

mod index;
mod lines;
mod oddity;
mod payload;
mod reader;
mod time;

pub use self::index::{Area, Cue, Index, MAX_CUES, MAX_TEXT_BYTES, NotAnIndex};
pub(super) use self::oddity::Oddity;
use self::reader::Reader;

/// Reads an index of thumbnails, in time linear in its length.
///
/// # Errors
///
/// If it is no WebVTT, has no cue that can be used, or exceeds [`MAX_CUES`] or [`MAX_TEXT_BYTES`].
pub fn parse(bytes: &[u8]) -> Result<Index, NotAnIndex> {
    parse_with_oddities(bytes).map(|(index, _)| index)
}

/// Reads an index, and in what its text is odd.
pub(super) fn parse_with_oddities(bytes: &[u8]) -> Result<(Index, BTreeSet<Oddity>), NotAnIndex> {
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(NotAnIndex::TooLong);
    }
    let mut reader = Reader::of(bytes);
    reader.header().map_err(|error| other_kind(bytes).unwrap_or(error))?;
    while reader.block()? {}
    reader.finish()
}

/// What kind of file it is that is no WebVTT.
fn other_kind(bytes: &[u8]) -> Option<NotAnIndex> {
    let text = bytes.trim_ascii_start();
    let beginning = text[..text.len().min(512)].to_ascii_lowercase();
    let has = |needle| memchr::memmem::find(&beginning, needle).is_some();
    let kind = match &beginning[..] {
        [] => return Some(NotAnIndex::Empty),
        [b'<', ..] if has(b"<html") || has(b"<!doctype html") => "HTML",
        [b'<', ..] => "XML",
        [b'{' | b'[', ..] => "JSON",
        [b'#', b'e', b'x', b't', ..] => "an HLS playlist",
        [0xff, 0xd8, 0xff, ..] | [0x89, b'p', b'n', b'g', ..] | [b'g', b'i', b'f', b'8', ..] => {
            "an image"
        }
        [b'r', b'i', b'f', b'f', ..] => "an image",
        [0x1f, 0x8b, ..] => "compressed",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "text in UTF-16",
        _ => return None,
    };
    Some(NotAnIndex::OtherKind(kind))
}
