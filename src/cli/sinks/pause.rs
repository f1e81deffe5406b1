//! `sprited sinks pause` and `resume`: deliveries to a sink stop and go on.

use std::path::Path;

use chrono::Utc;
use serde::Serialize;

use crate::cli::completion;
use crate::cli::control::{AskedDaemon, PROMPT};
use crate::cli::exit::{Exit, answer, json_line};
use crate::cli::open_journal::{CliError, ConfigArg};
use crate::cli::pausing::PauseOutcome;
use crate::config::{PartialConfig, nearest};
use crate::control::{AskError, Request, SinkReports};
use crate::format::foreign;
use crate::journal::{JournalReader, Pausable};

/// Pause the deliveries to a sink.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "No delivery starts until `sprited sinks resume`, not even after a restart or a reload, except a test.
Deliveries in flight end. Events wait in the journal; those of the queue stay unconfirmed and are pulled
again and again. A paused sink is not down: no alarm is raised for a day, and its events become no dead
letters by the time that passes.

Where no daemon runs, the next one starts with the sink paused. `sprited run --once` does not wait for
a paused sink: it ends with 1 if events wait for it.

Exit code: 0 if the sink is paused, also if it was before; 1 if a daemon does not answer; 64 if there
is no such sink; 74 if there is no journal. With --json, the answer has sink, paused, changed, since and
daemon (whether one runs).

Examples:
  sprited sinks pause site"
)]
pub(super) struct SinkPauseArgs {
    #[command(flatten)]
    common: PauseCommon,
}

/// Resume the deliveries to a sink after a pause.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What waits is delivered at once, as after an outage. Where no daemon runs, the next one does so.
A sink that was paused and is no longer configured can be resumed as well.

Exit code: 0 if the sink is not paused, also if it was not before; 1 if a daemon does not answer; 64 if
there is no such sink; 74 if there is no journal. With --json, the answer has sink, paused, changed,
since and daemon (whether one runs).

Examples:
  sprited sinks resume site"
)]
pub(super) struct SinkResumeArgs {
    #[command(flatten)]
    common: PauseCommon,
}

#[derive(Debug, clap::Args)]
struct PauseCommon {
    #[command(flatten)]
    config: ConfigArg,
    /// The sink.
    #[arg(value_name = "NAME", add = completion::sinks())]
    name: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn pause(args: &SinkPauseArgs) -> Result<Exit, CliError> {
    set_paused(&args.common, true)
}

pub(super) fn resume(args: &SinkResumeArgs) -> Result<Exit, CliError> {
    set_paused(&args.common, false)
}

/// What became of a pause.
#[derive(Serialize)]
struct SinkPause<'a> {
    sink: &'a str,
    #[serde(flatten)]
    outcome: PauseOutcome,
}

fn set_paused(args: &PauseCommon, pause: bool) -> Result<Exit, CliError> {
    let PauseCommon { config, name, json } = args;
    // Whoever owns the journal need not be able to read it.
    let names: Vec<String> = PartialConfig::load(&config.path)?.sink_names();
    let daemon = AskedDaemon::of(config)?;
    if !names.contains(name) {
        refuse_unless_it_is_known(&daemon, name, &names, pause)?;
    }
    let outcome = daemon.set_paused(Pausable::Sink(name), pause)?;
    let text = if *json {
        json_line(&SinkPause { sink: name, outcome })?
    } else {
        let sink = foreign(name);
        let mut words = outcome.words(&format!("the sink {sink}"), Utc::now());
        if outcome.begins() {
            words += &format!(
                "; its events wait in the journal: `sprited sinks resume {sink}` delivers them"
            );
        }
        words + "\n"
    };
    Ok(answer(text.as_bytes(), Exit::Success))
}

/// The file has no such sink, but a daemon may have it still, or it was paused before it was removed.
fn refuse_unless_it_is_known(
    daemon: &AskedDaemon,
    name: &str,
    names: &[String],
    pause: bool,
) -> Result<(), CliError> {
    match daemon.try_ask::<SinkReports>(&Request::Sinks, PROMPT)? {
        Err(AskError::NoDaemon(_)) if daemon.is_there() => Err(daemon.unanswering()),
        Err(AskError::NoDaemon(_)) if !pause && is_paused(&daemon.journal, name) => Ok(()),
        Err(AskError::NoDaemon(_)) => {
            let advice = match nearest(name, names.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("the configuration has {}", names.join(", ")),
            };
            let why = format!("unknown sink {name:?}; {advice}");
            Err(CliError::because(Exit::Usage, why))
        }
        // It says itself what it does not know.
        _ => Ok(()),
    }
}

/// Whether the journal has this sink as paused.
fn is_paused(journal: &Path, name: &str) -> bool {
    let paused = JournalReader::open(journal).ok().and_then(|reader| reader.paused().ok());
    paused.into_iter().flatten().any(|part| part.sink.as_deref() == Some(name))
}
