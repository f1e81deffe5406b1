//! What `check` found: steps, their outcome and advice, for people or for programs.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::cli::exit::Exit;
use crate::sanitize::one_line;
use crate::secret::SecretError;

/// The step that others point at where nothing answers.
pub(super) const CLOUD: &str = "cloud";
pub(super) const CREDENTIALS: &str = "credentials";
pub(super) const EVENT_MODE: &str = "event-mode";
pub(super) const QUEUE: &str = "queue";
pub(super) const RECONCILE: &str = "reconcile";

/// What to do where a secret can be seen by the service alone.
const UNSEEN_CREDENTIALS: &str = "only the service can read systemd's credentials; to check as the \
                                  service does: sudo systemd-run --pipe --wait --collect -p \
                                  User=sprited -p StateDirectory=sprited -p \
                                  LoadCredential=secret_key:/etc/sprited/secret_key \
                                  /usr/bin/sprited check";

/// What to do where root could see these secrets.
const UNSEEN_BY_THIS_USER: &str = "run the command as root, which reads what the service gets: \
                                   sudo sprited check";

/// What to do where these secrets cannot be seen.
pub(super) fn unseen<'a>(errors: impl IntoIterator<Item = &'a SecretError>) -> &'static str {
    let is_for_root = |error: &SecretError| matches!(error, SecretError::Withheld { .. });
    match nix::unistd::geteuid().is_root() || !errors.into_iter().all(is_for_root) {
        true => UNSEEN_CREDENTIALS,
        false => UNSEEN_BY_THIS_USER,
    }
}

/// The longest that the search for credentials may take, and each call with its repeats.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum StepOutcome {
    Ok,
    Warn,
    Fail,
    /// Not checked, since an earlier step failed.
    Skip,
}

#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct CheckStep {
    /// What was checked, in one word; stable, for programs.
    pub(in crate::cli) step: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) name: Option<String>,
    pub(in crate::cli) outcome: StepOutcome,
    /// What was found, in one line.
    pub(in crate::cli) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) advice: Option<String>,
    /// What is wrong in the configuration, by line; only that step has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::cli) problems: Vec<FileProblem>,
    /// How the command ends if this is the first step that failed.
    #[serde(skip)]
    pub(in crate::cli) exit: Exit,
}

#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct FileProblem {
    /// [`StepOutcome::Fail`] or [`StepOutcome::Warn`].
    pub(in crate::cli) outcome: StepOutcome,
    /// Where it stands, counted from 1; none if it is about the whole file.
    pub(in crate::cli) line: Option<usize>,
    pub(in crate::cli) column: Option<usize>,
    pub(in crate::cli) message: String,
}

impl CheckStep {
    pub(in crate::cli) fn ok(step: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            name: None,
            outcome: StepOutcome::Ok,
            detail: detail.into(),
            advice: None,
            problems: Vec::new(),
            exit: Exit::Success,
        }
    }

    pub(in crate::cli) fn warn(
        step: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { outcome: StepOutcome::Warn, advice: Some(advice.into()), ..Self::ok(step, detail) }
    }

    pub(in crate::cli) fn skip(step: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { outcome: StepOutcome::Skip, ..Self::ok(step, detail) }
    }

    pub(in crate::cli) fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    fn title(&self) -> String {
        let name = self.name.as_deref().map(|name| format!(" {name}"));
        format!("{}{}", self.step, name.unwrap_or_default())
    }

    pub(in crate::cli) fn fail(
        step: impl Into<String>,
        exit: Exit,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { outcome: StepOutcome::Fail, exit, ..Self::warn(step, detail, advice) }
    }
}

/// Colours of a terminal.
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const RED: &str = "\u{1b}[31m";
const FAINT: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct CheckReport {
    ok: bool,
    exit: u8,
    file: String,
    steps: Vec<CheckStep>,
}

impl CheckReport {
    pub(in crate::cli) fn new(file: &Path) -> Self {
        Self { ok: true, exit: 0, file: file.display().to_string(), steps: Vec::new() }
    }

    pub(in crate::cli) fn push(&mut self, step: CheckStep) {
        self.ok &= step.outcome != StepOutcome::Fail;
        self.steps.push(step);
        self.exit = self.exit().code();
    }

    /// How the command ends: as its first failed step says.
    pub(in crate::cli) fn exit(&self) -> Exit {
        let failed = self.steps.iter().find(|step| step.outcome == StepOutcome::Fail);
        failed.map_or(Exit::Success, |step| step.exit)
    }

    /// For programs: one JSON object and a line end.
    pub(in crate::cli) fn json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("strings and numbers can be written");
        text.push('\n');
        text
    }

    /// For people: a line for each step, what to do below it. With colours the outcomes stand out.
    pub(in crate::cli) fn table(&self, is_coloured: bool) -> String {
        let width = self.steps.iter().map(|step| step.title().chars().count()).max().unwrap_or(0);
        let file = Path::new(&self.file).file_name().unwrap_or_default().to_string_lossy();
        let mut lines = Vec::new();
        for step in &self.steps {
            let CheckStep { outcome, detail, advice, problems, .. } = step;
            let (title, detail) = (step.title(), one_line(detail));
            let (word, colour) = match outcome {
                StepOutcome::Ok => ("ok", GREEN),
                StepOutcome::Warn => ("warn", YELLOW),
                StepOutcome::Fail => ("fail", RED),
                StepOutcome::Skip => ("skip", FAINT),
            };
            let (begin, end) = if is_coloured { (colour, PLAIN) } else { ("", "") };
            lines.push(format!("{begin}{word:4}{end}  {title:width$}  {detail}"));
            let below = " ".repeat("fail".len() + 2 + width + 2);
            for FileProblem { outcome, line, message, .. } in problems {
                let line = line.map_or_else(String::new, |line| format!(":{line}"));
                let kind = if *outcome == StepOutcome::Warn { "warning: " } else { "" };
                lines.push(format!("{below}{file}{line}: {kind}{}", one_line(message)));
            }
            lines.extend(advice.iter().map(|advice| format!("{below}→ {}", one_line(advice))));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> CheckReport {
        let mut report = CheckReport::new(Path::new("/etc/sprited/sprited.toml"));
        report.push(CheckStep::ok("configuration", "/etc/sprited/sprited.toml: 2 sinks"));
        report.push(CheckStep::warn("event-mode", "events are pushed", "set the mode to PULL"));
        report.push(CheckStep::fail("credentials", Exit::Credentials, "refused", "check the key"));
        report.push(CheckStep::skip("queue", "see credentials"));
        report.push(CheckStep::fail("journal", Exit::Journal, "read-only", "mount it anew"));
        report.push(CheckStep::ok("sink", "takes events").named("sprites"));
        report
    }

    #[test]
    fn the_first_failure_says_how_it_ends_and_warnings_do_not() {
        assert_eq!(report().exit(), Exit::Credentials);
        let mut report = CheckReport::new(Path::new("x"));
        report.push(CheckStep::warn("event-mode", "events are pushed", "set the mode to PULL"));
        assert_eq!(report.exit(), Exit::Success);
    }

    #[test]
    fn people_get_a_table() {
        let coloured = report().table(true);
        assert!(coloured.starts_with("\u{1b}[32mok  \u{1b}[0m  configuration"), "{coloured}");
        assert_eq!(coloured.matches(RED).count(), 2);
        insta::assert_snapshot!(report().table(false), @r"
        ok    configuration  /etc/sprited/sprited.toml: 2 sinks
        warn  event-mode     events are pushed
                             → set the mode to PULL
        fail  credentials    refused
                             → check the key
        skip  queue          see credentials
        fail  journal        read-only
                             → mount it anew
        ok    sink sprites   takes events
        ");
    }

    #[test]
    fn programs_get_stable_names() {
        let json: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["exit"], 77);
        assert_eq!(json["file"], "/etc/sprited/sprited.toml");
        assert_eq!(json["steps"][0]["step"], "configuration");
        assert_eq!(json["steps"][0]["outcome"], "ok");
        assert_eq!(json["steps"][1]["detail"], "events are pushed");
        assert_eq!(json["steps"][1]["advice"], "set the mode to PULL");
        assert_eq!(json["steps"][3]["outcome"], "skip");
        assert_eq!(
            (&json["steps"][5]["step"], &json["steps"][5]["name"]),
            (&"sink".into(), &"sprites".into())
        );
    }
}
