//! One entry of an EventSet: nothing of it is lost, and its key is its own.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sprited::event::{AppId, Entry, EntryReader, Event, EventFormat, Key, StoredEvent, read};

use super::json::{self, Value};

const APP: AppId = AppId(1_500_012_345);
const HANDLE: &str = "EventHandle";
const MAX_NAME: usize = 256;

/// Takes `bytes` for an entry, if they are JSON.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(entry) = serde_json::from_str::<&RawValue>(&text) {
        check_entry(entry.get());
    }
}

/// What must hold for an entry of any content.
pub(crate) fn check_entry(text: &str) {
    let entry = entry(text);
    let event = &*entry.event;
    assert!(!event.body.contains(|c: char| c < ' '), "one line");
    assert_eq!(*event, stored_again(event), "what is stored is the same event");
    let body: &RawValue = serde_json::from_str(&event.body).expect("the body is JSON");
    let again = self::entry(body.get());
    assert_eq!((again.handle, &*again.event), (None, event), "the body is the event");
    check_names(event);
    check_cloud_event(event);
    check_posted(text);
    if let Some(value) = json::read(text) {
        check_content(&entry, value);
    }
}

/// What must hold if it is posted: the body has nothing of what signs it, and is the event.
fn check_posted(text: &str) {
    let post =
        |text| EntryReader::default().read_posted(APP, text, false, DateTime::<Utc>::UNIX_EPOCH);
    let posted = post(text);
    let bare = post(&posted.entry.event.body);
    assert_eq!((bare.sign, bare.expires), (None, None));
    assert_eq!(*bare.entry.event, *posted.entry.event);
    let pulled = entry(&posted.entry.event.body);
    assert_eq!(pulled.event.key, posted.entry.event.key);
}

fn entry(text: &str) -> Entry {
    read(APP, text, false, DateTime::<Utc>::UNIX_EPOCH)
}

fn key(text: &str) -> Key {
    entry(text).event.key
}

fn stored_again(event: &Event) -> Event {
    let Event {
        key, app, event_type, file_id, task_id, body, first_pulled, replaced, origin, ..
    } = event.clone();
    Event::from_stored(StoredEvent {
        key,
        app,
        event_type,
        file_id,
        task_id,
        body,
        first_pulled,
        replaced,
        origin,
    })
}

/// Names go into headers, environments and file names as they are.
fn check_names(event: &Event) {
    let names = [Some(&event.event_type), event.file_id.as_ref(), event.task_id.as_ref()];
    let of_sprites = event.sprites.iter().flat_map(|sprite| [&sprite.file_id, &sprite.task_id]);
    for name in names.into_iter().chain(of_sprites.map(Option::as_ref)).flatten() {
        assert!(!name.is_empty() && name.len() <= MAX_NAME, "{name:?}");
        assert!(!name.contains(char::is_control), "{name:?}");
    }
    for sprite in &event.sprites {
        assert!(sprite.id.parse::<Key>().is_ok());
        assert!(sprite.sheets.iter().chain(&sprite.vtt_url).all(|url| !url.is_empty()));
        assert_eq!(sprite.error.is_some(), sprite.status == sprited::event::SpriteStatus::Fail);
    }
}

fn check_cloud_event(event: &Event) {
    let mut out = Vec::new();
    event.render(EventFormat::CloudEvents, &mut out);
    let text = String::from_utf8(out).expect("it is text");
    assert!(!text.contains(|c: char| c < ' '), "one line: {text:?}");
    let _: &RawValue = serde_json::from_str(&text).expect("it is JSON");
    let Some(whole) = json::read(&text) else { return };
    let id = format!("\"{}\"", event.key);
    assert!(matches!(member(&whole, "id"), Value::Plain(text) if *text == id));
    let mut body = String::new();
    member(member(&whole, "data"), "event").write("", &mut body);
    assert_eq!(body, event.body);
}

fn member<'v, 'a>(value: &'v Value<'a>, name: &str) -> &'v Value<'a> {
    let quoted = format!("{name:?}");
    let mut members = value.members().iter();
    &members.find(|(other, _)| *other == quoted).expect("it is there").1
}

/// Holds the body and the key against the entry's own tokens.
fn check_content(entry: &Entry, mut value: Value<'_>) {
    let handles = take_handles(&mut value);
    if let Some(Some(handle)) = handles.iter().rev().find(|handle| *handle != &Some(String::new()))
    {
        assert_eq!(entry.handle.as_deref(), Some(handle.as_str()), "the last handle that is text");
    }
    let written = |value: &Value<'_>, space: &str| {
        let mut text = String::new();
        value.write(space, &mut text);
        text
    };
    let body = written(&value, "");
    assert_eq!(entry.event.body, body, "token for token, but for the handle");

    let own = entry.event.key;
    assert_eq!(key(&written(&value, " \n\t\r")), own, "white space means nothing");
    assert_ne!(read(APP_2, &body, false, DateTime::UNIX_EPOCH).event.key, own);
    let is_text = value.is_text();
    let Value::Object(members) = &mut value else { return };
    members.push(("\"EventHandle\"", Value::Plain("\"another\"")));
    assert_eq!(key(&written(&value, "")), own, "the handle means nothing");
    if is_text {
        let mut other = value.clone();
        other.reorder();
        assert_eq!(key(&written(&other, "")), own, "the order of members means nothing");
    }
    let Value::Object(members) = &mut value else { return };
    let is_new = |name: &str| members.iter().all(|(other, _)| *other != name);
    let Some(name) = ["\"A\"", "\"B\"", "\"C\""].into_iter().find(|name| is_new(name)) else {
        return;
    };
    let names: Vec<_> = members.iter().map(|(name, _)| json::decoded(name)).collect();
    members.push((name, Value::Plain("null")));
    if is_text && !names.contains(&json::decoded(name)) {
        assert_eq!(key(&written(&value, "")), own, "a null is as good as no member");
    }
    let Value::Object(members) = &mut value else { return };
    members.last_mut().expect("it was pushed").1 = Value::Plain("0");
    assert_ne!(key(&written(&value, "")), own, "a member means something");
}

const APP_2: AppId = AppId(2);

/// Takes away the members that carry a handle, as the program does; what they hold, `None` where
/// it is no text.
fn take_handles(value: &mut Value<'_>) -> Vec<Option<String>> {
    let Value::Object(members) = value else { return Vec::new() };
    let mut handles = Vec::new();
    members.retain(|(name, value)| {
        let is_handle = json::decoded(name).as_deref() == Some(HANDLE) && value.is_string();
        if is_handle && let Value::Plain(text) = value {
            handles.push(json::decoded(text));
        }
        !is_handle
    });
    handles
}
