//! `sprited sinks retry`: what waits for a sink is delivered now.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::moments::until;
use crate::cli::completion;
use crate::cli::control::AskedDaemon;
use crate::cli::exit::{Exit, answer, json_line};
use crate::cli::open_journal::{CliError, ConfigArg};
use crate::control::{Request, SinkMood, SinkRetryReport};
use crate::format::{counted, foreign, seconds, time};

/// How long the daemon may take over deliveries that it was asked for: it answers after 15 s.
const RETRY_WAIT: Duration = Duration::from_secs(30);

/// Deliver what waits for a sink now, and say what came of it.
///
/// A sink that is down is tried at once, failed events are due now, whatever wait their target asked
/// for. The answer comes when each event that waited was tried, the sink is down, or 15 s have passed;
/// deliveries go on then.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A sink that has rejected too many events in a row (max_rejects), or has never taken any, is down: its
rejections prove nothing, and rejected events wait. If the events are bad indeed, --accept-rejects says
so of all that are pending now: each that the sink rejects becomes a dead letter, until none of them is
left or the daemon restarts. Events that come later go by the usual rule.

With --json, the answer has sink, state, paused_since, delivered, dead, failed, error, pending,
is_over, next_try, hint.

Exit code: 0 if nothing failed, 1 if something did, the sink is down or paused, or the daemon does not
answer, 64 if it has no such sink.

Examples:
  sprited sinks retry site
  sprited sinks retry site --accept-rejects"
)]
pub(super) struct SinkRetryArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The sink.
    #[arg(value_name = "NAME", add = completion::sinks())]
    name: String,
    /// Make dead letters of the pending events that the sink rejects.
    #[arg(long)]
    accept_rejects: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SinkRetryArgs) -> Result<Exit, CliError> {
    let (sink, accept_rejects) = (args.name.clone(), args.accept_rejects);
    let request = Request::SinkRetry { sink, accept_rejects };
    let report: SinkRetryReport = AskedDaemon::of(&args.config)?.ask_now(&request, RETRY_WAIT)?;
    let was_tried = report.is_over || report.delivered + report.dead > 0;
    let is_good = report.paused_since.is_none()
        && report.state != SinkMood::Down
        && report.failed == 0
        && was_tried;
    let text = match args.json {
        true => json_line(&report)?,
        false => retried(&report, args.accept_rejects, Utc::now()),
    };
    Ok(answer(text.as_bytes(), if is_good { Exit::Success } else { Exit::Failure }))
}

fn retried(report: &SinkRetryReport, accept_rejects: bool, now: DateTime<Utc>) -> String {
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
    if accept_rejects && *pending > 0 && (is_down || !*is_over) {
        text.push_str(
            "rejections of the events that wait now still make dead letters, until none of them is \
             left or the daemon restarts\n",
        );
    }
    if let Some(hint) = report.hint.as_ref().filter(|_| is_down) {
        text.push_str(&format!("to do: {}\n", foreign(hint)));
    }
    text
}
