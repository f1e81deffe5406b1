//! Reads one EventSet entry.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{AppId, Event};

/// One entry of an EventSet.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The handle to confirm it with; `None` where the entry has no usable one.
    pub handle: Option<String>,
    /// The event.
    pub event: Arc<Event>,
}

/// Reads the entry `text`, well-formed JSON of any kind, pulled from `app` at `pulled`;
/// `replaced` tells that bytes in it were not UTF-8. Cannot fail.
#[must_use]
pub fn read(app: AppId, text: &str, replaced: bool, pulled: DateTime<Utc>) -> Entry {
    let event = Event {
        key: super::Key::from_bytes([0; 16]),
        app,
        event_type: super::UNKNOWN_TYPE.to_owned(),
        file_id: None,
        task_id: None,
        sprites: Vec::new(),
        body: text.to_owned(),
        first_pulled: pulled,
        replaced,
    };
    Entry { handle: None, event: Arc::new(event) }
}
