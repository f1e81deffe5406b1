//! How the daemon is, and what somebody should look at.

use maud::{Markup, html};

use super::message::{message, message_beyond, moment, with_commands};
use crate::health::{HealthCheck, Mood};
use crate::http::status::Status;

/// Characters of a sentence that are not too much for a phone's first screen.
const LONG_SENTENCE: usize = 160;

/// The state in a word and a sentence; and, for the script to show, that there is none.
pub(super) fn banner(status: &Status) -> Markup {
    let state = &status.state;
    html! {
        section class={ "now " (class(state.mood)) } aria-label="State" {
            // The word alone is announced when it changes: the sentence has times in it.
            strong role="status" { (state.mood.words()) }
            (message_beyond(LONG_SENTENCE, &state.sentence))
        }
        section id="gone" class="now bad" role="alert" data-title="no answer · sprited" hidden {
            strong { "no answer" }
            p {
                "The daemon does not answer. What follows is what it said at "
                (status.at.format("%H:%M:%S")) " UTC."
            }
        }
    }
}

fn class(mood: Mood) -> &'static str {
    match mood {
        Mood::Starting | Mood::Stopping => "neutral",
        Mood::Good => "good",
        Mood::Degraded => "degraded",
        Mood::Bad => "bad",
    }
}

pub(super) fn attention(status: &Status) -> Markup {
    let problems = status.state.problems();
    html! {
        @if !problems.is_empty() {
            section id="attention" aria-labelledby="attention-title" {
                h2 id="attention-title" { "Needs attention" }
                ul class="rows problems" { @for check in problems { (problem(status, check)) } }
            }
        }
    }
}

fn problem(status: &Status, check: &HealthCheck) -> Markup {
    let HealthCheck { name, subject, detail, code, request_id, since, remedy, .. } = check;
    let word = check.severity_word();
    html! {
        li class=(word.replace(' ', "-")) data-key={ (name) " " (subject.as_deref().unwrap_or("")) } {
            p { span class="badge" { (word) } }
            div {
                (message(detail))
                p class="meta" {
                    @if let Some(when) = check.when(status.at) { span { (when) } }
                    @if let Some(since) = since { span { "since " (moment(status, *since)) } }
                    @if let Some(code) = code { span { "code " code { (code) } } }
                    @if let Some(id) = request_id { span { "RequestId " code { (id) } } }
                }
                @if let Some(remedy) = remedy { p class="remedy" { (with_commands(remedy)) } }
            }
        }
    }
}
