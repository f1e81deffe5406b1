//! What a daemon answers, as far as it is more than that it was done.

use std::fmt;

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
    /// Since when it is down, catches up or is paused.
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
    /// Deliveries are paused by hand.
    Paused,
    /// A word of another version.
    #[serde(other)]
    Other,
}

impl fmt::Display for SinkMood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::CatchingUp => "catching up",
            Self::Down => "down",
            Self::Paused => "paused",
            Self::Other => "in a state that only a later version knows",
        })
    }
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

/// What a sink said to a test: the answer to [`Request::SinkTest`](super::Request::SinkTest).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkTestReport {
    /// The sink's name.
    pub sink: String,
    /// The key of the event that was delivered.
    pub event: String,
    /// Its type.
    pub event_type: String,
    /// Whether it was a sample, which says that it is a test.
    pub is_sample: bool,
    /// What it said.
    pub verdict: TestVerdict,
    /// In its words, unless it took the event.
    pub error: Option<String>,
    /// The wait that it asked for.
    pub retry_after_seconds: Option<u64>,
    /// How long it took.
    pub milliseconds: u64,
}

/// What a sink said of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestVerdict {
    /// It has it.
    Delivered,
    /// Not now: it would be tried again.
    Retry,
    /// Never: it would be a dead letter.
    Reject,
    /// A word of another version.
    #[serde(other)]
    Other,
}

/// What came of deliveries that were asked for: the answer to
/// [`Request::SinkRetry`](super::Request::SinkRetry).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkRetryReport {
    /// The sink's name.
    pub sink: String,
    /// How it is then.
    pub state: SinkMood,
    /// Since when it is paused: nothing was tried then.
    pub paused_since: Option<DateTime<Utc>>,
    /// Events that it took.
    pub delivered: u64,
    /// Events that became dead letters.
    pub dead: u64,
    /// Failed deliveries.
    pub failed: u64,
    /// What the last failure or rejection was.
    pub error: Option<String>,
    /// Events that wait for it still.
    pub pending: u64,
    /// Whether that is all; otherwise deliveries go on.
    pub is_over: bool,
    /// When a sink that is down is tried next.
    pub next_try: Option<DateTime<Utc>>,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

/// What came of a reload: the answer to [`Request::Reload`](super::Request::Reload).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadVerdict {
    /// Sinks that are new.
    pub added: Vec<String>,
    /// Sinks that are gone.
    pub removed: Vec<String>,
    /// Sinks that go on with other settings.
    pub changed: Vec<String>,
    /// Tables that differ, other than those of sinks.
    pub tables: Vec<String>,
    /// Why the previous configuration stays active; empty where the file's is active now.
    pub mistakes: Vec<String>,
}

impl ReloadVerdict {
    /// The verdict on a configuration that cannot be used.
    #[must_use]
    pub fn rejected(mistakes: Vec<String>) -> Self {
        Self { mistakes, ..Self::default() }
    }

    /// Whether the file says what was active before.
    #[must_use]
    pub fn is_same(&self) -> bool {
        let Self { added, removed, changed, tables, mistakes } = self;
        [added, removed, changed, tables, mistakes].into_iter().all(Vec::is_empty)
    }
}
