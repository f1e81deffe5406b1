//! What the running daemon says of its sinks: a probe tells whether a sink could take an event now, a
//! daemon whether it takes them.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::report::CheckStep;
use crate::cli::control::PROMPT;
use crate::control::{self, AskError, Request, SinkMood, SinkReport, SinkReports};
use crate::format::{foreign, seconds, time};
use crate::journal;

/// What a daemon says of its sinks, if there is one that answers.
pub(super) struct RunningDaemon(Option<Result<SinkReports, AskError>>);

impl RunningDaemon {
    /// Asks the daemon that has this journal.
    pub(super) async fn ask(journal: &Path) -> Self {
        let socket = journal::control_socket(journal);
        let asked = control::ask(&socket, &Request::Sinks, PROMPT).await;
        let is_there = !matches!(asked, Err(AskError::NoDaemon(_)));
        Self(is_there.then_some(asked))
    }

    /// Puts what it says of a sink beside what the probe has found.
    pub(super) fn beside(&self, sink: &str, step: CheckStep) -> CheckStep {
        let sinks = match &self.0 {
            None => return step,
            Some(Err(error)) => {
                return CheckStep { detail: format!("{}; {error}", step.detail), ..step };
            }
            Some(Ok(SinkReports { sinks })) => sinks,
        };
        let verdict = sinks.iter().find(|report| report.name == sink).map_or_else(
            || "does not have it yet (sprited reload)".to_owned(),
            |report| verdict(report, Utc::now()),
        );
        CheckStep { detail: format!("{}; the running daemon: {verdict}", step.detail), ..step }
    }
}

fn verdict(report: &SinkReport, now: DateTime<Utc>) -> String {
    let word = report.state;
    let lasts = report.since.map(|since| format!(" for {}", time(seconds(now - since))));
    let error = report.last_error.as_deref().filter(|_| report.state == SinkMood::Down);
    let error = error.map(|error| format!(", {}", foreign(error)));
    format!("{word}{}{}", lasts.unwrap_or_default(), error.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_verdict_has_its_time_and_of_a_sink_that_is_down_its_error() {
        let now = Utc::now();
        let said = |state, since: Option<i64>| {
            let report = SinkReport {
                name: "site".to_owned(),
                state,
                since: since.map(|minutes| now - TimeDelta::minutes(minutes)),
                pending: None,
                dead: None,
                last_error: Some("HTTP 500\nInternal".to_owned()),
                last_failed: None,
                next_try: None,
                hint: None,
            };
            verdict(&report, now)
        };
        assert_eq!(said(SinkMood::Up, None), "up");
        assert_eq!(said(SinkMood::CatchingUp, Some(2)), "catching up for 2 min");
        assert!(said(SinkMood::Down, Some(3)).starts_with("down for 3 min, HTTP 500"));
        assert!(!said(SinkMood::Down, Some(3)).contains('\n'));
    }
}
