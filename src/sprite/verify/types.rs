//! What is verified: what was announced, and the tiles that there are.

use serde::{Deserialize, Serialize};

use super::super::finding::Finding;
use crate::event::ImageSprite;

/// What the event says of a sprite beside its URLs. What is absent is not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// TotalCount: the number of tiles of all sheets, or of one sheet.
    pub tile_count: Option<i64>,
    /// Width of a tile, in pixels.
    pub tile_width: Option<i64>,
    /// Height of a tile, in pixels.
    pub tile_height: Option<i64>,
    /// Duration of the medium, in milliseconds.
    pub duration: Option<u64>,
}

impl Announced {
    /// What a sprite of an event announces; the duration is not in it.
    #[must_use]
    pub fn of(sprite: &ImageSprite) -> Self {
        Self {
            tile_count: sprite.tile_count,
            tile_width: sprite.tile_width,
            tile_height: sprite.tile_height,
            duration: None,
        }
    }
}

/// One thumbnail: the part of a sheet that shows a span of the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// When it starts, in milliseconds.
    pub start: u64,
    /// When it ends, in milliseconds; after its start and no later than the next one starts.
    pub end: u64,
    /// The place of its sheet in [`Resolved::sheets`](super::super::names::Resolved::sheets).
    pub sheet: usize,
    /// From the left of the sheet, in pixels.
    pub x: u32,
    /// From the top of the sheet, in pixels.
    pub y: u32,
    /// In pixels, at least 1; ends within the sheet.
    pub width: u32,
    /// In pixels, at least 1; ends within the sheet.
    pub height: u32,
}

/// The size of a tile, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TileSize {
    /// From left to right.
    pub width: u32,
    /// From top to bottom.
    pub height: u32,
}

/// How equal tiles lie on their sheets, for players that calculate a tile from the time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Tiles in a row of a full sheet.
    pub columns: u32,
    /// Rows of a full sheet.
    pub rows: u32,
    /// From the start of one tile to the start of the next, in seconds.
    pub interval: f64,
}

/// What a sprite holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Its tiles by time, none of which lies outside its sheet. Empty if no cue could be used: then
    /// there is no sprite, and `findings` says why.
    pub tiles: Vec<Tile>,
    /// All that was found on the way, at most [`MAX_FINDINGS`](super::super::MAX_FINDINGS); repairs last.
    pub findings: Vec<Finding>,
    /// The size of a tile, if all have the same, not counting those that the end of a sheet cuts.
    pub tile: Option<TileSize>,
    /// Only where tiles are equal, in the order of rows, and at equal steps.
    pub grid: Option<Grid>,
    /// When the last tile ends, in milliseconds.
    pub duration: u64,
}

impl Verified {
    /// Whether something was found that may look wrong to a viewer.
    #[must_use]
    pub fn has_annotations(&self) -> bool {
        self.findings.iter().any(|finding| !finding.code.is_repair())
    }
}
