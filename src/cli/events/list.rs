//! `sprited events list`: one event a line.

use std::io::{self, Write};
use std::time::Duration;

use super::dead_letters;
use super::format::{EventSummary, label, moment, print, short, table, then};
use super::selection::{View, by_prefix, each, parse_prefix};
use crate::cli::exit::{Exit, json_line};
use crate::cli::open_journal::{CliError, ConfigArg, ToRead};
use crate::event::{EventOrigin, Key};
use crate::format;
use crate::journal::{EventCount, EventRow, EventState, JournalReader, SinkState};
use crate::sanitize::{self, KeptEnd, one_line, truncate};
use crate::units::counted;

/// Characters of a failure in one line.
const MAX_FAILURE: usize = 80;
/// Time for counting those that are not listed. To count 200,000 takes 0.1 s; by their state over
/// all sinks, 0.4 s and, of 100,000 dead ones, a second.
const COUNT_PATIENCE: Duration = Duration::from_secs(1);

/// List events, the newest first.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "All given conditions must hold. A MOMENT is a time before now (90m, 2h, 7d), a date (2026-11-30, which
begins at midnight in UTC) or an RFC 3339 date; it refers to the time at which an event was first
pulled.

If there are more events than --limit, it says on standard error how many of how many it listed, and the
KEY with which --before lists the next ones. It counts for a second at most.

With --group error, it lists the errors of dead letters instead of events, with the number of dead
letters that have this error, when the newest was given up, and their sink. An event counts once at
each sink that gave it up.

With --json, a line has of its event: key, state, type, app, file_id, task_id, origin (callback or
reconcile; null for the queue), first_pulled, confirmed, sinks; and of each sink: sink, active
(whether it is in the daemon's configuration), state, attempts (failed ones), due (the next try),
first_error, last_error, first_failed, last_failed, delivered (when the sink took it), last_attempts
(20 at most, the newest last; each with at and error, which is null if the sink took it). The last two
are known of events that failed at that sink before. If other sinks get the event after this one, then
lists their names. Unknown values are null. With --group error, a line has error, count, newest, sink,
active. Later versions may add members and remove none. Nothing is counted: the next events are those
--before the last key.

Examples:
  sprited events list --state dead
  sprited events list --group error --since 2h
  sprited events list --sink sprites --since 2h --json
  sprited events list --since 2026-11-30 --before 3f9a2c
  sprited events list --origin reconcile --since 7d
  sprited events list --file 5285485487985271487 --limit 5"
)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    view: View,
    /// Maximum number of events, or of errors.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Only events stored before this one; a key or its first digits.
    #[arg(long, value_name = "KEY", value_parser = parse_prefix)]
    before: Option<String>,
    /// List errors of dead letters, those of most dead letters first.
    #[arg(long, value_enum, conflicts_with = "before")]
    group: Option<GroupArg>,
    /// Print JSON, one line per event or error.
    #[arg(long)]
    json: bool,
}

/// What dead letters have in common.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum GroupArg {
    /// Their last error at a sink.
    Error,
}

pub(super) fn run(args: &ListArgs) -> Result<Exit, CliError> {
    let ToRead { journal, has_several_apps: with_app } = args.config.to_read_as_owner()?;
    let mut reader = JournalReader::open(&journal)?;
    if let Some(why) = args.view.filter.unknown_type(&reader)? {
        return Err(CliError::because(Exit::Failure, why));
    }
    let mut filter = args.view.filter(&reader)?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    if let Some(GroupArg::Error) = args.group {
        return dead_letters::list(&reader, &filter, limit, args.json);
    }
    if let Some(key) = &args.before {
        filter.before = Some(by_prefix(&reader, key)?.id);
    }
    if args.json {
        let mut out = io::BufWriter::new(io::stdout().lock());
        each(&reader, filter, limit, |found| {
            let sinks = reader.sinks_of(found.id)?;
            let line = json_line(&EventSummary::of(found, &sinks))?;
            Ok(write!(out, "{}", sanitize::json(&line))?)
        })?;
        out.flush()?;
        return Ok(Exit::Success);
    }
    let mut rows = Vec::new();
    let mut last = None;
    each(&reader, filter.clone(), limit, |found| {
        rows.push((found.event.origin, row(found, &reader.sinks_of(found.id)?, with_app)));
        last = Some(found.event.key);
        Ok(())
    })?;
    let listed = rows.len();
    let all = match listed < limit {
        true => EventCount { events: listed as u64, is_all: true },
        false => reader.count(&filter, COUNT_PATIENCE)?,
    };
    let with_origin = rows.iter().any(|(origin, _)| origin.name().is_some());
    let header = ["KEY", "FIRST PULLED"].into_iter().chain(with_app.then_some("APP"));
    let header = header.chain(with_origin.then_some("ORIGIN"));
    let mut table = table(header.chain(["TYPE", "FILE", "STATE", "SINKS"]));
    for (origin, mut row) in rows {
        if with_origin {
            insert_origin(&mut row, origin, with_app);
        }
        table.add_row(row);
    }
    let noun = if args.before.is_some() { "older event" } else { "event" };
    let (summary, is_all) = summary(listed as u64, all, noun, last);
    print(table, &summary, is_all)?;
    Ok(Exit::Success)
}

/// How many of how many were listed, in words, and whether these are all.
fn summary(listed: u64, all: EventCount, noun: &str, last: Option<Key>) -> (String, bool) {
    let EventCount { events, is_all } = all;
    if is_all && events <= listed {
        let count = if listed == 0 { format!("no {noun}s") } else { format::counted(listed, noun) };
        return (count, true);
    }
    let more = if is_all { "" } else { " or more" };
    let next = last.map_or_else(String::new, |key| format!("; the next: --before {}", short(key)));
    let (listed, all) = (format::number(listed), format::number(events.max(listed)));
    (format!("{listed} of {all}{more} {noun}s{next}"), false)
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
        EventState::Pending => {
            let tried = if sink.attempts == 0 { "not tried" } else { &attempts };
            Some(format!("{}: {tried}{}", label(sink), then(sink)))
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_many_of_how_many_were_listed_and_how_to_go_on() {
        let last: Option<Key> = "3f9a2c0000112233445566778899aabb".parse().ok();
        let count = |events, is_all| EventCount { events, is_all };
        for (listed, all, noun, expected) in [
            (20, count(5580, true), "event", "20 of 5,580 events; the next: --before 3f9a2c000011"),
            (
                20,
                count(9, false),
                "event",
                "20 of 20 or more events; the next: --before 3f9a2c000011",
            ),
            (
                1,
                count(2, true),
                "older event",
                "1 of 2 older events; the next: --before 3f9a2c000011",
            ),
        ] {
            assert_eq!(summary(listed, all, noun, last), (expected.to_owned(), false));
        }
        assert_eq!(summary(0, count(7, true), "event", None), ("0 of 7 events".to_owned(), false));
        for (listed, expected) in [(0, "no events"), (1, "1 event"), (1234, "1,234 events")] {
            let all = count(listed, true);
            assert_eq!(summary(listed, all, "event", last), (expected.to_owned(), true));
        }
    }
}
