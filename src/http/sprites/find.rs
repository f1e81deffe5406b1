//! Finds sprites in the journal. Blocks.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::event::{Event, ImageSprite, Key};
use crate::journal::{self, Filter, JournalReader};

/// Events read at once.
const PAGE: usize = 100;
/// The newest events that are looked through at most: all of them, and those with image sprites.
const MAX_EVENTS: usize = 20_000;
const MAX_SPRITE_EVENTS: usize = 2_000;
/// How long they are looked through at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// The event with this key, or the newest one that reports the sprite with this id; and of its
/// sprites those that are meant. A sprite is looked for in the newest events alone.
pub(super) fn find(
    reader: &JournalReader,
    id: Key,
) -> journal::Result<Option<(Event, Vec<ImageSprite>)>> {
    if let Some(found) = reader.find(id)? {
        let sprites = found.event.sprites.clone();
        return Ok(Some((found.event, sprites)));
    }
    let id = id.to_string();
    let mut found = None;
    visit(reader, |event| {
        let Some(sprite) = event.sprites.iter().find(|sprite| sprite.id == id).cloned() else {
            return ControlFlow::Continue(());
        };
        found = Some((event, vec![sprite]));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// Hands the newest events with image sprites to `look`, the newest first, until it has enough.
pub(super) fn visit(
    reader: &JournalReader,
    mut look: impl FnMut(Event) -> ControlFlow<()>,
) -> journal::Result<()> {
    let end = Instant::now() + PATIENCE;
    let mut filter = Filter::default();
    let mut sprite_events = 0;
    for _ in 0..MAX_EVENTS / PAGE {
        let page = reader.list(&filter, PAGE)?;
        let Some(last) = page.last() else { break };
        filter.before = Some(last.id);
        for found in page {
            if !found.event.is_image_sprite() {
                continue;
            }
            sprite_events += 1;
            if look(found.event).is_break() || sprite_events >= MAX_SPRITE_EVENTS {
                return Ok(());
            }
        }
        if Instant::now() >= end {
            break;
        }
    }
    Ok(())
}
