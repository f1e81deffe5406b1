//! Sprites: what a WebVTT index of thumbnails says, whether its sheets hold that, and the one
//! spelling of it that every player reads.
//!
//! The way of one sprite: [`parse`] reads the index however it is written, [`resolve`] finds the
//! sheets that its cues name, [`look_at`] says of each sheet what image it is, [`verify()`] makes of
//! all that the tiles and the [`Finding`]s, and [`write_vtt`] writes the index anew. [`players()`]
//! says which players would fail on an index as it was found. [`Place`] says where a sprite's files
//! stand in a store, and [`Manifest`] what stands beside them.
//!
//! All of it is pure: no network, no files. What comes from outside may be anything, so nothing here
//! fails hard, every loop is linear in its input, and what is shown of foreign text is harmless.

mod finding;
mod image;
mod manifest;
mod names;
mod place;
mod players;
mod verify;
mod vtt;
mod write;

pub use finding::{Finding, FindingCode, MAX_FINDINGS};
pub use image::{NotASheet, SheetFormat, SheetImage, look_at};
pub use manifest::{MANIFEST_VERSION, MAX_MANIFEST_BYTES, MadeFrom, Manifest, ManifestSheet};
pub use names::{MAX_SHEETS, RefusedName, Resolved, SheetSource, resolve};
pub use place::Place;
pub use players::{PlayerVerdict, players};
pub use verify::{Announced, Grid, Tile, TileSize, Verified, verify};
pub use vtt::{Area, Cue, Index, MAX_CUES, MAX_TEXT_BYTES, NotAnIndex, parse};
pub use write::write_vtt;
