//! Reads one EventSet entry.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::event_type::UNKNOWN_TYPE;
use super::json::{JsonKind, Member, Node, Parsed, Span};
use super::key::{AppId, Key};
use super::scan;
use super::sprite::{Origin, sprites_of};
use super::types::Event;

/// The member that carries the handle of this delivery; it is no part of the event.
const HANDLE: &str = "EventHandle";
const TYPE: &str = "EventType";

/// One entry of an EventSet.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The handle to confirm it with; `None` where the entry has no usable one.
    pub handle: Option<Arc<str>>,
    /// The event.
    pub event: Arc<Event>,
}

impl From<Arc<Event>> for Entry {
    /// An event that came without a handle.
    fn from(event: Arc<Event>) -> Self {
        Self { handle: None, event }
    }
}

/// Reads one entry after another in the same memory.
#[derive(Debug, Default)]
pub struct EntryReader {
    places: Vec<Span>,
    canonical: Vec<u8>,
}

/// Bytes of memory that are kept for the next entry. A usual one needs a tenth of them.
const MAX_KEPT_BYTES: usize = 64 * 1024;

impl EntryReader {
    /// Reads an entry, well-formed JSON of any kind, pulled from `app` at `pulled`; `replaced`
    /// says that bytes in it were not UTF-8. Cannot fail: what is not understood is kept.
    pub fn read(
        &mut self,
        app: AppId,
        entry: &str,
        replaced: bool,
        pulled: DateTime<Utc>,
    ) -> Entry {
        let parsed = scan::parse_asking(entry, &mut self.places, &[HANDLE, TYPE]);
        let root = parsed.root();
        let (body, handle) = without_handle(&parsed, entry);
        // What is inexact may be the handle alone, on which the key must not depend.
        let is_exact = || scan::parse(&body, &mut Vec::new()).exact;
        let exact = parsed.exact || (!parsed.is_cut && is_exact());
        let key = match exact {
            true => Key::of_content(app, root, HANDLE, &mut self.canonical),
            false => Key::of_text(app, &body),
        };
        let event_type = root.get(TYPE).and_then(|value| value.name());
        let origin = origin_of(root);
        let event = Event {
            key,
            app,
            event_type: event_type.map_or_else(|| UNKNOWN_TYPE.to_owned(), Cow::into_owned),
            file_id: origin.file_id.map(Cow::into_owned),
            task_id: origin.task_id.map(Cow::into_owned),
            sprites: sprites_of(root),
            body,
            first_pulled: pulled,
            replaced,
        };
        self.forget();
        Entry { handle: handle.map(Arc::from), event: Arc::new(event) }
    }

    /// What one huge entry took is not kept.
    fn forget(&mut self) {
        self.places.clear();
        self.places.shrink_to(MAX_KEPT_BYTES / size_of::<Span>());
        self.canonical.clear();
        self.canonical.shrink_to(MAX_KEPT_BYTES);
    }
}

/// Reads one entry, as [`EntryReader::read`] does.
#[must_use]
pub fn read(app: AppId, entry: &str, replaced: bool, pulled: DateTime<Utc>) -> Entry {
    EntryReader::default().read(app, entry, replaced, pulled)
}

/// The ids in the member that has any, of the forty or so that the others of which are null; in
/// the last one, as everywhere where members repeat.
fn origin_of(root: Node<'_>) -> Origin<'_> {
    let payloads = root.members().map(|member| member.value);
    let payloads = payloads.filter(|value| value.kind() == JsonKind::Object);
    payloads.map(Origin::of).filter(|origin| !origin.is_empty()).last().unwrap_or_default()
}

/// The entry without its handle and without white space outside strings, and the handle: the
/// last one that is text. None of those that are text stays; any other is none, so it stays.
fn without_handle(parsed: &Parsed<'_>, entry: &str) -> (String, Option<String>) {
    let mut body = String::with_capacity(entry.len());
    let root = parsed.root();
    let add = |part: &str, body: &mut String| match parsed.is_compact {
        true => body.push_str(part),
        false => scan::compact(part, body),
    };
    if root.kind() != JsonKind::Object {
        add(entry, &mut body);
        return (body, None);
    }
    // The members before, between and after handles, without the commas beside those.
    let add_members = |span: Range<usize>, body: &mut String| {
        let members = entry.get(span).unwrap_or_default();
        let members = members.trim_matches([',', ' ', '\t', '\n', '\r']);
        if body.len() > 1 && !members.is_empty() {
            body.push(',');
        }
        add(members, body);
    };
    body.push('{');
    let mut handle = None;
    let mut rest = root.span().start + 1..root.span().end.saturating_sub(1);
    for member in root.members().filter(is_handle) {
        handle = member.value.text().or(handle);
        let span = member.span();
        add_members(rest.start..span.start, &mut body);
        rest.start = span.end;
    }
    add_members(rest, &mut body);
    body.push('}');
    (body, handle.map(Cow::into_owned))
}

fn is_handle(member: &Member<'_>) -> bool {
    member.value.kind() == JsonKind::String && member.name.is(HANDLE)
}
