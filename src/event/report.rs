//! What an event reports: its type, the ids of its task and file, and its image sprites.

use std::borrow::Cow;

use super::json::{JsonKind, Node};
use super::legacy::{LEGACY_TYPE, LegacyEvent};
use super::scan;
use super::sprite::{Ids, ImageSprite, sprites_of};

const TYPE: &str = "EventType";

/// What an event reports.
pub(super) struct Report<'a> {
    pub(super) event_type: Option<Cow<'a, str>>,
    pub(super) ids: Ids<'a>,
    pub(super) sprites: Vec<ImageSprite>,
}

impl<'a> Report<'a> {
    /// By the root of its body. One with an EventType is of the format 3.0.
    pub(super) fn of(root: Node<'a>) -> Self {
        let event_type = root.get(TYPE).filter(|value| value.kind() != JsonKind::Null);
        if event_type.is_none()
            && let Some(legacy) = LegacyEvent::of(root)
        {
            let (event_type, ids) = (legacy.event_type(), legacy.ids());
            return Self { event_type, ids, sprites: legacy.sprites() };
        }
        let event_type = event_type.and_then(|value| value.name());
        Self { event_type, ids: ids_of(root), sprites: sprites_of(root) }
    }
}

/// Whether a report needs the members of the root that have this name, however many others there
/// are.
pub(super) fn is_needed(name: &str) -> bool {
    matches!(name, TYPE | LEGACY_TYPE)
}

/// The image sprites of a stored event by its body, as they were found when it came.
pub(super) fn sprites_of_body(body: &str) -> Vec<ImageSprite> {
    Report::of(scan::parse(body, &mut Vec::new(), is_needed).root()).sprites
}

/// The ids in the member that has any, of the forty or so that the others of which are null; in
/// the last one, as everywhere where members repeat.
fn ids_of(root: Node<'_>) -> Ids<'_> {
    let payloads = root.members().map(|member| member.value);
    let payloads = payloads.filter(|value| value.kind() == JsonKind::Object);
    payloads.map(Ids::of).filter(|ids| !ids.is_empty()).last().unwrap_or_default()
}
