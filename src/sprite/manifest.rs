//! The manifest: what stands beside a sprite's files for those who use them.

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::verify::{Grid, TileSize};

/// The version of manifests that is written.
pub const MANIFEST_VERSION: u32 = 1;

/// The longest manifest that is read, in bytes: that of a thousand sheets has less than one.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;

/// What a sprite holds and where, as JSON. Members that are not known are passed over when one is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`]; another one has other members.
    pub version: u32,
    /// The [`id`](crate::event::ImageSprite::id) of the sprite.
    pub sprite: String,
    /// The medium, where the event says it.
    pub file_id: Option<String>,
    /// The sprite template, where the event says it.
    pub definition: Option<i64>,
    /// Public URL of the index.
    pub vtt: String,
    /// The sheets, in order.
    pub sheets: Vec<ManifestSheet>,
    /// The size of a tile, if all have the same.
    pub tile: Option<TileSize>,
    /// The number of tiles.
    pub count: usize,
    /// When the last tile ends, in seconds.
    pub duration: f64,
    /// Only where tiles are equal, in the order of rows, and at equal steps.
    pub grid: Option<Grid>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Where it came from.
    pub made_from: MadeFrom,
}

/// A sheet in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestSheet {
    /// Public URL.
    pub url: String,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The length of its file.
    pub bytes: u64,
    /// Of its file, as 64 hex digits.
    pub sha256: String,
    /// The number of tiles on it.
    pub tiles: usize,
}

/// Where a mirrored sprite came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeFrom {
    /// The URL of the index in the event.
    pub vtt_url: String,
    /// When its task ended, as RFC 3339 writes it; where the event says that.
    #[serde(default)]
    pub finished: Option<String>,
    /// When the event was first received, as RFC 3339 writes it.
    pub first_pulled: String,
    /// The key of the event.
    pub event: String,
}
