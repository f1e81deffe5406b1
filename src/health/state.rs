//! The state of the daemon: one sentence and the checks behind it. The page, `status`, `/readyz`,
//! the metrics and the service manager's status line show this and nothing else.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::check::{HealthCheck, Severity};
use super::checks::sink_checks;
use super::daemon_health::{DaemonHealth, Sinks};
use crate::format::{counted, foreign, rate, time};
use crate::journal::Overview;

/// The state of a daemon at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct DaemonState {
    /// What matters most, in one sentence or two.
    pub sentence: String,
    /// The same without what changes as time goes by.
    #[serde(skip)]
    pub line: String,
    /// The same in a word.
    pub mood: Mood,
    /// Whether every check is good.
    pub ready: bool,
    /// Whether a check is degraded.
    pub degraded: bool,
    /// One by one.
    pub checks: Vec<HealthCheck>,
    /// Which of them the sentence tells in full, if one is wrong.
    #[serde(skip)]
    pub worst: Option<usize>,
}

/// How the daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mood {
    /// It has just started; nothing is known to be wrong.
    Starting,
    /// All is well.
    Good,
    /// Something does not work, but the daemon does.
    Degraded,
    /// The daemon does not do its work.
    Bad,
    /// It was told to stop.
    Stopping,
}

impl Mood {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Starting, Self::Good, Self::Degraded, Self::Bad, Self::Stopping];

    /// The word in metrics and JSON; never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Good => "good",
            Self::Degraded => "degraded",
            Self::Bad => "bad",
            Self::Stopping => "stopping",
        }
    }

    /// The words for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Good => "ok",
            Self::Degraded => "degraded",
            Self::Bad => "not working",
            Self::Stopping => "stopping",
        }
    }
}

/// What is read off the journal for the state.
#[derive(Clone, Copy, Debug)]
pub struct JournalFacts<'j> {
    /// The journal at one moment, or why it cannot be read.
    pub overview: Result<&'j Overview, &'j str>,
    /// When the newest event came.
    pub newest: Option<DateTime<Utc>>,
}

impl DaemonState {
    /// Returns the checks that somebody should know of, the worst first. That a daemon stops which
    /// was told to is none of them.
    #[must_use]
    pub fn problems(&self) -> Vec<&HealthCheck> {
        let is_meant =
            |check: &HealthCheck| self.mood == Mood::Stopping && check.name == "draining";
        let told = self.checks.iter().filter(|check| check.is_told() && !is_meant(check));
        let mut told: Vec<_> = told.collect();
        told.sort_by_key(|check| std::cmp::Reverse(check.severity()));
        told
    }
}

impl DaemonHealth {
    /// Returns the state at `now`, with a journal of which this is known.
    #[must_use]
    pub fn state(&self, journal: JournalFacts<'_>, now: DateTime<Utc>) -> DaemonState {
        self.state_with(&self.sinks().all(), journal, now)
    }

    pub(super) fn state_with(
        &self,
        sinks: &Sinks,
        journal: JournalFacts<'_>,
        now: DateTime<Utc>,
    ) -> DaemonState {
        let mut checks = self.own_checks(journal.overview.err(), now);
        checks.extend(self.cloud_checks(now));
        checks.extend(self.confirm_checks());
        checks.push(self.receive_check(now));
        checks.extend(sink_checks(sinks, journal.overview.ok(), now));
        checks.extend(self.setting_checks(now));
        let mood = self.mood(&checks);
        let sentence = |now| self.sentence(mood, &checks, sinks, journal, now);
        DaemonState {
            sentence: sentence(Some(now)),
            line: sentence(None),
            mood,
            ready: checks.iter().all(|check| check.ok),
            degraded: checks.iter().any(|check| check.degraded),
            worst: worst(&checks)
                .and_then(|worst| checks.iter().position(|check| std::ptr::eq(check, worst))),
            checks,
        }
    }

    /// Without `now` it does not change as time goes by.
    fn sentence(
        &self,
        mood: Mood,
        checks: &[HealthCheck],
        sinks: &Sinks,
        journal: JournalFacts<'_>,
        now: Option<DateTime<Utc>>,
    ) -> String {
        let sentence = match (mood, worst(checks)) {
            (Mood::Stopping, _) => return self.stopping(sinks),
            (Mood::Starting, None) if self.has_pulled() => {
                "Waiting for an answer of the cloud.".to_owned()
            }
            (Mood::Starting, None) => {
                "Starting: waiting for the first answer of the cloud.".to_owned()
            }
            (_, Some(worst)) => told(checks, worst, now),
            (_, None) => self.working(sinks, journal, now),
        };
        sentence + &notices(checks)
    }

    fn mood(&self, checks: &[HealthCheck]) -> Mood {
        let is_final = self.journal().error().is_some_and(|error| error.is_final());
        match worst(checks) {
            _ if is_final => Mood::Bad,
            _ if self.is_draining() => Mood::Stopping,
            Some(worst) if worst.severity() == Severity::NotReady => Mood::Bad,
            Some(_) => Mood::Degraded,
            // Nothing is wrong, and something is awaited.
            None if checks.iter().any(|check| !check.ok) => Mood::Starting,
            None => Mood::Good,
        }
    }

    fn stopping(&self, sinks: &Sinks) -> String {
        match sinks.keys().map(|sink| self.in_flight(sink)).sum() {
            0 => "Stopping: confirming what is safe.".to_owned(),
            events => format!(
                "Stopping: waiting up to 15 s for {} in flight, then confirming what is safe.",
                counted(events, "event")
            ),
        }
    }

    /// What the daemon does while nothing is wrong.
    fn working(
        &self,
        sinks: &Sinks,
        JournalFacts { overview, newest }: JournalFacts<'_>,
        now: Option<DateTime<Utc>>,
    ) -> String {
        let Ok(overview) = overview else { return "Working.".to_owned() };
        let pending = |name: &str| {
            let of = overview.sinks.iter().find(|of| of.sink.name == name);
            of.map_or(0, |of| of.events.pending)
        };
        let catching_up: Vec<_> = sinks
            .iter()
            .filter(|(name, sink)| sink.catching_up_since.is_some() && pending(name) > 0)
            .map(|(name, sink)| {
                let left = counted(pending(name), "event");
                let about = match sink.deliveries_per_second {
                    pace if pace > 0.0 && now.is_some() => {
                        format!(", about {}", time(pending(name) as f64 / pace))
                    }
                    _ => String::new(),
                };
                format!("Sink {} is catching up: {left} left{about}", foreign(name))
            })
            .collect();
        if !catching_up.is_empty() {
            return format!("{}.", catching_up.join("; "));
        }
        let pace: f64 = sinks.values().map(|sink| sink.deliveries_per_second).sum();
        let at = now.map_or(String::new(), |_| format!(" at {}", rate(pace)));
        let (doing, idle) = match self.progress().is_empty() {
            false => ("Pulling", "The queue is empty, nothing is pending"),
            true => ("Receiving", "Waiting for events, nothing is pending"),
        };
        let pending = counted(overview.events.pending, "event");
        match (overview.events.pending > 0, pace > 0.0) {
            (true, true) => format!("Delivering{at}; {pending} pending."),
            (true, false) => format!("{pending} pending; none is delivered now."),
            (false, true) => format!("{doing} and delivering{at}; nothing is pending."),
            (false, false) => match (now, newest) {
                (None, _) => format!("{idle}."),
                (Some(_), None) => format!("{idle}; no event has come yet."),
                (Some(now), Some(newest)) => {
                    let age = (now - newest).to_std().unwrap_or_default();
                    format!("{idle}; the last event came {} ago.", time(age.as_secs_f64()))
                }
            },
        }
    }
}

/// The check that matters most, if one is wrong: of several as bad, the first.
fn worst(checks: &[HealthCheck]) -> Option<&HealthCheck> {
    let wrong = checks.iter().filter(|check| check.severity() >= Severity::Degraded);
    wrong.rev().max_by_key(|check| check.severity())
}

/// What is wrong: the worst in full, the others in a few words.
fn told(checks: &[HealthCheck], worst: &HealthCheck, now: Option<DateTime<Utc>>) -> String {
    let in_full = now.map_or_else(|| worst.brief().to_owned(), |now| worst.told(now));
    let others: Vec<_> = checks
        .iter()
        .filter(|check| check.severity() >= Severity::Degraded && !std::ptr::eq(*check, worst))
        .map(HealthCheck::brief)
        .filter(|brief| !brief.is_empty())
        .collect();
    let also = match others.as_slice() {
        [] => String::new(),
        others => format!(" Also: {}.", others.join("; ")),
    };
    capitalised(in_full.trim_end_matches('.')) + "." + &also
}

/// What should be known all the same.
fn notices(checks: &[HealthCheck]) -> String {
    let notices = checks.iter().filter(|check| check.severity() == Severity::Notice);
    notices.map(|check| format!(" {}.", capitalised(check.brief()))).collect()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
