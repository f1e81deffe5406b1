//! The blocks of a text: which lines are cues, and what is dropped.

use std::collections::BTreeSet;

use super::super::finding::{FindingCode, Findings, excerpt, excerpt_of_line};
use super::index::{Cue, Index, MAX_CUES, NotAnIndex};
use super::lines::{Line, Lines};
use super::oddity::Oddity;
use super::payload::{BadPayload, Payload};
use super::time::CueTimes;

/// Reads block after block.
pub(super) struct Reader<'a> {
    lines: Lines<'a>,
    cues: Vec<Cue>,
    /// With those that were dropped.
    cues_read: usize,
    /// Why the first cue was dropped that was.
    first_drop: Option<String>,
    findings: Findings,
    oddities: BTreeSet<Oddity>,
}

impl<'a> Reader<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self {
            lines: Lines::of(bytes),
            cues: Vec::new(),
            cues_read: 0,
            first_drop: None,
            findings: Findings::default(),
            oddities: BTreeSet::new(),
        }
    }

    /// Reads up to the first block.
    pub(super) fn header(&mut self) -> Result<(), NotAnIndex> {
        let first = self.lines.next().ok_or(NotAnIndex::Empty)?;
        let text = first.text.strip_prefix("WEBVTT").ok_or(NotAnIndex::NoHeader)?;
        if !text.is_empty() && !text.starts_with([' ', '\t']) {
            return Err(NotAnIndex::NoHeader);
        }
        if !text.trim().is_empty() {
            self.odd(Oddity::HeaderText, 1);
        }
        while let Some(line) = self.lines.peek().filter(|line| !line.is_blank()) {
            let number = line.number;
            if line.is_times() {
                self.odd(Oddity::NoBlankAfterHeader, number);
                break;
            }
            self.odd(Oddity::HeaderLines, number);
            self.lines.next();
        }
        Ok(())
    }

    /// Reads one block, or one blank line; returns false at the end of the text.
    pub(super) fn block(&mut self) -> Result<bool, NotAnIndex> {
        let Some(line) = self.lines.next() else { return Ok(false) };
        if line.is_blank() {
            return Ok(true);
        }
        if is_note(&line.text) && self.lines.peek().is_some_and(has_times) {
            // Of an arrow between times players make a cue, though it stands in a note.
            self.odd(Oddity::Identifiers, line.number);
        } else if is_note(&line.text) {
            self.odd(Oddity::Notes, line.number);
            while self.lines.peek().is_some_and(|line| !line.is_blank()) {
                self.lines.next();
            }
        } else if line.is_times() {
            self.cue(&line)?;
        } else {
            self.text_before_cue(&line);
        }
        Ok(true)
    }

    /// Reads text that no times precede: the identifier of a cue, if times follow.
    fn text_before_cue(&mut self, first: &Line<'_>) {
        loop {
            match self.lines.peek() {
                Some(line) if line.is_times() => {
                    return self.odd(Oddity::Identifiers, first.number);
                }
                Some(line) if !line.is_blank() => {
                    self.lines.next();
                }
                Some(_) | None => break,
            }
        }
        self.findings.add(FindingCode::Stray, || {
            at(first.number, &format!("\"{}\" belongs to no cue", excerpt_of_line(&first.text)))
        });
    }

    fn cue(&mut self, times: &Line<'_>) -> Result<(), NotAnIndex> {
        self.cues_read += 1;
        if self.cues_read > MAX_CUES {
            return Err(NotAnIndex::TooManyCues);
        }
        let names = |line: &Line<'_>| !line.is_blank() && !line.is_times();
        let name = if self.lines.peek().is_some_and(names) { self.lines.next() } else { None };
        let mut more = None;
        let mut others = 0;
        while self.lines.peek().is_some_and(names) {
            more = self.lines.next().map(|line| line.number);
            others += 1;
        }
        // Without a blank line, the last line before the next times is the identifier of theirs.
        let next = self.lines.peek().filter(|line| line.is_times()).map(|line| line.number);
        if let Some(next) = next {
            self.odd(Oddity::NoBlankBetweenCues, next);
            if let Some(number) = more {
                self.odd(Oddity::Identifiers, number);
                others -= 1;
            }
        }
        if others > 0 {
            self.odd(Oddity::ExtraLines, times.number);
        }
        self.add(times, name.as_ref());
        Ok(())
    }

    /// Adds the cue with these two lines, or drops it.
    fn add(&mut self, line: &Line<'_>, name: Option<&Line<'_>>) {
        let times = match CueTimes::read(&line.text) {
            Ok(times) => times,
            Err(text) => {
                let text = at(line.number, &format!("\"{}\" is no time", excerpt(text)));
                return self.drop_cue(FindingCode::TimeInvalid, text);
            }
        };
        let Some(name) = name else {
            let text = at(line.number, "the cue names no sheet");
            return self.drop_cue(FindingCode::NameMissing, text);
        };
        let payload = match Payload::read(&name.text) {
            Ok(payload) => payload,
            Err(error) => {
                let (code, words) = match error {
                    BadPayload::NoName => (FindingCode::NameMissing, "names no sheet"),
                    BadPayload::NameTooLong => (FindingCode::NameInvalid, "is too long a name"),
                    BadPayload::NameUnreadable => {
                        (FindingCode::NameInvalid, "is a name with characters that cannot be shown")
                    }
                    BadPayload::Area => (FindingCode::AreaInvalid, "names no part of a sheet"),
                };
                let text = at(name.number, &format!("\"{}\" {words}", excerpt_of_line(&name.text)));
                return self.drop_cue(code, text);
            }
        };
        times.oddities.iter().for_each(|oddity| self.odd(*oddity, line.number));
        payload.oddities.iter().for_each(|oddity| self.odd(*oddity, name.number));
        let Payload { name, area, .. } = payload;
        self.cues.push(Cue { start: times.start, end: times.end, name, area });
    }

    /// Notes what is odd on a line.
    fn odd(&mut self, oddity: Oddity, line: usize) {
        self.oddities.insert(oddity);
        self.findings.add(oddity.code(), || at(line, oddity.words()));
    }

    fn drop_cue(&mut self, code: FindingCode, text: String) {
        self.findings.add(code, || text.clone());
        self.first_drop.get_or_insert(text);
    }

    /// Returns what was read.
    pub(super) fn finish(mut self) -> Result<(Index, BTreeSet<Oddity>), NotAnIndex> {
        if self.cues.is_empty() {
            return Err(self.first_drop.map_or(NotAnIndex::NoCues, NotAnIndex::NoUsableCue));
        }
        let lines = &self.lines;
        let ends = match lines.ends {
            [_, 0, 0] => None,
            [0, _, 0] => Some(Oddity::CrLf),
            [0, 0, _] => Some(Oddity::LoneCr),
            _ => Some(Oddity::MixedLineEnds),
        };
        let of_the_text = [
            ends,
            lines.has_byte_order_mark.then_some(Oddity::ByteOrderMark),
            lines.has_nul.then_some(Oddity::Nul),
            lines.has_filled_blank.then_some(Oddity::FilledBlankLines),
            lines.has_outer_blanks.then_some(Oddity::OuterBlanks),
            lines.has_replaced.then_some(Oddity::NotUtf8),
        ];
        for oddity in of_the_text.into_iter().flatten() {
            self.oddities.insert(oddity);
            self.findings.add(oddity.code(), || oddity.words().to_owned());
        }
        Ok((Index { cues: self.cues, findings: self.findings.into_vec() }, self.oddities))
    }
}

/// Whether the line is that of a cue's times, and no text with an arrow in it.
fn has_times(line: &Line<'_>) -> bool {
    line.is_times() && CueTimes::read(&line.text).is_ok()
}

/// Whether a block with this first line is no cue.
fn is_note(line: &str) -> bool {
    ["NOTE", "STYLE", "REGION"].iter().any(|name| {
        line.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
    })
}

fn at(line: usize, words: &str) -> String {
    format!("line {line}: {words}")
}
