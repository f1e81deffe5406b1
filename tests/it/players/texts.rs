//! Texts of WebVTT in the dialects that occur.

use std::path::Path;

/// Where most are found.
const FOUND: &str = "https://cdn.example/a/b/imageSprite_10.vtt";

/// What the other texts are made of.
const PLAIN: &str = "\
WEBVTT

00:00:00.000 --> 00:00:10.000
imageSprite_10_0.jpg#xywh=0,0,142,80

00:00:10.000 --> 00:00:20.000
imageSprite_10_0.jpg#xywh=142,0,142,80

00:00:20.000 --> 00:00:27.500
imageSprite_10_1.jpg#xywh=0,0,142,80
";

pub(super) struct Text {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// Where it is found.
    pub(super) url: &'static str,
}

impl Text {
    fn at(url: &'static str, name: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), bytes, url }
    }
}

/// [`PLAIN`] in other dialects, each of which occurs.
pub(super) fn dialects() -> Vec<Text> {
    let replaced = |from: &str, to: &str| PLAIN.replace(from, to);
    let ids = replaced("\n00:00:00", "\n1\n00:00:00")
        .replace("\n00:00:10", "\nimg two\n00:00:10")
        .replace("\n00:00:20", "\n3\n00:00:20");
    let header =
        " - made by x\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000\n\nNOTE\na --> b\n\nSTYLE\n::cue{}";
    let settings = PLAIN.replace(".000\n", ".000 align:start position:0%\n");
    [
        ("plain", PLAIN.to_owned()),
        ("CRLF", replaced("\n", "\r\n")),
        ("lone CR", replaced("\n", "\r")),
        ("BOM", format!("\u{feff}{PLAIN}")),
        ("no last line end", PLAIN.trim_end().to_owned()),
        ("NUL at the end", format!("{PLAIN}\0")),
        ("identifiers", ids),
        ("hours of one digit", replaced("00:00:", "0:00:")),
        ("no hours", replaced("00:00:", "00:")),
        ("100 hours", replaced("00:00:", "100:00:")),
        ("comma", replaced(".000", ",000").replace(".500", ",500")),
        ("no milliseconds", replaced(".000", "").replace(".500", "")),
        ("short fractions", replaced(".000", ".0").replace(".500", ".5")),
        ("settings", settings),
        ("header and notes", PLAIN.replacen('\n', &format!("{header}\n"), 1)),
        ("tabs", replaced(" --> ", "\t-->\t")),
        ("no blanks", replaced(" --> ", "-->")),
        ("no blank lines", replaced("\n\n", "\n")),
        ("?xywh", replaced("#xywh", "?xywh")),
        ("pixel:", replaced("xywh=", "xywh=pixel:")),
        (
            "percent:",
            replaced("xywh=0,0,142,80", "xywh=percent:0,0,10,10")
                .replace("xywh=142,0,142,80", "xywh=percent:10,0,10,10"),
        ),
        ("decimals", replaced("0,0,142,80", "0.0,0.0,142.0,80.0").replace("142,0,", "142.5,0.0,")),
        ("capitals", replaced("#xywh", "#XYWH")),
        ("other fragments", replaced("#xywh", "#t=1&xywh")),
        ("no areas", replaced("#xywh=0,0,142,80", "").replace("#xywh=142,0,142,80", "")),
        ("absolute", replaced("image", "https://cdn.example/a/b/image")),
        ("schemeless", replaced("image", "//cdn.example/a/b/image")),
        ("root-relative", replaced("image", "/a/b/image")),
        ("dot", replaced("image", "./image")),
        ("query", replaced(".jpg", ".jpg?imageMogr2/format/webp")),
        ("signed", replaced(".jpg", ".jpg?t=7f&sign=ab/cd")),
        ("percent-encoded", replaced("image", "%69mage")),
        ("&amp;", replaced(".jpg", ".jpg?v=1&amp;w=2")),
        ("two lines", replaced(",80\n", ",80\nsecond\n")),
        ("no order", {
            let mut cues: Vec<&str> = PLAIN.trim_end().split("\n\n").collect();
            cues.swap(1, 3);
            format!("{}\n", cues.join("\n\n"))
        }),
        ("overlap", replaced("--> 00:00:10.000", "--> 00:00:10.001")),
        ("gap of 1 ms", replaced("--> 00:00:10.000", "--> 00:00:09.999")),
        ("gap of 30 s", replaced("20.000 --> 00:00:27.500", "50.000 --> 00:00:57.500")),
        ("first start at 5 s", replaced("00:00:00.000 -->", "00:00:05.000 -->")),
        ("106 cues", many()),
        ("PNG", replaced(".jpg", ".png")),
        ("WebP", replaced(".jpg", ".webp")),
        ("steps of a third", replaced("10.000", "07.333").replace("20.000", "14.666")),
        ("a cue without a sheet", format!("{PLAIN}\n00:00:27.500 --> 00:00:30.000\n")),
        (
            "a tile outside",
            format!(
                "{PLAIN}\n00:00:27.500 --> 00:00:30.000\nimageSprite_10_1.jpg#xywh=0,80,142,80\n"
            ),
        ),
    ]
    .map(|(name, text)| Text::at(FOUND, name, text.into_bytes()))
    .into_iter()
    .chain([
        Text::at(
            FOUND,
            "no UTF-8",
            PLAIN
                .replace("\n\n00:00:00", "\n\nNOTE \u{0}\n\n00:00:00")
                .bytes()
                .map(|byte| if byte == 0 { 0xff } else { byte })
                .collect(),
        ),
        Text::at("https://cdn.example:8443/a/b/x.vtt", "a port", PLAIN.into()),
        Text::at("https://cdn.example/a/b/x.vtt?sign=a/b", "/ in the query", PLAIN.into()),
    ])
    .collect()
}

/// 106 cues: a full sheet, and six tiles on a second one.
fn many() -> String {
    let time = |number: usize| format!("00:{:02}:{:02}.000", number / 6, number % 6 * 10);
    let cue = |number: usize| {
        let (sheet, tile) = (number / 100, number % 100);
        format!(
            "\n{} --> {}\nimageSprite_10_{sheet}.jpg#xywh={},{},142,80\n",
            time(number),
            time(number + 1),
            tile % 10 * 142,
            tile / 10 * 80,
        )
    };
    let cues: String = (0..106).map(cue).collect();
    format!("WEBVTT\n{cues}")
}

/// The texts of `tests/data/vtt`.
pub(super) fn files() -> Vec<Text> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vtt");
    let mut texts: Vec<Text> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            Text::at(FOUND, &name, std::fs::read(&path).unwrap())
        })
        .collect();
    texts.sort_by(|one, other| one.name.cmp(&other.name));
    texts
}
