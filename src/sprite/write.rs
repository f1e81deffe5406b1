//! The one spelling of an index that every player reads.

use std::fmt;

use super::verify::Tile;

/// Writes the index of these tiles. `names` are those of the sheets' files, which stand in the same
/// folder: `0.jpg`.
///
/// `WEBVTT` and a blank line, then for each tile a line of times (`HH:MM:SS.mmm --> HH:MM:SS.mmm`), one
/// line with its place (`0.jpg#xywh=0,0,142,80`) and a blank line. Lines end with LF; there is nothing
/// else. A tile whose sheet has no name is left out. What is written, read, verified and written again
/// is the same text.
#[must_use]
pub fn write_vtt(tiles: &[Tile], names: &[String]) -> String {
    let mut text = String::with_capacity(16 + tiles.len() * 64);
    text.push_str("WEBVTT\n\n");
    for tile in tiles {
        let Some(name) = names.get(tile.sheet) else { continue };
        let Tile { start, end, x, y, width, height, .. } = *tile;
        let (start, end) = (Timestamp(start), Timestamp(end));
        text.push_str(&format!("{start} --> {end}\n{name}#xywh={x},{y},{width},{height}\n\n"));
    }
    text
}

/// A time of a cue, in milliseconds; shown as `HH:MM:SS.mmm`.
struct Timestamp(u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        write!(f, "{:02}:{:02}:{seconds:02}.{millis:03}", minutes / 60, minutes % 60)
    }
}
