//! The configuration's file, and the secrets of `[credentials]` it refers to.

use super::{Found, Outcome, Step, UNSEEN_CREDENTIALS};
use crate::cli::Exit;
use crate::cli::text::counted;
use crate::config::{Config, Faults, Loaded, Problem};
use crate::secret::SecretError;

const CONFIGURATION: &str = "configuration";

pub(super) fn refused(faults: &Faults) -> Step {
    let count = counted(faults.faults.len() as u64, "fault");
    Step {
        problems: found(&faults.faults, &faults.warnings),
        advice: None,
        ..Step::fail(
            CONFIGURATION,
            Exit::Configuration,
            format!("{}: {count}", faults.file.display()),
            "",
        )
    }
}

pub(super) fn accepted(Loaded { file, config, warnings }: &Loaded) -> Step {
    let sinks = counted(config.sinks.len() as u64, "sink");
    let step = Step::ok(CONFIGURATION, format!("{}: {sinks}", file.display()));
    let outcome = if warnings.is_empty() { Outcome::Ok } else { Outcome::Warn };
    Step { outcome, problems: found(&[], warnings), ..step }
}

fn found(faults: &[Problem], warnings: &[Problem]) -> Vec<Found> {
    let all = |outcome, problems: &[Problem]| -> Vec<Found> {
        problems
            .iter()
            .map(|Problem { place, message }| Found {
                outcome,
                line: place.map(|place| place.line),
                column: place.map(|place| place.column),
                message: message.clone(),
            })
            .collect()
    };
    let mut found = all(Outcome::Fail, faults);
    found.extend(all(Outcome::Warn, warnings));
    found
}

/// Whether the secrets of `[credentials]` can be read from here.
pub(super) fn secrets(config: &Config) -> Step {
    const STEP: &str = "secrets";
    if config.credentials.is_none() {
        let detail = "none in the file: environment, profile file, TKE web identity and instance role are asked";
        return Step::ok(STEP, detail);
    }
    let missing = config.check_secrets();
    let named = |(key, error): &(&str, SecretError)| format!("[credentials] {key}: {error}");
    let detail = missing.iter().map(named).collect::<Vec<_>>().join("; ");
    if missing.is_empty() {
        return Step::ok(STEP, "can be read");
    }
    // Only the service itself has systemd's credentials: their absence here says nothing.
    if missing.iter().all(|(_, error)| matches!(error, SecretError::NoCredentials(_))) {
        return Step::warn(STEP, detail, UNSEEN_CREDENTIALS);
    }
    Step::fail(
        STEP,
        Exit::Configuration,
        detail,
        "put the secret there, let the service's user read it, or name another place",
    )
}
