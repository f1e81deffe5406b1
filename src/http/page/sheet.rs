//! An image sprite: a real tile where a mirror has it, else a sheet drawn by what the event says.

use maud::{Markup, html};

use super::message::message;
use crate::event::SpriteStatus;
use crate::http::status::{MirroredView, SpriteSummary};

/// Tiles in a row, as the service lays them out by default.
const COLUMNS: u32 = 10;
/// Tiles that are drawn; of more the first.
const MAX_TILES: u32 = 100;

/// The sprite, linked to its page or, if that is on the web, to its sheet; and what is known of it.
pub(super) fn sheet(sprite: &SpriteSummary) -> Markup {
    let words = match sprite.status {
        SpriteStatus::Success => tiles(sprite),
        SpriteStatus::Fail => {
            format!("failed: {}", sprite.error.as_deref().unwrap_or("no reason given"))
        }
        SpriteStatus::Processing => "still processing".to_owned(),
    };
    html! {
        div class="sprite" {
            @if let Some(MirroredView { page, tile }) = &sprite.mirrored {
                a href=(page) aria-label="open the sprite" {
                    @match tile { Some(tile) => { (tile.picture("thumb")) } None => { (drawing(sprite)) } }
                }
            } @else if let Some(url) = &sprite.sheet {
                a href=(url) rel="noreferrer noopener nofollow" aria-label="open the sheet" { (drawing(sprite)) }
            } @else { (drawing(sprite)) }
            (message(&words))
        }
    }
}

fn tiles(sprite: &SpriteSummary) -> String {
    let mut words = match sprite.tile_count {
        Some(1) => "1 tile".to_owned(),
        Some(count) => format!("{count} tiles"),
        None => "tiles".to_owned(),
    };
    if let (Some(width), Some(height)) = (sprite.tile_width, sprite.tile_height) {
        words.push_str(&format!(" of {width}×{height}"));
    }
    if sprite.sheet_count > 1 {
        words.push_str(&format!(" on {} sheets", sprite.sheet_count));
    }
    words
}

fn drawing(sprite: &SpriteSummary) -> Markup {
    let count = sprite.tile_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    let shown = match sprite.status {
        SpriteStatus::Success => count.clamp(1, MAX_TILES),
        SpriteStatus::Fail | SpriteStatus::Processing => 0,
    };
    let class = match sprite.status {
        SpriteStatus::Success => "sheet",
        SpriteStatus::Fail => "sheet failed",
        SpriteStatus::Processing => "sheet waiting",
    };
    html! {
        svg class=(class) viewBox="0 0 64 40" width="64" height="40" aria-hidden="true" {
            rect class="paper" x="0.5" y="0.5" width="63" height="39" rx="3" {}
            @for tile in 0..shown {
                @let (x, y) = (2.5 + 5.9 * f64::from(tile % COLUMNS), 2.4 + 3.55 * f64::from(tile / COLUMNS));
                rect class="tile" x=(format!("{x:.1}")) y=(format!("{y:.1}")) width="5.3" height="3"
                    fill-opacity=(format!("0.{}", 35 + (tile * 37 + tile * tile * 11) % 60)) {}
            }
            @if sprite.status == SpriteStatus::Fail {
                path class="cross" d="M24 12l16 16M40 12l-16 16" {}
            }
        }
    }
}
