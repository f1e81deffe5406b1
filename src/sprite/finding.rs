//! What is wrong with a sprite, for a person and for a program.

use serde::{Deserialize, Serialize};

use crate::sanitize::{KeptEnd, one_line, truncate};

/// How many findings of one code are written out; the last of them says how many more there are.
const MAX_OF_A_CODE: usize = 3;

/// How many findings a sprite has at most; the last of them says how many more there are.
pub const MAX_FINDINGS: usize = 50;

/// How many characters of foreign text a finding shows at most.
const MAX_EXCERPT: usize = 80;

/// How many characters a finding's text has at most.
const MAX_TEXT: usize = 200;

/// One thing that is wrong with a sprite, or was and is repaired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Of what kind it is.
    pub code: FindingCode,
    /// What it is, for a person: one line of at most 200 characters that a terminal can show.
    pub text: String,
}

impl Finding {
    /// A finding with this text, of which foreign parts may be anything.
    #[must_use]
    pub fn new(code: FindingCode, text: &str) -> Self {
        Self { code, text: truncate(&one_line(text), MAX_TEXT - 1, KeptEnd::First) }
    }
}

/// Returns foreign text as a finding shows it: on one line, harmless, at most 80 characters long.
pub(super) fn excerpt(text: &str) -> String {
    // Cut first: of a name of a megabyte only the beginning is escaped.
    truncate(&one_line(&truncate(text, MAX_EXCERPT, KeptEnd::First)), MAX_EXCERPT, KeptEnd::First)
}

/// The same of the name or the URL of a sheet, without query, fragment and user: findings are public, and
/// these may be what opens a protected file.
pub(super) fn excerpt_of_name(name: &str) -> String {
    let path = name.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = path.split_once("//") else { return excerpt(path) };
    let (server, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let server = server.rsplit('@').next().unwrap_or_default();
    excerpt(&format!("{scheme}//{server}{path}"))
}

/// The same of a line that names a part of a sheet, with its fragment.
pub(super) fn excerpt_of_line(line: &str) -> String {
    let Some((name, query)) = line.split_once('?') else { return excerpt(line) };
    let fragment = query.rsplit_once('#').map_or(String::new(), |(_, part)| format!("#{part}"));
    excerpt(&format!("{}?…{fragment}", excerpt_of_name(name)))
}

/// Makes [`FindingCode`] with the name of each code; the repairs stand first.
macro_rules! codes {
    ($($(#[$about:meta])+ $code:ident = $name:literal, $repair:literal;)+) => {
        /// Of what kind a finding is. The names are those of `sprited_mirror_findings_total{code}`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum FindingCode {
            $($(#[$about])+ #[serde(rename = $name)] $code,)+
        }

        impl FindingCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$code),+];

            /// Its name, in snake case.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                }
            }

            /// Whether what was wrong is repaired in the index that is written, with nothing lost. The
            /// other codes say what may look wrong to a viewer.
            #[must_use]
            pub fn is_repair(self) -> bool {
                match self {
                    $(Self::$code => $repair,)+
                }
            }
        }
    };
}

codes! {
    /// Lines end with CR LF or with CR.
    LineEnds = "line_ends", true;
    /// The text begins with a byte order mark.
    ByteOrderMark = "byte_order_mark", true;
    /// The text holds NUL characters.
    Nul = "nul", true;
    /// Bytes outside of names are not UTF-8.
    Encoding = "encoding", true;
    /// Text in the header beside `WEBVTT`.
    HeaderText = "header_text", true;
    /// Blocks that are no cues: NOTE, STYLE, REGION.
    Notes = "notes", true;
    /// Cues have identifiers.
    Identifiers = "identifiers", true;
    /// A blank line is missing after the header or between two cues, or is not quite blank.
    BlankLines = "blank_lines", true;
    /// Lines begin or end with blanks.
    Blanks = "blanks", true;
    /// Settings stand after the times.
    Settings = "settings", true;
    /// The arrow stands between tabs, or without blanks.
    Arrow = "arrow", true;
    /// Hours are absent, or have another number of digits than two.
    Hours = "hours", true;
    /// A comma stands before the milliseconds.
    Comma = "comma", true;
    /// Milliseconds are absent, or have another number of digits than three.
    Milliseconds = "milliseconds", true;
    /// A cue has more lines than the one that names its tile.
    ExtraLines = "extra_lines", true;
    /// `xywh` is written in another way than `#xywh=` with pixels.
    AreaSpelling = "area_spelling", true;
    /// Sheets are named by a URL or by a path, where a file name would do.
    Path = "path", true;
    /// Names of sheets have a query.
    Query = "query", true;
    /// Names of sheets are percent-encoded, or hold `&amp;`.
    Encoded = "encoded", true;
    /// Cues overlap, or leave a gap, of less than a second.
    Seams = "seams", true;
    /// Text that belongs to no cue; it is left out.
    Stray = "stray", false;
    /// A time cannot be read; the cue is dropped.
    TimeInvalid = "time_invalid", false;
    /// A cue ends where it starts or before; it is dropped.
    TimeEmpty = "time_empty", false;
    /// Cues are not in the order of their times; they are sorted.
    Order = "order", false;
    /// A cue starts when another one does; it is dropped.
    Duplicate = "duplicate", false;
    /// A cue ends a second or more after the next one starts; it is cut short.
    Overlap = "overlap", false;
    /// A second or more lies between two cues.
    Gap = "gap", false;
    /// The first cue does not start at 0.
    Start = "start", false;
    /// The cues end elsewhere than the medium.
    End = "end", false;
    /// A cue names no sheet; it is dropped.
    NameMissing = "name_missing", false;
    /// A cue's name of a sheet cannot be used; it is dropped.
    NameInvalid = "name_invalid", false;
    /// A cue names a sheet that the event does not list.
    Unlisted = "unlisted", false;
    /// The event lists a sheet that no cue names.
    Unused = "unused", false;
    /// A cue's name fits several sheets that the event lists.
    Ambiguous = "ambiguous", false;
    /// A cue has no `xywh`: the whole sheet is its tile.
    AreaMissing = "area_missing", false;
    /// `xywh` cannot be used; the cue is dropped.
    AreaInvalid = "area_invalid", false;
    /// `xywh` has decimals; they are rounded.
    AreaRounded = "area_rounded", false;
    /// A tile stands out of its sheet; it is cut off there.
    AreaCut = "area_cut", false;
    /// A tile lies outside its sheet; the cue is dropped.
    AreaOutside = "area_outside", false;
    /// The number of cues is not the one announced.
    Count = "count", false;
    /// Tiles do not have the size announced.
    TileSize = "tile_size", false;
    /// Tiles are not of one size.
    TileSizes = "tile_sizes", false;
    /// A sheet is so large that some phones and browsers do not draw it.
    SheetLarge = "sheet_large", false;
    /// There are more findings than are shown.
    More = "more", false;
    /// What another version of the program has found, in a manifest that it wrote.
    #[serde(other)]
    Other = "other", false;
}

/// Findings as they are made.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// In the order in which each code was first met: its first texts, and how many there were.
    of_codes: Vec<(FindingCode, Vec<String>, usize)>,
}

impl Findings {
    /// Adds a finding; `text` is asked for it only if it is shown.
    pub(super) fn add(&mut self, code: FindingCode, text: impl FnOnce() -> String) {
        let at = self.of_codes.iter().position(|(known, ..)| *known == code);
        let at = at.unwrap_or_else(|| {
            self.of_codes.push((code, Vec::new(), 0));
            self.of_codes.len() - 1
        });
        let Some((_, texts, count)) = self.of_codes.get_mut(at) else { return };
        *count += 1;
        if texts.len() < if code.is_repair() { 1 } else { MAX_OF_A_CODE } {
            texts.push(text());
        }
    }

    /// Returns them in the order in which their codes were met.
    pub(super) fn into_vec(self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (code, texts, count) in self.of_codes {
            let (shown, more) = (texts.len(), count - texts.len());
            for (at, text) in texts.into_iter().enumerate() {
                let is_last = at + 1 == shown;
                let finding = Finding::new(code, &text);
                findings.push(if is_last && more > 0 {
                    let suffix = format!(" (and {more} more)");
                    let text = truncate(&finding.text, MAX_TEXT - 1 - suffix.len(), KeptEnd::First);
                    Finding { text: text + &suffix, ..finding }
                } else {
                    finding
                });
            }
        }
        findings
    }
}

/// Returns at most [`MAX_FINDINGS`] of them: what may look wrong before what is repaired.
pub(super) fn capped(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| finding.code.is_repair());
    let surplus = findings.len().saturating_sub(MAX_FINDINGS);
    if surplus > 0 {
        findings.truncate(MAX_FINDINGS - 1);
        findings.push(Finding::new(FindingCode::More, &format!("{} more findings", surplus + 1)));
    }
    findings
}
