//! What a daemon answers, as far as it is more than that it was done.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How the sinks of a daemon are, in the order of their names: the answer to
/// [`Request::Sinks`](super::Request::Sinks).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkReports {
    /// Of each.
    pub sinks: Vec<SinkReport>,
}

/// How a sink is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkReport {
    /// Its name.
    pub name: String,
    /// In a word.
    pub state: SinkMood,
    /// Since when it is down or catches up.
    pub since: Option<DateTime<Utc>>,
    /// Events that wait for it; `None` where the journal cannot be read.
    pub pending: Option<u64>,
    /// Its dead letters; `None` where the journal cannot be read.
    pub dead: Option<u64>,
    /// What it failed with last, since its loop began.
    pub last_error: Option<String>,
    /// When that was.
    pub last_failed: Option<DateTime<Utc>>,
    /// When a sink that is down is tried next.
    pub next_try: Option<DateTime<Utc>>,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

/// How a sink is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinkMood {
    /// It takes events.
    Up,
    /// It was down, and not all that waited then had its turn yet.
    CatchingUp,
    /// It fails.
    Down,
    /// A word of another version.
    #[serde(other)]
    Other,
}

/// What was paused or resumed: the answer to [`Request::Pause`](super::Request::Pause),
/// [`Request::Resume`](super::Request::Resume) and those of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseReport {
    /// Whether it is paused now.
    pub paused: bool,
    /// Whether it was otherwise before.
    pub changed: bool,
    /// Since when it is paused, or was.
    pub since: Option<DateTime<Utc>>,
}

impl PauseReport {
    /// What became of it when it was to be paused at `wanted`, or resumed (`None`), and was paused
    /// since `before`: that time stays.
    #[must_use]
    pub fn of(wanted: Option<DateTime<Utc>>, before: Option<DateTime<Utc>>) -> Self {
        Self {
            paused: wanted.is_some(),
            changed: wanted.is_some() != before.is_some(),
            since: before.or(wanted),
        }
    }
}
