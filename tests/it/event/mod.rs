//! The event: samples, oddities, keys, sprites and the envelope.

#![allow(clippy::unwrap_used, reason = "a test panics where its assumptions fail")]

mod arbitrary;
mod envelope;
mod hostile;
mod key;
mod legacy;
mod observed;
mod oddities;
mod posted;
mod samples;
mod sprites;
mod wanted;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sprited::event::{AppId, Entry, Event, Key, StoredEvent, read};

/// The event samples of `tests/data`, all with a handle.
const SAMPLES: [&str; 11] = [
    "create_image_sprite_complete.doc_member_names.json",
    "create_image_sprite_complete.failure.json",
    "create_image_sprite_complete.success.json",
    "file_deleted.json",
    "new_file_upload.json",
    "procedure_state_changed.no_sprite.json",
    "procedure_state_changed.sprite_processing.json",
    "procedure_state_changed.sprite_success.json",
    "procedure_state_changed.two_sprites_mixed.json",
    "procedure_state_changed.zero_times.json",
    "wechat_mini_program_publish_complete.short_member_name.json",
];
const UNKNOWN_SAMPLE: &str = "unknown_future_event.json";
const LEGACY_SAMPLE: &str = "legacy_v2.create_image_sprite_complete.push_body.json";

const APP: AppId = AppId(1_500_012_345);

fn pulled() -> DateTime<Utc> {
    "2025-01-01T00:02:03.456Z".parse().unwrap()
}

fn entry(text: &str) -> Entry {
    let raw: &RawValue = serde_json::from_str(text).unwrap();
    read(APP, raw.get(), false, pulled())
}

fn event(text: &str) -> Event {
    Event::clone(&entry(text).event)
}

fn key(text: &str) -> Key {
    entry(text).event.key
}

fn value(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// Takes an event through what is stored of it.
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
