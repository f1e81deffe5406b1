//! Calls that fail again and again, for whoever watches.

use chrono::{DateTime, Utc};

use super::advice::Advice;
use super::error::VodError;

/// Why calls of one kind fail, since the last good one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailure {
    /// What to do about the last failure.
    pub advice: Advice,
    /// Its code, where the cloud gave one.
    pub code: Option<String>,
    /// What happened; one line.
    pub message: String,
    /// The id of the cloud's answer, where there was one.
    pub request_id: Option<String>,
    /// What an operator can do.
    pub remedy: &'static str,
    /// When the first of them failed.
    pub since: DateTime<Utc>,
    /// When the next call starts, if that is known.
    pub next_try: Option<DateTime<Utc>>,
}

impl CallFailure {
    /// A call that failed at `now` with `error`; `before` is the failure that this one follows.
    #[must_use]
    pub fn after(before: Option<&Self>, error: &VodError, now: DateTime<Utc>) -> Self {
        let advice = error.advice();
        Self {
            advice,
            code: error.code().map(str::to_owned),
            message: error.message().to_owned(),
            request_id: error.request_id().map(str::to_owned),
            remedy: match error.hint() {
                Some(hint) => hint,
                // Nothing was sent: the message names the source that has none.
                None if advice == Advice::Credentials && error.code().is_none() => {
                    "correct the source of the credentials that it names"
                }
                None => advice.remedy(),
            },
            since: before.map_or(now, |before| before.since),
            next_try: None,
        }
    }
}
