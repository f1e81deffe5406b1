//! `sprited events redeliver`: delivers events to sinks again.

use serde::Serialize;

use super::bulk::{self, BulkChange, BulkOptions, BulkSummary};
use super::selection::{Selection, known};
use super::target::{Choice, TargetEvents};
use crate::cli::completion;
use crate::cli::exit::{Exit, answer, json_line};
use crate::cli::open_journal::{CliError, ConfigArg};
use crate::config::Config;
use crate::journal::{
    EventId, EventState, Filter, JournalAdmin, JournalReader, KnownSink, Requeued,
};
use crate::units::counted;

/// Deliver events again: dead letters, or any events to the named sinks.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --sink, an event goes to the sinks where it is a dead letter (with --state pending: where it
is pending, and it becomes due now). With --sink, it goes to that sink, whatever its state there.
Selected by conditions, a sink gets only what its `events` in the configuration name; selected by KEY
or --type, it gets every selected event. With --from, the sinks of --sink get what is pending or dead at
that one (with --state: what is in this state there) and not at theirs, whatever their `events` say; there
it stays as it is until you discard it. A running daemon notices within two seconds. Events pruned
for space cannot be delivered again.

It asks before it redelivers more than one event. Without a terminal, as in a script or over ssh without
-t, it needs --yes: else it changes nothing, says how many events it would redeliver, and exits with 64.

With --json, the answer has dry_run and sinks, and of each sink: sink, active (whether it is in the
daemon's configuration), chosen, redelivered, due_now (already pending), without_body (pruned for
space), gone (pruned meanwhile).

Examples:
  sprited events redeliver 3f9a2c
  sprited events redeliver --state dead --since 2h --dry-run
  sprited events redeliver --sink new --since 7d --missing      fill a new sink
  sprited events redeliver --from old --sink new                after a sink was renamed
  sprited events redeliver --sink hook --state delivered --since 2h --rate 50 --yes"
)]
pub(super) struct RedeliverArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    selection: Selection,
    /// Only events that the sink does not have yet.
    #[arg(long)]
    missing: bool,
    /// Only events that are pending or dead at this sink, which need not be configured any more.
    #[arg(
        long,
        value_name = "NAME",
        requires = "sinks",
        conflicts_with = "keys",
        add = completion::sinks()
    )]
    from: Option<String>,
    #[command(flatten)]
    options: BulkOptions,
}

pub(super) fn run(args: &RedeliverArgs) -> Result<Exit, CliError> {
    let config = args.config.load_as_owner()?;
    let reader = JournalReader::open(&config.journal.path)?;
    let named = args.selection.sinks(&reader)?;
    let targets = if args.selection.keys.is_empty() {
        by_filter(args, &config, &reader, named)?
    } else {
        let only_dead = named.is_none();
        let sinks = named.map_or_else(|| reader.sinks(), Ok)?;
        let is_left = |state| match only_dead {
            true => state == Some(EventState::Dead),
            false => !args.missing || state != Some(EventState::Delivered),
        };
        args.selection.by_keys(&reader, sinks, is_left)?
    };
    let all = reader.sinks()?;
    let from = args.from.as_ref().map(|from| known(&all, from)).transpose()?.map(|from| from.id);
    let options = &args.options;
    let requeue = |admin: &mut JournalAdmin, sink, events: &[EventId], done: &mut Requeued| {
        let Requeued { requeued, expedited, without_body, gone } =
            admin.requeue(sink, from, events, chrono::Utc::now())?;
        done.requeued += requeued;
        done.expedited += expedited;
        done.without_body += without_body;
        done.gone += gone;
        Ok(())
    };
    let change = BulkChange::Redeliver;
    let done = bulk::apply(change, options, &config.journal.path, &reader, &targets, requeue)?;
    let at_sinks: Vec<AtSink<'_>> = targets
        .iter()
        .zip(done)
        .map(|(TargetEvents { sink, .. }, (chosen, done))| AtSink {
            sink: &sink.name,
            active: sink.active,
            chosen: chosen.events,
            redelivered: done.requeued,
            due_now: done.expedited,
            without_body: chosen.without_body + done.without_body,
            gone: done.gone,
        })
        .collect();
    let is_in_vain =
        at_sinks.iter().all(|at| at.chosen == 0) && at_sinks.iter().any(|at| at.without_body > 0);
    let text = if options.json {
        json_line(&BulkSummary { dry_run: options.dry_run, sinks: at_sinks })?
    } else {
        text(args, &at_sinks)
    };
    Ok(answer(text.as_bytes(), if is_in_vain { Exit::Failure } else { Exit::Success }))
}

fn by_filter(
    args: &RedeliverArgs,
    config: &Config,
    reader: &JournalReader,
    named: Option<Vec<KnownSink>>,
) -> Result<Vec<TargetEvents>, CliError> {
    if let (Some(from), Some(named)) = (&args.from, &named) {
        return left_at(from, args, reader, named);
    }
    let filter = &args.selection.filter;
    let state = match (filter.state(), &named) {
        (None, None) => Some(EventState::Dead),
        (Some(state @ (EventState::Delivered | EventState::Unrouted)), None) => {
            let why = format!("{} events: name their sink with --sink", state.as_str());
            return Err(CliError::because(Exit::Usage, why));
        }
        (state, _) => state,
    };
    // What is or was there was wanted there.
    let is_there = !matches!(state, None | Some(EventState::Unrouted));
    let target = |sink: KnownSink| {
        let filter = Filter {
            state,
            sink: is_there.then(|| sink.name.clone()),
            lacking: args.missing.then(|| sink.name.clone()),
            not_awaited_by: args.missing.then(|| sink.name.clone()),
            ..filter.to_filter()
        };
        let wanted = config
            .sinks
            .iter()
            .find(|configured| configured.name == sink.name)
            .filter(|_| !is_there && filter.event_type.is_none())
            .map(|configured| configured.events.clone());
        let choice = wanted.map_or(Choice::All, Choice::Wanted);
        TargetEvents::any(reader, sink, vec![filter], choice)
    };
    named.map_or_else(|| reader.sinks(), Ok)?.into_iter().map(target).collect()
}

/// What is left at the sink `from`, for the `named` ones.
fn left_at(
    from: &str,
    args: &RedeliverArgs,
    reader: &JournalReader,
    named: &[KnownSink],
) -> Result<Vec<TargetEvents>, CliError> {
    let all = reader.sinks()?;
    let from = known(&all, from)?;
    let filter = &args.selection.filter;
    let states = filter.state().map_or(vec![EventState::Pending, EventState::Dead], |it| vec![it]);
    let target = |sink: &KnownSink| {
        let there = |state: &EventState| Filter {
            state: Some(*state),
            sink: Some(from.name.clone()),
            // What moves over is not delivered twice, however often this is done.
            lacking: Some(sink.name.clone()),
            ..filter.to_filter()
        };
        TargetEvents::any(reader, sink.clone(), states.iter().map(there).collect(), Choice::All)
    };
    named.iter().map(target).collect()
}

#[derive(Serialize)]
struct AtSink<'a> {
    sink: &'a str,
    active: bool,
    chosen: u64,
    redelivered: u64,
    due_now: u64,
    without_body: u64,
    gone: u64,
}

fn text(args: &RedeliverArgs, at_sinks: &[AtSink<'_>]) -> String {
    let mut lines = Vec::new();
    for at in at_sinks {
        let mut say = |count: u64, what: &str| {
            if count > 0 {
                lines.push(format!("{}: {} {what}", at.sink, counted(count, "event")));
            }
        };
        if args.options.dry_run {
            say(at.chosen, BulkChange::Redeliver.prospect());
        }
        say(at.redelivered, "to be delivered again");
        say(at.due_now, "pending already, due now");
        say(at.without_body, "cannot be delivered again: pruned for space");
        say(at.gone, "pruned meanwhile");
        if !at.active && at.chosen > 0 {
            lines.push(format!(
                "{}: not in the daemon's configuration; its events wait until it is",
                at.sink
            ));
        }
    }
    if lines.is_empty() {
        lines.push("nothing to deliver again".to_owned());
        if !args.selection.keys.is_empty() {
            lines.push("dead at no sink; --sink NAME delivers it there anyway".to_owned());
        }
    }
    lines.push(String::new());
    lines.join("\n")
}
