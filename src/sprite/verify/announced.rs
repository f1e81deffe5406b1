//! Whether a sprite is what the event announced.

use super::super::finding::{FindingCode, Findings};
use super::types::{Announced, Tile, TileSize};

/// Compares the tiles, which `cue_count` cues named, with what was announced.
pub(super) fn compare(
    tiles: &[Tile],
    cue_count: usize,
    size: Option<TileSize>,
    announced: &Announced,
    findings: &mut Findings,
) {
    if let Some(count) = announced.tile_count {
        // By the documents it is the number of all tiles for one type of event, and that of a sheet
        // for another.
        let fits = |own: usize| i64::try_from(own).is_ok_and(|own| own == count);
        if !fits(cue_count) && !fits(most_on_a_sheet(tiles)) {
            findings.add(FindingCode::Count, || format!("{count} announced, {cue_count} cues"));
        }
    }
    if let Some(size) = size {
        // 0 stands for a side that the template leaves open.
        let is_other = |announced: Option<i64>, own: u32| {
            announced.is_some_and(|side| side > 0 && side != i64::from(own))
        };
        if is_other(announced.tile_width, size.width)
            || is_other(announced.tile_height, size.height)
        {
            findings.add(FindingCode::TileSize, || {
                let side = |side: Option<i64>| {
                    side.map_or_else(|| "?".to_owned(), |side| side.to_string())
                };
                let (width, height) = (side(announced.tile_width), side(announced.tile_height));
                format!("{width}x{height} announced, tiles are {}x{}", size.width, size.height)
            });
        }
    }
    if let (Some(duration), Some(last)) = (announced.duration, tiles.last())
        && last.end.abs_diff(duration) > interval(tiles)
    {
        findings.add(FindingCode::End, || {
            let seconds = |millis: u64| millis as f64 / 1000.0;
            let (end, duration) = (seconds(last.end), seconds(duration));
            format!("the last cue ends at {end} s, the medium at {duration} s")
        });
    }
}

/// The number of tiles on the sheet that has the most.
fn most_on_a_sheet(tiles: &[Tile]) -> usize {
    let mut sheets: Vec<usize> = tiles.iter().map(|tile| tile.sheet).collect();
    sheets.sort_unstable();
    sheets.chunk_by(|one, next| one == next).map(<[_]>::len).max().unwrap_or(0)
}

/// The usual time from one tile to the next, in milliseconds.
fn interval(tiles: &[Tile]) -> u64 {
    let mut steps: Vec<u64> =
        tiles.iter().zip(tiles.iter().skip(1)).map(|(one, next)| next.start - one.start).collect();
    if steps.is_empty() {
        steps.extend(tiles.iter().map(|tile| tile.end - tile.start));
    }
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(0)
}
