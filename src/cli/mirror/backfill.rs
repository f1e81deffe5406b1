//! `sprited mirror backfill`: has a mirror get the sprites of events that came before it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::cli::completion;
use crate::cli::events::bulk::{self, BulkChange, BulkOptions, BulkSummary};
use crate::cli::events::target::{Choice, TargetEvents};
use crate::cli::exit::{Exit, answer, json_line};
use crate::cli::moment::parse_moment;
use crate::cli::open_journal::{CliError, ConfigArg};
use crate::config::{Config, SinkConfig};
use crate::journal::{Filter, JournalAdmin, JournalReader, Requeued};
use crate::units::counted;

/// Events a second, where that is not said: of each a few files are fetched.
const DEFAULT_RATE: u32 = 10;

/// Have a mirror fetch the sprites of events that the journal had before the mirror was configured.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It takes the events in the journal that the mirror was never asked for and that have a finished
sprite with a WebVTT index, oldest first, and makes them pending at the mirror, 10 a second unless
--rate says otherwise. The daemon then fetches their files; sprited sinks list shows how many are
left. What the mirror has already is not fetched again, and a newer sprite of a file is never
replaced by an older one. Nobody is told of the copies: sinks that come after the mirror do not get
these events. A manifest has its address by file and definition; the page /sprites shows them.

An event that the mirror has given up is a dead letter: sprited events redeliver --sink NAME. Events
pruned for space cannot be mirrored. Files that the cloud has deleted meanwhile fail, and their events
become dead letters in time.

It asks before it begins with more than one event. Without a terminal, as in a script, it needs --yes.

With --json, the answer has dry_run and sinks, and of the mirror: sink, chosen, queued, without_body
(pruned for space), gone (pruned meanwhile).

Examples:
  sprited mirror backfill --dry-run
  sprited mirror backfill --since 30d --rate 50
  sprited mirror backfill --sink cdn --yes"
)]
pub(super) struct BackfillArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The mirror, where there are several.
    #[arg(long, value_name = "NAME", add = completion::sinks())]
    sink: Option<String>,
    /// Only events first pulled at or after this moment.
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    since: Option<DateTime<Utc>>,
    /// Only events first pulled before this moment.
    #[arg(long, value_name = "MOMENT", value_parser = parse_moment)]
    until: Option<DateTime<Utc>>,
    #[command(flatten)]
    options: BulkOptions,
}

pub(super) fn run(args: &BackfillArgs) -> Result<Exit, CliError> {
    let config = args.config.load_as_owner()?;
    let mirror = mirror(&config, args.sink.as_deref())?;
    let reader = JournalReader::open(&config.journal.path)?;
    let sinks = reader.sinks()?;
    let Some(sink) = sinks.into_iter().find(|sink| sink.name == mirror.name && sink.active) else {
        let why = format!(
            "the daemon does not know the mirror {:?} yet: start it, or reload it (sprited reload), \
             and then run this command again",
            mirror.name
        );
        return Err(CliError::because(Exit::Failure, why));
    };
    let filter = Filter {
        not_for: Some(sink.name.clone()),
        // Those will come by themselves.
        not_awaited_by: Some(sink.name.clone()),
        since: args.since,
        until: args.until,
        ..Filter::default()
    };
    let choice = Choice::WithSprites(mirror.events.clone());
    let target = [TargetEvents::any(&reader, sink, vec![filter], choice)?];
    let options = args.options.with_default_rate(DEFAULT_RATE);
    let path = &config.journal.path;
    let change = BulkChange::Backfill;
    let queue = |admin: &mut JournalAdmin, sink, events: &[_], done: &mut Requeued| {
        let of_page = admin.requeue(sink, None, events, Utc::now())?;
        done.requeued += of_page.requeued + of_page.expedited;
        done.without_body += of_page.without_body;
        done.gone += of_page.gone;
        Ok(())
    };
    let done = bulk::apply(change, &options, path, &reader, &target, queue)?;
    let at_sinks: Vec<AtMirror<'_>> = done
        .into_iter()
        .map(|(chosen, done)| AtMirror {
            sink: &mirror.name,
            chosen: chosen.events,
            queued: done.requeued,
            without_body: chosen.without_body + done.without_body,
            gone: done.gone,
        })
        .collect();
    let summary = BulkSummary { dry_run: options.dry_run, sinks: at_sinks };
    let text = if options.json { json_line(&summary)? } else { text(&summary) };
    Ok(answer(text.as_bytes(), Exit::Success))
}

/// The mirror of that name, or the only one.
fn mirror<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c SinkConfig, CliError> {
    let is_mirror = |sink: &&SinkConfig| sink.plan.kind() == "mirror";
    let mirrors: Vec<&SinkConfig> = config.sinks.iter().filter(is_mirror).collect();
    let names = || mirrors.iter().map(|mirror| mirror.name.as_str()).collect::<Vec<_>>().join(", ");
    let why = match (mirrors.as_slice(), name) {
        ([], _) => {
            "no sink of the configuration is a mirror: add one with type = \"mirror\"".to_owned()
        }
        ([only], None) => return Ok(only),
        (all, Some(name)) => match all.iter().find(|mirror| mirror.name == name) {
            Some(mirror) => return Ok(mirror),
            None => format!("{name:?} is no mirror; there are: {}", names()),
        },
        (_, None) => format!("which mirror? name it with --sink; there are: {}", names()),
    };
    Err(CliError::because(Exit::Usage, why))
}

#[derive(Serialize)]
struct AtMirror<'a> {
    sink: &'a str,
    chosen: u64,
    queued: u64,
    without_body: u64,
    gone: u64,
}

fn text(summary: &BulkSummary<AtMirror<'_>>) -> String {
    let mut lines = String::new();
    for at in &summary.sinks {
        let mut say = |count: u64, what: &str| {
            if count > 0 {
                lines += &format!("{}: {} {what}\n", at.sink, counted(count, "event"));
            }
        };
        if summary.dry_run {
            say(at.chosen, BulkChange::Backfill.prospect());
        }
        say(at.queued, "to be mirrored; sprited sinks list shows how many are left");
        say(at.without_body, "cannot be mirrored: pruned for space");
        say(at.gone, "pruned meanwhile");
    }
    if lines.is_empty() {
        "nothing to mirror: it was asked for all of these events\n".to_owned()
    } else {
        lines
    }
}
