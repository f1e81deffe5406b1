//! `/sprites/<id>`: one sprite, with what is known of it and how players take it.

use bytesize::ByteSize;
use maud::{Markup, html};

use super::frame;
use super::latest::length;
use super::mirrored::MirroredSprite;
use super::players::snippets;
use super::scrub::{Scrub, clock};
use crate::event::Event;
use crate::format::{counted, foreign};
use crate::sprite::{MAX_FINDINGS, Tile};

/// Sheets that are listed; of more the first.
const MAX_SHEETS: usize = 20;

/// The page of a sprite; without tiles it says why there are none.
pub(super) fn page(
    event: &Event,
    sprite: &MirroredSprite,
    tiles: &Result<Vec<Tile>, String>,
    host: &str,
) -> Markup {
    let file = sprite.manifest.file_id.as_deref().map_or("of no file".to_owned(), foreign);
    let body = html! {
        h1 { "Sprite" @if sprite.manifest.file_id.is_some() { " of file " } @else { " " } (file) }
        div class="viewer" {
            div { (picture(event, sprite, tiles)) }
            (facts(event, sprite))
        }
        (findings(sprite))
        (addresses(sprite))
    };
    frame::page(&format!("sprite {file}"), host, &body)
}

/// A page that has nothing to show, and says why.
pub(super) fn missing(why: &Markup, host: &str) -> Markup {
    let body = html! {
        h1 { "No such sprite here" }
        p class="empty" { (why) }
        p class="empty" { a href="/sprites" { "The newest sprites" } }
    };
    frame::page("no sprite", host, &body)
}

fn picture(event: &Event, sprite: &MirroredSprite, tiles: &Result<Vec<Tile>, String>) -> Markup {
    let key = event.key.to_string();
    html! {
        @match tiles {
            Err(why) => { p class="empty" { "No tile can be shown: " (foreign(why)) } }
            Ok(tiles) => {
                @let scrub = Scrub::new(sprite, &key, tiles);
                p class="skip" { a href="#after" { "skip the tiles" } }
                (scrub.svg())
                p class="meta" id="after" {
                    span { "Move over the picture, or use Tab; a click keeps the place in the address." }
                    @if scrub.step > 1 {
                        span {
                            "There are " (counted(tiles.len() as u64, "tile")) "; each "
                            (ordinal(scrub.step)) " is shown."
                        }
                    }
                }
            }
        }
    }
}

fn ordinal(step: usize) -> String {
    match step {
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        step => format!("{step}th"),
    }
}

fn facts(event: &Event, sprite: &MirroredSprite) -> Markup {
    let manifest = &sprite.manifest;
    let row = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        dl class="facts sprite-facts" {
            @if let Some(definition) = manifest.definition {
                (row("definition", html! { (definition) }))
            }
            (row("tiles", html! { (counted(manifest.count as u64, "tile"))
                @if let Some(size) = manifest.tile { " of " (size.width) "×" (size.height) } }))
            (row("length", html! { (length(manifest.duration)) }))
            (row("grid", html! {
                @match manifest.grid {
                    None => { "none: tiles differ, or their order or steps do" }
                    Some(grid) => {
                        (grid.columns) "×" (grid.rows) ", a tile every "
                        (clock((grid.interval.clamp(0.0, 1e6) * 1_000.0).round() as u64))
                    }
                }
            }))
            (row("sheets", sheets(sprite)))
            (row("mirror", html! { (sprite.mirror.name) }))
            (row("first received", html! {
                time datetime=(event.first_pulled.to_rfc3339()) {
                    (event.first_pulled.format("%Y-%m-%d %H:%M:%S")) " UTC"
                }
            }))
            (row("application", html! { (event.app) }))
            (row("sprite", html! { code { (manifest.sprite) } }))
            (row("event", html! { code { (event.key) } }))
        }
    }
}

fn sheets(sprite: &MirroredSprite) -> Markup {
    let sheets = &sprite.manifest.sheets;
    html! {
        ol class="sheets" {
            @for sheet in sheets.iter().take(MAX_SHEETS) {
                li { (sheet.width) "×" (sheet.height) ", " (ByteSize::b(sheet.bytes)) ", "
                    (counted(sheet.tiles as u64, "tile")) }
            }
        }
        @if sheets.len() > MAX_SHEETS { p { "and " (sheets.len() - MAX_SHEETS) " more" } }
    }
}

fn findings(sprite: &MirroredSprite) -> Markup {
    let findings = &sprite.manifest.findings;
    html! {
        section aria-labelledby="findings-title" {
            h2 id="findings-title" { "Findings" }
            @if findings.is_empty() { p class="empty" { "None: the sheets hold what the index says." } }
            @else {
                ul class="rows findings" {
                    @for finding in findings.iter().take(MAX_FINDINGS) {
                        li { p { span class="badge" { (finding.code.as_str()) } }
                            p { (foreign(&finding.text)) } }
                    }
                }
            }
        }
    }
}

/// Where players find it.
fn addresses(sprite: &MirroredSprite) -> Markup {
    let (vtt, sheets) = (sprite.vtt_url(), sprite.sheet_urls());
    html! {
        section aria-labelledby="players-title" {
            h2 id="players-title" { "In a player" }
            dl class="facts addresses" {
                div { dt { "index" } dd { (link(&vtt)) } }
                div { dt { "manifest" } dd { (link(&sprite.manifest_url())) } }
            }
            div class="panel snippets" { (snippets(&vtt, &sheets)) }
        }
    }
}

fn link(url: &str) -> Markup {
    html! { a href=(url) rel="noreferrer noopener" { (url) } }
}
