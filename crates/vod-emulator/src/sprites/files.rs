//! The files of sprites: sheets and WebVTT files, made from their URLs.

use std::fmt::Write as _;

use super::png;
use crate::handle::scramble;

/// The preset template 10: one tile each ten seconds, ten by ten tiles a sheet.
pub(super) const DEFINITION: u32 = 10;
pub(super) const TILE_SIZE: (u32, u32) = (142, 80);
const SHEET_COLUMNS: u32 = 10;
pub(super) const TILES_PER_SHEET: u32 = 100;
const SECONDS_PER_TILE: u32 = 10;

/// The most tiles a task may have: more than a day of video.
pub(super) const MAX_TILES: u32 = 10_000;

/// The path that the URLs of sprites begin with.
pub(crate) const SPRITES_PATH: &str = "/sprites/";

pub(super) fn sheet_name(sheet: u32) -> String {
    format!("imageSprite_{DEFINITION}_{sheet}.png")
}

pub(super) fn vtt_name() -> String {
    format!("imageSprite_{DEFINITION}.vtt")
}

/// A file that a sprite's URL leads to.
#[derive(Debug)]
pub(crate) struct SpriteFile {
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// The file at `path`, without [`SPRITES_PATH`]; `None` if there is none. Draws a megapixel: not
/// for a thread that others wait for.
pub(crate) fn file(path: &str) -> Option<SpriteFile> {
    let mut parts = path.split('/');
    let (Some(number), Some(tiles), Some(name), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let number = u64::from_str_radix(number, 16).ok()?;
    let tiles = tiles.parse().ok().filter(|tiles| (1..=MAX_TILES).contains(tiles))?;
    if name == vtt_name() {
        return Some(SpriteFile {
            content_type: "text/vtt; charset=utf-8",
            bytes: vtt(tiles).into(),
        });
    }
    let sheet = (0..tiles.div_ceil(TILES_PER_SHEET)).find(|sheet| name == sheet_name(*sheet))?;
    Some(SpriteFile { content_type: "image/png", bytes: draw(number, tiles, sheet) })
}

/// The cues of all tiles, each naming its sheet by bare file name.
fn vtt(tiles: u32) -> String {
    let mut text = String::from("WEBVTT\n");
    for tile in 0..tiles {
        let (from, to) = (cue_time(tile), cue_time(tile + 1));
        let (x, y) = place(tile % TILES_PER_SHEET);
        let sheet = sheet_name(tile / TILES_PER_SHEET);
        let (width, height) = TILE_SIZE;
        write!(text, "\n{from} --> {to}\n{sheet}#xywh={x},{y},{width},{height}\n")
            .expect("writing to a String cannot fail");
    }
    text
}

fn cue_time(tile: u32) -> String {
    let seconds = tile * SECONDS_PER_TILE;
    format!("{:02}:{:02}:{:02}.000", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Where a tile of a sheet begins, in pixels.
fn place(tile: u32) -> (u32, u32) {
    (tile % SHEET_COLUMNS * TILE_SIZE.0, tile / SHEET_COLUMNS * TILE_SIZE.1)
}

/// Tiles of changing colour, each with a bar that shows how far into the video it is.
fn draw(number: u64, tiles: u32, sheet: u32) -> Vec<u8> {
    const DARK: u8 = 0;
    const BAR: u8 = 1;
    let first = sheet * TILES_PER_SHEET;
    let here = (tiles - first).min(TILES_PER_SHEET);
    let mut palette = vec![[24, 24, 24], [250, 250, 250]];
    palette.extend((0..here).map(|tile| colour(number, first + tile)));
    let (width, height) = (SHEET_COLUMNS * TILE_SIZE.0, here.div_ceil(SHEET_COLUMNS) * TILE_SIZE.1);
    png::encode(width, height, &palette, |x, y| {
        let tile = y / TILE_SIZE.1 * SHEET_COLUMNS + x / TILE_SIZE.0;
        let (x, y) = (x % TILE_SIZE.0, y % TILE_SIZE.1);
        if tile >= here || x == 0 || y == 0 {
            DARK
        } else if y >= TILE_SIZE.1 - 8 && x * tiles <= (first + tile + 1) * TILE_SIZE.0 {
            BAR
        } else {
            // At most 100 tiles after the two fixed colours.
            2 + tile as u8
        }
    })
}

fn colour(number: u64, tile: u32) -> [u8; 3] {
    let [red, green, blue, ..] = scramble(number).to_be_bytes();
    let step = |channel: u8, speed: u32| {
        // A triangle wave, so that neighbours are close and no colour jumps.
        let phase = (u32::from(channel) + tile * speed) % 320;
        (if phase < 160 { phase } else { 319 - phase } + 48) as u8
    };
    [step(red, 3), step(green, 5), step(blue, 7)]
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

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
        ] {
            assert!(file(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_sheets_pixels_are_what_its_size_says() {
        let sheet = file("1/25/imageSprite_10_0.png").unwrap().bytes;
        let start = sheet.windows(4).position(|w| w == b"IDAT").unwrap();
        let size = u32::from_be_bytes(sheet[start - 4..start].try_into().unwrap()) as usize;
        let mut pixels = Vec::new();
        flate2::read::ZlibDecoder::new(&sheet[start + 4..start + 4 + size])
            .read_to_end(&mut pixels)
            .unwrap();
        assert_eq!(pixels.len(), 240 * (1420 + 1));
        assert!(pixels.contains(&26) && !pixels.contains(&27));
    }
}
