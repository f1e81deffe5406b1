//! How the files of a sprite, and what its event says of them, differ from the usual, as words.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum;
use serde::Deserialize;

/// The maximum length of the words: they are a part of URLs.
const MAX_LENGTH: usize = 400;

/// The longest duration in a word.
const MAX_TIME: Duration = Duration::from_secs(3600);

/// The largest file.
const MAX_SIZE: ByteSize = ByteSize::gib(1);

/// Where a redirect leads that names no host: the metadata of the cloud's machines.
const INWARD_HOST: &str = "169.254.0.23";

/// How a WebVTT file is written, where that differs from the usual. Most are legal, each occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum VttQuirk {
    /// CR LF ends lines
    Crlf,
    /// CR ends lines
    Cr,
    /// U+FEFF is the first character
    Bom,
    /// Cues have identifiers
    Ids,
    /// Hours have one digit
    ShortHours,
    /// Times below an hour have no hours
    NoHours,
    /// A comma stands before the milliseconds
    Comma,
    /// Times have no milliseconds
    NoMillis,
    /// Settings follow the times
    Settings,
    /// There are a text after WEBVTT, metadata, a note and a style
    Notes,
    /// Tabs stand around the arrow
    Tabs,
    /// Nothing stands around the arrow
    NoSpaces,
    /// No blank line stands before a cue
    NoBlankLines,
    /// The last line does not end
    NoLastEnd,
    /// Areas follow ?xywh=
    Query,
    /// Areas follow #xywh=pixel:
    Pixel,
    /// Areas follow #xywh=percent:
    Percent,
    /// Areas have decimals
    Decimals,
    /// There are no areas
    NoXywh,
    /// Sheets are named by their URLs
    Absolute,
    /// Sheets are named by their URLs from the path on
    RootRelative,
    /// Sheets are named by their URLs from the host on
    Schemeless,
    /// The names of sheets are percent-encoded
    Encoded,
    /// Sheets have a query with &amp; in it
    Amp,
}

impl VttQuirk {
    fn named(word: &str) -> Option<Self> {
        Self::from_str(word, false).ok()
    }
}

/// What is wrong with each answer to a request for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SpriteFileFault {
    /// It is 404 for this time from the first request on.
    Late(Duration),
    /// It has this status.
    Status(u16),
    /// It is a page of HTML, with status 200.
    Html,
    /// It has no content.
    Empty,
    /// It ends half way, and says so.
    Truncated,
    /// The connection is closed half way.
    Cut,
    /// It drips in over this time.
    Slow(Duration),
    /// It comes late by this time.
    Delay(Duration),
    /// It has this size, and does not say so.
    Huge(ByteSize),
    /// It redirects to this host, with a port or without.
    Redirect(String),
    /// It is compressed, whatever was asked for.
    Gzip,
}

/// What TotalCount is. Its documents tell two meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountedTiles {
    /// The tiles of all sheets.
    All,
    /// The tiles of the first sheet.
    Sheet,
    Null,
    Number(i64),
}

/// How the files of sprites differ from the usual, and how the event does: words with commas
/// between them, such as `crlf,padded,sheets:late=5s`. The help of the emulator lists them. The URLs
/// of the files contain them, so that the files need not be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SpriteQuirks {
    /// As they were written.
    pub(super) words: Arc<str>,
    pub(super) vtt: Vec<VttQuirk>,
    /// Whether the last sheet has the height of the others.
    pub(super) padded: bool,
    /// The least size of a sheet's file.
    pub(super) sheet_size: Option<ByteSize>,
    /// The time between two tiles.
    pub(super) step: Option<Duration>,
    pub(super) count: Option<CountedTiles>,
    /// The task is run again after this many answers with the WebVTT file.
    pub(super) rerun: Option<u32>,
    pub(super) vtt_fault: Option<SpriteFileFault>,
    pub(super) sheet_fault: Option<SpriteFileFault>,
    /// The faults are those of so many first requests for each file.
    pub(super) times: Option<u32>,
}

impl SpriteQuirks {
    /// Every word, without what may follow it.
    #[cfg(test)]
    pub(crate) fn words() -> Vec<String> {
        let texts = VttQuirk::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let others = [
            "padded",
            "size",
            "step",
            "count",
            "rerun",
            "times",
            "late",
            "status",
            "html",
            "empty",
            "truncated",
            "cut",
            "slow",
            "delay",
            "huge",
            "redirect",
            "gzip",
        ];
        texts.map(|text| text.get_name().to_owned()).chain(others.map(str::to_owned)).collect()
    }

    /// Whether the answer to a request depends on those before it.
    pub(super) fn need_history(&self) -> bool {
        let is_late = |fault: &Option<_>| matches!(fault, Some(SpriteFileFault::Late(_)));
        self.rerun.is_some()
            || self.times.is_some()
            || is_late(&self.vtt_fault)
            || is_late(&self.sheet_fault)
    }

    fn add(&mut self, word: &str) -> Result<(), String> {
        if let Some(quirk) = VttQuirk::named(word) {
            self.vtt.push(quirk);
            return Ok(());
        }
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "padded" if value.is_empty() => self.padded = true,
            "size" => self.sheet_size = Some(size(value)?),
            "step" => match time(value)? {
                Duration::ZERO => return Err("step must be longer than nothing".to_owned()),
                step => self.step = Some(step),
            },
            "count" => {
                self.count = Some(match value {
                    "all" => CountedTiles::All,
                    "sheet" => CountedTiles::Sheet,
                    "null" => CountedTiles::Null,
                    number => CountedTiles::Number(
                        number.parse().map_err(|_| "count is all, sheet, null or a number")?,
                    ),
                });
            }
            "rerun" => self.rerun = Some(if value.is_empty() { 1 } else { number(value)? }),
            "times" => self.times = Some(number(value)?),
            _ => self.add_fault(word)?,
        }
        Ok(())
    }

    fn add_fault(&mut self, word: &str) -> Result<(), String> {
        let (of_vtt, of_sheets, fault) = match word.split_once(':') {
            Some(("vtt", fault)) => (true, false, fault),
            Some(("sheets", fault)) => (false, true, fault),
            _ => (true, true, word),
        };
        let fault = fault.parse::<SpriteFileFault>()?;
        for (concerned, its) in [(of_vtt, &mut self.vtt_fault), (of_sheets, &mut self.sheet_fault)]
        {
            if concerned && its.replace(fault.clone()).is_some() {
                return Err(format!("{word} is the second fault of a file"));
            }
        }
        Ok(())
    }
}

impl FromStr for SpriteQuirks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LENGTH {
            return Err(format!("the words are longer than {MAX_LENGTH} characters"));
        }
        let mut quirks = Self { words: text.into(), ..Self::default() };
        for word in text.split(',').filter(|_| !text.is_empty()) {
            quirks.add(word)?;
        }
        Ok(quirks)
    }
}

impl TryFrom<String> for SpriteQuirks {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl SpriteFileFault {
    /// The name under which the ledger counts it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Late(_) => "late",
            Self::Status(_) => "status",
            Self::Html => "html",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::Cut => "cut",
            Self::Slow(_) => "slow",
            Self::Delay(_) => "delay",
            Self::Huge(_) => "huge",
            Self::Redirect(_) => "redirect",
            Self::Gzip => "gzip",
        }
    }
}

impl FromStr for SpriteFileFault {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        Ok(match (name, value) {
            ("html", "") => Self::Html,
            ("empty", "") => Self::Empty,
            ("truncated", "") => Self::Truncated,
            ("cut", "") => Self::Cut,
            ("gzip", "") => Self::Gzip,
            ("late", _) => Self::Late(time(value)?),
            ("slow", _) => Self::Slow(time(value)?),
            ("delay", _) => Self::Delay(time(value)?),
            ("huge", _) => Self::Huge(size(value)?),
            ("redirect", "") => Self::Redirect(INWARD_HOST.to_owned()),
            ("redirect", host) if host.bytes().all(is_of_host) => Self::Redirect(host.to_owned()),
            ("redirect", _) => {
                return Err("redirect names a host, with a port or without".to_owned());
            }
            ("status", _) => match value.parse() {
                Ok(status @ 400..=599) => Self::Status(status),
                _ => return Err("status is from 400 to 599".to_owned()),
            },
            _ => return Err(format!("there is no quirk {word}")),
        })
    }
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)
}

fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= MAX_TIME && !text.contains(' ') => Ok(time),
        _ => Err(format!("{text:?} is not a duration of at most 1h, such as 5s")),
    }
}

fn size(text: &str) -> Result<ByteSize, String> {
    match text.parse::<ByteSize>() {
        Ok(size) if size <= MAX_SIZE && !text.contains(' ') => Ok(size),
        _ => Err(format!("{text:?} is not a size of at most 1GiB, such as 400kB")),
    }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_from_a_url() {
        let text = "crlf,no-blank-lines,padded,size=400kB,step=7333ms,count=-1,rerun=2,times=3,\
                    vtt:late=5s,sheets:redirect=[::1]:80";
        let quirks: SpriteQuirks = text.parse().unwrap();
        assert_eq!(&*quirks.words, text);
        assert_eq!(quirks.vtt, [VttQuirk::Crlf, VttQuirk::NoBlankLines]);
        assert!(quirks.padded && quirks.need_history());
        assert_eq!(quirks.sheet_size, Some(ByteSize::kb(400)));
        assert_eq!(quirks.step, Some(Duration::from_millis(7_333)));
        assert_eq!(quirks.count, Some(CountedTiles::Number(-1)));
        assert_eq!((quirks.rerun, quirks.times), (Some(2), Some(3)));
        assert_eq!(quirks.vtt_fault, Some(SpriteFileFault::Late(Duration::from_secs(5))));
        assert_eq!(quirks.sheet_fault, Some(SpriteFileFault::Redirect("[::1]:80".to_owned())));
        let url = format!("http://x/{text}/y");
        assert_eq!(reqwest::Url::parse(&url).unwrap().as_str(), url);
        assert_eq!("".parse::<SpriteQuirks>().unwrap(), SpriteQuirks::default());
    }

    #[test]
    fn every_quirk_of_a_text_has_its_word() {
        for quirk in VttQuirk::value_variants() {
            let word = quirk.to_possible_value().unwrap().get_name().to_owned();
            assert_eq!(word.parse::<SpriteQuirks>().unwrap().vtt, [*quirk], "{word}");
        }
    }

    #[test]
    fn what_is_no_quirk_is_refused_by_name() {
        for (words, what) in [
            ("crfl", "crfl"),
            ("crlf,,bom", "no quirk"),
            ("status=200", "400 to 599"),
            ("late", "not a duration"),
            ("late=1 s", "not a duration"),
            ("slow=2h", "at most 1h"),
            ("step=0s", "longer than nothing"),
            ("huge=2GiB", "at most 1GiB"),
            ("count=some", "all, sheet, null or a number"),
            ("times=x", "whole number"),
            ("html,vtt:cut", "vtt:cut is the second"),
            ("padded=1", "padded=1"),
            ("redirect=h/x", "names a host"),
            ("sheet:cut", "sheet:cut"),
        ] {
            let refused = words.parse::<SpriteQuirks>().unwrap_err();
            assert!(refused.contains(what), "{words}: {refused}");
        }
        assert!(serde_json::from_str::<SpriteQuirks>("\"x\"").is_err());
    }
}
