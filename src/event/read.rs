//! Reads one EventSet entry.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::event_type::UNKNOWN_TYPE;
use super::json::{JsonKind, Member, NameTest, Parsed, Span};
use super::key::{AppId, Key};
use super::origin::EventOrigin;
use super::report::{self, Report};
use super::scan;
use super::types::Event;

/// The member that carries the handle of this delivery; it is no part of the event.
const HANDLE: &str = "EventHandle";

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

/// A posted body.
#[derive(Clone, Debug)]
pub struct PostedEntry {
    /// The event without `Sign` and `T`, and without a handle.
    pub entry: Entry,
    /// The member `Sign`, in upper or lower case: the text of a string, anything else as written.
    pub sign: Option<String>,
    /// The member `T`; likewise. When the signature expires.
    pub expires: Option<String>,
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
        let (event, members) = self.event(app, entry, EventOrigin::Queue, pulled, replaced);
        Entry { handle: members.handle.map(Arc::from), event: Arc::new(event) }
    }

    /// Reads a body, well-formed JSON of any kind, that was posted for `app` and came at
    /// `received`; as [`Self::read`]. What signs it is no part of the event, whatever it is.
    pub fn read_posted(
        &mut self,
        app: AppId,
        body: &str,
        replaced: bool,
        received: DateTime<Utc>,
    ) -> PostedEntry {
        let (event, members) = self.event(app, body, EventOrigin::Callback, received, replaced);
        let SideMembers { sign, expires, .. } = members;
        PostedEntry { entry: Arc::new(event).into(), sign, expires }
    }

    /// Reads a body, well-formed JSON of any kind, that was made at `found` from a finished task
    /// of `app`; as [`Self::read`].
    pub fn read_reconciled(&mut self, app: AppId, body: &str, found: DateTime<Utc>) -> Entry {
        let (event, _) = self.event(app, body, EventOrigin::Reconcile, found, false);
        Arc::new(event).into()
    }

    fn event(
        &mut self,
        app: AppId,
        entry: &str,
        origin: EventOrigin,
        first_pulled: DateTime<Utc>,
        replaced: bool,
    ) -> (Event, SideMembers) {
        let is_posted = origin == EventOrigin::Callback;
        let [asked, without]: [NameTest; 2] = match is_posted {
            true => [
                |name| is_read(name) || is_signature(name),
                |name| name == HANDLE || is_signature(name),
            ],
            false => [is_read, |name| name == HANDLE],
        };
        let mut parsed = scan::parse(entry, &mut self.places, asked);
        let (body, members) = split(&parsed, entry, is_posted);
        // What is inexact, too much or a payload may be what was left out, on which nothing must
        // depend.
        let mut places = Vec::new();
        if members.has_object || (!parsed.exact && members.is_any()) {
            parsed = scan::parse(&body, &mut places, asked);
        }
        let root = parsed.root();
        let key = match parsed.exact {
            true => Key::of_content(app, root, without, &mut self.canonical),
            false => Key::of_text(app, &body),
        };
        let Report { event_type, ids, sprites } = Report::of(root);
        let event = Event {
            key,
            app,
            event_type: event_type.map_or_else(|| UNKNOWN_TYPE.to_owned(), Cow::into_owned),
            file_id: ids.file_id.map(Cow::into_owned),
            task_id: ids.task_id.map(Cow::into_owned),
            sprites,
            body,
            first_pulled,
            replaced,
            origin,
            after: None,
        };
        self.forget();
        (event, members)
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

/// What stands beside an event in the entry; of members that repeat the last.
#[derive(Default)]
struct SideMembers {
    handle: Option<String>,
    sign: Option<String>,
    expires: Option<String>,
    /// Whether one is an object, as payloads are.
    has_object: bool,
}

impl SideMembers {
    fn is_any(&self) -> bool {
        self.handle.is_some() || self.sign.is_some() || self.expires.is_some()
    }

    /// Takes `member`, if it is one of them. None of those handles stays that are text; any other
    /// is none, so it stays. Of what signs a posted body nothing stays.
    fn take(&mut self, member: &Member<'_>, is_posted: bool) -> bool {
        if member.value.kind() == JsonKind::String && member.name.is(HANDLE) {
            self.handle = member.value.text().map(Cow::into_owned).or(self.handle.take());
            return true;
        }
        if !is_posted {
            return false;
        }
        let name = member.name.decoded();
        let place = match () {
            () if is_sign(&name) => &mut self.sign,
            () if is_expires(&name) => &mut self.expires,
            () => return false,
        };
        self.has_object |= member.value.kind() == JsonKind::Object;
        *place = Some(member.value.decoded().into_owned());
        true
    }
}

/// The entry without what stands beside the event, and without white space outside strings.
fn split(parsed: &Parsed<'_>, entry: &str, is_posted: bool) -> (String, SideMembers) {
    let mut body = String::with_capacity(entry.len());
    let mut members = SideMembers::default();
    let root = parsed.root();
    let add = |part: &str, body: &mut String| match parsed.is_compact {
        true => body.push_str(part),
        false => scan::compact(part, body),
    };
    if root.kind() != JsonKind::Object {
        add(entry, &mut body);
        return (body, members);
    }
    // The members before, between and after those, without the commas beside them.
    let add_members = |span: Range<usize>, body: &mut String| {
        let members = entry.get(span).unwrap_or_default();
        let members = members.trim_matches([',', ' ', '\t', '\n', '\r']);
        if body.len() > 1 && !members.is_empty() {
            body.push(',');
        }
        add(members, body);
    };
    body.push('{');
    let mut rest = root.span().start + 1..root.span().end.saturating_sub(1);
    for member in root.members().filter(|member| members.take(member, is_posted)) {
        let span = member.span();
        add_members(rest.start..span.start, &mut body);
        rest.start = span.end;
    }
    add_members(rest, &mut body);
    body.push('}');
    (body, members)
}

/// Whether members of this name are read though very many others are not.
fn is_read(name: &str) -> bool {
    name == HANDLE || report::is_needed(name)
}

fn is_signature(name: &str) -> bool {
    is_sign(name) || is_expires(name)
}

fn is_sign(name: &str) -> bool {
    name.eq_ignore_ascii_case("Sign")
}

fn is_expires(name: &str) -> bool {
    name.eq_ignore_ascii_case("T")
}
