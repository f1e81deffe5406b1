//! `sprited tail`: events as they arrive, and their changes of state.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::thread::sleep;
use std::time::Duration;

use super::format::EventSummary;
use super::list::{insert_origin, row};
use super::selection::View;
use crate::cli::exit::{Exit, complain, json_line};
use crate::cli::open_journal::{self, CliError, ConfigArg, ToRead};
use crate::event::{EventOrigin, Key};
use crate::journal::{EventId, EventRow, EventState, Filter, JournalReader};
use crate::sanitize;

/// Between two reads of the journal.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Events read at once.
const PAGE_EVENTS: usize = 100;
/// Pending events whose end is waited for; beyond it, that of the oldest is not printed.
const MAX_PENDING: usize = 5000;

/// Follow events: one line when an event arrives and one when its state changes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It reads the journal until it is interrupted, whether a daemon runs or not. It begins with the last
events, or with all events since a given moment. With --state, it prints an event when it enters that
state. With --json, lines are those of `events list --json`.

Examples:
  sprited tail
  sprited tail --state dead
  sprited tail --sink sprites --json | jq -r .file_id"
)]
pub(in crate::cli) struct TailArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    view: View,
    /// Number of events to begin with; with --since, all events since then.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    lines: u32,
    /// Print JSON, one line per event.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(args: &TailArgs) -> Exit {
    match follow(args) {
        Ok(never) => match never {},
        Err(stop) => open_journal::end(Err(stop)),
    }
}

fn follow(args: &TailArgs) -> Result<std::convert::Infallible, CliError> {
    let ToRead { journal, has_several_apps } = args.config.to_read_as_owner()?;
    let reader = JournalReader::open(&journal)?;
    // It may be the first of its type that is waited for.
    if let Some(unknown) = args.view.filter.unknown_type(&reader)? {
        complain(format_args!("{unknown}; waiting for the first"));
    }
    let mut tail = Tail {
        filter: args.view.filter(&reader)?,
        state: args.view.filter.state(),
        as_json: args.json,
        with_app: has_several_apps,
        reader,
        pending: BTreeMap::new(),
        out: io::stdout().lock(),
    };
    tail.begin(usize::try_from(args.lines).unwrap_or(usize::MAX))?;
    loop {
        tail.poll()?;
        sleep(POLL_INTERVAL);
    }
}

struct Tail {
    reader: JournalReader,
    /// Which events, whatever their state; and those after which are new.
    filter: Filter,
    /// The state in which an event is printed, if only in one.
    state: Option<EventState>,
    as_json: bool,
    /// Whether lines for people name the application.
    with_app: bool,
    /// Events that were pending when they were seen last.
    pending: BTreeMap<EventId, Key>,
    out: io::StdoutLock<'static>,
}

impl Tail {
    /// Prints the last `lines` events, unless all since a moment are asked for.
    fn begin(&mut self, lines: usize) -> Result<(), CliError> {
        if self.filter.since.is_none() {
            let last = self.reader.last()?;
            let before = Some(EventId(last.0 + 1));
            let filter = Filter { before, ..self.filter.clone() };
            for found in self.reader.list(&filter, lines)?.iter().rev() {
                self.print(found)?;
            }
            self.filter.after = Some(last);
        }
        self.filter.state = None;
        Ok(())
    }

    /// Prints new events, and those that are no longer pending.
    fn poll(&mut self) -> Result<(), CliError> {
        loop {
            let page = self.reader.list_oldest(&self.filter, PAGE_EVENTS)?;
            page.iter().try_for_each(|found| self.print(found))?;
            let Some(last) = page.last() else { break };
            self.filter.after = Some(last.id);
        }
        for key in self.no_longer_pending()? {
            // It may have been pruned meanwhile.
            if let Some(found) = self.reader.find(key)? {
                self.print(&found)?;
            }
        }
        Ok(self.out.flush()?)
    }

    fn no_longer_pending(&mut self) -> Result<Vec<Key>, CliError> {
        let Some((first, _)) = self.pending.first_key_value() else { return Ok(Vec::new()) };
        let after = Some(EventId(first.0 - 1));
        let still = Filter { state: Some(EventState::Pending), after, ..Filter::default() };
        let still = self.reader.ids(&still, MAX_PENDING)?;
        // Beyond a list that is full nothing is known.
        let last = (still.len() == MAX_PENDING).then(|| still.last()).flatten();
        let last = last.map_or(EventId(i64::MAX), |(id, _)| *id);
        let still: HashSet<EventId> = still.into_iter().map(|(id, _)| id).collect();
        let gone = self.pending.extract_if(..=last, |id, _| !still.contains(id));
        Ok(gone.map(|(_, key)| key).collect())
    }

    fn print(&mut self, found: &EventRow) -> Result<(), CliError> {
        if found.state == EventState::Pending {
            self.pending.insert(found.id, found.event.key);
            if self.pending.len() > MAX_PENDING {
                self.pending.pop_first();
            }
        }
        if self.state.is_some_and(|state| state != found.state) {
            return Ok(());
        }
        let sinks = self.reader.sinks_of(found.id)?;
        if self.as_json {
            let line = json_line(&EventSummary::of(found, &sinks))?;
            write!(self.out, "{}", sanitize::json(&line))?;
        } else {
            let mut row = row(found, &sinks, self.with_app);
            if found.event.origin != EventOrigin::Queue {
                insert_origin(&mut row, found.event.origin, self.with_app);
            }
            writeln!(self.out, "{}", row.join("  ").trim_end())?;
        }
        Ok(())
    }
}
