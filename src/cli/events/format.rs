//! How an event and what became of it at a sink are written, for people and for programs.

use std::io::{self, IsTerminal, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::event::Key;
use crate::journal::{EventRow, EventState, SinkState};
use crate::sanitize::one_line;

/// An event as programs get it, its body left out.
#[derive(Debug, Serialize)]
pub(super) struct EventSummary<'a> {
    key: String,
    state: EventState,
    r#type: &'a str,
    app: u64,
    file_id: Option<&'a str>,
    task_id: Option<&'a str>,
    /// As sinks see it: null for the queue.
    origin: Option<&'static str>,
    first_pulled: DateTime<Utc>,
    confirmed: Option<DateTime<Utc>>,
    sinks: &'a [SinkState],
}

impl<'a> EventSummary<'a> {
    pub(super) fn of(found: &'a EventRow, sinks: &'a [SinkState]) -> Self {
        let event = &found.event;
        Self {
            key: event.key.to_string(),
            state: found.state,
            r#type: &event.event_type,
            app: event.app.0,
            file_id: event.file_id.as_deref(),
            task_id: event.task_id.as_deref(),
            origin: event.origin.name(),
            first_pulled: event.first_pulled,
            confirmed: found.confirmed,
            sinks,
        }
    }
}

/// A table with this header, at a terminal and in a pipe alike.
pub(in crate::cli) fn table(header: impl IntoIterator<Item = &'static str>) -> Table {
    let mut table = Table::new();
    // As wide as what stands in it: a line that a terminal breaks is still one event, and one in a
    // pipe is not broken at all.
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

/// Writes the table to stdout, unless it is empty; then `summary` to stderr, for people. Where all
/// there is was written, it is for a terminal alone: `cron` would send it by mail.
pub(super) fn print(mut table: Table, summary: &str, is_all: bool) -> io::Result<()> {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if table.row_count() > 0 {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", table.trim_fmt())?;
        out.flush()?;
    }
    let mut stderr = io::stderr().lock();
    if !is_all || stderr.is_terminal() { writeln!(stderr, "{summary}") } else { Ok(()) }
}

/// The name of a sink, and whether the daemon has it at all.
pub(super) fn label(sink: &SinkState) -> String {
    let name = one_line(&sink.sink);
    if sink.active { name } else { format!("{name} (not in the configuration)") }
}

/// The sinks that get an event once this one has settled it, as the end of what is said of this one.
pub(super) fn then(sink: &SinkState) -> String {
    let names: Vec<_> = sink.then.iter().map(|name| one_line(name)).collect();
    if names.is_empty() { String::new() } else { format!(", then {}", names.join(" and ")) }
}

/// Returns the first digits of a key, which differ from those of others in all likelihood.
pub(super) fn short(key: Key) -> String {
    key.to_string().chars().take(12).collect()
}

pub(super) fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
