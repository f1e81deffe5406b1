//! What is asked and answered: a line of JSON each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the protocol, in each answer. Another one means that an older answer can be
/// misunderstood; a new command or a new member of an answer leaves it as it is.
pub const VERSION: u32 = 1;

/// Bytes of a request at most.
pub(super) const MAX_REQUEST: usize = 64 * 1024;
/// Bytes of an answer at most.
pub(super) const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// What a daemon is asked: `{"command":"sink-retry","sink":"site","accept_rejects":false}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// How its sinks are.
    Sinks,
    /// One delivery that is a test.
    SinkTest {
        /// The sink's name.
        sink: String,
        /// The key of a stored event; without one, a sample is delivered.
        event: Option<String>,
    },
    /// Deliver what waits for a sink now.
    SinkRetry {
        /// The sink's name.
        sink: String,
        /// Whether rejections of what waits now prove the events to be bad.
        accept_rejects: bool,
    },
    /// Deliver nothing more to a sink.
    SinkPause {
        /// The sink's name.
        sink: String,
    },
    /// Deliver to a sink again.
    SinkResume {
        /// The sink's name.
        sink: String,
    },
    /// Pull no more events.
    Pause,
    /// Pull events again.
    Resume,
    /// Take the configuration over anew.
    Reload {
        /// The file, which must be the one that the daemon runs with.
        file: PathBuf,
    },
    /// The configuration in force.
    Config,
    /// A command of another version.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// Why a daemon does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ControlRefusal {
    /// For programs.
    pub kind: RefusalKind,
    /// For people, a sentence without its full stop.
    pub message: String,
}

/// Why a daemon does not do what it was asked, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// The request is no request.
    InvalidRequest,
    /// It does not know the command: it is of another version.
    UnknownCommand,
    /// It has no such sink.
    UnknownSink,
    /// It has no such event.
    UnknownEvent,
    /// It is stopping.
    Stopping,
    /// It tried, and something failed.
    Failed,
    /// A kind of another version.
    #[serde(other)]
    Other,
}

impl ControlRefusal {
    /// A refusal of this kind.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// That the daemon is stopping.
    #[must_use]
    pub fn stopping() -> Self {
        Self::new(RefusalKind::Stopping, "the daemon is stopping")
    }

    /// That the daemon does not know the command.
    #[must_use]
    pub fn unknown_command() -> Self {
        let message = format!(
            "the daemon is sprited {}, which does not know this command: restart it to have it run \
             the version of this program",
            env!("CARGO_PKG_VERSION")
        );
        Self::new(RefusalKind::UnknownCommand, message)
    }
}

/// An answer: `{"version":1,"sprited":"0.1.0","ok":{…}}`, or `"error"` in place of `"ok"`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ControlAnswer {
    pub(super) version: u32,
    /// The version of the daemon's program.
    pub(super) sprited: String,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Ok(Value),
    Error(ControlRefusal),
}

impl From<Result<Value, ControlRefusal>> for ControlAnswer {
    fn from(outcome: Result<Value, ControlRefusal>) -> Self {
        Self {
            version: VERSION,
            sprited: env!("CARGO_PKG_VERSION").to_owned(),
            outcome: outcome.map_or_else(Outcome::Error, Outcome::Ok),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_and_answers_are_written_so() {
        let written = [
            (Request::Sinks, json!({ "command": "sinks" })),
            (
                Request::SinkRetry { sink: "site".to_owned(), accept_rejects: true },
                json!({ "command": "sink-retry", "sink": "site", "accept_rejects": true }),
            ),
            (
                Request::Reload { file: "/etc/s.toml".into() },
                json!({ "command": "reload", "file": "/etc/s.toml" }),
            ),
        ];
        for (request, json) in written {
            assert_eq!(serde_json::to_value(&request).unwrap(), json);
            assert_eq!(serde_json::from_value::<Request>(json).unwrap(), request);
        }
        let later = json!({ "command": "fly", "high": true });
        assert_eq!(serde_json::from_value::<Request>(later).unwrap(), Request::Unknown);
        let program = env!("CARGO_PKG_VERSION");
        let answer = ControlAnswer::from(Ok(json!({ "a": 1 })));
        let written = json!({ "version": 1, "sprited": program, "ok": { "a": 1 } });
        assert_eq!(serde_json::to_value(answer).unwrap(), written);
        let refused = ControlAnswer::from(Err(ControlRefusal::stopping()));
        let error = json!({ "kind": "stopping", "message": "the daemon is stopping" });
        let written = json!({ "version": 1, "sprited": program, "error": error });
        assert_eq!(serde_json::to_value(refused).unwrap(), written);
        let later: RefusalKind = serde_json::from_value(json!("too-high")).unwrap();
        assert_eq!(later, RefusalKind::Other);
    }
}
