//! `sprited events list`: one event a line.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};

use super::format::{EventSummary, label, moment, short};
use super::selection::{View, each};
use crate::cli::exit::{Exit, json_line};
use crate::cli::open_journal::{CliError, ConfigArg};
use crate::event::EventOrigin;
use crate::journal::{EventRow, EventState, JournalReader, SinkState};
use crate::sanitize::{self, KeptEnd, one_line, truncate};
use crate::units::counted;

/// Characters of a failure in one line.
const MAX_FAILURE: usize = 80;

/// List events, the newest first.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "All given conditions must hold. A MOMENT is a time before now (90m, 2h, 7d) or an RFC 3339 date; it
refers to the time at which an event was first pulled.

With --json, a line has of its event: key, state, type, app, file_id, task_id, origin (callback or
reconcile; null for the queue), first_pulled, confirmed, sinks; and of each sink: sink, active
(whether it is in the daemon's configuration), state, attempts (failed ones), due (the next try),
first_error, last_error, first_failed, last_failed, delivered (when the sink took it), last_attempts
(20 at most, the newest last; each with at and error, which is null if the sink took it). The last two
are known of events that failed at that sink before. Unknown values are null. Later versions may add
members and remove none.

Examples:
  sprited events list --state dead
  sprited events list --sink sprites --since 2h --json
  sprited events list --origin reconcile --since 7d
  sprited events list --file 5285485487985271487 --limit 5"
)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    view: View,
    /// Maximum number of events.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Print JSON, one line per event.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ListArgs) -> Result<Exit, CliError> {
    let config = args.config.load_as_owner()?;
    let reader = JournalReader::open(&config.journal.path)?;
    let with_app = config.vod.apps().len() > 1;
    let filter = args.view.filter(&reader)?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        each(&reader, filter, limit, |found| {
            let sinks = reader.sinks_of(found.id)?;
            let line = json_line(&EventSummary::of(found, &sinks))?;
            Ok(write!(out, "{}", sanitize::json(&line))?)
        })?;
    } else {
        let mut rows = Vec::new();
        each(&reader, filter, limit, |found| {
            rows.push((found.event.origin, row(found, &reader.sinks_of(found.id)?, with_app)));
            Ok(())
        })?;
        let with_origin = rows.iter().any(|(origin, _)| origin.name().is_some());
        let mut table = Table::new();
        // As wide as what stands in it: a line that a terminal breaks is still one event, and
        // one in a pipe is not broken at all.
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if io::stdout().is_terminal() {
            let before = ["KEY", "FIRST PULLED"].into_iter().chain(with_app.then_some("APP"));
            let after = with_origin.then_some("ORIGIN").into_iter();
            let after = after.chain(["TYPE", "FILE", "STATE", "SINKS"]);
            table.set_header(before.chain(after));
        }
        for (origin, mut row) in rows {
            if with_origin {
                insert_origin(&mut row, origin, with_app);
            }
            table.add_row(row);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        if table.row_count() > 0 {
            writeln!(out, "{}", table.trim_fmt())?;
        }
    }
    out.flush()?;
    Ok(Exit::Success)
}

pub(super) fn row(found: &EventRow, sinks: &[SinkState], with_app: bool) -> Vec<String> {
    let event = &found.event;
    let app = with_app.then(|| event.app.to_string());
    let before = [short(event.key), moment(event.first_pulled)];
    let after = [
        one_line(&event.event_type),
        event.file_id.as_deref().map_or_else(|| "-".to_owned(), one_line),
        found.state.as_str().to_owned(),
        sinks.iter().filter_map(unfinished).collect::<Vec<_>>().join(", "),
    ];
    before.into_iter().chain(app).chain(after).collect()
}

/// Adds the column of how an event arrived to what [`row`] returns.
pub(super) fn insert_origin(row: &mut Vec<String>, origin: EventOrigin, with_app: bool) {
    row.insert(2 + usize::from(with_app), origin.name().unwrap_or("-").to_owned());
}

/// A sink that does not have the event, and how often it was tried.
fn unfinished(sink: &SinkState) -> Option<String> {
    let attempts = counted(sink.attempts.into(), "attempt");
    match sink.state {
        EventState::Pending if sink.attempts == 0 => Some(format!("{}: not tried", label(sink))),
        EventState::Pending => Some(format!("{}: {attempts}", label(sink))),
        EventState::Dead => {
            let failures = [("first", &sink.first_error), ("last", &sink.last_error)];
            let failures = failures.map(|(word, error)| Some((word, excerpt(error.as_deref()?))));
            let failures = match failures {
                [Some((_, first)), Some((_, last))] if first == last => format!(": {last}"),
                [Some((_, first)), Some((_, last))] => format!(", first: {first}, last: {last}"),
                _ => String::new(),
            };
            Some(format!("{}: dead after {attempts}{failures}", label(sink)))
        }
        EventState::Delivered | EventState::Unrouted => None,
    }
}

fn excerpt(error: &str) -> String {
    one_line(&truncate(error, MAX_FAILURE, KeptEnd::First))
}
