//! The blocks of a text: which lines are cues, and what is dropped.

use super::super::finding::{FindingCode, Findings, excerpt};
use super::index::{Area, Cue, Index, MAX_CUES, NotAnIndex};
use super::lines::{Line, Lines};
use super::payload::{BadPayload, Payload};
use super::time::Times;

/// Reads block after block.
pub(super) struct Reader<'a> {
    lines: Lines<'a>,
    cues: Vec<Cue>,
    /// With those that were dropped.
    cues_read: usize,
    /// Why the first cue was dropped that was.
    first_drop: Option<String>,
    findings: Findings,
}

impl<'a> Reader<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self {
            lines: Lines::of(bytes),
            cues: Vec::new(),
            cues_read: 0,
            first_drop: None,
            findings: Findings::default(),
        }
    }

    /// Reads up to the first block.
    pub(super) fn header(&mut self) -> Result<(), NotAnIndex> {
        let first = self.lines.next().ok_or(NotAnIndex::Empty)?;
        let text = first.text.strip_prefix("WEBVTT").ok_or(NotAnIndex::NoHeader)?;
        if !text.is_empty() && !text.starts_with([' ', '\t']) {
            return Err(NotAnIndex::NoHeader);
        }
        let mut has_text = !text.is_empty();
        loop {
            match self.lines.peek() {
                None => break,
                Some(line) if line.is_blank() => break,
                Some(line) if line.is_times() => {
                    let number = line.number;
                    self.no_blank_line(number);
                    break;
                }
                Some(_) => has_text = self.lines.next().is_some(),
            }
        }
        if has_text {
            self.findings
                .add(FindingCode::HeaderText, || "the header has text beside WEBVTT".to_owned());
        }
        Ok(())
    }

    /// Reads one block, or one blank line; returns false at the end of the text.
    pub(super) fn block(&mut self) -> Result<bool, NotAnIndex> {
        let Some(line) = self.lines.next() else { return Ok(false) };
        if line.is_blank() {
            return Ok(true);
        }
        if is_note(&line.text) {
            self.findings.add(FindingCode::Notes, || at(line.number, "a block that is no cue"));
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
                Some(line) if line.is_times() => return self.identifier(first.number),
                Some(line) if !line.is_blank() => {
                    self.lines.next();
                }
                Some(_) | None => break,
            }
        }
        self.findings.add(FindingCode::Stray, || {
            at(first.number, &format!("\"{}\" belongs to no cue", excerpt(&first.text)))
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
            self.no_blank_line(next);
            if let Some(number) = more {
                self.identifier(number);
                others -= 1;
            }
        }
        if others > 0 {
            self.findings.add(FindingCode::ExtraLines, || {
                at(times.number, "the cue has more lines than the name of its tile")
            });
        }
        self.add(times, name.as_ref());
        Ok(())
    }

    /// Adds the cue with these two lines, or drops it.
    fn add(&mut self, line: &Line<'_>, name: Option<&Line<'_>>) {
        let times = match Times::read(&line.text) {
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
                let text = at(name.number, &format!("\"{}\" {words}", excerpt(&name.text)));
                return self.drop_cue(code, text);
            }
        };
        self.describe(line.number, &times, name.number, &payload);
        let Payload { name, area, .. } = payload;
        self.cues.push(Cue { start: times.start, end: times.end, name, area });
    }

    /// Adds what is found of a cue that is kept.
    fn describe(&mut self, times_line: usize, times: &Times, line: usize, payload: &Payload) {
        let spelling = times.spelling;
        for (is_odd, code, line, words) in [
            (times.is_arrow_odd, FindingCode::Arrow, times_line, "not one blank around the arrow"),
            (times.has_settings, FindingCode::Settings, times_line, "settings behind the times"),
            (spelling.has_comma, FindingCode::Comma, times_line, "a comma before milliseconds"),
            (spelling.are_hours_odd, FindingCode::Hours, times_line, "not two digits of hours"),
            (
                spelling.are_millis_odd,
                FindingCode::Milliseconds,
                times_line,
                "not three digits of milliseconds",
            ),
            (
                payload.is_odd,
                FindingCode::AreaSpelling,
                line,
                "the tile is not written as #xywh= with four whole numbers",
            ),
            (payload.is_rounded, FindingCode::AreaRounded, line, "a tile between two pixels"),
            (
                payload.area == Area::Whole,
                FindingCode::AreaMissing,
                line,
                "no xywh: the whole sheet is the tile",
            ),
        ] {
            if is_odd {
                self.findings.add(code, || at(line, words));
            }
        }
    }

    fn drop_cue(&mut self, code: FindingCode, text: String) {
        self.findings.add(code, || text.clone());
        self.first_drop.get_or_insert(text);
    }

    fn no_blank_line(&mut self, number: usize) {
        self.findings.add(FindingCode::BlankLines, || at(number, "no blank line before the cue"));
    }

    fn identifier(&mut self, number: usize) {
        self.findings.add(FindingCode::Identifiers, || at(number, "an identifier of a cue"));
    }

    /// Returns what was read.
    pub(super) fn finish(mut self) -> Result<Index, NotAnIndex> {
        if self.cues.is_empty() {
            return Err(self.first_drop.map_or(NotAnIndex::NoCues, NotAnIndex::NoUsableCue));
        }
        let lines = &self.lines;
        let ends = match lines.ends {
            [_, 0, 0] => None,
            [0, _, 0] => Some("lines end with CR LF"),
            [0, 0, _] => Some("lines end with CR"),
            _ => Some("lines end in several ways"),
        };
        for (code, words) in [
            (FindingCode::LineEnds, ends),
            (
                FindingCode::ByteOrderMark,
                lines.has_byte_order_mark.then_some("it begins with a byte order mark"),
            ),
            (FindingCode::Nul, lines.has_nul.then_some("it holds NUL characters")),
            (FindingCode::Encoding, lines.has_replaced.then_some("some bytes are not UTF-8")),
        ] {
            if let Some(words) = words {
                self.findings.add(code, || words.to_owned());
            }
        }
        Ok(Index { cues: self.cues, findings: self.findings.into_vec() })
    }
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
