//! What became of an event at the sink before, for a sink that comes after it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What became of an event at the sink before.
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
    /// The first one that failed.
    pub first_failed: Option<DateTime<Utc>>,
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
