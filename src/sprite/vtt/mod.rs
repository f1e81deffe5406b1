//! A WebVTT index of thumbnails, read however it is written.

use thiserror::Error;

use super::finding::Finding;

/// How many cues an index may have.
pub const MAX_CUES: usize = 20_000;

/// How many bytes the text of an index may have.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// What an index says, before its sheets are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// Its cues, in the order of the text; at least one, at most [`MAX_CUES`]. Their times may be in
    /// any order.
    pub cues: Vec<Cue>,
    /// What is wrong with the text.
    pub findings: Vec<Finding>,
}

/// One cue: which part of which sheet shows a span of the medium.
#[derive(Clone, Debug, PartialEq)]
pub struct Cue {
    /// When it starts, in milliseconds.
    pub start: u64,
    /// When it ends, in milliseconds; may be before its start.
    pub end: u64,
    /// How the text names the sheet: a file name, a path or a URL, without its `xywh`. Foreign text.
    pub name: String,
    /// The part of the sheet.
    pub area: Area,
}

/// A part of a sheet, as an index writes it. It may lie outside the sheet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// The whole sheet, since nothing else is said.
    Whole,
    /// A rectangle in pixels; none of its sides is 0.
    Pixels {
        /// From the left.
        x: u32,
        /// From the top.
        y: u32,
        /// To the right of `x`.
        width: u32,
        /// Below `y`.
        height: u32,
    },
    /// A rectangle in hundredths of the sheet's sides; none of its sides is 0.
    Percent {
        /// From the left.
        x: f64,
        /// From the top.
        y: f64,
        /// To the right of `x`.
        width: f64,
        /// Below `y`.
        height: f64,
    },
}

/// Why a text is no index of thumbnails, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotAnIndex {
    /// There is nothing.
    #[error("the file is empty")]
    Empty,
    /// It is another kind of file.
    #[error("it is {0}, not WebVTT")]
    OtherKind(&'static str),
    /// It does not begin as an index does.
    #[error("it does not begin with WEBVTT")]
    NoHeader,
    /// It has no cue.
    #[error("no cues")]
    NoCues,
    /// It has cues, of which none can be used; the text says why of the first one.
    #[error("no cue can be used: {0}")]
    NoUsableCue(String),
    /// It has more cues than [`MAX_CUES`].
    #[error("it has more than {MAX_CUES} cues")]
    TooManyCues,
    /// It is longer than [`MAX_TEXT_BYTES`].
    #[error("it is longer than 4 MiB")]
    TooLong,
}

/// Reads an index of thumbnails, in time linear in its length.
///
/// # Errors
///
/// If it is no WebVTT, has no cue that can be used, or exceeds [`MAX_CUES`] or [`MAX_TEXT_BYTES`].
pub fn parse(bytes: &[u8]) -> Result<Index, NotAnIndex> {
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(NotAnIndex::TooLong);
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    if !text.starts_with("WEBVTT") {
        return Err(if text.is_empty() { NotAnIndex::Empty } else { NotAnIndex::NoHeader });
    }
    let mut cues = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((start, end)) = line.split_once(" --> ") else { continue };
        let (Some(start), Some(end)) = (time(start), time(end)) else { continue };
        let Some((name, area)) = lines.next().and_then(|line| line.split_once("#xywh=")) else {
            continue;
        };
        let sides: Vec<u32> = area.split(',').filter_map(|side| side.parse().ok()).collect();
        let [x, y, width, height] = sides[..] else { continue };
        let area = Area::Pixels { x, y, width, height };
        cues.push(Cue { start, end, name: name.to_owned(), area });
    }
    if cues.is_empty() {
        return Err(NotAnIndex::NoCues);
    }
    Ok(Index { cues, findings: Vec::new() })
}

fn time(text: &str) -> Option<u64> {
    let (whole, millis) = text.trim().split_once('.')?;
    let parts: Vec<u64> = whole.split(':').filter_map(|part| part.parse().ok()).collect();
    let seconds = parts.iter().try_fold(0_u64, |sum, part| sum.checked_mul(60)?.checked_add(*part));
    seconds?.checked_mul(1000)?.checked_add(millis.parse().ok()?)
}
