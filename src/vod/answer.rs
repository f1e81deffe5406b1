//! The envelope of an answer, and the entries of an EventSet in it.
//!
//! One buffer holds an answer's text; what is taken out of it are ranges of that buffer. Only
//! the envelope is decoded, in one pass: an entry of the EventSet is passed on as it stands, and
//! the envelope can be read whatever EventSet is.

use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::http;

/// The longest part of a RequestId that is kept, in characters; real ones have 36.
pub(super) const MAX_REQUEST_ID: usize = 128;

/// The text of an answer; what was not UTF-8 is replaced in it.
pub(super) struct Text {
    text: String,
    /// The bytes as they came, where some were replaced.
    received: Option<Vec<u8>>,
}

impl Text {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self { text, received: None },
            Err(error) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                Self { text, received: Some(error.into_bytes()) }
            }
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Where `part`, which must be a slice of this text, stands in it.
    pub(super) fn range(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
        start..start + part.len()
    }

    /// For each range, ordered and apart, whether it holds a replaced byte.
    fn replaced_in(&self, ranges: &[Range<usize>]) -> Vec<bool> {
        let mut replaced = vec![false; ranges.len()];
        let Some(received) = &self.received else { return replaced };
        let mut position = 0;
        let mut next = 0;
        for chunk in received.utf8_chunks() {
            position += chunk.valid().len();
            if chunk.invalid().is_empty() {
                continue;
            }
            while ranges.get(next).is_some_and(|range| range.end <= position) {
                next += 1;
            }
            match ranges.get(next) {
                Some(range) if range.contains(&position) => replaced[next] = true,
                Some(_) => {}
                None => break,
            }
            position += char::REPLACEMENT_CHARACTER.len_utf8();
        }
        replaced
    }
}

/// What an answer's text says.
pub(super) enum Envelope<'a> {
    /// The call was done: its EventSet, empty if it has none, and the RequestId.
    Done { event_set: EventSet<'a>, request_id: Option<String> },
    /// The call was refused.
    Refused { code: String, message: String, request_id: Option<String> },
    /// The form from before API 3.0.
    Old { code: String, message: String },
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow, rename = "Response")]
    response: Option<Inner<'a>>,
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow, rename = "codeDesc")]
    code_desc: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow, rename = "Error")]
    error: Option<&'a RawValue>,
    #[serde(borrow, rename = "RequestId")]
    request_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "EventSet")]
    event_set: Option<EventSet<'a>>,
}

/// The entries of an EventSet, or that it is no array.
pub(super) struct EventSet<'a>(Result<Vec<&'a RawValue>, NoArray>);

/// EventSet is there and something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoArray;

/// Where each entry stands in the text of the answer.
pub(super) type Places = Result<Vec<Range<usize>>, NoArray>;

impl EventSet<'_> {
    /// Where each entry stands in `text`, from which it was read.
    pub(super) fn ranges(self, text: &Text) -> Places {
        Ok(self.0?.into_iter().map(|entry| text.range(entry.get())).collect())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for EventSet<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyEventSet).map(Self)
    }
}

struct AnyEventSet;

impl<'de> Visitor<'de> for AnyEventSet {
    type Value = Result<Vec<&'de RawValue>, NoArray>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::with_capacity(16);
        while let Some(entry) = seq.next_element()? {
            entries.push(entry);
        }
        Ok(Ok(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Err(NoArray))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Err(NoArray))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Err(NoArray))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Err(NoArray))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Err(NoArray))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Err(NoArray))
    }
}

#[derive(Deserialize)]
struct Whole<T> {
    #[serde(rename = "Response")]
    response: T,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "Code")]
    code: String,
    #[serde(rename = "Message")]
    message: Option<String>,
}

impl<'a> Envelope<'a> {
    /// # Errors
    /// What is wrong with `text`, when it is none of the three.
    pub(super) fn read(text: &'a str) -> Result<Self, String> {
        let outer: Outer<'a> =
            serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))?;
        let Some(inner) = outer.response else {
            return match outer.code {
                Some(code) => Ok(Self::Old {
                    code: string(outer.code_desc).unwrap_or_else(|| code.get().to_owned()),
                    message: string(outer.message).unwrap_or_default(),
                }),
                None => Err("no member \"Response\"".to_owned()),
            };
        };
        let request_id = string(inner.request_id);
        match inner.error {
            None => {
                let event_set = inner.event_set.unwrap_or(EventSet(Ok(Vec::new())));
                Ok(Self::Done { event_set, request_id })
            }
            Some(error) => {
                let Refusal { code, message } = serde_json::from_str(error.get())
                    .map_err(|error| format!("\"Error\" cannot be read: {error}"))?;
                Ok(Self::Refused { code, message: message.unwrap_or_default(), request_id })
            }
        }
    }
}

fn string(value: Option<&RawValue>) -> Option<String> {
    value.and_then(|value| serde_json::from_str(value.get()).ok())
}

/// What one PullEvents brought: at most 16 entries, often none.
pub struct Pulled {
    /// The moment at which the request that was answered was sent. Its entries are leased no
    /// earlier than that.
    pub sent: Instant,
    /// The RequestId of the answer, empty if it had none.
    pub request_id: String,
    text: String,
    entries: Vec<(Range<usize>, bool)>,
}

impl Pulled {
    /// Takes the entries out of the answer to PullEvents.
    ///
    /// # Errors
    /// When EventSet is there and not an array.
    pub(super) fn read(answer: Answer) -> Result<Self, String> {
        let Answer { sent, request_id, content, .. } = answer;
        let request_id = http::excerpt(&request_id.unwrap_or_default(), MAX_REQUEST_ID);
        let Some((text, ranges)) = content else {
            return Ok(Self { sent, request_id, text: String::new(), entries: Vec::new() });
        };
        let ranges = ranges.map_err(|NoArray| "\"EventSet\" is no array".to_owned())?;
        let replaced = text.replaced_in(&ranges);
        let entries = ranges.into_iter().zip(replaced).collect();
        Ok(Self { sent, request_id, text: text.text, entries })
    }

    /// Each entry of the EventSet as it was received, whatever JSON it is, and whether bytes
    /// that were not UTF-8 were replaced in it.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, bool)> {
        self.entries.iter().map(|(range, replaced)| (&self.text[range.clone()], *replaced))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the queue was empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl std::fmt::Debug for Pulled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pulled")
            .field("request_id", &self.request_id)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

/// The answer to a call that was done.
pub(super) struct Answer {
    pub(super) sent: Instant,
    pub(super) request_id: Option<String>,
    pub(super) status: u16,
    /// The Date header.
    pub(super) date: Option<String>,
    /// The text and where each entry of its EventSet stands; none for an empty queue told as an
    /// error.
    pub(super) content: Option<(Text, Places)>,
}

impl Answer {
    /// The Response decoded.
    pub(super) fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, String> {
        let text = self.content.as_ref().map_or(r#"{"Response":{}}"#, |(text, _)| text.as_str());
        let Whole { response } =
            serde_json::from_str(text).map_err(|error| unlike("Response", &error))?;
        Ok(response)
    }
}

/// Says where the fault is and not what stands there: an answer may hold anything.
fn unlike(member: &str, error: &serde_json::Error) -> String {
    format!("\"{member}\" cannot be read (its line {}, column {})", error.line(), error.column())
}
