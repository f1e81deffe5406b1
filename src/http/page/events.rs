//! The latest events.

use maud::{Markup, html};

use super::message::ago;
use super::sheet::sheet;
use crate::http::status::{EventLine, Status};

/// Characters of a key that identify it in practice.
const SHORT_KEY: usize = 12;

pub(super) fn latest(status: &Status) -> Markup {
    html! {
        section id="latest" aria-labelledby="latest-title" {
            h2 id="latest-title" { "Latest events" }
            @if status.latest.is_empty() { p class="empty" { "None yet." } }
            @else { ul class="rows events" { @for line in &status.latest { (event(status, line)) } } }
            @if has_mirrored(status) { p class="hint" { a href="/sprites" { "Sprites in the mirrors" } } }
        }
    }
}

fn has_mirrored(status: &Status) -> bool {
    status.latest.iter().flat_map(|line| &line.sprites).any(|sprite| sprite.mirrored.is_some())
}

fn event(status: &Status, line: &EventLine) -> Markup {
    let state = line.state.as_str();
    html! {
        li data-key=(line.key) {
            p class="title" { b { (line.event_type) } " " span class={ "badge " (state) } { (state) } }
            p class="meta" {
                code { (line.key.get(..SHORT_KEY).unwrap_or(&line.key)) }
                @if status.has_several_apps() { span { "application " (line.app) } }
                @if let Some(file) = &line.file_id { span { "file " (file) } }
                span { "origin " (line.origin) }
                span { (ago(status, line.first_pulled)) }
            }
            @if !line.sprites.is_empty() {
                div class="sprites" {
                    @for sprite in &line.sprites { (sheet(sprite)) }
                    @if line.more_sprites > 0 { p { "and " (line.more_sprites) " more" } }
                }
            }
        }
    }
}
