//! `sprited sinks test`: one real delivery, of which nothing is recorded.

use std::time::Duration;

use crate::cli::completion;
use crate::cli::control::AskedDaemon;
use crate::cli::events::selection::parse_prefix;
use crate::cli::exit::{Exit, answer, json_line};
use crate::cli::open_journal::{CliError, ConfigArg};
use crate::control::{Request, SinkTestReport, TestVerdict};
use crate::format::{foreign, time};

/// How long a sink may take over a test, with what is in flight there.
const TEST_WAIT: Duration = Duration::from_secs(600);

/// Deliver one event to a sink as a test.
///
/// It is a real delivery, of a stored event or of a sample of the type SpritedTest, which says that it is
/// a test. The daemon makes it, whether the sink is up, down or paused, beside the deliveries in flight.
/// Nothing is recorded: nothing is pending afterwards, no counter and no state changes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --json, the answer has sink, event, event_type, is_sample, verdict (delivered, retry,
reject), error, retry_after_seconds, milliseconds.

The command waits up to 10 minutes. At most 8 tests are made at once: another one fails.

Exit code: 0 if the sink took the event, 1 if not or if the daemon does not answer, 64 if it has no
such sink.

Examples:
  sprited sinks test site
  sprited sinks test site 3f9a2c"
)]
pub(super) struct SinkTestArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The sink.
    #[arg(value_name = "NAME", add = completion::sinks())]
    name: String,
    /// Key of a stored event, or its first digits; without it a sample is delivered.
    #[arg(value_parser = parse_prefix)]
    event: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SinkTestArgs) -> Result<Exit, CliError> {
    let request = Request::SinkTest { sink: args.name.clone(), event: args.event.clone() };
    let report: SinkTestReport = AskedDaemon::of(&args.config)?.ask_now(&request, TEST_WAIT)?;
    let exit = match report.verdict {
        TestVerdict::Delivered => Exit::Success,
        _ => Exit::Failure,
    };
    let text = if args.json { json_line(&report)? } else { tested(&report) };
    Ok(answer(text.as_bytes(), exit))
}

fn tested(report: &SinkTestReport) -> String {
    let SinkTestReport { sink, event, event_type, is_sample, verdict, error, .. } = report;
    let sample = if *is_sample { ", a sample that says it is a test" } else { "" };
    let after = report
        .retry_after_seconds
        .map_or_else(String::new, |after| format!(", after {} as it asks for", time(after as f64)));
    let verdict = match verdict {
        TestVerdict::Delivered => "delivered".to_owned(),
        TestVerdict::Retry => format!("failed: an event would be tried again{after}"),
        TestVerdict::Reject => "rejected: an event would become a dead letter".to_owned(),
        TestVerdict::Other => "unknown".to_owned(),
    };
    let lines = [
        ("sink", foreign(sink)),
        ("event", format!("{} {event}{sample}", foreign(event_type))),
        ("answer", error.as_ref().map_or_else(|| "the sink took it".to_owned(), |it| foreign(it))),
        ("time", time(report.milliseconds as f64 / 1000.0)),
        ("verdict", verdict),
    ];
    lines.iter().map(|(name, value)| format!("{name:9}{value}\n")).collect()
}
