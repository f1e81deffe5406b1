//! `sprited events list`: one event a line.

use std::io::{self, IsTerminal, Write};

use chrono::{DateTime, TimeDelta, Utc};
use comfy_table::{ContentArrangement, Table, presets};

use super::{Stop, Summary, moment, open, short};
use crate::cli::text::{counted, plain, plain_json};
use crate::cli::{ConfigArg, Exit};
use crate::journal::{Filter, Found, Reader, SinkState, State};

/// Events read at once: each comes with its body, of which any number may be large.
const PAGE: usize = 100;

/// List events, the newest first.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every given condition must hold. A MOMENT is a time back from now (90m, 2h, 7d) or a date as
in RFC 3339; it is held against the time at which an event was first pulled.

Examples:
  sprited events list --state dead
  sprited events list --sink sprites --since 2h --json
  sprited events list --file 5285485487985271487 --limit 5"
)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Only those in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only those that this sink wanted.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Only those of this EventType.
    #[arg(long = "type", value_name = "EVENTTYPE")]
    event_type: Option<String>,
    /// Only those with this FileId.
    #[arg(long, value_name = "ID")]
    file: Option<String>,
    /// Only those with this TaskId.
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// Only those first pulled at this moment or later.
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    since: Option<DateTime<Utc>>,
    /// Only those first pulled before this moment.
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    until: Option<DateTime<Utc>>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Answer in JSON, one line for each event.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn filter(&self) -> Filter {
        Filter {
            state: self.state,
            sink: self.sink.clone(),
            event_type: self.event_type.clone(),
            file_id: self.file.clone(),
            task_id: self.task.clone(),
            since: self.since,
            until: self.until,
            before: None,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<Exit, Stop> {
    let reader = open(&args.config)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        each(&reader, args, |found, sinks| {
            let line =
                serde_json::to_string(&Summary::of(found, sinks)).map_err(io::Error::from)?;
            Ok(writeln!(out, "{}", plain_json(&line))?)
        })?;
    } else {
        let mut table = Table::new();
        // As wide as what stands in it: a line that a terminal breaks is still one event, and
        // one in a pipe is not broken at all.
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if io::stdout().is_terminal() {
            table.set_header(["KEY", "FIRST PULLED", "TYPE", "FILE", "STATE", "SINKS"]);
        }
        each(&reader, args, |found, sinks| {
            table.add_row(row(found, sinks));
            Ok(())
        })?;
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

/// Reads page by page, so that memory does not grow with the number of events.
fn each(
    reader: &Reader,
    args: &Args,
    mut work: impl FnMut(&Found, &[SinkState]) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut filter = args.filter();
    let mut left = usize::try_from(args.limit).unwrap_or(usize::MAX);
    while left > 0 {
        let asked = left.min(PAGE);
        let page = reader.list(&filter, asked)?;
        for found in &page {
            work(found, &reader.sinks_of(found.id)?)?;
        }
        if page.len() < asked {
            break;
        }
        left -= page.len();
        filter.before = page.last().map(|found| found.id);
    }
    Ok(())
}

fn row(found: &Found, sinks: &[SinkState]) -> [String; 6] {
    let event = &found.event;
    [
        short(event.key),
        moment(event.first_pulled),
        plain(&event.event_type),
        event.file_id.as_deref().map_or_else(|| "-".to_owned(), plain),
        found.state.as_str().to_owned(),
        sinks.iter().filter_map(unfinished).collect::<Vec<_>>().join(", "),
    ]
}

/// A sink that does not have the event, and how often it was tried.
fn unfinished(sink: &SinkState) -> Option<String> {
    let attempts = counted(sink.attempts.into(), "attempt");
    match sink.state {
        State::Pending if sink.attempts == 0 => Some(format!("{}: not tried", sink.sink)),
        State::Pending => Some(format!("{}: {attempts}", sink.sink)),
        State::Dead => Some(format!("{}: dead after {attempts}", sink.sink)),
        State::Delivered | State::Unrouted => None,
    }
}

fn parse_moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    humantime::parse_duration(text)
        .ok()
        .and_then(|back| Utc::now().checked_sub_signed(TimeDelta::from_std(back).ok()?))
        .ok_or_else(|| {
            "expected a time back from now, such as 2h or 7d, or a date such as \
             2026-01-31T12:00:00Z"
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_or_a_time_back() {
        let date = parse_moment("2026-01-31T14:00:00+02:00").unwrap();
        assert_eq!(moment(date), "2026-01-31T12:00:00Z");
        let back = Utc::now() - parse_moment("7d").unwrap();
        assert!((back - TimeDelta::days(7)).abs() < TimeDelta::minutes(1), "{back}");
        for wrong in ["", "yesterday", "7", "2026-01-31", "999999999999y"] {
            assert!(parse_moment(wrong).is_err(), "{wrong}");
        }
    }
}
