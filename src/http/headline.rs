//! What the daemon does now, in one sentence: what matters most, first.

use serde::Serialize;

use super::DaemonHealth;
use super::format::{counted, foreign, number, rate, time};
use super::status::{SinkStatus, Status};
use crate::journal::JournalError;
use crate::vod::Advice;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mood {
    /// All is well.
    Good,
    /// Something does not work, but the daemon does.
    Degraded,
    /// The daemon does not do its work.
    Bad,
}

/// The sentence for this status.
pub(super) fn of(status: &Status, health: &DaemonHealth) -> (Mood, String) {
    if let Some(end) = health.journal().error().filter(JournalError::is_final) {
        let what = format!("Nothing is pulled or confirmed: {}.", foreign(&end.to_string()));
        return (Mood::Bad, what);
    }
    if health.is_draining() {
        let what = "Stopping: what is under way is finished, and what is safe is confirmed.";
        return (Mood::Bad, what.to_owned());
    }
    if let Some(error) = health.journal().error() {
        let what = format!(
            "Nothing is pulled: {}. It goes on once that is mended.",
            foreign(&error.to_string())
        );
        return (Mood::Bad, what);
    }
    if let Some(held_up) = pulling(status, health) {
        return held_up;
    }
    if !status.readiness.ready {
        let failed = status.readiness.checks.iter().find(|check| !check.ok);
        let what = failed.map_or_else(String::new, |check| {
            format!("Not ready: {}, {}.", check.name, check.detail)
        });
        return (Mood::Bad, what);
    }
    if let Some(error) = &status.journal_error {
        return (Mood::Degraded, format!("Works, but the journal cannot be shown: {error}."));
    }
    let down: Vec<_> = status.sinks.iter().filter(|sink| sink.state == "down").collect();
    if !down.is_empty() {
        return (Mood::Degraded, waiting_for(&down));
    }
    if let Some(check) = status.readiness.checks.iter().find(|check| check.degraded) {
        let what = format!("Works, but not as it should: {}, {}.", check.name, check.detail);
        return (Mood::Degraded, what);
    }
    (Mood::Good, working(status))
}

/// What keeps it from pulling.
fn pulling(status: &Status, health: &DaemonHealth) -> Option<(Mood, String)> {
    let reason = |advice| match advice {
        Advice::Credentials => Some("the cloud refuses the credentials"),
        Advice::Refused => Some("the cloud refuses what is asked"),
        Advice::Clock => Some("the cloud refuses this machine's clock"),
        _ if !status.readiness.ready => Some("the cloud does not answer as it should"),
        _ => None,
    };
    let troubles = health.troubles();
    let Some(why) = troubles.iter().find_map(|(_, advice)| reason(*advice)) else {
        let is_starting = troubles.is_empty() && status.cloud.last_good_pull_seconds.is_none();
        let what = "Starting: the cloud is asked for the first time.";
        return is_starting.then(|| (Mood::Bad, what.to_owned()));
    };
    let mood = if troubles.len() < health.apps().len() { Mood::Degraded } else { Mood::Bad };
    let apps = troubles.iter().filter(|(_, advice)| reason(*advice) == Some(why));
    let from = health.from(&apps.map(|(app, _)| *app).collect::<Vec<_>>());
    let what =
        format!("Nothing is pulled{from}: {why}. The log has the details; it is tried again.");
    Some((mood, what))
}

fn waiting_for(down: &[&SinkStatus]) -> String {
    let names: Vec<_> = down.iter().map(|sink| sink.name.as_str()).collect();
    let pending = down.iter().map(|sink| sink.pending).sum();
    let oldest = down.iter().filter_map(|sink| sink.oldest_pending_seconds).reduce(f64::max);
    let since = oldest.map_or_else(String::new, |age| format!(", the oldest for {}", time(age)));
    let (noun, verb) = if names.len() == 1 { ("sink", "is") } else { ("sinks", "are") };
    format!(
        "The {noun} {} {verb} down: {} in the journal{since}, and none is lost.",
        names.join(", "),
        if pending == 1 {
            "1 event waits".to_owned()
        } else {
            format!("{} events wait", number(pending))
        },
    )
}

fn working(status: &Status) -> String {
    let Some(journal) = &status.journal else { return "Pulls and delivers.".to_owned() };
    let flow = status.last_hour.last().copied().flatten();
    if journal.pending > 0 {
        let pace = flow.filter(|point| point.delivered_per_second > 0.0);
        let pace = pace
            .map_or_else(String::new, |point| format!(" at {}", rate(point.delivered_per_second)));
        return format!("Delivers{pace}; {} still pending.", counted(journal.pending, "event"));
    }
    if let Some(point) = flow.filter(|point| point.received_per_second > 0.0) {
        let pace = rate(point.received_per_second);
        return format!("Pulls and delivers: events come at {pace}, and none is left over.");
    }
    let last = status.latest.first().map(|line| (status.at - line.first_pulled).to_std());
    match last {
        Some(Ok(ago)) => format!(
            "The queue is empty and all is delivered; the last event came {} ago.",
            time(ago.as_secs_f64())
        ),
        _ => "The queue is empty; no event has come yet.".to_owned(),
    }
}
