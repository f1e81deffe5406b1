//! The way of the events: from the cloud through the journal to the sinks, and how it went in the
//! last hour.

use bytesize::ByteSize;
use maud::{Markup, html};

use super::axis::{RATES, TIMES};
use super::chart::{Series, chart};
use crate::format::{self, counted, number, rate, time};
use crate::http::history::HistoryPoint;
use crate::http::status::{ApplicationStatus, JournalStatus, Status};

struct PipelineStep {
    name: &'static str,
    figure: String,
    unit: &'static str,
    more: Vec<String>,
}

pub(super) fn pipeline(status: &Status) -> Markup {
    html! {
        section id="pipeline" aria-labelledby="pipeline-title" {
            h2 id="pipeline-title" { "Pipeline" }
            ol class="pipeline" {
                @for step in steps(status) {
                    li data-key=(step.name) {
                        h3 { (step.name) }
                        p class="figure" { (step.figure) " " small { (step.unit) } }
                        @for line in step.more { p { (line) } }
                    }
                }
            }
        }
    }
}

/// Where no queue is pulled from, there is nothing to say of one.
fn steps(status: &Status) -> Vec<PipelineStep> {
    let is_pulled = status.cloud.is_pulled;
    let mut steps = Vec::new();
    steps.extend(is_pulled.then(|| PipelineStep {
        name: "Cloud",
        figure: count(status.cloud.backlog),
        unit: "waiting",
        more: vec!["by the cloud's own count, minutes old".to_owned()],
    }));
    steps.push(received(status));
    steps.push(journal(status.journal.as_ref()));
    steps.push(delivered(status));
    steps.extend(is_pulled.then(|| confirmed(status)));
    steps
}

fn received(status: &Status) -> PipelineStep {
    let (cloud, journal) = (&status.cloud, status.journal.as_ref());
    let totals = format!(
        "{} in total, {} duplicates",
        count(journal.map(|journal| journal.received)),
        count(journal.map(|journal| journal.duplicates))
    );
    let more = [cloud.last_pull(), Some(totals), cloud.circulation()];
    PipelineStep {
        name: if cloud.is_pulled { "Pulled" } else { "Received" },
        figure: pace(status, |point| point.received_per_second),
        unit: "",
        more: more.into_iter().flatten().collect(),
    }
}

fn journal(journal: Option<&JournalStatus>) -> PipelineStep {
    let commit = journal.and_then(|journal| journal.commit_seconds);
    let size = journal.map(|j| (ByteSize::b(j.size_bytes), ByteSize::b(j.max_size_bytes)));
    PipelineStep {
        name: "Journal",
        figure: count(journal.map(|journal| journal.pending)),
        unit: "pending",
        more: vec![
            commit.map_or("no commit yet".to_owned(), |took| format!("{} per commit", time(took))),
            size.map_or("cannot be read".to_owned(), |(size, most)| format!("{size} of {most}")),
        ],
    }
}

fn delivered(status: &Status) -> PipelineStep {
    let delivered = status.sinks.iter().map(|sink| sink.delivered).sum();
    let dead = status.sinks.iter().map(|sink| sink.dead).sum();
    PipelineStep {
        name: "Sinks",
        figure: pace(status, |point| point.delivered_per_second),
        unit: "",
        more: vec![format!("{} delivered", number(delivered)), format!("{} dead", number(dead))],
    }
}

fn confirmed(status: &Status) -> PipelineStep {
    let handles = &status.handles;
    let expired = match handles.expired {
        0 => "no lease expired".to_owned(),
        count => format!("{} expired; these events are pulled again", counted(count, "lease")),
    };
    PipelineStep {
        name: "Confirmed",
        figure: count(status.journal.as_ref().map(|journal| journal.confirmed)),
        unit: "events",
        more: vec![
            handles.margin_seconds.map_or("none since the start".to_owned(), |left| {
                format!("{} before the handle expires (average)", time(left))
            }),
            expired,
        ],
    }
}

fn count(count: Option<u64>) -> String {
    count.map_or("–".to_owned(), number)
}

/// Of the last half minute.
fn pace(status: &Status, of: fn(HistoryPoint) -> f64) -> String {
    let flow = status.last_hour.last().copied().flatten();
    flow.map_or("–".to_owned(), |point| rate(of(point)))
}

pub(super) fn last_hour(status: &Status) -> Markup {
    let values = |of: fn(HistoryPoint) -> Option<f64>| {
        status.last_hour.iter().map(|point| point.and_then(of)).collect()
    };
    let throughput = [
        Series { name: "received", class: "one", values: values(|p| Some(p.received_per_second)) },
        Series {
            name: "delivered",
            class: "two",
            values: values(|p| Some(p.delivered_per_second)),
        },
    ];
    let lag = [Series { name: "pull to sink", class: "three", values: values(|p| p.lag_seconds) }];
    html! {
        section id="hour" aria-labelledby="hour-title" {
            h2 id="hour-title" { "Last hour" }
            div class="charts" {
                (chart("Throughput", &throughput, RATES, rate))
                (chart("Lag", &lag, TIMES, time))
            }
        }
    }
}

pub(super) fn applications(status: &Status) -> Markup {
    html! {
        @if status.has_several_apps() {
            section id="applications" aria-labelledby="applications-title" {
                h2 id="applications-title" { "Applications" }
                div class="cards" {
                    @for application in &status.cloud.applications { (card(application)) }
                }
            }
        }
    }
}

fn card(application: &ApplicationStatus) -> Markup {
    let ApplicationStatus {
        app, backlog, last_successful_pull_seconds, trouble, is_pulled, ..
    } = application;
    let last_pull = last_successful_pull_seconds.map_or("never".to_owned(), format::ago);
    let class = match (is_pulled, trouble) {
        (false, _) => "card",
        (true, None) => "card up",
        (true, Some(_)) => "card down",
    };
    html! {
        article class=(class) data-key=(app) {
            h3 { (app) @if let Some(trouble) = trouble { " " span class="badge" { (trouble) } } }
            @if *is_pulled {
                dl {
                    div { dt { "waiting" } dd { (count(*backlog)) } }
                    div { dt { "last successful pull" } dd { (last_pull) } }
                }
            } @else {
                p { "Not pulled from." }
            }
        }
    }
}
