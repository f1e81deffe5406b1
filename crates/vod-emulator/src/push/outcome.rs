//! What comes of a try to post an event.

use serde::Serialize;

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PushOutcome {
    /// With a 200 in time.
    Answered,
    /// With another status, in time.
    Refused(u16),
    /// Without a whole answer in time.
    TimedOut,
    /// There was no connection, or it ended before the answer did.
    Unreachable,
}

/// What the end of a try means for its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushEnd {
    /// This was the first 200.
    Answered,
    /// This was a repetition after the 200.
    Repeated,
    /// It will be sent again.
    Again,
    /// The last try has failed.
    Lost,
}
