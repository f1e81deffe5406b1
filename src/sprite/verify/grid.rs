//! Whether players can calculate a tile from the time.

use super::super::image::SheetImage;
use super::types::{Grid, Tile, TileSize};

/// How far the start of a tile may be from its step, in milliseconds: fractional steps are rounded.
const MAX_DRIFT: f64 = 1.0;

/// Returns the grid of tiles of this size, if they are in the order of rows, on one sheet after the
/// other, from 0 on and at equal steps.
pub(super) fn grid(tiles: &[Tile], size: TileSize, images: &[SheetImage]) -> Option<Grid> {
    let TileSize { width, height } = size;
    let first = images.first()?;
    let on_first = tiles.iter().take_while(|tile| tile.sheet == 0).count();
    let in_row = tiles.iter().take(on_first).take_while(|tile| tile.y == 0).count();
    let is_one_row = in_row == on_first;
    let is_one_sheet = on_first == tiles.len();
    // A last sheet may be filled up with nothing.
    let columns = if is_one_row && is_one_sheet {
        usize::try_from(first.width / width).ok()?
    } else {
        in_row
    };
    if columns == 0 || (!is_one_sheet && on_first % columns != 0) {
        return None;
    }
    let rows = if is_one_sheet {
        usize::try_from(first.height / height).ok()?
    } else {
        on_first / columns
    };
    let (columns, rows) = (u32::try_from(columns).ok()?, u32::try_from(rows).ok()?);
    let on_a_sheet = usize::try_from(u64::from(columns) * u64::from(rows)).ok()?;
    let interval = interval(tiles)?;
    let is_in_place = |(number, tile): (usize, &Tile)| {
        let (sheet, number_there) = (number / on_a_sheet, number % on_a_sheet);
        let number_there = u32::try_from(number_there).unwrap_or(u32::MAX);
        let (column, row) = (number_there % columns, number_there / columns);
        tile.sheet == sheet
            && (tile.width, tile.height) == (width, height)
            && u64::from(tile.x) == u64::from(column) * u64::from(width)
            && u64::from(tile.y) == u64::from(row) * u64::from(height)
            && (tile.start as f64 - number as f64 * interval).abs() <= MAX_DRIFT
    };
    if on_a_sheet == 0 || !tiles.iter().enumerate().all(is_in_place) {
        return None;
    }
    // To the microsecond, in seconds.
    Some(Grid { columns, rows, interval: (interval * 1000.0).round() / 1_000_000.0 })
}

/// The mean step, in milliseconds.
fn interval(tiles: &[Tile]) -> Option<f64> {
    let (first, last) = (tiles.first()?, tiles.last()?);
    let steps = tiles.len() - 1;
    let millis = if steps == 0 { last.end } else { last.start };
    Some((millis - first.start) as f64 / steps.max(1) as f64)
}
