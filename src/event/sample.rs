//! A sample event, which says that it is a test.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::key::AppId;
use super::read::read;
use super::types::Event;

/// The EventType of a sample: none of the cloud's, so that no sink gets it by default.
const SAMPLE_TYPE: &str = "SpritedTest";

/// The body of a sample, with `id` in its TaskId, which says of what it is a test.
#[must_use]
pub fn test_body(id: &str, message: &str) -> Value {
    json!({
        "EventType": SAMPLE_TYPE,
        "SpritedTestEvent": { "TaskId": format!("SpritedTest-{id}"), "Message": message },
    })
}

/// A sample, unlike any other, which says of what it is a test.
#[must_use]
pub fn test_event(app: AppId, message: &str, now: DateTime<Utc>) -> Arc<Event> {
    let id = format!("{:016x}", rand::random::<u64>());
    read(app, &test_body(&id, message).to_string(), false, now).event
}
