//! `sprited events list --group error`: one error of dead letters a line.

use std::cmp::Reverse;
use std::io::{self, Write};

use chrono::{DateTime, Utc};
use comfy_table::{Cell, CellAlignment};
use serde::Serialize;

use super::format::{moment, print, table};
use crate::cli::exit::{Exit, json_line};
use crate::cli::open_journal::CliError;
use crate::format::{self, foreign};
use crate::journal::{DeadGroup, EventState, Filter, JournalReader, KnownSink};
use crate::sanitize;

/// Dead letters with the same last error at one sink, as programs get them.
#[derive(Serialize)]
struct AtSink<'a> {
    error: &'a str,
    count: u64,
    newest: DateTime<Utc>,
    sink: &'a str,
    active: bool,
}

/// Lists the errors of the dead letters for which `filter` holds, at most `limit` of them, those of
/// most dead letters first. Fails when it asks for another state, or the journal cannot be read.
pub(super) fn list(
    reader: &JournalReader,
    filter: &Filter,
    limit: usize,
    as_json: bool,
) -> Result<Exit, CliError> {
    if let Some(state) = filter.state.filter(|state| *state != EventState::Dead) {
        let why = format!("--group error: {} events are not dead letters", state.as_str());
        return Err(CliError::because(Exit::Usage, why));
    }
    let sinks = reader.sinks()?;
    let asked = |sink: &&KnownSink| filter.sink.as_ref().is_none_or(|name| *name == sink.name);
    let mut groups = Vec::new();
    let mut errors = 0;
    for sink in sinks.iter().filter(asked) {
        let (largest, all) = reader.dead_by_error(&sink.name, filter, limit)?;
        groups.extend(largest.into_iter().map(|group| (sink, group)));
        errors += all;
    }
    groups.sort_by_key(|(_, group)| Reverse((group.count, group.newest)));
    groups.truncate(limit);
    if as_json {
        let mut out = io::BufWriter::new(io::stdout().lock());
        for (sink, DeadGroup { error, count, newest }) in &groups {
            let (count, newest) = (*count, *newest);
            let at = AtSink { error, count, newest, sink: &sink.name, active: sink.active };
            write!(out, "{}", sanitize::json(&json_line(&at)?))?;
        }
        out.flush()?;
        return Ok(Exit::Success);
    }
    let mut table = table(["COUNT", "NEWEST", "SINK", "ERROR"]);
    for (sink, DeadGroup { error, count, newest }) in &groups {
        let count = Cell::new(count).set_alignment(CellAlignment::Right);
        let rest = [moment(*newest), sink.name.clone(), foreign(error)];
        table.add_row([count].into_iter().chain(rest.map(Cell::new)));
    }
    let listed = groups.len() as u64;
    let summary = if listed < errors {
        let [listed, errors] = [listed, errors].map(format::number);
        format!("{listed} of {errors} errors, those of most dead letters; more: --limit N")
    } else if listed == 0 {
        "no dead letters".to_owned()
    } else {
        let letters = groups.iter().map(|(_, group)| group.count).sum();
        let letters = format::counted(letters, "dead letter");
        format!("{letters} with {}", format::counted(listed, "error"))
    };
    print(table, &summary, listed == errors)?;
    Ok(Exit::Success)
}
