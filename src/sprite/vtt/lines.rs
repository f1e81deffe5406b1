//! The lines of a text, whatever ends them.

use std::borrow::Cow;

/// A line without what ends it, and without blanks and NUL characters around it.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) text: Cow<'a, str>,
}

impl Line<'_> {
    pub(super) fn is_blank(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether it gives the times of a cue.
    pub(super) fn is_times(&self) -> bool {
        self.text.contains("-->")
    }
}

/// Reads a text line by line, and notes what is unusual in it.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    /// The line that comes next, if it has been looked at.
    ahead: Option<Line<'a>>,
    read: usize,
    /// Lines that end with LF, with CR LF, and with CR.
    pub(super) ends: [usize; 3],
    pub(super) has_byte_order_mark: bool,
    pub(super) has_nul: bool,
    /// Whether a line holds nothing but white space, and some of that.
    pub(super) has_filled_blank: bool,
    /// Whether white space stands before or behind the text of a line.
    pub(super) has_outer_blanks: bool,
    /// Whether bytes were replaced that are not UTF-8.
    pub(super) has_replaced: bool,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl<'a> Lines<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let unmarked = bytes.strip_prefix(BYTE_ORDER_MARK);
        Self {
            rest: unmarked.unwrap_or(bytes),
            ahead: None,
            read: 0,
            ends: [0; 3],
            has_byte_order_mark: unmarked.is_some(),
            has_nul: false,
            has_filled_blank: false,
            has_outer_blanks: false,
            has_replaced: false,
        }
    }

    /// Looks at the next line.
    pub(super) fn peek(&mut self) -> Option<&Line<'a>> {
        if self.ahead.is_none() {
            self.ahead = self.read();
        }
        self.ahead.as_ref()
    }

    /// Takes the next line.
    pub(super) fn next(&mut self) -> Option<Line<'a>> {
        self.ahead.take().or_else(|| self.read())
    }

    fn read(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        self.read += 1;
        let end = memchr::memchr2(b'\n', b'\r', self.rest).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        let (kind, length) = match rest {
            [b'\r', b'\n', ..] => (1, 2),
            [b'\r', ..] => (2, 1),
            [_, ..] => (0, 1),
            [] => (0, 0),
        };
        self.ends[kind] += usize::from(length > 0);
        self.rest = &rest[length..];
        self.has_nul |= line.contains(&0);
        let is_edge = |c: char| c.is_whitespace() || c == '\0';
        let text = match String::from_utf8_lossy(line) {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(is_edge)),
            Cow::Owned(text) => {
                self.has_replaced = true;
                Cow::Owned(text.trim_matches(is_edge).to_owned())
            }
        };
        let has_blanks = line.trim_ascii().len() < line.len();
        self.has_filled_blank |= has_blanks && text.is_empty();
        self.has_outer_blanks |= has_blanks && !text.is_empty();
        Some(Line { number: self.read, text })
    }
}
