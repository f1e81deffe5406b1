//! Why a sprite was not fetched, and what each status of a source means.

use std::time::Duration;

use super::rule::{BrokenRule, Rule};

/// Why a sprite was not fetched. Shows URLs without their query, and no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not now: files come late to a CDN, and networks fail.
    #[error("{error}")]
    Again {
        /// What is wrong, and what to do about it where that is known.
        error: String,
        /// The host at fault, with its port where the URL has one; `None` where it is this machine, as
        /// when its disk is full.
        host: Option<String>,
        /// Whether the host has answered, though not with a file that is of use: that there is none, or
        /// with something else. It is up then.
        has_answered: bool,
        /// How long the host asks to be left alone, at most an hour.
        after: Option<Duration>,
    },
    /// Never: a rule forbids it, which the text names.
    #[error("{0}")]
    Refused(String),
}

impl From<BrokenRule> for FetchError {
    fn from(broken: BrokenRule) -> Self {
        Self::Refused(broken.to_string())
    }
}

impl FetchError {
    pub(super) fn refused(rule: Rule, why: impl Into<String>) -> Self {
        BrokenRule::new(rule, why).into()
    }

    /// A failure of this machine.
    pub(super) fn here(error: impl Into<String>) -> Self {
        Self::Again { error: error.into(), host: None, has_answered: false, after: None }
    }
}

/// What is known of a status that is no file: what an operator can do about it.
pub(super) fn advice(status: u16, is_signed: bool) -> &'static str {
    match status {
        401 | 403 if is_signed => {
            "compare the KEY and the referer with the domain's hot-link protection; a change there \
             takes about 5 minutes to reach every node"
        }
        401 | 403 => "the domain may have hot-link protection, by KEY or by referer",
        404 | 410 => "it may not be there yet, or the media was deleted",
        407 => "the proxy refuses the credentials",
        429 => "it asks for fewer requests",
        500..=599 => "it failed",
        _ => "",
    }
}
