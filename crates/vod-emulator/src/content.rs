//! The content of an event in the queue.
//!
//! Owns how an event is kept and written into an answer: token for token as it was added, with
//! the handle of the hand-out inserted. Sprite events are kept as a few numbers and written when
//! they are handed out, so that a million of them fit in memory.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::sprites::{Task, TaskReport};

/// An event's content, without a handle. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// JSON of any kind, as it was added.
    Raw(Arc<str>),
    /// A report of an image-sprite task made here.
    Sprite(Task, TaskReport),
}

/// How the handle is written into an entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum HandleForm<'a> {
    /// As a string, as it should.
    Handle(&'a str),
    /// As this JSON, whatever it is.
    Json(&'a str),
    /// Not at all.
    Nothing,
}

impl Content {
    /// Returns the content `json`, which must be well-formed. An object's own EventHandle is left
    /// out; nothing else is changed.
    pub(super) fn raw(json: &str) -> Self {
        let without = match serde_json::from_str::<Members<'_>>(json) {
            Ok(Members(members)) if members.iter().any(is_handle) => {
                let kept: Vec<String> = members
                    .iter()
                    .filter(|member| !is_handle(member))
                    .map(|(name, value)| format!("{}:{}", name.get(), value.get()))
                    .collect();
                format!("{{{}}}", kept.join(","))
            }
            _ => json.trim().to_owned(),
        };
        Self::Raw(without.into())
    }

    /// Appends the content as an EventSet entry; `base` is the address that sprite URLs begin
    /// with. What is no object has no place for a handle.
    pub(super) fn write(&self, form: HandleForm<'_>, base: &str, out: &mut Vec<u8>) {
        match self {
            Self::Raw(json) => insert(json, form, out),
            Self::Sprite(task, report) => insert(&task.event(*report, base), form, out),
        }
    }

    /// Appends a sprite task's content in the format of API 2.0; JSON as it was added.
    pub(super) fn write_legacy(&self, base: &str, out: &mut Vec<u8>) {
        match self {
            Self::Raw(json) => out.extend_from_slice(json.as_bytes()),
            Self::Sprite(task, report) => {
                out.extend_from_slice(task.legacy_event(*report, base).as_bytes());
            }
        }
    }
}

fn insert(json: &str, form: HandleForm<'_>, out: &mut Vec<u8>) {
    let member = match form {
        HandleForm::Handle(handle) => format!("\"EventHandle\":\"{handle}\""),
        HandleForm::Json(value) => format!("\"EventHandle\":{value}"),
        HandleForm::Nothing => return out.extend_from_slice(json.as_bytes()),
    };
    let Some(rest) = json.strip_prefix('{') else {
        return out.extend_from_slice(json.as_bytes());
    };
    out.push(b'{');
    out.extend_from_slice(member.as_bytes());
    if !rest.trim_start().starts_with('}') {
        out.push(b',');
    }
    out.extend_from_slice(rest.as_bytes());
}

fn is_handle((name, _): &(&RawValue, &RawValue)) -> bool {
    serde_json::from_str::<String>(name.get()).is_ok_and(|name| name == "EventHandle")
}

/// An object's members in order, names and values as they were written, repeated names included.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<&RawValue, &RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str, form: HandleForm<'_>) -> String {
        let mut out = Vec::new();
        Content::raw(json).write(form, "http://x", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_is_kept_token_for_token() {
        let json = r#"{ "A" : 1.50, "A":2, "\u0042":123456789012345678901234567890,"C":"\ud800" }"#;
        assert_eq!(
            written(json, HandleForm::Handle("7")),
            r#"{"EventHandle":"7", "A" : 1.50, "A":2, "\u0042":123456789012345678901234567890,"C":"\ud800" }"#
        );
        assert_eq!(written(json, HandleForm::Nothing), json);
        assert_eq!(written("{ }", HandleForm::Json("7")), r#"{"EventHandle":7 }"#);
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(
            written(&format!("{{\"a\":{deep}}}"), HandleForm::Nothing),
            format!("{{\"a\":{deep}}}")
        );
    }

    #[test]
    fn its_own_handle_is_replaced_however_it_is_written() {
        for json in [
            r#"{"EventHandle":"old","A":"\u00e9","B":[1, 2]}"#,
            r#"{"A":"\u00e9","EventHandle":{"x":[]},"B":[1, 2]}"#,
            r#"{"A":"\u00e9","B":[1, 2], "Event\u0048andle" : null}"#,
        ] {
            assert_eq!(
                written(json, HandleForm::Handle("new")),
                r#"{"EventHandle":"new","A":"\u00e9","B":[1, 2]}"#
            );
        }
        assert_eq!(written(r#"{"EventHandle":"old"}"#, HandleForm::Nothing), "{}");
    }

    #[test]
    fn what_is_no_object_goes_out_as_it_is() {
        for json in ["null", "7", "\"text\"", "[{}]"] {
            assert_eq!(written(json, HandleForm::Handle("7")), json);
        }
    }
}
