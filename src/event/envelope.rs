//! How an event is written for a sink.

use serde::Deserialize;

use super::Event;

/// How events are written for a sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// CloudEvents 1.0 in JSON, with the typed image sprites beside the event.
    #[default]
    CloudEvents,
    /// The EventContent alone, as VOD's own HTTP callback posts it.
    Callback,
}

impl Format {
    /// The media type of what [`Event::render`] writes.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::CloudEvents => "application/cloudevents+json; charset=utf-8",
            Self::Callback => "application/json",
        }
    }
}

impl Event {
    /// Appends the event to `out` in `format`: one line of JSON without a line end, the same
    /// bytes at every call.
    pub fn render(&self, format: Format, out: &mut Vec<u8>) {
        match format {
            Format::CloudEvents => out.extend_from_slice(
                format!(
                    r#"{{"specversion":"1.0","id":"{}","data":{{"event":{}}}}}"#,
                    self.key, self.body
                )
                .as_bytes(),
            ),
            Format::Callback => out.extend_from_slice(self.body.as_bytes()),
        }
    }
}
