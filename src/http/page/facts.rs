//! The checks one by one, and which daemon this is.

use maud::{Markup, html};

use super::message::{ago, message, moment};
use crate::format::time;
use crate::health::HealthCheck;
use crate::http::status::{ReloadStatus, Status};

pub(super) fn checks(status: &Status) -> Markup {
    let problems = status.state.problems();
    html! {
        section id="checks" aria-labelledby="checks-title" {
            h2 id="checks-title" { @if status.state.ready { "Ready" } @else { "Not ready" } }
            ul class="checks" {
                @for check in &status.state.checks {
                    (line(check, problems.iter().any(|problem| std::ptr::eq(*problem, check))))
                }
            }
        }
    }
}

/// What is told above is only named.
fn line(check: &HealthCheck, is_above: bool) -> Markup {
    let name = check.name.replace('_', " ");
    html! {
        @if is_above {
            li class=(check.severity_word().replace(' ', "-")) {
                b { (name) @if let Some(subject) = &check.subject { " " (subject) } } ": "
                (check.severity_word()) ", " a href="#attention" { "see above" }
            }
        } @else {
            li class=(if check.ok { "ok" } else { "awaited" }) { b { (name) } " " (check.detail) }
        }
    }
}

pub(super) fn daemon(status: &Status) -> Markup {
    let daemon = &status.daemon;
    html! {
        section id="daemon" aria-labelledby="daemon-title" {
            h2 id="daemon-title" { "Daemon" }
            dl class="facts" {
                div { dt { "host" } dd { (daemon.host) } }
                div { dt { "version" } dd { (status.version) } }
                div { dt { "configuration" } dd { (daemon.config) } }
                div { dt { "up" } dd {
                    (time(daemon.uptime_seconds)) ", since " (moment(status, daemon.started))
                } }
                div { dt { "last reload" } dd {
                    @match &daemon.last_reload {
                        None => { "none since the start" }
                        Some(reload) => { (last_reload(status, reload)) }
                    }
                } }
            }
        }
    }
}

fn last_reload(status: &Status, reload: &ReloadStatus) -> Markup {
    let verdict = if reload.mistakes.is_empty() { "taken over" } else { "rejected" };
    html! {
        (verdict) " at " (moment(status, reload.at)) ", " (ago(status, reload.at))
        @for mistake in &reload.mistakes { (message(mistake)) }
    }
}
