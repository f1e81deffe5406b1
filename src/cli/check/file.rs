//! The configuration's file, and the secrets of `[credentials]` it refers to.

use super::report::{CheckStep, Finding, StepOutcome, UNSEEN_CREDENTIALS};
use crate::cli::exit::Exit;
use crate::config::{Config, ConfigErrors, Loaded, Mistake};
use crate::secret::SecretError;
use crate::units::counted;

const CONFIGURATION: &str = "configuration";

pub(super) fn refused(errors: &ConfigErrors) -> CheckStep {
    let count = counted(errors.mistakes.len() as u64, "mistake");
    CheckStep {
        problems: found(&errors.mistakes, &errors.warnings),
        advice: None,
        ..CheckStep::fail(
            CONFIGURATION,
            Exit::Configuration,
            format!("{}: {count}", errors.file.display()),
            "",
        )
    }
}

pub(super) fn accepted(Loaded { file, config, warnings }: &Loaded) -> CheckStep {
    let sinks = counted(config.sinks.len() as u64, "sink");
    let step = CheckStep::ok(CONFIGURATION, format!("{}: {sinks}", file.display()));
    let outcome = if warnings.is_empty() { StepOutcome::Ok } else { StepOutcome::Warn };
    CheckStep { outcome, problems: found(&[], warnings), ..step }
}

fn found(mistakes: &[Mistake], warnings: &[Mistake]) -> Vec<Finding> {
    let all = |outcome, mistakes: &[Mistake]| -> Vec<Finding> {
        mistakes
            .iter()
            .map(|Mistake { place, message }| Finding {
                outcome,
                line: place.map(|place| place.line),
                column: place.map(|place| place.column),
                message: message.clone(),
            })
            .collect()
    };
    let mut found = all(StepOutcome::Fail, mistakes);
    found.extend(all(StepOutcome::Warn, warnings));
    found
}

/// Whether the secrets of `[credentials]` and `[receive]` can be read from here.
pub(super) fn secrets(config: &Config) -> CheckStep {
    const STEP: &str = "secrets";
    let missing = config.check_secrets();
    if config.credentials.is_none() && missing.is_empty() {
        let detail = "none in the file: environment, profile file, TKE web identity and instance \
                      role are tried";
        return CheckStep::ok(STEP, detail);
    }
    let named = |(key, error): &(&str, SecretError)| format!("{key}: {error}");
    let detail = missing.iter().map(named).collect::<Vec<_>>().join("; ");
    if missing.is_empty() {
        return CheckStep::ok(STEP, "can be read");
    }
    // Only the service itself has systemd's credentials: their absence here says nothing.
    if missing.iter().all(|(_, error)| matches!(error, SecretError::NoCredentials(_))) {
        return CheckStep::warn(STEP, detail, UNSEEN_CREDENTIALS);
    }
    CheckStep::fail(
        STEP,
        Exit::Configuration,
        detail,
        "create the secret, let the service's user read it, or name another source",
    )
}
