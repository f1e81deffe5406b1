//! `sprited sinks`: how the sinks of the running daemon are, and what an operator asks of one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::control::{AskedDaemon, PROMPT};
use super::events::{format::table, selection::parse_prefix};
use super::exit::{Exit, answer, json_line, print};
use super::open_journal::{self, CliError, ConfigArg};
use super::process;
use crate::config::{Config, nearest};
use crate::control::{
    AskError, Request, SinkMood, SinkReport, SinkReports, SinkRetryReport, SinkTestReport,
    TestVerdict,
};
use crate::format::{ago, counted, foreign, number, time};
use crate::journal::Pausable;

/// How long the daemon may take over deliveries that it was asked for: it answers after 15 s.
const RETRY_WAIT: Duration = Duration::from_secs(30);
/// How long a sink may take over a test, with what is in flight there.
const TEST_WAIT: Duration = Duration::from_secs(600);

/// List, test, retry, pause and resume the sinks of the running daemon.
#[derive(Debug, clap::Args)]
pub(super) struct SinksArgs {
    #[command(subcommand)]
    command: SinksCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SinksCommand {
    List(ListArgs),
    Test(TestArgs),
    Retry(RetryArgs),
    Pause(PauseArgs),
    Resume(ResumeArgs),
}

/// List the sinks with their state.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A sink is up, down, catching up (it was down, and what waited then is being delivered) or paused.

With --json, a line has of its sink: name, state (up, down, catching-up, paused), since (of a state
other than up), pending, dead, last_error and last_failed (since the daemon's start or a reload that
changed the sink), next_try, hint. Unknown values are null. Later versions may add members and remove
none.

Exit code: 0 if the daemon answers, whatever the state of its sinks, 1 if not.

Examples:
  sprited sinks list
  sprited sinks list --json"
)]
struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Print JSON, one line per sink.
    #[arg(long)]
    json: bool,
}

/// Deliver one event to a sink as a test.
///
/// It is a real delivery, of a stored event or of a sample of the type SpritedTest, which says that it is
/// a test. The daemon makes it, whether the sink is up, down or paused, beside the deliveries in flight.
/// Nothing is recorded: nothing is pending afterwards, no counter and no state changes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --json, the answer has sink, event, event_type, is_sample, verdict (delivered, retry,
reject), error, retry_after_seconds, milliseconds.

Exit code: 0 if the sink took the event, 1 if not or if the daemon does not answer, 64 if it has no
such sink.

Examples:
  sprited sinks test site
  sprited sinks test site 3f9a2c"
)]
struct TestArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The sink.
    #[arg(value_name = "NAME")]
    name: String,
    /// Key of a stored event, or its first digits; without it a sample is delivered.
    #[arg(value_parser = parse_prefix)]
    event: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Deliver what waits for a sink now, and say what came of it.
///
/// A sink that is down is tried at once, failed events are due now, whatever wait their target asked
/// for. The answer comes when each event that waited was tried, the sink is down, or 15 s have passed;
/// deliveries go on then.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A sink that has rejected too many events in a row (max_rejects), or has never taken any, is down: its
rejections prove nothing, and rejected events wait. If the events are bad indeed, --accept-rejects says
so of all that are pending now: each that the sink rejects becomes a dead letter. Events that come
later go by the usual rule.

With --json, the answer has sink, state, paused_since, delivered, dead, failed, error, pending,
is_over, next_try, hint.

Exit code: 0 if nothing failed, 1 if something did, the sink is down or paused, or the daemon does not
answer, 64 if it has no such sink.

Examples:
  sprited sinks retry site
  sprited sinks retry site --accept-rejects"
)]
struct RetryArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The sink.
    #[arg(value_name = "NAME")]
    name: String,
    /// Make dead letters of the pending events that the sink rejects.
    #[arg(long)]
    accept_rejects: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Pause the deliveries to a sink.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "No delivery starts until `sprited sinks resume`, not even after a restart or a reload, except a test.
Deliveries in flight end. Events wait in the journal; those of the queue stay unconfirmed and are pulled
again and again. A paused sink is not down: no alarm is raised for a day, and its events become no dead
letters by the time that passes.

Where no daemon runs, the next one starts with the sink paused. `sprited run --once` does not wait for
a paused sink: it ends with 1 if events wait for it.

Exit code: 0 if the sink is paused, also if it was before; 1 if a daemon does not answer; 64 if there
is no such sink; 74 if there is no journal. With --json, the answer has sink, paused, changed, since and
daemon (whether one runs).

Examples:
  sprited sinks pause site"
)]
struct PauseArgs {
    #[command(flatten)]
    common: PauseCommon,
}

/// Resume the deliveries to a sink after a pause.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What waits is delivered at once, as after an outage. Where no daemon runs, the next one does so.

Exit code: 0 if the sink is not paused, also if it was not before; 1 if a daemon does not answer; 64 if
there is no such sink; 74 if there is no journal. With --json, the answer has sink, paused, changed,
since and daemon (whether one runs).

Examples:
  sprited sinks resume site"
)]
struct ResumeArgs {
    #[command(flatten)]
    common: PauseCommon,
}

#[derive(Debug, clap::Args)]
struct PauseCommon {
    #[command(flatten)]
    config: ConfigArg,
    /// The sink.
    #[arg(value_name = "NAME")]
    name: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SinksArgs) -> Exit {
    open_journal::end(match &args.command {
        SinksCommand::List(args) => list(args),
        SinksCommand::Test(args) => test(args),
        SinksCommand::Retry(args) => retry(args),
        SinksCommand::Pause(args) => set_paused(&args.common, true),
        SinksCommand::Resume(args) => set_paused(&args.common, false),
    })
}

fn list(args: &ListArgs) -> Result<Exit, CliError> {
    let asked = AskedDaemon::of(&args.config)?.ask_now(&Request::Sinks, PROMPT);
    let SinkReports { sinks } = asked?;
    if args.json {
        for sink in &sinks {
            print(json_line(sink)?.as_bytes())?;
        }
        return Ok(Exit::Success);
    }
    let now = Utc::now();
    let mut table = table(["SINK", "STATE", "PENDING", "DEAD", "NEXT TRY", "LAST ERROR"]);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for sink in &sinks {
        table.add_row(row(sink, now));
    }
    let mut text = format!("{}\n", table.trim_fmt());
    for sink in &sinks {
        if let Some(hint) = &sink.hint {
            text.push_str(&format!("{}: {}\n", foreign(&sink.name), foreign(hint)));
        }
    }
    Ok(answer(text.as_bytes(), Exit::Success))
}

fn row(sink: &SinkReport, now: DateTime<Utc>) -> [String; 6] {
    let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), number);
    let state = match sink.since {
        Some(since) => format!("{} for {}", mood(sink.state), time(seconds(now - since))),
        None => mood(sink.state).to_owned(),
    };
    let error = sink.last_error.as_ref().map(|error| {
        let when = sink.last_failed.map(|at| format!("{}: ", ago(seconds(now - at))));
        when.unwrap_or_default() + &foreign(error)
    });
    [
        foreign(&sink.name),
        state,
        count(sink.pending),
        count(sink.dead),
        sink.next_try.map_or_else(|| "-".to_owned(), |at| until(at, now)),
        error.unwrap_or_else(|| "-".to_owned()),
    ]
}

fn mood(state: SinkMood) -> &'static str {
    match state {
        SinkMood::Up => "up",
        SinkMood::CatchingUp => "catching up",
        SinkMood::Down => "down",
        SinkMood::Paused => "paused",
        SinkMood::Other => "unknown",
    }
}

/// `now`, `in 8.0 s`
fn until(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match seconds(at - now) {
        left if left < 1.0 => "now".to_owned(),
        left => format!("in {}", time(left)),
    }
}

fn seconds(time: chrono::TimeDelta) -> f64 {
    time.to_std().unwrap_or_default().as_secs_f64()
}

fn test(args: &TestArgs) -> Result<Exit, CliError> {
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

fn retry(args: &RetryArgs) -> Result<Exit, CliError> {
    let (sink, accept_rejects) = (args.name.clone(), args.accept_rejects);
    let request = Request::SinkRetry { sink, accept_rejects };
    let report: SinkRetryReport = AskedDaemon::of(&args.config)?.ask_now(&request, RETRY_WAIT)?;
    let was_tried = report.is_over || report.delivered + report.dead > 0;
    let is_good = report.paused_since.is_none()
        && report.state != SinkMood::Down
        && report.failed == 0
        && was_tried;
    let text = if args.json { json_line(&report)? } else { retried(&report, Utc::now()) };
    Ok(answer(text.as_bytes(), if is_good { Exit::Success } else { Exit::Failure }))
}

fn retried(report: &SinkRetryReport, now: DateTime<Utc>) -> String {
    let SinkRetryReport { state, delivered, dead, failed, pending, is_over, .. } = report;
    let sink = foreign(&report.sink);
    if let Some(since) = report.paused_since {
        let lasts = time(seconds(now - since));
        return format!(
            "{sink} has been paused by hand for {lasts}: nothing was tried; `sprited sinks resume \
             {sink}` resumes it\n"
        );
    }
    let mut done = Vec::new();
    if *delivered > 0 {
        done.push(format!("{} delivered", counted(*delivered, "event")));
    }
    match dead {
        0 => {}
        1 => done.push("1 event rejected, now a dead letter".to_owned()),
        _ => done.push(format!("{} rejected, now dead letters", counted(*dead, "event"))),
    }
    if *failed > 0 {
        done.push(format!("{} failed", counted(*failed, "delivery attempt")));
    }
    let is_down = *state == SinkMood::Down;
    let head = match (is_down, done.is_empty(), *is_over) {
        (true, ..) => format!("{sink} is down"),
        (false, true, true) => format!("{sink}: nothing to deliver"),
        (false, true, false) => format!("{sink}: no answer yet"),
        (false, false, _) => sink.clone(),
    };
    let done = if done.is_empty() { String::new() } else { format!(": {}", done.join(", ")) };
    let next = report.next_try.filter(|_| is_down && *pending > 0);
    let next = next.map_or_else(String::new, |at| format!(", next try {}", until(at, now)));
    let left = match pending {
        0 => "nothing is pending".to_owned(),
        pending => format!("{} pending", counted(*pending, "event")),
    };
    let goes_on = if *is_over || is_down { "" } else { ", deliveries go on" };
    let mut text = format!("{head}{done}; {left}{next}{goes_on}\n");
    if let Some(error) = &report.error {
        text.push_str(&format!("last error: {}\n", foreign(error)));
    }
    if let Some(hint) = report.hint.as_ref().filter(|_| is_down) {
        text.push_str(&format!("to do: {}\n", foreign(hint)));
    }
    text
}

/// What became of a pause.
#[derive(Serialize)]
struct SinkPause<'a, P> {
    sink: &'a str,
    #[serde(flatten)]
    outcome: P,
}

fn set_paused(args: &PauseCommon, pause: bool) -> Result<Exit, CliError> {
    let PauseCommon { config, name, json } = args;
    // Whoever owns the journal need not be able to read it.
    let file = Config::load(&config.path).ok();
    let names: Option<Vec<String>> =
        file.map(|file| file.config.sinks.iter().map(|sink| sink.name.clone()).collect());
    let daemon = AskedDaemon::of(config)?;
    if let Some(names) = names.filter(|names| !names.contains(name)) {
        refuse_unless_the_daemon_has_it(&daemon, name, &names)?;
    }
    let outcome = daemon.set_paused(Pausable::Sink(name), pause)?;
    let text = if *json {
        json_line(&SinkPause { sink: name, outcome })?
    } else {
        let sink = foreign(name);
        let mut words = outcome.words(&format!("the sink {sink}"), Utc::now());
        if outcome.begins() {
            words += &format!(
                "; its events wait in the journal: `sprited sinks resume {sink}` delivers them"
            );
        }
        words + "\n"
    };
    Ok(answer(text.as_bytes(), Exit::Success))
}

/// The file has no such sink, but a daemon may have it still. Where none runs, nobody does.
fn refuse_unless_the_daemon_has_it(
    daemon: &AskedDaemon,
    name: &str,
    names: &[String],
) -> Result<(), CliError> {
    let asked = process::block_on(daemon.ask::<SinkReports>(&Request::Sinks, PROMPT));
    match asked.map_err(|error| CliError::because(Exit::Failure, error))? {
        Err(AskError::NoDaemon(_)) => {
            let advice = match nearest(name, names.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("the configuration has {}", names.join(", ")),
            };
            let why = format!("unknown sink {name:?}; {advice}");
            Err(CliError::because(Exit::Usage, why))
        }
        // It says itself what it does not know.
        _ => Ok(()),
    }
}
