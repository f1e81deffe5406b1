//! Whether the sheets hold what the index says, and what the event announced.

mod announced;
mod area;
mod grid;
mod times;
mod types;

pub use self::types::{Announced, Grid, Tile, TileSize, Verified};
use super::finding::{FindingCode, Findings, capped, excerpt_of_name};
use super::image::SheetImage;
use super::names::{Resolved, SheetSource};
use super::vtt::Index;

/// Compares an index with its sheets, and with what was announced. `images` has one entry for each of
/// `resolved.sheets`.
#[must_use]
pub fn verify(
    index: Index,
    resolved: Resolved,
    images: &[SheetImage],
    announced: &Announced,
) -> Verified {
    let mut findings = Findings::default();
    large_sheets(&resolved.sheets, images, &mut findings);
    let cue_count = index.cues.len();
    let mut placed = Vec::with_capacity(cue_count);
    for (cue, sheet) in index.cues.iter().zip(&resolved.of_cue) {
        let place = sheet.and_then(|sheet| Some((sheet, *images.get(sheet)?)));
        let Some((sheet, image)) = place else { continue };
        placed.extend(area::place(cue, sheet, image, &mut findings));
    }
    let placed = times::in_order(placed, &mut findings);
    let tile = area::common_size(&placed, &mut findings);
    let tiles: Vec<Tile> = placed.into_iter().map(|placed| placed.tile).collect();
    announced::compare(&tiles, cue_count, tile, announced, &mut findings);
    let grid = tile.and_then(|tile| grid::grid(&tiles, tile, images));
    // One that was cut is smaller.
    let has_size = |size: &TileSize| {
        tiles.iter().all(|tile| (tile.width, tile.height) == (size.width, size.height))
    };
    let tile = tile.filter(has_size);
    Verified {
        findings: capped([index.findings, resolved.findings, findings.into_vec()].concat()),
        tile,
        grid,
        duration: tiles.last().map_or(0, |tile| tile.end),
        tiles,
    }
}

/// The longest side that every browser draws, in pixels.
const MAX_SIDE: u32 = 4096;

/// The most pixels that every browser draws: those of iOS stop at 16 Mi.
const MAX_PIXELS: u64 = 16 << 20;

fn large_sheets(sheets: &[SheetSource], images: &[SheetImage], findings: &mut Findings) {
    for (source, &SheetImage { width, height, .. }) in sheets.iter().zip(images) {
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > MAX_SIDE || pixels > MAX_PIXELS {
            findings.add(FindingCode::SheetLarge, || {
                let name = source.url.path().rsplit('/').next().unwrap_or_default();
                let name = excerpt_of_name(name);
                format!("{name} is {width}x{height}: some phones and browsers do not draw it")
            });
        }
    }
}
