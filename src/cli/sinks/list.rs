//! `sprited sinks list`: how each sink of the running daemon is.

use chrono::{DateTime, Utc};

use super::moments::until;
use crate::cli::control::{AskedDaemon, PROMPT};
use crate::cli::events::format::table;
use crate::cli::exit::{Exit, answer, json_line, print};
use crate::cli::open_journal::{CliError, ConfigArg};
use crate::control::{Request, SinkReport, SinkReports};
use crate::format::{ago, foreign, number, seconds, time};

/// List the sinks with their state.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A sink is up, down, catching up (it was down, and what waited then is being delivered) or paused.

With --json, there is a line for each sink, with name, state (up, down, catching-up, paused), since (of a state
other than up), pending, dead, last_error and last_failed (since the daemon's start or a reload that
changed the sink), next_try, hint. Unknown values are null. Later versions may add members and remove
none.

Exit code: 0 if the daemon answers, whatever the state of its sinks, 1 if not.

Examples:
  sprited sinks list
  sprited sinks list --json"
)]
pub(super) struct SinkListArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Print JSON, one line per sink.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SinkListArgs) -> Result<Exit, CliError> {
    let asked = AskedDaemon::of(&args.config)?.ask_now(&Request::Sinks, PROMPT);
    let SinkReports { sinks } = asked?;
    if args.json {
        for sink in &sinks {
            print(json_line(sink)?.as_bytes())?;
        }
        return Ok(Exit::Success);
    }
    let now = Utc::now();
    let mut table = table(["SINK", "STATE", "PENDING", "DEAD", "NEXT TRY", "LAST ERROR"]);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for sink in &sinks {
        table.add_row(row(sink, now));
    }
    let mut text = format!("{}\n", table.trim_fmt());
    for sink in &sinks {
        if let Some(hint) = &sink.hint {
            text.push_str(&format!("{}: {}\n", foreign(&sink.name), foreign(hint)));
        }
    }
    Ok(answer(text.as_bytes(), Exit::Success))
}

fn row(sink: &SinkReport, now: DateTime<Utc>) -> [String; 6] {
    let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), number);
    let state = match sink.since {
        Some(since) => format!("{} for {}", sink.state, time(seconds(now - since))),
        None => sink.state.to_string(),
    };
    let error = sink.last_error.as_ref().map(|error| {
        let when = sink.last_failed.map(|at| format!("{}: ", ago(seconds(now - at))));
        when.unwrap_or_default() + &foreign(error)
    });
    [
        foreign(&sink.name),
        state,
        count(sink.pending),
        count(sink.dead),
        sink.next_try.map_or_else(|| "-".to_owned(), |at| until(at, now)),
        error.unwrap_or_else(|| "-".to_owned()),
    ]
}
