//! The envelope of an answer, and the entries of an EventSet in it.
//!
//! One buffer holds an answer's text; what is taken out of it are ranges of that buffer. Only
//! the envelope is decoded, in one pass: an entry of the EventSet is passed on as it stands, and
//! the envelope can be read whatever EventSet is. Whatever the text says, little more memory is
//! taken than it takes.

use std::ops::Range;
use std::str::Utf8Chunks;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tokio::time::Instant;

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

    /// Bytes as they came.
    pub(super) fn size(&self) -> usize {
        self.received.as_ref().map_or(self.text.len(), Vec::len)
    }

    /// Where the replaced bytes stand in it, in order.
    pub(super) fn replaced(&self) -> Replaced<'_> {
        let received = self.received.as_deref().unwrap_or_default();
        Replaced { chunks: received.utf8_chunks(), position: 0 }
    }
}

pub(super) struct Replaced<'a> {
    chunks: Utf8Chunks<'a>,
    position: usize,
}

impl Iterator for Replaced<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            let chunk = self.chunks.next()?;
            let place = self.position + chunk.valid().len();
            self.position = place;
            if !chunk.invalid().is_empty() {
                self.position += char::REPLACEMENT_CHARACTER.len_utf8();
                return Some(place);
            }
        }
    }
}

/// What an answer's text says.
pub(super) enum AnswerEnvelope<'a> {
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
pub(super) struct EventSet<'a>(Result<Found<'a>, NoArray>);

/// The entries of an array as they were met.
#[derive(Default)]
struct Found<'a> {
    first: Vec<&'a RawValue>,
    /// The first and the last of the others.
    others: Option<(&'a RawValue, &'a RawValue)>,
    count: usize,
}

/// EventSet is there and something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoArray;

/// Where the entries of an EventSet stand in the text of the answer.
///
/// An answer is documented to hold 16. A place takes four times as much memory as the shortest
/// entry does, and there may be millions: only the first have one, and the others are looked for
/// again as they are needed.
#[derive(Default)]
pub(super) struct EntryPositions {
    pub(super) first: Vec<Range<usize>>,
    /// The others, with all that stands between them.
    pub(super) others: Range<usize>,
    pub(super) count: usize,
}

/// Entries whose place is kept.
const KEPT: usize = 64;

impl EventSet<'_> {
    /// Where the entries stand in `text`, from which they were read.
    pub(super) fn places(self, text: &Text) -> Result<EntryPositions, NoArray> {
        let Found { first, others, count } = self.0?;
        let place = |entry: &RawValue| text.range(entry.get());
        Ok(EntryPositions {
            first: first.into_iter().map(place).collect(),
            others: others.map_or(0..0, |(first, last)| place(first).start..place(last).end),
            count,
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for EventSet<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyEventSet).map(Self)
    }
}

struct AnyEventSet;

impl<'de> Visitor<'de> for AnyEventSet {
    type Value = Result<Found<'de>, NoArray>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut found = Found { first: Vec::with_capacity(16), ..Found::default() };
        while let Some(entry) = seq.next_element()? {
            found.count += 1;
            match &mut found.others {
                None if found.first.len() < KEPT => found.first.push(entry),
                None => found.others = Some((entry, entry)),
                Some((_, last)) => *last = entry,
            }
        }
        Ok(Ok(found))
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

impl<'a> AnswerEnvelope<'a> {
    /// Fails with what is wrong with `text`, when it is none of the three.
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
                let event_set = inner.event_set.unwrap_or(EventSet(Ok(Found::default())));
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

pub(super) struct CallAnswer {
    pub(super) sent: Instant,
    pub(super) request_id: Option<String>,
    pub(super) status: u16,
    pub(super) date: Option<String>,
    /// The text and where the entries of its EventSet stand; none for an empty queue told as an
    /// error.
    pub(super) content: Option<(Text, Result<EntryPositions, NoArray>)>,
}

impl CallAnswer {
    pub(super) fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, String> {
        let text = self.content.as_ref().map_or(r#"{"Response":{}}"#, |(text, _)| text.as_str());
        let Whole { response } =
            serde_json::from_str(text).map_err(|error| unlike("Response", &error))?;
        Ok(response)
    }
}

/// Names the place of the error and not what stands there: an answer may hold anything.
fn unlike(member: &str, error: &serde_json::Error) -> String {
    format!("\"{member}\" cannot be read (its line {}, column {})", error.line(), error.column())
}
