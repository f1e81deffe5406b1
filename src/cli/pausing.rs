//! How commands pause something and resume it: the running daemon does it, or, where none runs, they
//! write it to the journal for the next one.

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;

use super::control::{AskedDaemon, PROMPT};
use super::open_journal::CliError;
use crate::control::{AskError, PauseReport, Request};
use crate::format::{seconds, time};
use crate::journal::{self, MaintenanceError, Pausable};

/// What became of it.
#[derive(Debug, Serialize)]
pub(super) struct PauseOutcome {
    #[serde(flatten)]
    report: PauseReport,
    /// Whether a daemon did it.
    daemon: bool,
}

impl AskedDaemon {
    /// Pauses `what`, or resumes it. To pause what is paused changes nothing.
    pub(super) fn set_paused(
        &self,
        what: Pausable<'_>,
        pause: bool,
    ) -> Result<PauseOutcome, CliError> {
        let request = request(what, pause);
        match self.try_ask(&request, PROMPT)? {
            Ok(report) => Ok(PauseOutcome { report, daemon: true }),
            Err(AskError::NoDaemon(_)) => self.set_paused_in_journal(what, pause),
            Err(error) => Err(self.error(error)),
        }
    }

    fn set_paused_in_journal(
        &self,
        what: Pausable<'_>,
        pause: bool,
    ) -> Result<PauseOutcome, CliError> {
        // As exact as the journal keeps it.
        let wanted = pause.then(|| Utc::now().trunc_subsecs(3));
        match journal::set_paused(&self.journal, what, wanted) {
            Ok(before) => {
                Ok(PauseOutcome { report: PauseReport::of(wanted, before), daemon: false })
            }
            Err(MaintenanceError::InUse { .. }) => Err(self.unanswering()),
            Err(error) => Err(error.into()),
        }
    }
}

fn request(what: Pausable<'_>, pause: bool) -> Request {
    match (what, pause) {
        (Pausable::Pulling, true) => Request::Pause,
        (Pausable::Pulling, false) => Request::Resume,
        (Pausable::Sink(sink), true) => Request::SinkPause { sink: sink.to_owned() },
        (Pausable::Sink(sink), false) => Request::SinkResume { sink: sink.to_owned() },
    }
}

impl PauseOutcome {
    /// In words, as of `now`: `pulling is paused`. `what` may be `pulling`, or `the sink site`.
    pub(super) fn words(&self, what: &str, now: DateTime<Utc>) -> String {
        let PauseReport { paused, changed, since } = self.report;
        let lasted = since.map_or_else(String::new, |since| time(seconds(now - since)));
        let begun = since
            .map_or_else(String::new, |since| since.format("%Y-%m-%d %H:%M:%S UTC").to_string());
        let mut words = match (paused, changed) {
            (true, true) => format!("{what} is paused"),
            (true, false) => format!("{what} is paused already, since {begun} ({lasted})"),
            (false, true) => format!("{what} is resumed; it was paused for {lasted}"),
            (false, false) => format!("{what} is not paused"),
        };
        if !self.daemon {
            words += match paused {
                true => "; no daemon runs: the pause holds when one starts",
                false => "; no daemon runs",
            };
        }
        words
    }

    /// Whether it is paused now and was not before.
    pub(super) fn begins(&self) -> bool {
        self.report.paused && self.report.changed
    }
}
