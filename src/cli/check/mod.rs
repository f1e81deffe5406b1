//! `sprited check`: everything that can be found wrong before events depend on it.
//!
//! A list of steps, each with an outcome and, where it is not good, with what to do. Never
//! consumes an event.

mod report;

pub use report::{Found, Outcome, Report, Step};

use super::{ConfigArg, Exit, answer};
use crate::config::{Config, Faults, Loaded, Problem};
use crate::secret::SecretError;

/// Check configuration, credentials, queue, journal and sinks; no event is consumed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 0 if nothing failed, warnings or not; else with 78 for the configuration, 77 for
credentials that are refused, 74 for the journal, 1 for the rest.

Examples:
  sprited check
  sprited check --offline --config ./sprited.toml
  sprited check --json | jq -r '.steps[] | select(.outcome != \"ok\")'"
)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Only what needs neither network nor journal: the file, and the secrets it refers to.
    #[arg(long)]
    offline: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// Does it.
#[must_use]
pub fn run(args: &Args) -> Exit {
    let path = &args.config.path;
    let mut report = Report::new(path);
    match Config::load(path) {
        Err(faults) => report.push(refused(&faults)),
        Ok(loaded) => {
            report.push(accepted(&loaded));
            report.push(secrets(&loaded.config));
        }
    }
    let text = if args.json { report.json() } else { report.table() };
    answer(text.as_bytes(), report.exit())
}

const CONFIGURATION: &str = "configuration";

fn refused(faults: &Faults) -> Step {
    let count = counted(faults.faults.len(), "fault");
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

fn accepted(Loaded { file, config, warnings }: &Loaded) -> Step {
    let sinks = counted(config.sinks.len(), "sink");
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
fn secrets(config: &Config) -> Step {
    const STEP: &str = "secrets";
    if config.credentials.is_none() {
        let detail = "none in the file: environment, profile file and instance role are asked";
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
        return Step::warn(
            STEP,
            detail,
            "only the service itself can see systemd's credentials: look at \
             `systemctl status sprited` after its start",
        );
    }
    Step::fail(
        STEP,
        Exit::Configuration,
        detail,
        "put the secret there, let the service's user read it, or name another place",
    )
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
