//! Sprites: indexes of every spelling, their sheets, and what is made of both.

mod image;
mod manifest;
mod names;
mod parse;
mod players;
mod property;
mod verify;

use reqwest::Url;
use sprited::sprite::{
    Announced, Finding, Index, SheetFormat, SheetImage, Tile, Verified, parse, resolve, verify,
};

/// Where the index of the tests is.
const VTT_URL: &str = "http://h/x/index.vtt";

/// The sheets that its event lists.
const LISTED: [&str; 2] = ["http://h/x/a.jpg", "http://h/x/b.jpg"];

fn vtt_url() -> Url {
    Url::parse(VTT_URL).unwrap()
}

fn listed(urls: &[&str]) -> Vec<String> {
    urls.iter().map(|url| (*url).to_owned()).collect()
}

/// A text with a header and these blocks, each of which begins and ends where the text says.
fn vtt(blocks: &str) -> String {
    format!("WEBVTT\n\n{blocks}")
}

/// A cue of the first ten seconds that names this.
fn naming(payload: &str) -> String {
    vtt(&format!("00:00:00.000 --> 00:00:10.000\n{payload}\n"))
}

fn index(text: impl AsRef<[u8]>) -> Index {
    let text = text.as_ref();
    parse(text).unwrap_or_else(|error| panic!("{error}: {}", text.escape_ascii()))
}

fn refusal(text: impl AsRef<[u8]>) -> String {
    let text = text.as_ref();
    parse(text).err().unwrap_or_else(|| panic!("it is read: {}", text.escape_ascii())).to_string()
}

fn image(width: u32, height: u32) -> SheetImage {
    SheetImage { format: SheetFormat::Jpeg, width, height }
}

/// What a.jpg (1420x800) and b.jpg (1420x80) hold by this text.
fn verified(text: impl AsRef<[u8]>) -> Verified {
    verified_as(text, &Announced::default())
}

fn verified_as(text: impl AsRef<[u8]>, announced: &Announced) -> Verified {
    let index = index(text);
    let resolved = resolve(&index, &vtt_url(), &listed(&LISTED)).unwrap();
    let images: Vec<SheetImage> = resolved
        .sheets
        .iter()
        .map(|sheet| image(1420, if sheet.url.path() == "/x/b.jpg" { 80 } else { 800 }))
        .collect();
    verify(index, resolved, &images, announced)
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code.as_str()).collect()
}

/// The codes of what may look wrong to a viewer, without that of the unused b.jpg.
fn annotations(verified: &Verified) -> Vec<&'static str> {
    let findings = verified.findings.iter().filter(|finding| !finding.code.is_repair());
    findings.map(|finding| finding.code.as_str()).filter(|code| *code != "unused").collect()
}

/// A tile on the first sheet.
fn tile(start: u64, end: u64, [x, y, width, height]: [u32; 4]) -> Tile {
    Tile { start, end, sheet: 0, x, y, width, height }
}
