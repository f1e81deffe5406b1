//! `/sprites`: the newest sprites in the mirrors.

use std::collections::HashSet;
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::find::visit;
use super::frame;
use super::mirrored::Mirrored;
use super::scrub::clock;
use super::served::MirrorFolder;
use crate::format::{ago, counted, foreign, seconds};
use crate::http::tile::SheetTile;
use crate::journal::{self, JournalReader};

/// Sprites that are shown.
const MAX_SHOWN: usize = 24;

/// A sprite in the list.
#[derive(Debug)]
pub(super) struct SpriteLine {
    id: String,
    tile: Option<SheetTile>,
    file_id: Option<String>,
    definition: Option<i64>,
    count: usize,
    duration: f64,
    first_pulled: DateTime<Utc>,
}

/// The newest sprites that the mirrors have, each once. Blocks.
pub(super) fn newest(
    reader: &JournalReader,
    mirrors: &[MirrorFolder],
) -> journal::Result<Vec<SpriteLine>> {
    let (mut lines, mut seen) = (Vec::new(), HashSet::new());
    visit(reader, |event| {
        let new = event.sprites.iter().filter(|sprite| seen.insert(sprite.id.clone()));
        let here = new.filter_map(|sprite| {
            let found = Mirrored::find(mirrors, event.app, sprite).here()?;
            Some(SpriteLine {
                id: sprite.id.clone(),
                tile: found.preview(&event.key.to_string()),
                file_id: sprite.file_id.as_deref().map(foreign),
                definition: sprite.definition,
                count: found.manifest.count,
                duration: found.manifest.duration,
                first_pulled: event.first_pulled,
            })
        });
        lines.extend(here.take(MAX_SHOWN - lines.len()));
        if lines.len() < MAX_SHOWN { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(lines)
}

pub(super) fn page(lines: &[SpriteLine], has_mirrors: bool, host: &str) -> Markup {
    let now = Utc::now();
    let body = html! {
        h1 { "Sprites" }
        @if lines.is_empty() { (nothing(has_mirrors)) } @else {
            p class="meta" { "The newest in the mirrors. Each opens as a picture over which one scrubs." }
            ul class="gallery" { @for line in lines { (card(line, now)) } }
        }
    };
    frame::page("sprites", host, &body)
}

fn card(line: &SpriteLine, now: DateTime<Utc>) -> Markup {
    let file = line.file_id.as_deref();
    html! {
        li {
            a href={ "/sprites/" (line.id) } {
                span class="frame" {
                    @if let Some(tile) = &line.tile { (tile.picture("tile")) }
                }
                b { @if let Some(file) = file { "file " (file) } @else { "of no file" } }
            }
            p class="meta" {
                @if let Some(definition) = line.definition { span { "definition " (definition) } }
                span { (counted(line.count as u64, "tile")) }
                span { (length(line.duration)) }
                time datetime=(line.first_pulled.to_rfc3339()) {
                    (ago(seconds(now - line.first_pulled)))
                }
            }
        }
    }
}

/// `17:38`, of seconds that a manifest tells.
pub(super) fn length(seconds: f64) -> String {
    clock((seconds.clamp(0.0, 1e9) * 1_000.0).round() as u64)
}

fn nothing(has_mirrors: bool) -> Markup {
    html! {
        @if has_mirrors {
            p class="empty" {
                "None yet. A sprite appears here once a mirror has its sheets: after its event, or for \
                 what is in the journal already by " code { "sprited mirror backfill" } "."
            }
        } @else {
            p class="empty" {
                "No mirror is configured, so nothing is here to look at. A sink of the type "
                code { "mirror" } " fetches the sheets of each sprite into a folder; "
                "this page then shows them. docs/sinks.md has its keys:"
            }
            pre class="example" { code {
                "[[sinks]]\nname       = \"cdn\"\ntype       = \"mirror\"\nstore      = \"folder\"\n\
                 path       = \"/srv/sprites\"\npublic_url = \"https://img.example.com/sprites\""
            } }
        }
    }
}
