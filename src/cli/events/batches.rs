//! Many changes to the journal, a few at a time: with a question before, at a rate, and with a
//! bar that shows how far it has come.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Stop;
use crate::cli::beside::reason;
use crate::cli::text::counted;
use crate::cli::{ConfigArg, Exit, beside};
use crate::journal::{self, Editor, EventId, KnownSink};

/// Changes in one transaction at most, for each of a rate's tenth of a second.
const PER_SECOND: u32 = 10;

/// How to go about it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Manner {
    /// Only say what would be done.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// At most so many events a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Do not ask before more than one event is changed.
    #[arg(long, short)]
    yes: bool,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// What is to be changed at one sink.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) sink: KnownSink,
    pub(super) events: Vec<EventId>,
}

/// Different events in all targets.
pub(super) fn events(targets: &[Target]) -> u64 {
    let mut all: Vec<EventId> = targets.iter().flat_map(|target| &target.events).copied().collect();
    all.sort_unstable();
    all.dedup();
    all.len() as u64
}

/// Asks whoever sits at the terminal, if anybody does and there is more than one event.
///
/// # Errors
/// When the answer is not yes.
pub(super) fn ask(manner: &Manner, what: &str, targets: &[Target]) -> Result<(), Stop> {
    let events = events(targets);
    let somebody_is_there = io::stdin().is_terminal() && io::stderr().is_terminal();
    if manner.yes || events < 2 || !somebody_is_there {
        return Ok(());
    }
    let sinks = targets.iter().filter(|target| !target.events.is_empty());
    let sinks: Vec<&str> = sinks.map(|target| target.sink.name.as_str()).collect();
    let mut stderr = io::stderr().lock();
    write!(stderr, "{what} {} at {}? [y/N] ", counted(events, "event"), sinks.join(", "))?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Stop::because(Exit::Failure, "nothing was changed"))
}

/// Has `change` change the events of each target, a few in one short transaction, so that a
/// daemon waits for none of them for long.
///
/// # Errors
/// When the journal cannot be written; says how far it came.
pub(super) fn apply(
    manner: &Manner,
    config: &ConfigArg,
    targets: &[Target],
    mut change: impl FnMut(&mut Editor, &KnownSink, &[EventId]) -> journal::Result<()>,
) -> Result<(), Stop> {
    let total: usize = targets.iter().map(|target| target.events.len()).sum();
    if total == 0 {
        return Ok(());
    }
    let mut editor = Editor::open(&beside::configuration(config)?.journal.path)?;
    let bar = progress(total as u64);
    let batch = manner.rate.map_or(Editor::BATCH, |rate| {
        usize::try_from(rate / PER_SECOND).unwrap_or(usize::MAX).clamp(1, Editor::BATCH)
    });
    let (start, mut done) = (Instant::now(), 0_u32);
    for target in targets {
        for events in target.events.chunks(batch) {
            let began = Instant::now();
            change(&mut editor, &target.sink, events).map_err(|error| {
                let why = format!(
                    "the journal cannot be written: {}; {done} of {total} were done, \
                     and doing it again does the rest",
                    reason(&error)
                );
                Stop::because(Exit::Journal, why)
            })?;
            done = done.saturating_add(u32::try_from(events.len()).unwrap_or(u32::MAX));
            bar.set_position(done.into());
            if (done as usize) < total {
                let at_rate = manner.rate.map(|rate| Duration::from_secs(1) / rate * done);
                // At least as long as it held others up.
                let pause = at_rate.unwrap_or_default().saturating_sub(start.elapsed());
                std::thread::sleep(pause.max(began.elapsed()));
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// A bar on the terminal, if standard error is one.
fn progress(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta}")
        .expect("the template is well-formed");
    ProgressBar::new(total).with_style(style)
}
