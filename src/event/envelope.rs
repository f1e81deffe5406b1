//! How an event is written for a sink.

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use super::after::AfterResult;
use super::key::AppId;
use super::mirror::MirrorResult;
use super::sprite::ImageSprite;
use super::types::Event;

/// How events are written for a sink.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EventFormat {
    /// CloudEvents 1.0 in JSON, with the typed image sprites beside the event.
    #[default]
    CloudEvents,
    /// The EventContent alone, as VOD's own HTTP callback posts it.
    Callback,
}

impl EventFormat {
    /// The media type of what [`Event::render`] writes.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::CloudEvents => "application/cloudevents+json; charset=utf-8",
            Self::Callback => "application/json",
        }
    }
}

/// The members of a CloudEvent 1.0 that stand before its data.
#[derive(Serialize)]
struct Attributes<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: String,
    datacontenttype: &'static str,
    /// An extension: bytes of the event were not UTF-8 and were replaced.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replacedutf8: bool,
    /// An extension: how the event arrived, unless it was pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'static str>,
}

impl Event {
    /// Appends the event to `out` in `format`: one line of JSON without a line end, the same
    /// bytes at every call.
    pub fn render(&self, format: EventFormat, out: &mut Vec<u8>) {
        match format {
            EventFormat::CloudEvents => self.render_cloud_event(out),
            EventFormat::Callback => out.extend_from_slice(self.body.as_bytes()),
        }
    }

    fn render_cloud_event(&self, out: &mut Vec<u8>) {
        let attributes = Attributes {
            specversion: "1.0",
            id: self.key.to_string(),
            source: source(self.app),
            r#type: format!("com.tencentcloud.vod.{}", self.event_type),
            subject: self.file_id.as_deref(),
            time: self.first_pulled.to_rfc3339_opts(SecondsFormat::Millis, true),
            datacontenttype: "application/json",
            replacedutf8: self.replaced,
            origin: self.origin.name(),
        };
        out.reserve(self.body.len() + 512);
        append_json(&attributes, out);
        // The body is JSON already: it goes in as it is, after the attributes' closing brace is
        // taken back.
        out.pop();
        out.extend_from_slice(br#","data":{"sprites":"#);
        match self.after.as_deref() {
            None => append_json(&self.sprites, out),
            Some(after) => {
                self.append_sprites(&after.mirrored, out);
                out.extend_from_slice(br#","after":"#);
                append_json(&AfterResult { mirrored: Vec::new(), ..after.clone() }, out);
            }
        }
        out.extend_from_slice(br#","event":"#);
        out.extend_from_slice(self.body.as_bytes());
        out.extend_from_slice(b"}}");
    }

    fn append_sprites(&self, mirrored: &[MirrorResult], out: &mut Vec<u8>) {
        let sprites = self.sprites.iter().enumerate();
        let sprites = sprites.map(|(i, sprite)| Sprite { sprite, mirror: mirrored.get(i) });
        let sprites: Vec<_> = sprites.collect();
        append_json(&sprites, out);
    }
}

/// A sprite, and what a mirror made of it.
#[derive(Serialize)]
struct Sprite<'a> {
    #[serde(flatten)]
    sprite: &'a ImageSprite,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<&'a MirrorResult>,
}

fn append_json(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("texts and numbers are always writable to memory");
}

fn source(app: AppId) -> String {
    match app {
        AppId(0) => "/tencentcloud/vod".to_owned(),
        app => format!("/tencentcloud/vod/{app}"),
    }
}
