//! Reads one EventSet entry.

use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::json::{self, Member, Node, Parsed};
use super::sprite::sprites_of;
use super::{AppId, Event, Key, UNKNOWN_TYPE};

/// The member that carries the handle of this hand-out; it is no part of the event.
const HANDLE: &str = "EventHandle";
const TYPE: &str = "EventType";

/// One entry of an EventSet.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The handle to confirm it with; `None` where the entry has no usable one.
    pub handle: Option<String>,
    /// The event.
    pub event: Arc<Event>,
}

/// Reads an entry, well-formed JSON of any kind, pulled from `app` at `pulled`; `replaced` tells that bytes
/// in it were not UTF-8. Cannot fail: what is not understood is kept.
#[must_use]
pub fn read(app: AppId, entry: &str, replaced: bool, pulled: DateTime<Utc>) -> Entry {
    let parsed = json::parse(entry);
    let root = &parsed.root;
    let body = body_of(&parsed, entry);
    // What is inexact may be the handle alone, on which the key must not depend.
    let exact = parsed.exact || json::parse(&body).exact;
    let key = if exact { Key::of_content(app, root, HANDLE) } else { Key::of_text(app, &body) };
    let payload = payload_of(root);
    let id = |name| payload?.get(name).and_then(Node::id).map(str::to_owned);
    let event = Event {
        key,
        app,
        event_type: root.get(TYPE).and_then(Node::name).unwrap_or(UNKNOWN_TYPE).to_owned(),
        file_id: id("FileId"),
        task_id: id("TaskId"),
        sprites: sprites_of(root),
        body,
        first_pulled: pulled,
        replaced,
    };
    Entry { handle: handle_of(root), event: Arc::new(event) }
}

/// The image sprites of an event by its body, as [`read`] found them.
pub(super) fn sprites_of_body(body: &str) -> Vec<super::ImageSprite> {
    sprites_of(&json::parse(body).root)
}

/// The last handle that is text; none of those that are stays in the body.
fn handle_of(root: &Node<'_>) -> Option<String> {
    let mut handles = root.members().iter().rev().filter(|member| member.name == HANDLE);
    handles.find_map(|member| member.value.text()).map(str::to_owned)
}

/// The member with an id, of the forty or so that the others of which are null; the last one,
/// as everywhere where members repeat.
fn payload_of<'n, 'a>(root: &'n Node<'a>) -> Option<&'n Node<'a>> {
    let mut values = root.members().iter().rev().map(|member| &member.value);
    values.find(|value| {
        ["TaskId", "FileId"].iter().any(|name| value.get(name).and_then(Node::id).is_some())
    })
}

/// The entry without its handle and without white space outside strings. A handle that is not
/// text is none, so it stays.
fn body_of(parsed: &Parsed<'_>, text: &str) -> String {
    let mut body = String::with_capacity(text.len());
    let add = |part: Range<usize>, body: &mut String| {
        let part = text.get(part).unwrap_or_default();
        match parsed.is_compact {
            true => body.push_str(part),
            false => json::compact(part, body),
        }
    };
    let Node::Object(members) = &parsed.root else {
        add(0..text.len(), &mut body);
        return body;
    };
    body.push('{');
    let is_handle =
        |member: &Member<'_>| member.name == HANDLE && matches!(member.value, Node::String(_));
    // Members that stand together are added together, with the commas between them.
    for kept in members.split(is_handle) {
        let (Some(first), Some(last)) = (kept.first(), kept.last()) else { continue };
        if body.len() > 1 {
            body.push(',');
        }
        add(first.span.start..last.span.end, &mut body);
    }
    body.push('}');
    body
}
