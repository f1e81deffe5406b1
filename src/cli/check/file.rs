//! The configuration's file, and the secrets of `[credentials]` it refers to.

use super::report::{CheckStep, FileProblem, StepOutcome, unseen};
use crate::cli::exit::Exit;
use crate::cli::unit::ServiceUnit;
use crate::config::{ConfigErrors, Loaded, Mistake};
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

pub(super) fn accepted(Loaded { file, config, warnings, .. }: &Loaded) -> CheckStep {
    let sinks = counted(config.sinks.len() as u64, "sink");
    let step = CheckStep::ok(CONFIGURATION, format!("{}: {sinks}", file.display()));
    let outcome = if warnings.is_empty() { StepOutcome::Ok } else { StepOutcome::Warn };
    CheckStep { outcome, problems: found(&[], warnings), ..step }
}

fn found(mistakes: &[Mistake], warnings: &[Mistake]) -> Vec<FileProblem> {
    let all = |outcome, mistakes: &[Mistake]| -> Vec<FileProblem> {
        mistakes
            .iter()
            .map(|Mistake { place, message }| FileProblem {
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

/// What is wrong with the daemon's unit, where that matters.
pub(super) fn unit(loaded: &Loaded, unit: &ServiceUnit) -> Option<CheckStep> {
    let problem = unit.problem.as_ref()?;
    let matters = unit.is_chosen || !loaded.credentials.is_empty();
    matters.then(|| {
        let advice = match nix::unistd::geteuid().is_root() {
            true => "what the service gets from it is not checked; name its unit by --unit",
            false => {
                "what the service gets from it is not checked; name its unit by --unit, and run the \
                 command as root"
            }
        };
        CheckStep::warn("unit", problem, advice)
    })
}

/// Whether the secrets of `[credentials]` and `[receive]` can be read from here.
pub(super) fn secrets(loaded: &Loaded, unit: &ServiceUnit) -> CheckStep {
    const STEP: &str = "secrets";
    let missing = loaded.config.check_secrets();
    let sources = loaded.credentials.iter().filter_map(|name| unit.source(name));
    if missing.is_empty() {
        let found = match loaded.config.credentials {
            Some(_) => "can be read",
            None => {
                "none in the file: environment, profile file, TKE web identity and instance role \
                 are tried"
            }
        };
        let found: Vec<_> = [found.to_owned()].into_iter().chain(sources).collect();
        return CheckStep::ok(STEP, found.join("; "));
    }
    let named = |(key, error): &(&str, SecretError)| format!("{key}: {error}");
    let detail = missing.iter().map(named).collect::<Vec<_>>().join("; ");
    // Their absence here says nothing.
    if missing.iter().all(|(_, error)| error.is_unseen()) {
        return CheckStep::warn(STEP, detail, unseen(missing.iter().map(|(_, error)| error)));
    }
    // The unit names a place, and nothing of use is in it.
    let is_of_unit = |error: &SecretError| {
        matches!(error, SecretError::EmptyCredential { .. } | SecretError::Withheld { .. })
    };
    let advice = match missing.iter().all(|(_, error)| is_of_unit(error)) {
        true => {
            "write the secret into its file, which only root need read: sudo install -m 600 \
             /dev/stdin FILE; or name another source"
        }
        false => "create the secret, let the service's user read it, or name another source",
    };
    CheckStep::fail(STEP, Exit::Configuration, detail, advice)
}
