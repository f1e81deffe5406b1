//! The picture over which one scrubs: one SVG, without a script.
//!
//! Each tile is a link to itself, as high as the whole picture and as wide as its time. What a
//! tile shows is there from the start, and seen while the pointer is on its link, the link has the
//! focus, or the page's address names it. Every position is an attribute, so that no style is inline.

use std::collections::HashSet;

use maud::{Markup, html};

use super::mirrored::MirroredSprite;
use crate::sprite::Tile;

/// Tiles that are drawn at most; of more every n-th.
const MAX_TILES: usize = 1_200;

/// In units of the drawing.
const WIDTH: f64 = 720.0;
const PICTURE: f64 = 405.0;
const BAR: f64 = 419.0;
const BAR_HEIGHT: f64 = 12.0;
/// Down to here the pointer picks a tile; what stands below is the time and the links beside it.
const PICK_HEIGHT: f64 = 440.0;
const HEIGHT: f64 = 490.0;
const BASE_LINE: f64 = 473.0;
/// So that it is seen.
const MIN_MARK: f64 = 4.0;

/// The tiles of a sprite as they are drawn.
#[derive(Debug)]
pub(super) struct Scrub<'a> {
    sprite: &'a MirroredSprite,
    event: &'a str,
    moments: Vec<Moment>,
    /// When the last tile ends, in milliseconds.
    end: u64,
    /// Every how manieth tile is drawn.
    pub(super) step: usize,
}

/// A tile, and the part of the bar that picks it.
#[derive(Debug)]
struct Moment {
    tile: Tile,
    id: String,
    until: u64,
}

impl<'a> Scrub<'a> {
    /// `tiles` are in the order of time, and at least one.
    pub(super) fn new(sprite: &'a MirroredSprite, event: &'a str, tiles: &[Tile]) -> Self {
        let step = tiles.len().div_ceil(MAX_TILES).max(1);
        let end = tiles.iter().map(|tile| tile.end).max().unwrap_or(0);
        let shown: Vec<_> = tiles.iter().step_by(step).collect();
        let mut ids = HashSet::new();
        let moments = shown.iter().enumerate().map(|(at, tile)| {
            let next = shown.get(at + 1).map(|next| next.start);
            // A tile that is left out is shown by the one before it.
            let last = if step > 1 { next.unwrap_or(end) } else { tile.end };
            let until = next.map_or(last, |next| last.min(next));
            Moment { tile: **tile, id: id(tile.start, &mut ids), until }
        });
        Self { sprite, event, moments: moments.collect(), end, step }
    }

    pub(super) fn svg(&self) -> Markup {
        html! {
            svg class="scrub" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="group"
                aria-label="Tiles in the order of time" {
                rect class="picture" width=(WIDTH) height=(PICTURE) rx="6" {}
                rect class="track" y=(BAR) width=(WIDTH) height=(BAR_HEIGHT) rx="3" {}
                @for (at, moment) in self.moments.iter().enumerate() { (self.moment(at, moment)) }
            }
        }
    }

    fn moment(&self, at: usize, moment: &Moment) -> Markup {
        let (from, to) = (self.across(moment.tile.start), self.across(moment.until));
        let before = at.checked_sub(1).and_then(|before| self.moments.get(before));
        let class = if at == self.moments.len() / 2 { "pick middle" } else { "pick" };
        let time = clock(moment.tile.start);
        html! {
            g {
                a id=(moment.id) class=(class) href={ "#" (moment.id) } aria-label=(time) {
                    rect class="hit" x=(units(from)) width=(units(to - from)) height=(PICK_HEIGHT) {}
                    g class="shown" {
                        (self.picture(&moment.tile))
                        (mark(from, to))
                        text x=(WIDTH / 2.0) y=(BASE_LINE) { (time) }
                    }
                }
                @if let Some(before) = before {
                    a class="step" href={ "#" (before.id) } aria-label="the tile before" {
                        text x="4" y=(BASE_LINE) { "‹ " (clock(before.tile.start)) }
                    }
                }
                @if let Some(next) = self.moments.get(at + 1) {
                    a class="step next" href={ "#" (next.id) } aria-label="the next tile" {
                        text x=(WIDTH - 4.0) y=(BASE_LINE) { (clock(next.tile.start)) " ›" }
                    }
                }
            }
        }
    }

    /// As large as it fits, in the middle.
    fn picture(&self, tile: &Tile) -> Markup {
        let (width, height) = (f64::from(tile.width), f64::from(tile.height));
        let scale = (WIDTH / width).min(PICTURE / height);
        let (width, height) = (width * scale, height * scale);
        html! {
            @if let Some(drawn) = self.sprite.drawn(self.event, tile) {
                svg x=(units((WIDTH - width) / 2.0)) y=(units((PICTURE - height) / 2.0))
                    width=(units(width)) height=(units(height)) viewBox=(drawn.view_box()) {
                    (drawn.image())
                }
            }
        }
    }

    /// Where on the bar a time is.
    fn across(&self, time: u64) -> f64 {
        time as f64 / self.end.max(1) as f64 * WIDTH
    }
}

/// The part of the bar that is shown.
fn mark(from: f64, to: f64) -> Markup {
    let width = (to - from).max(MIN_MARK);
    let from = from.min(WIDTH - width);
    html! {
        rect class="mark" x=(units(from)) y=(BAR - 3.0) width=(units(width))
            height=(BAR_HEIGHT + 6.0) rx="2" {}
    }
}

/// `t1030`, which `#t1030` leads to: the whole seconds of a start; with its milliseconds where
/// another tile has that.
fn id(start: u64, taken: &mut HashSet<String>) -> String {
    let seconds = start / 1_000;
    let names = [format!("t{seconds}"), format!("t{seconds}.{:03}", start % 1_000)].into_iter();
    let mut names = names.chain((2_u32..).map(|n| format!("t{seconds}.{:03}-{n}", start % 1_000)));
    names.find(|name| taken.insert(name.clone())).unwrap_or_default()
}

/// `17:10`, `1:02:05`, `0:07.333`
pub(super) fn clock(milliseconds: u64) -> String {
    let (seconds, rest) = (milliseconds / 1_000, milliseconds % 1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let whole = match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    };
    if rest == 0 { whole } else { format!("{whole}.{rest:03}") }
}

/// A length with what can be seen of it.
fn units(length: f64) -> String {
    let text = format!("{length:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seconds_of_a_start_name_a_tile_and_no_two_have_one_name() {
        let mut taken = HashSet::new();
        let names = [0, 7_333, 7_666, 7_666, 7_666, 1_030_000].map(|start| id(start, &mut taken));
        assert_eq!(names, ["t0", "t7", "t7.666", "t7.666-2", "t7.666-3", "t1030"]);
    }

    #[test]
    fn times_and_lengths_read_well() {
        let times = [0, 59_000, 1_030_000, 3_725_000, 7_333, 360_000_000].map(clock);
        assert_eq!(times, ["0:00", "0:59", "17:10", "1:02:05", "0:07.333", "100:00:00"]);
        assert_eq!([0.0, 6.8, 1.0 / 3.0, 720.0].map(units), ["0", "6.8", "0.33", "720"]);
    }
}
