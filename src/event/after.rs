//! What became of an event at the sink before, for a sink that comes after it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::mirror::{self, MirrorResult};

/// What became of an event at the sink before, as the sink after it reads it in `data.after`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterResult {
    /// The name of that sink.
    pub sink: String,
    /// What became of it.
    pub state: AfterState,
    /// Why, where it was given up.
    pub error: Option<String>,
    /// Deliveries that were tried there, the last one included.
    pub attempts: u32,
    /// The first one that failed; it is written in milliseconds.
    #[serde(serialize_with = "in_milliseconds")]
    pub first_failed: Option<DateTime<Utc>>,
    /// What a mirror made of the event's sprites, in their order; empty where none was before. In the
    /// envelope each stands in its sprite.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrored: Vec<MirrorResult>,
}

impl AfterResult {
    /// The same with what a mirror made of the event's sprites, of which an envelope takes 64 KiB.
    #[must_use]
    pub fn with_mirrored(self, results: Vec<MirrorResult>) -> Self {
        Self { mirrored: mirror::within_limit(results), ..self }
    }
}

/// What became of an event at the sink before, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterState {
    /// That sink has it.
    Delivered,
    /// That sink has given it up.
    Dead,
    /// It was taken from that sink by hand.
    Discarded,
    /// That sink was removed before it had taken it.
    Skipped,
}

/// As the other times of the envelope.
fn in_milliseconds<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)).serialize(serializer)
}
