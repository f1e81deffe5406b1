//! `sprited events discard`: removes pending and dead events from sinks.

use serde::Serialize;

use super::bulk::{self, BulkChange, BulkOptions, BulkSummary};
use super::selection::Selection;
use super::target::{Choice, TargetEvents};
use crate::cli::exit::{Exit, answer, json_line};
use crate::cli::open_journal::{CliError, ConfigArg};
use crate::journal::{EventId, EventState, Filter, JournalAdmin, JournalReader, KnownSink, Then};
use crate::units::counted;

/// Discard pending and dead events, so that their sinks do not get them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --sink, it discards them at every sink. An event discarded at all its sinks is unrouted; it
stays in the journal as long as other events, and `events redeliver --sink NAME` restores it.

It asks before it discards more than one event. Without a terminal, as in a script or over ssh without
-t, it needs --yes: else it discards nothing, says how many events it would, and exits with 64.

With --json, the answer has dry_run and sinks, and of each sink: sink, chosen, discarded.

Examples:
  sprited events discard 3f9a2c
  sprited events discard --state dead --until 30d --dry-run
  sprited events discard --state dead --until 2026-11-30
  sprited events discard --sink removed --yes"
)]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    options: BulkOptions,
}

#[derive(Serialize)]
struct AtSink<'a> {
    sink: &'a str,
    chosen: u64,
    discarded: u64,
}

pub(super) fn run(args: &DiscardArgs) -> Result<Exit, CliError> {
    let journal = args.config.to_read_as_owner()?.journal;
    let reader = JournalReader::open(&journal)?;
    let named = args.selection.sinks(&reader)?;
    // Everywhere includes the sinks that wait for another.
    let then = if named.is_some() { Then::Followers } else { Then::Nobody };
    let sinks = named.map_or_else(|| reader.sinks(), Ok)?;
    let targets = if args.selection.keys.is_empty() {
        by_filter(args, &reader, sinks)?
    } else {
        let is_due = |state| matches!(state, Some(EventState::Pending | EventState::Dead));
        args.selection.by_keys(&reader, sinks, is_due)?
    };
    let options = &args.options;
    let discard = |admin: &mut JournalAdmin, sink, events: &[EventId], discarded: &mut u64| {
        *discarded += admin.discard(sink, events, then, chrono::Utc::now())?;
        Ok(())
    };
    let done = bulk::apply(BulkChange::Discard, options, &journal, &reader, &targets, discard)?;
    let sinks = targets.iter().zip(done).map(|(target, (chosen, discarded))| AtSink {
        sink: &target.sink.name,
        chosen: chosen.events,
        discarded,
    });
    let summary = BulkSummary { dry_run: options.dry_run, sinks: sinks.collect() };
    let text = if options.json { json_line(&summary)? } else { text(&summary) };
    Ok(answer(text.as_bytes(), Exit::Success))
}

fn by_filter(
    args: &DiscardArgs,
    reader: &JournalReader,
    sinks: Vec<KnownSink>,
) -> Result<Vec<TargetEvents>, CliError> {
    let filter = &args.selection.filter;
    let states = match filter.state() {
        None => vec![EventState::Pending, EventState::Dead],
        Some(state @ (EventState::Pending | EventState::Dead)) => vec![state],
        Some(state) => {
            let why =
                format!("{} events are not due at any sink: nothing to discard", state.as_str());
            return Err(CliError::because(Exit::Usage, why));
        }
    };
    let target = |sink: KnownSink| {
        let at_sink = |state: &EventState| Filter {
            state: Some(*state),
            sink: Some(sink.name.clone()),
            ..filter.to_filter()
        };
        let filters = states.iter().map(at_sink).collect();
        TargetEvents::any(reader, sink, filters, Choice::All)
    };
    sinks.into_iter().map(target).collect()
}

fn text(summary: &BulkSummary<AtSink<'_>>) -> String {
    let lines = summary.sinks.iter().filter(|at| at.chosen > 0).map(|at| {
        if summary.dry_run {
            let prospect = BulkChange::Discard.prospect();
            format!("{}: {} {prospect}\n", at.sink, counted(at.chosen, "event"))
        } else {
            format!("{}: {} discarded\n", at.sink, counted(at.discarded, "event"))
        }
    });
    let text: String = lines.collect();
    if text.is_empty() { "nothing to discard\n".to_owned() } else { text }
}
