//! The files of sprites: sheets and WebVTT files, made from their URLs.

use std::time::Duration;

use super::layout::{MAX_TILES, TILES_PER_SHEET, sheet_name, vtt_name};
use super::quirks::{SpriteFileFault, SpriteQuirks};
use super::vtt::VttText;
use super::{png, sheet};
use crate::handle::scramble;

/// The time between two tiles.
const STEP: Duration = Duration::from_secs(10);

/// The path that the URLs of sprites begin with.
pub(crate) const SPRITES_PATH: &str = "/sprites/";

/// What a sprite's URL leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpriteFile {
    /// The path up to the file's name, which all files of a task have.
    folder: String,
    number: u64,
    tiles: u32,
    quirks: SpriteQuirks,
    /// The number of the sheet; `None`: it is the WebVTT file.
    sheet: Option<u32>,
}

impl SpriteFile {
    /// Reads the path of a URL; `None` if there is no such file.
    pub(crate) fn at(path: &str) -> Option<Self> {
        let (folder, name) = path.rsplit_once('/')?;
        let mut parts = folder.strip_prefix(SPRITES_PATH)?.split('/');
        let number = u64::from_str_radix(parts.next()?, 16).ok()?;
        let tiles = parts.next()?.parse().ok().filter(|tiles| (1..=MAX_TILES).contains(tiles))?;
        let quirks = parts.next().map_or(Ok(SpriteQuirks::default()), str::parse).ok()?;
        if parts.next().is_some() {
            return None;
        }
        let name = percent_decoded(name)?;
        let sheets = 0..tiles.div_ceil(TILES_PER_SHEET);
        let sheet = sheets.into_iter().find(|sheet| name == sheet_name(*sheet));
        let exists = sheet.is_some() || name == vtt_name();
        exists.then(|| Self { folder: folder.to_owned(), number, tiles, quirks, sheet })
    }

    pub(crate) fn is_vtt(&self) -> bool {
        self.sheet.is_none()
    }

    /// The path of the WebVTT file of its task.
    pub(super) fn vtt_path(&self) -> String {
        format!("{}/{}", self.folder, vtt_name())
    }

    /// Its path, however it was written.
    pub(super) fn path(&self) -> String {
        let sheet_path = |sheet| format!("{}/{}", self.folder, sheet_name(sheet));
        self.sheet.map_or_else(|| self.vtt_path(), sheet_path)
    }

    pub(crate) fn quirks(&self) -> &SpriteQuirks {
        &self.quirks
    }

    /// What is wrong with the answer to each request for it.
    pub(super) fn fault(&self) -> Option<&SpriteFileFault> {
        let quirks = &self.quirks;
        if self.is_vtt() { quirks.vtt_fault.as_ref() } else { quirks.sheet_fault.as_ref() }
    }

    pub(crate) fn content_type(&self) -> &'static str {
        if self.is_vtt() { "text/vtt; charset=utf-8" } else { "image/png" }
    }

    /// Its bytes, as its task made them when it was run for the first time or again; `base` is the
    /// address that its URL begins with. Draws a megapixel: not for a thread that others wait for.
    pub(crate) fn bytes(&self, is_rerun: bool, base: &str) -> Vec<u8> {
        let Some(number) = self.sheet else {
            // Half as many tiles would change the number of sheets, which the event has told.
            let step = self.quirks.step.unwrap_or(STEP) * if is_rerun { 2 } else { 1 };
            let folder = format!("{base}{}", self.folder);
            let text = VttText { tiles: self.tiles, step, quirks: &self.quirks, folder: &folder };
            return text.write();
        };
        let seed = if is_rerun { scramble(self.number) } else { self.number };
        let mut png = sheet::draw(seed, self.tiles, number, &self.quirks);
        if let Some(size) = self.quirks.sheet_size {
            png::pad(&mut png, usize::try_from(size.as_u64()).unwrap_or(usize::MAX));
        }
        png
    }
}

/// `None` if it is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'%');
        let decoded = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn open(path: &str) -> Option<SpriteFile> {
        SpriteFile::at(&format!("/sprites/{path}"))
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in [
            "",
            "1/100/imageSprite_10_1.png",
            "1/0/imageSprite_10.vtt",
            "1/99999/imageSprite_10.vtt",
            "1/100/imageSprite_10.jpg",
            "x/100/imageSprite_10.vtt",
            "1/100/imageSprite_10.vtt/x",
            "1/100/crfl/imageSprite_10.vtt",
            "1/100/crlf/bom/imageSprite_10.vtt",
            "1/100/imageSprite_10%2Evt%",
        ] {
            assert!(open(path).is_none(), "{path}");
        }
        assert!(open("1/100/crlf/%69mageSprite_10%2Evtt").is_some());
    }

    fn pixels(png: &[u8]) -> Vec<u8> {
        let start = png.windows(4).position(|w| w == b"IDAT").unwrap();
        let size = u32::from_be_bytes(png[start - 4..start].try_into().unwrap()) as usize;
        let mut pixels = Vec::new();
        flate2::read::ZlibDecoder::new(&png[start + 4..start + 4 + size])
            .read_to_end(&mut pixels)
            .unwrap();
        pixels
    }

    #[test]
    fn a_sheets_pixels_are_what_its_size_says() {
        let cropped = pixels(&open("1/25/imageSprite_10_0.png").unwrap().bytes(false, ""));
        assert_eq!(cropped.len(), 240 * (1420 + 1));
        assert!(cropped.contains(&26) && !cropped.contains(&27));
        let padded = pixels(&open("1/25/padded/imageSprite_10_0.png").unwrap().bytes(false, ""));
        assert_eq!(padded.len(), 800 * (1420 + 1));
        assert_eq!(padded[..cropped.len()], cropped);
        assert!(padded[cropped.len()..].iter().all(|pixel| *pixel == 0));
    }

    #[test]
    fn a_second_run_has_other_times_and_colours_under_the_same_names() {
        for name in ["imageSprite_10.vtt", "imageSprite_10_0.png"] {
            let file = open(&format!("1/2/{name}")).unwrap();
            assert_eq!(file.bytes(false, ""), file.bytes(false, ""));
            assert_ne!(file.bytes(false, ""), file.bytes(true, ""), "{name}");
        }
    }

    #[test]
    fn a_sheet_can_be_of_any_size_above_its_own() {
        let usual = open("1/2/imageSprite_10_0.png").unwrap().bytes(false, "");
        for size in [usual.len() + 12, 400_000] {
            let sheet = open(&format!("1/2/size={size}B/imageSprite_10_0.png")).unwrap();
            let sheet = sheet.bytes(false, "");
            assert_eq!(sheet.len(), size);
            assert_eq!(pixels(&sheet), pixels(&usual));
            assert_eq!(sheet[size - 12..], usual[usual.len() - 12..]);
        }
        let small = open("1/2/size=1B/imageSprite_10_0.png").unwrap();
        assert_eq!(small.bytes(false, ""), usual);
    }
}
