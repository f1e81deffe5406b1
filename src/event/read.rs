//! Reads one EventSet entry.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::json::{self, Kind, Member, Node, Parsed, Place};
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

/// Reads one entry after another in the same memory.
#[derive(Debug, Default)]
pub struct Reader {
    places: Vec<Place>,
    canonical: Vec<u8>,
}

/// Bytes of a list that are kept for the next entry. A usual one needs a tenth of them.
const KEPT: usize = 64 * 1024;

impl Reader {
    /// Reads an entry, well-formed JSON of any kind, pulled from `app` at `pulled`; `replaced`
    /// tells that bytes in it were not UTF-8. Cannot fail: what is not understood is kept.
    pub fn read(
        &mut self,
        app: AppId,
        entry: &str,
        replaced: bool,
        pulled: DateTime<Utc>,
    ) -> Entry {
        let parsed = json::parse(entry, &mut self.places);
        let root = parsed.root();
        let body = body_of(&parsed, entry);
        // What is inexact may be the handle alone, on which the key must not depend.
        let exact = parsed.exact || json::parse(&body, &mut Vec::new()).exact;
        let key = match exact {
            true => Key::of_content(app, root, HANDLE, &mut self.canonical),
            false => Key::of_text(app, &body),
        };
        let payload = payload_of(root);
        let id = |name| payload?.get(name)?.id().map(Cow::into_owned);
        let event = Event {
            key,
            app,
            event_type: root
                .get(TYPE)
                .and_then(|value| value.name())
                .map_or_else(|| UNKNOWN_TYPE.to_owned(), Cow::into_owned),
            file_id: id("FileId"),
            task_id: id("TaskId"),
            sprites: sprites_of(root),
            body,
            first_pulled: pulled,
            replaced,
        };
        let handle = handle_of(root);
        self.forget();
        Entry { handle, event: Arc::new(event) }
    }

    /// What one huge entry took is not kept.
    fn forget(&mut self) {
        self.places.clear();
        self.places.shrink_to(KEPT / size_of::<Place>());
        self.canonical.clear();
        self.canonical.shrink_to(KEPT);
    }
}

/// Reads one entry, as [`Reader::read`] does.
#[must_use]
pub fn read(app: AppId, entry: &str, replaced: bool, pulled: DateTime<Utc>) -> Entry {
    Reader::default().read(app, entry, replaced, pulled)
}

/// The image sprites of an event by its body, as [`read`] found them.
pub(super) fn sprites_of_body(body: &str) -> Vec<super::ImageSprite> {
    sprites_of(json::parse(body, &mut Vec::new()).root())
}

/// The last handle that is text; none of those that are stays in the body.
fn handle_of(root: Node<'_>) -> Option<String> {
    let handles = root.members().filter(is_handle);
    handles.filter_map(|member| member.value.text()).last().map(Cow::into_owned)
}

fn is_handle(member: &Member<'_>) -> bool {
    member.value.kind() == Kind::String && member.name.is(HANDLE)
}

/// The member with an id, of the forty or so that the others of which are null; the last one,
/// as everywhere where members repeat.
fn payload_of(root: Node<'_>) -> Option<Node<'_>> {
    let values = root.members().map(|member| member.value);
    let has_id = |value: &Node<'_>| {
        let id = |name| value.get(name).and_then(|value| value.id());
        id("TaskId").is_some() || id("FileId").is_some()
    };
    values.filter(has_id).last()
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
    let root = parsed.root();
    if root.kind() != Kind::Object {
        add(0..text.len(), &mut body);
        return body;
    }
    body.push('{');
    // Members that stand together are added together, with the commas between them.
    let mut kept: Option<Range<usize>> = None;
    let add_kept = |kept: Option<Range<usize>>, body: &mut String| {
        let Some(kept) = kept else { return };
        if body.len() > 1 {
            body.push(',');
        }
        add(kept, body);
    };
    for member in root.members() {
        if is_handle(&member) {
            add_kept(kept.take(), &mut body);
        } else {
            let span = member.span();
            kept = Some(kept.map_or(span.start, |kept| kept.start)..span.end);
        }
    }
    add_kept(kept, &mut body);
    body.push('}');
    body
}
