//! The text of a WebVTT file, in any of the dialects that occur.

use std::fmt::Write as _;
use std::time::Duration;

use super::layout::{TILE_SIZE, TILES_PER_SHEET, place, sheet_name, sheet_size};
use super::quirks::{SpriteQuirks, VttQuirk};

/// What stands before the first cue of a text with [`VttQuirk::Notes`]: the arrow in it is of no cue.
const NOTES: &str = " - thumbnails
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0

NOTE
made from a --> b

STYLE
::cue { color: lime }
";

/// What is to be written.
#[derive(Debug)]
pub(super) struct VttText<'a> {
    pub(super) tiles: u32,
    /// The time between two tiles.
    pub(super) step: Duration,
    pub(super) quirks: &'a SpriteQuirks,
    /// The URL of the folder in which the file and its sheets are.
    pub(super) folder: &'a str,
}

impl VttText<'_> {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut text =
            String::from(if self.has(VttQuirk::Bom) { "\u{feff}WEBVTT" } else { "WEBVTT" });
        text.push_str(if self.has(VttQuirk::Notes) { NOTES } else { "\n" });
        for tile in 0..self.tiles {
            self.write_cue(tile, &mut text).expect("writing to a String cannot fail");
        }
        if self.has(VttQuirk::NoLastEnd) {
            text.pop();
        }
        if self.has(VttQuirk::Crlf) {
            text = text.replace('\n', "\r\n");
        } else if self.has(VttQuirk::Cr) {
            text = text.replace('\n', "\r");
        }
        text.into_bytes()
    }

    fn write_cue(&self, tile: u32, text: &mut String) -> std::fmt::Result {
        if !self.has(VttQuirk::NoBlankLines) {
            text.push('\n');
        }
        if self.has(VttQuirk::Ids) {
            writeln!(text, "{}", tile + 1)?;
        }
        let arrow = match () {
            () if self.has(VttQuirk::Tabs) => "\t-->\t",
            () if self.has(VttQuirk::NoSpaces) => "-->",
            () => " --> ",
        };
        let settings = if self.has(VttQuirk::Settings) { " align:start position:0%" } else { "" };
        writeln!(text, "{}{arrow}{}{settings}", self.time(tile), self.time(tile + 1))?;
        writeln!(text, "{}", self.payload(tile))
    }

    /// When a tile begins.
    fn time(&self, tile: u32) -> String {
        let millis = self.step.as_micros() * u128::from(tile) / 1_000;
        let (seconds, millis) = (millis / 1_000, millis % 1_000);
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let mut time = match () {
            () if self.has(VttQuirk::NoHours) && hours == 0 => String::new(),
            () if self.has(VttQuirk::ShortHours) => format!("{hours}:"),
            () => format!("{hours:02}:"),
        };
        let point = if self.has(VttQuirk::Comma) { ',' } else { '.' };
        let written = match () {
            () if self.has(VttQuirk::NoMillis) => write!(time, "{minutes:02}:{seconds:02}"),
            () => write!(time, "{minutes:02}:{seconds:02}{point}{millis:03}"),
        };
        written.expect("writing to a String cannot fail");
        time
    }

    /// The name of the tile's sheet, and its area.
    fn payload(&self, tile: u32) -> String {
        let sheet = tile / TILES_PER_SHEET;
        let mut name = sheet_name(sheet);
        if self.has(VttQuirk::Encoded) {
            // Of any letter: it is the same name to who decodes it.
            name.replace_range(..1, "%69");
        }
        let after_scheme = self.folder.split_once(':').map_or(self.folder, |(_, rest)| rest);
        let after_host = after_scheme.trim_start_matches('/');
        let after_host = after_host.find('/').map_or("", |at| &after_host[at..]);
        let mut payload = match () {
            () if self.has(VttQuirk::Absolute) => format!("{}/{name}", self.folder),
            () if self.has(VttQuirk::Schemeless) => format!("{after_scheme}/{name}"),
            () if self.has(VttQuirk::RootRelative) => format!("{after_host}/{name}"),
            () => name,
        };
        if self.has(VttQuirk::Amp) {
            payload.push_str("?v=1&amp;w=2");
        }
        if !self.has(VttQuirk::NoXywh) {
            let mark = match () {
                () if !self.has(VttQuirk::Query) => "#",
                () if self.has(VttQuirk::Amp) => "&amp;",
                () => "?",
            };
            let area =
                self.area(tile % TILES_PER_SHEET, sheet_size(self.tiles, sheet, self.quirks));
            write!(payload, "{mark}xywh={area}").expect("writing to a String cannot fail");
        }
        payload
    }

    /// The area of a tile on a sheet of this size.
    fn area(&self, tile: u32, (sheet_width, sheet_height): (u32, u32)) -> String {
        let ((x, y), (width, height)) = (place(tile), TILE_SIZE);
        let share = |part: u32, of: u32| f64::from(part) * 100.0 / f64::from(of);
        match () {
            () if self.has(VttQuirk::Percent) => format!(
                "percent:{:.4},{:.4},{:.4},{:.4}",
                share(x, sheet_width),
                share(y, sheet_height),
                share(width, sheet_width),
                share(height, sheet_height)
            ),
            () if self.has(VttQuirk::Pixel) => format!("pixel:{x},{y},{width},{height}"),
            () if self.has(VttQuirk::Decimals) => format!("{x}.0,{y}.0,{width}.0,{height}.25"),
            () => format!("{x},{y},{width},{height}"),
        }
    }

    fn has(&self, quirk: VttQuirk) -> bool {
        self.quirks.vtt.contains(&quirk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(words: &str, tiles: u32) -> String {
        let quirks = words.parse().unwrap();
        let folder = "http://h:9771/sprites/1/2";
        let step = Duration::from_secs(10);
        let text = VttText { tiles, step, quirks: &quirks, folder };
        String::from_utf8(text.write()).unwrap()
    }

    #[test]
    fn each_quirk_changes_what_it_says() {
        let usual =
            "WEBVTT\n\n00:00:00.000 --> 00:00:10.000\nimageSprite_10_0.png#xywh=0,0,142,80\n";
        assert_eq!(written("", 1), usual);
        for (words, changed) in [
            ("crlf", usual.replace('\n', "\r\n")),
            ("cr", usual.replace('\n', "\r")),
            ("bom", format!("\u{feff}{usual}")),
            ("ids", usual.replace("\n00:00:00", "\n1\n00:00:00")),
            ("short-hours", usual.replace("00:00:", "0:00:")),
            ("no-hours", usual.replace("00:00:", "00:")),
            ("comma", usual.replace(".000", ",000")),
            ("no-millis", usual.replace(".000", "")),
            ("settings", usual.replace("10.000", "10.000 align:start position:0%")),
            ("notes", usual.replace("WEBVTT\n", &format!("WEBVTT{NOTES}"))),
            ("tabs", usual.replace(' ', "\t")),
            ("no-spaces", usual.replace(' ', "")),
            ("no-blank-lines", usual.replace("\n\n", "\n")),
            ("no-last-end", usual.trim_end().to_owned()),
            ("query", usual.replace('#', "?")),
            ("pixel", usual.replace("xywh=", "xywh=pixel:")),
            ("percent", usual.replace("0,0,142,80", "percent:0.0000,0.0000,10.0000,100.0000")),
            ("decimals", usual.replace("0,0,142,80", "0.0,0.0,142.0,80.25")),
            ("no-xywh", usual.replace("#xywh=0,0,142,80", "")),
            ("absolute", usual.replace("image", "http://h:9771/sprites/1/2/image")),
            ("schemeless", usual.replace("image", "//h:9771/sprites/1/2/image")),
            ("root-relative", usual.replace("image", "/sprites/1/2/image")),
            ("encoded", usual.replace("image", "%69mage")),
            ("amp", usual.replace('#', "?v=1&amp;w=2#")),
            ("amp,query", usual.replace('#', "?v=1&amp;w=2&amp;")),
        ] {
            assert_eq!(written(words, 1), changed, "{words}");
        }
        assert!(
            written("percent,padded", 101).ends_with("percent:0.0000,0.0000,10.0000,10.0000\n")
        );
        assert!(written("notes", 1).starts_with("WEBVTT - thumbnails\nX-TIMESTAMP-MAP"));
        assert!(written("no-hours", 361).contains("\n59:50.000 --> 01:00:00.000\n"));
    }

    #[test]
    fn a_step_may_be_off_whole_seconds() {
        let quirks = SpriteQuirks::default();
        let step = Duration::from_micros(7_333_333);
        let text = VttText { tiles: 3, step, quirks: &quirks, folder: "" }.write();
        let text = String::from_utf8(text).unwrap();
        let times: Vec<_> = text.lines().filter(|line| line.contains("-->")).collect();
        assert_eq!(times[1..], ["00:00:07.333 --> 00:00:14.666", "00:00:14.666 --> 00:00:21.999"]);
    }
}
