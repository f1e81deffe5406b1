//! One part of the daemon's health: what is wrong, why, since when, and what to do.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::format::{seconds, time};

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// It works.
    Fine,
    /// It works; somebody should know of it all the same.
    Notice,
    /// It does not work as it should; the daemon does its work.
    Degraded,
    /// The daemon does not do its work.
    NotReady,
}

/// A part of the daemon's health. There may be several of one name, each of another sink or
/// application.
#[derive(Clone, Debug, Serialize)]
pub struct HealthCheck {
    /// Its name.
    pub name: &'static str,
    /// The sink or application that it is of, where there can be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whether the daemon can be ready.
    pub ok: bool,
    /// Whether something does not work as it should; on its own no reason not to be ready.
    pub degraded: bool,
    /// The age that it looks at, in seconds; `None` if there is nothing of an age.
    pub seconds: Option<f64>,
    /// Its figure, or what is wrong and why.
    pub detail: String,
    /// The error code of the cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The id of the cloud's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Since when it is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try: Option<DateTime<Utc>>,
    /// What an operator can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The same as `detail` in a few words, beside something that matters more.
    #[serde(skip)]
    brief: Option<String>,
    #[serde(skip)]
    severity: Severity,
}

impl HealthCheck {
    fn new(name: &'static str, severity: Severity, detail: String) -> Self {
        Self {
            name,
            subject: None,
            ok: severity != Severity::NotReady,
            degraded: severity == Severity::Degraded,
            seconds: None,
            detail,
            code: None,
            request_id: None,
            since: None,
            next_try: None,
            remedy: None,
            brief: None,
            severity,
        }
    }

    pub(crate) fn fine(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Severity::Fine, detail.into())
    }

    /// The same, which may keep the daemon from being ready though it says less.
    pub(super) fn ready_if(self, is_ready: bool) -> Self {
        Self { ok: is_ready, ..self }
    }

    pub(crate) fn notice(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Severity::Notice, detail.into())
    }

    pub(crate) fn degraded(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Severity::Degraded, detail.into())
    }

    pub(crate) fn not_ready(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Severity::NotReady, detail.into())
    }

    pub(super) fn of(self, subject: Option<String>) -> Self {
        Self { subject, ..self }
    }

    pub(super) fn aged(self, seconds: Option<f64>) -> Self {
        Self { seconds, ..self }
    }

    pub(super) fn briefly(self, brief: impl Into<String>) -> Self {
        Self { brief: Some(brief.into()), ..self }
    }

    pub(super) fn since(self, since: Option<DateTime<Utc>>) -> Self {
        Self { since, ..self }
    }

    pub(super) fn next_try(self, next_try: Option<DateTime<Utc>>) -> Self {
        Self { next_try, ..self }
    }

    /// The cloud said so, under this code and id.
    pub(super) fn answered(self, code: Option<String>, request_id: Option<String>) -> Self {
        Self { code, request_id, ..self }
    }

    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    pub(super) fn severity(&self) -> Severity {
        self.severity
    }

    /// Whether it says something that somebody should know.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.severity > Severity::Fine
    }

    /// In a few words.
    pub(super) fn brief(&self) -> &str {
        self.brief.as_deref().unwrap_or(&self.detail)
    }

    /// How much it matters: `not ready`, `degraded`, `note`, or `ok`.
    #[must_use]
    pub fn severity_word(&self) -> &'static str {
        match self.severity {
            Severity::NotReady => "not ready",
            Severity::Degraded => "degraded",
            Severity::Notice => "note",
            Severity::Fine => "ok",
        }
    }

    /// What is wrong, for how long, and when it is tried again:
    /// `sink site is down: HTTP 404; for 3 min, next try in 12 s`.
    #[must_use]
    pub fn told(&self, now: DateTime<Utc>) -> String {
        match self.when(now) {
            None => self.detail.clone(),
            Some(when) => format!("{}; {when}", self.detail),
        }
    }

    /// For how long it is wrong, and when it is tried again: `for 3 min, next try in 12 s`.
    #[must_use]
    pub fn when(&self, now: DateTime<Utc>) -> Option<String> {
        let mut parts = Vec::new();
        parts.extend(self.since.map(|since| format!("for {}", time(seconds(now - since)))));
        parts.extend(self.next_try.map(|at| match seconds(at - now) {
            left if left < 1.0 => "next try now".to_owned(),
            left => format!("next try in {}", time(left)),
        }));
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}
