//! Where tiles lie on their sheets.

use super::super::finding::{FindingCode, Findings, excerpt_of_name};
use super::super::image::SheetImage;
use super::super::vtt::{Area, Cue};
use super::types::{Tile, TileSize};

/// A tile, and whether the end of its sheet cuts it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlacedTile {
    pub(super) tile: Tile,
    pub(super) is_cut: bool,
}

/// Places a cue on its sheet; none if it lies outside.
pub(super) fn place(
    cue: &Cue,
    sheet: usize,
    image: SheetImage,
    findings: &mut Findings,
) -> Option<PlacedTile> {
    let SheetImage { width, height, .. } = image;
    let [left, top, right, bottom] = edges(cue.area, image);
    let (x, y) = (u32::try_from(left).ok()?, u32::try_from(top).ok()?);
    let shown = || format!("{},{},{},{}", left, top, right - left, bottom - top);
    if x >= width || y >= height {
        findings.add(FindingCode::AreaOutside, || {
            let name = excerpt_of_name(&cue.name);
            format!("tile {} lies outside {name}, which is {width}x{height}", shown())
        });
        return None;
    }
    let is_cut = right > u64::from(width) || bottom > u64::from(height);
    if is_cut {
        findings.add(FindingCode::AreaCut, || {
            let name = excerpt_of_name(&cue.name);
            format!("tile {} stands out of {name}, which is {width}x{height}", shown())
        });
    }
    let inside = |end: u64, side: u32| u32::try_from(end).map_or(side, |end| end.min(side));
    let (width, height) = (inside(right, width) - x, inside(bottom, height) - y);
    if width == 0 || height == 0 {
        findings.add(FindingCode::AreaInvalid, || {
            format!("a tile on {} is narrower than a pixel", excerpt_of_name(&cue.name))
        });
        return None;
    }
    let tile = Tile { start: cue.start, end: cue.end, sheet, x, y, width, height };
    Some(PlacedTile { tile, is_cut })
}

/// Left, top, right and bottom, in pixels.
fn edges(area: Area, image: SheetImage) -> [u64; 4] {
    match area {
        Area::Whole => [0, 0, image.width.into(), image.height.into()],
        Area::Pixels { x, y, width, height } => {
            let [x, y, width, height] = [x, y, width, height].map(u64::from);
            [x, y, x + width, y + height]
        }
        Area::Percent { x, y, width, height } => {
            // What is beyond a number of pixels is cut off by `as`, and outside of each sheet then.
            let pixels = |percent: f64, side: u32| {
                (percent / 100.0 * f64::from(side)).round().min(f64::from(u32::MAX)) as u64
            };
            [
                pixels(x, image.width),
                pixels(y, image.height),
                pixels(x + width, image.width),
                pixels(y + height, image.height),
            ]
        }
    }
}

/// Returns the size of all tiles but those that the end of a sheet cuts, if they have one.
pub(super) fn common_size(placed: &[PlacedTile], findings: &mut Findings) -> Option<TileSize> {
    let size =
        |placed: &PlacedTile| TileSize { width: placed.tile.width, height: placed.tile.height };
    let are_all_cut = placed.iter().all(|placed| placed.is_cut);
    let mut sizes = placed.iter().filter(|placed| are_all_cut || !placed.is_cut).map(size);
    let first = sizes.next()?;
    let mut others = sizes.filter(|size| *size != first);
    let Some(other) = others.next() else { return Some(first) };
    findings.add(FindingCode::TileSizes, || {
        let count = others.count() + 1;
        let TileSize { width, height } = first;
        let (other_width, other_height) = (other.width, other.height);
        let others = if count == 1 { "other is" } else { "others are" };
        format!(
            "the first tile is {width}x{height}, {count} {others} not: {other_width}x{other_height}"
        )
    });
    None
}
