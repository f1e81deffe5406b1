//! The rules by which a file is not fetched, or not kept.

use std::fmt;

use crate::sanitize::{self, KeptEnd};

/// What is not fetched or not kept, whoever asks: another try would end alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The URL can be read, and is of http or https.
    Url,
    /// A URL has neither user nor password.
    User,
    /// The port is 80 or 443, or named in `hosts`.
    Port,
    /// The host is in `hosts`, where that is set.
    Hosts,
    /// The address is public, unless `hosts` is set.
    Address,
    /// An answer is the file itself.
    Redirect,
    /// An answer comes as it is, not compressed.
    Encoding,
    /// A file is a sheet: JPEG, PNG or WebP.
    Sheet,
    /// An index has at most 4 MiB.
    MaxIndex,
    /// What the index names lies beside it or is listed by the event, at most 1,000 sheets.
    Names,
    /// A sheet has at most `max_sheet`.
    MaxSheet,
    /// All files of a sprite together have at most `max_total`.
    MaxTotal,
}

impl Rule {
    /// Its name: where it is a setting, that of the setting.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::User => "user",
            Self::Port => "port",
            Self::Hosts => "hosts",
            Self::Address => "address",
            Self::Redirect => "redirect",
            Self::Encoding => "encoding",
            Self::Sheet => "sheet",
            Self::MaxIndex => "max_index",
            Self::Names => "names",
            Self::MaxSheet => "max_sheet",
            Self::MaxTotal => "max_total",
        }
    }
}

/// A rule that is not kept, and by what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) struct BrokenRule {
    pub(super) rule: Rule,
    why: String,
}

impl BrokenRule {
    pub(super) fn new(rule: Rule, why: impl Into<String>) -> Self {
        Self { rule, why: why.into() }
    }
}

impl fmt::Display for BrokenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused by the rule {}: {}", self.rule.name(), self.why)
    }
}

/// Characters of a foreign name or URL in an error, at most.
const MAX_SHOWN: usize = 160;

/// A foreign name or URL, fit for an error.
pub(super) fn shown(text: &str) -> String {
    sanitize::truncate(&sanitize::one_line(text), MAX_SHOWN, KeptEnd::First)
}
