//! `sprited events redeliver`: has sinks get events once more.

use serde::Serialize;

use super::batches::{self, Manner, Target};
use super::choice::{Choice, each};
use super::{Stop, open};
use crate::cli::beside::configuration;
use crate::cli::text::counted;
use crate::cli::{ConfigArg, Exit, answer};
use crate::event::Wanted;
use crate::journal::{Filter, Found, KnownSink, Reader, Requeued, State};

/// Deliver events again: dead letters, or any others to the sinks that are named.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --sink, an event goes to the sinks where it is a dead letter (or pending, with
--state pending: then it is due now). With --sink, it goes there, whatever became of it before.
By conditions, a sink gets what its `events` in the configuration name; by KEY or with --type,
whatever is asked for. A running daemon takes notice within two seconds. What was pruned for
space is gone and cannot be delivered again.

Examples:
  sprited events redeliver 3f9a2c
  sprited events redeliver --state dead --since 2h --dry-run
  sprited events redeliver --sink new --since 7d --missing      fill a new sink
  sprited events redeliver --sink hook --state delivered --since 2h --rate 50"
)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    choice: Choice,
    /// Only what the sink does not have yet.
    #[arg(long)]
    missing: bool,
    #[command(flatten)]
    manner: Manner,
}

pub(super) fn run(args: &Args) -> Result<Exit, Stop> {
    let reader = open(&args.config)?;
    let named = args.choice.sinks(&reader)?;
    let mut sinks = if args.choice.keys.is_empty() {
        by_conditions(args, &reader, named)?
    } else {
        by_keys(args, &reader, named)?
    };
    let targets: Vec<Target> = sinks
        .iter_mut()
        .map(|chosen| Target {
            sink: chosen.sink.clone(),
            events: std::mem::take(&mut chosen.events),
        })
        .collect();
    let events = batches::events(&targets);
    if !args.manner.dry_run {
        batches::ask(&args.manner, "Redeliver", &targets)?;
        batches::apply(&args.manner, &args.config, &targets, |editor, sink, events| {
            let done = editor.requeue(sink.id, events, chrono::Utc::now())?;
            if let Some(chosen) = sinks.iter_mut().find(|chosen| chosen.sink.id == sink.id) {
                chosen.note(done);
            }
            Ok(())
        })?;
    }
    for (chosen, target) in sinks.iter_mut().zip(targets) {
        chosen.chosen = target.events.len() as u64;
    }
    let text = if args.manner.json { json(args, events, &sinks)? } else { text(args, &sinks) };
    let is_in_vain = events == 0 && sinks.iter().any(|sink| sink.done.without_body > 0);
    Ok(answer(text.as_bytes(), if is_in_vain { Exit::Failure } else { Exit::Success }))
}

/// What one sink is to get, and what came of it.
struct Chosen {
    sink: KnownSink,
    events: Vec<crate::journal::EventId>,
    chosen: u64,
    done: Requeued,
}

impl Chosen {
    fn new(sink: KnownSink) -> Self {
        Self { sink, events: Vec::new(), chosen: 0, done: Requeued::default() }
    }

    fn take(&mut self, found: &Found) {
        if found.is_pruned {
            self.done.without_body += 1;
        } else {
            self.events.push(found.id);
        }
    }

    fn note(&mut self, done: Requeued) {
        self.done.requeued += done.requeued;
        self.done.hastened += done.hastened;
        self.done.without_body += done.without_body;
        self.done.gone += done.gone;
    }
}

fn by_keys(
    args: &Args,
    reader: &Reader,
    named: Option<Vec<KnownSink>>,
) -> Result<Vec<Chosen>, Stop> {
    let only_dead = named.is_none();
    let sinks = named.map_or_else(|| reader.sinks(), Ok)?;
    let mut sinks: Vec<Chosen> = sinks.into_iter().map(Chosen::new).collect();
    for found in args.choice.by_keys(reader)? {
        let states = reader.sinks_of(found.id)?;
        for chosen in &mut sinks {
            let there = states.iter().find(|at| at.sink == chosen.sink.name).map(|at| at.state);
            let is_left = if only_dead {
                there != Some(State::Dead)
            } else {
                args.missing && there == Some(State::Delivered)
            };
            if !is_left {
                chosen.take(&found);
            }
        }
    }
    Ok(sinks)
}

fn by_conditions(
    args: &Args,
    reader: &Reader,
    named: Option<Vec<KnownSink>>,
) -> Result<Vec<Chosen>, Stop> {
    let conditions = &args.choice.conditions;
    let state = match (conditions.state, &named) {
        (None, None) => Some(State::Dead),
        (Some(state @ (State::Delivered | State::Unrouted)), None) => {
            let why = format!("{} events: to which sink? Name it by --sink", state.as_str());
            return Err(Stop::because(Exit::Usage, why));
        }
        (state, _) => state,
    };
    let config = configuration(&args.config)?;
    let mut all = Vec::new();
    for sink in named.map_or_else(|| reader.sinks(), Ok)? {
        let is_there = !matches!(state, None | Some(State::Unrouted));
        let filter =
            Filter { state, sink: is_there.then(|| sink.name.clone()), ..conditions.filter() };
        // What is or was there was wanted there.
        let wanted: Option<&Wanted> = config
            .sinks
            .iter()
            .find(|configured| configured.name == sink.name)
            .filter(|_| !is_there && conditions.event_type.is_none())
            .map(|configured| &configured.events);
        let mut chosen = Chosen::new(sink);
        each(reader, filter, usize::MAX, |found| {
            // What sprites a pruned event had cannot be told any more.
            if !found.is_pruned && wanted.is_some_and(|wanted| !wanted.matches(&found.event)) {
                return Ok(());
            }
            if !args.missing || !has(reader, found, &chosen.sink)? {
                chosen.take(found);
            }
            Ok(())
        })?;
        all.push(chosen);
    }
    Ok(all)
}

fn has(reader: &Reader, found: &Found, sink: &KnownSink) -> Result<bool, Stop> {
    let states = reader.sinks_of(found.id)?;
    Ok(states.iter().any(|at| at.sink == sink.name && at.state == State::Delivered))
}

#[derive(Serialize)]
struct Summary<'a> {
    dry_run: bool,
    /// Different events chosen.
    events: u64,
    sinks: Vec<AtSink<'a>>,
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

fn json(args: &Args, events: u64, sinks: &[Chosen]) -> Result<String, Stop> {
    let sinks = sinks.iter().map(|Chosen { sink, chosen, done, .. }| AtSink {
        sink: &sink.name,
        active: sink.active,
        chosen: *chosen,
        redelivered: done.requeued,
        due_now: done.hastened,
        without_body: done.without_body,
        gone: done.gone,
    });
    let summary = Summary { dry_run: args.manner.dry_run, events, sinks: sinks.collect() };
    Ok(serde_json::to_string(&summary).map_err(std::io::Error::from)? + "\n")
}

fn text(args: &Args, sinks: &[Chosen]) -> String {
    let mut lines = Vec::new();
    for Chosen { sink, chosen, done, .. } in sinks {
        let mut say = |count: u64, what: &str| {
            if count > 0 {
                lines.push(format!("{}: {} {what}", sink.name, counted(count, "event")));
            }
        };
        if args.manner.dry_run {
            say(*chosen, "would be delivered again");
        }
        say(done.requeued, "to be delivered again");
        say(done.hastened, "pending already, due now");
        say(done.without_body, "cannot be delivered again: pruned for space");
        say(done.gone, "pruned meanwhile");
        if !sink.active && *chosen > 0 {
            lines.push(format!(
                "{}: not in the configuration that the daemon has; it waits until it is",
                sink.name
            ));
        }
    }
    if lines.is_empty() {
        lines.push("nothing to deliver again".to_owned());
        if !args.choice.keys.is_empty() {
            lines.push("dead at no sink; --sink NAME delivers it there all the same".to_owned());
        }
    }
    lines.push(String::new());
    lines.join("\n")
}
