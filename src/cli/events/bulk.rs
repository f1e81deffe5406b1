//! Many changes to the journal, a few at a time: with a confirmation, a rate and a progress bar.

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::target::{Chosen, TargetEvents};
use crate::cli::exit::Exit;
use crate::cli::open_journal::CliError;
use crate::cli::prompt::{confirm, is_somebody_there};
use crate::journal::{self, EventId, JournalAdmin, JournalReader, SinkId};
use crate::units::counted;

/// A rate is spread over so many transactions a second.
const BATCHES_PER_SECOND: u32 = 10;

/// Options of bulk changes.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct BulkOptions {
    /// Only print what would be done.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Maximum number of events per second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Do not ask for confirmation. Without a terminal, as in a script, nothing is changed
    /// otherwise.
    #[arg(long, short)]
    yes: bool,
    /// Print JSON.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

impl BulkOptions {
    /// With this rate, if none was asked for.
    pub(in crate::cli) fn with_default_rate(&self, rate: u32) -> Self {
        Self { rate: self.rate.or(Some(rate)), ..self.clone() }
    }
}

/// What is done with events.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) enum BulkChange {
    Backfill,
    Discard,
    Redeliver,
}

impl BulkChange {
    /// As a question begins.
    fn verb(self) -> &'static str {
        match self {
            Self::Backfill => "Mirror the sprites of",
            Self::Discard => "Discard",
            Self::Redeliver => "Redeliver",
        }
    }

    /// As a sentence ends.
    pub(in crate::cli) fn prospect(self) -> &'static str {
        match self {
            Self::Backfill => "would be mirrored",
            Self::Discard => "would be discarded",
            Self::Redeliver => "would be delivered again",
        }
    }
}

/// What was done, for programs: at each sink.
#[derive(Serialize)]
pub(in crate::cli) struct BulkSummary<T> {
    pub(in crate::cli) dry_run: bool,
    pub(in crate::cli) sinks: Vec<T>,
}

/// Has `work` change the events of `targets`, oldest first and a few in one short transaction, so
/// that a daemon waits for none of them for long. Without `--yes` it asks first whoever sits at the
/// terminal, if there is more than one event. Gives what was chosen at each target, and what came
/// of it; with `--dry-run` nothing did. Fails when nobody sits there or the answer is not yes, or
/// the journal cannot be read or written: then it says how far it came.
pub(in crate::cli) fn apply<T: Default>(
    change: BulkChange,
    options: &BulkOptions,
    journal: &Path,
    reader: &JournalReader,
    targets: &[TargetEvents],
    work: impl Fn(&mut JournalAdmin, SinkId, &[EventId], &mut T) -> journal::Result<()>,
) -> Result<Vec<(Chosen, T)>, CliError> {
    let mut done = Vec::with_capacity(targets.len());
    for target in targets {
        done.push((target.count(reader)?, T::default()));
    }
    let total: u64 = done.iter().map(|(chosen, _)| chosen.events).sum();
    if options.dry_run || total == 0 {
        return Ok(done);
    }
    if !options.yes {
        let counts = targets.iter().zip(&done).map(|(target, (chosen, _))| (target, chosen.events));
        ask(change, total, counts.filter(|(_, events)| *events > 0))?;
    }
    let mut admin = JournalAdmin::open(journal)?;
    let mut pace = BulkPace::new(options.rate, total);
    for (target, (chosen, done)) in targets.iter().zip(&mut done) {
        *chosen = target.each(reader, pace.at_once, |events| {
            pace.wait();
            let began = Instant::now();
            work(&mut admin, target.sink.id, events, done).map_err(|error| {
                let why = format!(
                    "the journal cannot be written: {}; {} of {total} were done; run the command \
                     again for the rest",
                    error.reason(),
                    pace.done
                );
                CliError::because(Exit::Journal, why)
            })?;
            pace.record(events.len(), began.elapsed());
            Ok(())
        })?;
    }
    pace.bar.finish_and_clear();
    Ok(done)
}

fn ask<'t>(
    change: BulkChange,
    total: u64,
    counts: impl Iterator<Item = (&'t TargetEvents, u64)>,
) -> Result<(), CliError> {
    let counts: Vec<String> = counts
        .map(|(target, events)| format!("{} at {}", counted(events, "event"), target.sink.name))
        .collect();
    let counts = counts.join(", ");
    if !is_somebody_there() {
        // One or many: a script that works with one event must not stop at two.
        let why = format!(
            "{counts} {}; there is no terminal to ask at: add --yes to do it, or --dry-run to \
             print what it would do; nothing was changed",
            change.prospect()
        );
        return Err(CliError::because(Exit::Usage, why));
    }
    if total > 1 { confirm(format_args!("{} {counts}?", change.verb())) } else { Ok(()) }
}

struct BulkPace {
    rate: Option<u32>,
    at_once: usize,
    start: Instant,
    done: u32,
    /// The next batch begins no earlier.
    next: Instant,
    /// Shown if standard error is a terminal.
    bar: ProgressBar,
}

impl BulkPace {
    fn new(rate: Option<u32>, total: u64) -> Self {
        let at_once = rate.map_or(JournalAdmin::BATCH, |rate| {
            usize::try_from(rate / BATCHES_PER_SECOND)
                .unwrap_or(usize::MAX)
                .clamp(1, JournalAdmin::BATCH)
        });
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta}")
            .expect("the template is well-formed");
        let bar = ProgressBar::new(total).with_style(style);
        let start = Instant::now();
        Self { rate, at_once, start, done: 0, next: start, bar }
    }

    fn wait(&self) {
        std::thread::sleep(self.next.saturating_duration_since(Instant::now()));
    }

    fn record(&mut self, events: usize, took: Duration) {
        self.done = self.done.saturating_add(u32::try_from(events).unwrap_or(u32::MAX));
        self.bar.set_position(self.done.into());
        let at_rate = self.rate.map(|rate| Duration::from_secs(1) / rate * self.done);
        // At least as long as it held others up.
        let pause = Instant::now() + took;
        self.next = pause.max(self.start + at_rate.unwrap_or_default());
    }
}
