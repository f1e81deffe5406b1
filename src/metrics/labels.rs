//! The labels of metrics. Their values are names from the configuration or fixed words, never what
//! an event holds.

use prometheus_client::encoding::EncodeLabelSet;

use crate::event::AppId;

/// No label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Unlabelled {}

/// `app="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByApp {
    /// The application's number in the configuration; 0 for the primary one.
    pub app: u64,
}

impl ByApp {
    /// Returns the labels of this application.
    #[must_use]
    pub fn of(app: AppId) -> Self {
        Self { app: app.0 }
    }
}

/// `outcome="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByOutcome {
    /// One of a fixed list.
    pub outcome: &'static str,
}

/// `code="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByCode {
    /// One of a fixed list.
    pub code: String,
}

/// `reason="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByReason {
    /// One of a fixed list.
    pub reason: &'static str,
}

/// `type="…", outcome="…", origin="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByTypeOutcomeAndOrigin {
    /// A known EventType, or `other`.
    pub r#type: &'static str,
    /// One of a fixed list.
    pub outcome: &'static str,
    /// `queue`, `callback` or `reconcile`.
    pub origin: &'static str,
}

/// `check="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByCheck {
    /// One of a fixed list.
    pub check: &'static str,
}

/// `state="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByState {
    /// Of an event: `pending`, `delivered`, `dead` or `unrouted`; of the daemon: `starting`, `good`,
    /// `degraded`, `bad` or `stopping`.
    pub state: &'static str,
}

/// `sink="…", outcome="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BySinkAndOutcome {
    /// The sink's name in the configuration.
    pub sink: String,
    /// One of a fixed list.
    pub outcome: &'static str,
}

/// `sink="…", state="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BySinkAndState {
    /// The sink's name in the configuration.
    pub sink: String,
    /// `pending`, `delivered` or `dead`.
    pub state: &'static str,
}

/// `sink="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BySink {
    /// The sink's name in the configuration.
    pub sink: String,
}

/// `version="…", commit="…"`
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByBuild {
    /// Of this program.
    pub version: &'static str,
    /// What it was built from, as `--version` has it; empty where that names none, which is to
    /// Prometheus as if there were no such label.
    pub commit: &'static str,
}
