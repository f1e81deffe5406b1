//! The parts of the page.

use bytesize::ByteSize;
use maud::{Markup, html};

use super::chart::{Series, chart};
use super::sheet::sheet;
use crate::format::{self, counted, number, rate, time};
use crate::http::history::HistoryPoint;
use crate::http::status::{ApplicationStatus, SinkStatus, Status};

/// Characters of a key that identify it in practice.
const SHORT_KEY: usize = 12;

/// The age in seconds from which the oldest pending event is shown.
const MIN_SHOWN_AGE: f64 = 10.0;

struct PipelineStep {
    name: &'static str,
    figure: String,
    unit: &'static str,
    more: Vec<String>,
}

pub(super) fn pipeline(status: &Status) -> Markup {
    html! {
        section aria-labelledby="pipeline" {
            h2 id="pipeline" { "Pipeline" }
            ol class="pipeline" {
                @for step in steps(status) {
                    li {
                        h3 { (step.name) }
                        p class="figure" { (step.figure) " " small { (step.unit) } }
                        @for line in step.more { p { (line) } }
                    }
                }
            }
        }
    }
}

fn steps(status: &Status) -> [PipelineStep; 5] {
    let (cloud, handles) = (&status.cloud, &status.handles);
    let journal = status.journal.as_ref();
    let count = |count: Option<u64>| count.map_or("–".to_owned(), number);
    let flow = status.last_hour.last().copied().flatten();
    let pace = |of: fn(HistoryPoint) -> f64| flow.map_or("–".to_owned(), |point| rate(of(point)));
    let last_pull = cloud.last_successful_pull_seconds;
    let (delivered, dead) = status
        .sinks
        .iter()
        .fold((0, 0), |(delivered, dead), sink| (delivered + sink.delivered, dead + sink.dead));
    [
        PipelineStep {
            name: "Cloud",
            figure: count(cloud.backlog),
            unit: "waiting",
            more: vec!["by the cloud's own count, minutes old".to_owned()],
        },
        PipelineStep {
            name: "Pulled",
            figure: pace(|point| point.received_per_second),
            unit: "",
            more: [
                Some(last_pull.map_or("no successful pull yet".to_owned(), |ago| {
                    format!("last successful pull {}", format::ago(ago))
                })),
                Some(format!(
                    "{} in total, {} duplicates",
                    count(journal.map(|j| j.received)),
                    count(journal.map(|j| j.duplicates))
                )),
                cloud.circulation(),
            ]
            .into_iter()
            .flatten()
            .collect(),
        },
        PipelineStep {
            name: "Journal",
            figure: count(journal.map(|journal| journal.pending)),
            unit: "pending",
            more: vec![
                journal
                    .and_then(|journal| journal.commit_seconds)
                    .map_or("no commit yet".to_owned(), |seconds| {
                        format!("{} per commit", time(seconds))
                    }),
                journal.map_or("cannot be read".to_owned(), |journal| {
                    format!(
                        "{} of {}",
                        ByteSize::b(journal.size_bytes),
                        ByteSize::b(journal.max_size_bytes)
                    )
                }),
            ],
        },
        PipelineStep {
            name: "Sinks",
            figure: pace(|point| point.delivered_per_second),
            unit: "",
            more: vec![
                format!("{} delivered", number(delivered)),
                format!("{} dead", number(dead)),
            ],
        },
        PipelineStep {
            name: "Confirmed",
            figure: count(journal.map(|journal| journal.confirmed)),
            unit: "events",
            more: vec![
                handles.margin_seconds.map_or("none since the start".to_owned(), |left| {
                    format!("{} before the handle expires (average)", time(left))
                }),
                expired(handles.expired),
            ],
        },
    ]
}

fn expired(leases: u64) -> String {
    match leases {
        0 => "no lease expired".to_owned(),
        _ => format!("{} expired; these events are pulled again", counted(leases, "lease")),
    }
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
        section aria-labelledby="hour" {
            h2 id="hour" { "Last hour" }
            div class="charts" {
                (chart("Throughput", &throughput, rate))
                (chart("Lag", &lag, time))
            }
        }
    }
}

pub(super) fn applications(status: &Status) -> Markup {
    html! {
        @if status.has_several_apps() {
            section aria-labelledby="applications" {
                h2 id="applications" { "Applications" }
                div class="cards" {
                    @for application in &status.cloud.applications { (application_card(application)) }
                }
            }
        }
    }
}

fn application_card(application: &ApplicationStatus) -> Markup {
    let ApplicationStatus { app, backlog, last_successful_pull_seconds, trouble, .. } = application;
    let waiting = backlog.map_or("–".to_owned(), number);
    html! {
        article class={ "card " (if trouble.is_some() { "down" } else { "up" }) } {
            h3 { (app) @if let Some(trouble) = trouble { " " span class="badge" { (trouble) } } }
            dl {
                div { dt { "waiting" } dd { (waiting) } }
                div { dt { "last successful pull" } dd {
                    (last_successful_pull_seconds.map_or("never".to_owned(), format::ago))
                } }
            }
        }
    }
}

pub(super) fn sinks(status: &Status) -> Markup {
    html! {
        section aria-labelledby="sinks" {
            h2 id="sinks" { "Sinks" }
            @if let Some(error) = &status.journal_error {
                p class="empty" { "The journal cannot be read: " (error) }
            }
            div class="cards" { @for sink in &status.sinks { (card(sink)) } }
        }
    }
}

fn card(sink: &SinkStatus) -> Markup {
    html! {
        article class={ "card " (sink.state) } {
            h3 { (sink.name) " " span class="badge" { (sink.state) } }
            dl {
                div { dt { "pending" } dd { (number(sink.pending)) } }
                div { dt { "delivered" } dd { (number(sink.delivered)) } }
                div { dt { "dead" } dd class=[(sink.dead > 0).then_some("attention")] { (number(sink.dead)) } }
                div { dt { "lag" } dd { (sink.lag_seconds.map_or("–".to_owned(), time)) } }
            }
            @if let Some(age) = sink.oldest_pending_seconds.filter(|age| *age >= MIN_SHOWN_AGE) {
                p { "Oldest pending event: " (time(age)) }
            }
            @if sink.state == "removed" {
                p { "Not configured any more; its events are kept." }
            }
            @if let (Some(error), Some(age)) = (&sink.last_error, sink.last_error_seconds) {
                p class="error" { span { "failed " (format::ago(age)) } (error) }
            }
        }
    }
}

/// Dead letters, and how to redeliver them.
pub(super) fn dead(status: &Status) -> Markup {
    let all: u64 = status.sinks.iter().map(|sink| sink.dead).sum();
    html! {
        @if !status.dead.is_empty() {
            section aria-labelledby="dead" {
                h2 id="dead" { "Dead letters " span class="count" { (number(all)) } }
                ul class="rows letters" {
                    @for letter in &status.dead {
                        li {
                            p class="title" {
                                b { (letter.event_type) } " at " b { (letter.sink) }
                                @if let Some(at) = letter.at { " " (ago(status, at)) }
                            }
                            @if let Some(error) = &letter.error { p class="error" { (error) } }
                            code { "sprited events redeliver " (short(&letter.key)) " --sink " (letter.sink) }
                        }
                    }
                }
                p class="hint" {
                    "To redeliver all of them once the cause is fixed:"
                    @for sink in status.sinks.iter().filter(|sink| sink.dead > 0) {
                        " " code { "sprited events redeliver --state dead --sink " (sink.name) }
                    }
                }
            }
        }
    }
}

pub(super) fn latest(status: &Status) -> Markup {
    html! {
        section aria-labelledby="latest" {
            h2 id="latest" { "Latest events" }
            @if status.latest.is_empty() { p class="empty" { "None yet." } }
            ul class="rows events" {
                @for line in &status.latest {
                    li {
                        p class="title" {
                            b { (line.event_type) }
                            span class={ "badge " (line.state.as_str()) } { (line.state.as_str()) }
                        }
                        p class="meta" {
                            code { (short(&line.key)) }
                            @if status.has_several_apps() { span { "application " (line.app) } }
                            @if let Some(file) = &line.file_id { span { "file " (file) } }
                            span { (ago(status, line.first_pulled)) }
                        }
                        @if !line.sprites.is_empty() {
                            p class="sprites" {
                                @for sprite in &line.sprites { (sheet(sprite)) }
                                @if line.more_sprites > 0 { span { "and " (line.more_sprites) " more" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn checks(status: &Status) -> Markup {
    html! {
        section aria-labelledby="checks" {
            h2 id="checks" { @if status.readiness.ready { "Ready" } @else { "Not ready" } }
            ul class="checks" {
                @for check in &status.readiness.checks {
                    @let class = match (check.ok, check.degraded) {
                        (false, _) => "not-ok",
                        (true, true) => "degraded",
                        (true, false) => "ok",
                    };
                    li class=(class) {
                        b { (check.name.replace('_', " ")) } " " (check.detail)
                    }
                }
            }
        }
    }
}

fn short(key: &str) -> &str {
    key.get(..SHORT_KEY).unwrap_or(key)
}

fn ago(status: &Status, at: chrono::DateTime<chrono::Utc>) -> Markup {
    let age = (status.at - at).to_std().unwrap_or_default().as_secs_f64();
    html! { time datetime=(at.to_rfc3339()) { (format::ago(age)) } }
}
