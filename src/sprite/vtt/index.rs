//! What an index of thumbnails says, and why a text is none.

use thiserror::Error;

use super::super::finding::Finding;

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
