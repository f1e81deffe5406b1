//! Where the tiles of a task are: on which sheet, and where on it.

use super::quirks::SpriteQuirks;

/// The preset template 10: one tile each ten seconds, ten by ten tiles a sheet.
pub(super) const DEFINITION: u32 = 10;
pub(super) const TILE_SIZE: (u32, u32) = (142, 80);
pub(super) const SHEET_COLUMNS: u32 = 10;
pub(super) const TILES_PER_SHEET: u32 = 100;

/// The most tiles a task may have: more than a day of video.
pub(super) const MAX_TILES: u32 = 10_000;

pub(super) fn sheet_name(sheet: u32) -> String {
    format!("imageSprite_{DEFINITION}_{sheet}.png")
}

pub(super) fn vtt_name() -> String {
    format!("imageSprite_{DEFINITION}.vtt")
}

/// The width and height of one of a task's sheets, in pixels. Whether the service makes the last one
/// as high as the others is not known.
pub(super) fn sheet_size(tiles: u32, sheet: u32, quirks: &SpriteQuirks) -> (u32, u32) {
    let here = if quirks.padded { TILES_PER_SHEET } else { tiles_on(tiles, sheet) };
    (SHEET_COLUMNS * TILE_SIZE.0, here.div_ceil(SHEET_COLUMNS) * TILE_SIZE.1)
}

/// How many tiles are on a sheet.
pub(super) fn tiles_on(tiles: u32, sheet: u32) -> u32 {
    (tiles - sheet * TILES_PER_SHEET).min(TILES_PER_SHEET)
}

/// Where a tile of a sheet begins, in pixels.
pub(super) fn place(tile: u32) -> (u32, u32) {
    (tile % SHEET_COLUMNS * TILE_SIZE.0, tile / SHEET_COLUMNS * TILE_SIZE.1)
}
