//! Draws the sheets.

use super::layout::{SHEET_COLUMNS, TILE_SIZE, TILES_PER_SHEET, sheet_size, tiles_on};
use super::png;
use super::quirks::SpriteQuirks;
use crate::handle::scramble;

/// Tiles of changing colour, each with a bar that shows how far into the video it is.
pub(super) fn draw(number: u64, tiles: u32, sheet: u32, quirks: &SpriteQuirks) -> Vec<u8> {
    const DARK: u8 = 0;
    const BAR: u8 = 1;
    let first = sheet * TILES_PER_SHEET;
    let here = tiles_on(tiles, sheet);
    let mut palette = vec![[24, 24, 24], [250, 250, 250]];
    palette.extend((0..here).map(|tile| colour(number, first + tile)));
    let (width, height) = sheet_size(tiles, sheet, quirks);
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
