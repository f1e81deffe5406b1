//! The sinks, and the events that they did not take.

use maud::{Markup, html};

use super::message::{ago, message, with_commands};
use crate::format::{self, counted, number, rate, seconds, time};
use crate::http::status::{DeadLetterGroup, SinkStatus, Status};

/// Those that something is wrong with stand first.
pub(super) fn sinks(status: &Status) -> Markup {
    let mut sinks: Vec<_> = status.sinks.iter().collect();
    sinks.sort_by_key(|sink| match sink.state {
        "down" => 0,
        "catching up" => 1,
        "paused" => 2,
        "removed" => 3,
        _ => 4,
    });
    html! {
        section id="sinks" aria-labelledby="sinks-title" {
            h2 id="sinks-title" { "Sinks" }
            @if let Some(error) = &status.journal_error {
                div class="empty" { p { "The journal cannot be read:" } (message(error)) }
            }
            div class="cards" { @for sink in sinks { (card(status, sink)) } }
        }
    }
}

fn card(status: &Status, sink: &SinkStatus) -> Markup {
    let class = sink.state.replace(' ', "-");
    html! {
        article class={ "card " (class) } data-key=(sink.name) {
            h3 { (sink.name) " " span class="badge" { (sink.state) } }
            dl {
                div { dt { "pending" } dd { (number(sink.pending)) } }
                div { dt { "oldest pending" } dd { (known(sink.oldest_pending_seconds)) } }
                div { dt { "dead" } dd class=[(sink.dead > 0).then_some("attention")] { (number(sink.dead)) } }
                div { dt { "delivered" } dd { (number(sink.delivered)) } }
                div { dt { "rate" } dd { (rate(sink.deliveries_per_second)) } }
                div { dt { "lag" } dd { (known(sink.lag_seconds)) } }
            }
            (outage(status, sink))
            @if let Some(since) = sink.paused_since {
                p class="meta" {
                    span { "paused by hand for " (time(seconds(status.at - since))) }
                    span { code { "sprited sinks resume " (sink.name) } }
                }
            }
            @if sink.state == "removed" {
                p { "Not configured any more; its events are kept." }
            }
            @if let Some(error) = &sink.last_error {
                div class="failure" {
                    @if let Some(age) = sink.last_error_seconds {
                        p { "last failure " (format::ago(age)) }
                    }
                    (message(error))
                }
            }
        }
    }
}

fn known(seconds: Option<f64>) -> String {
    seconds.map_or("–".to_owned(), time)
}

/// For how long it is down, and when it is tried again.
fn outage(status: &Status, sink: &SinkStatus) -> Markup {
    html! {
        @if let Some(since) = sink.down_since {
            p class="meta" {
                span { "down for " (time(seconds(status.at - since))) }
                @if let Some(at) = sink.next_try {
                    span { @match seconds(at - status.at) {
                        left if left < 1.0 => { "next try now" }
                        left => { "next try in " (time(left)) }
                    } }
                }
            }
        }
    }
}

/// Dead letters by sink and error, and how to redeliver them.
pub(super) fn dead_letters(status: &Status) -> Markup {
    let with_dead: Vec<_> = status.sinks.iter().filter(|sink| sink.dead > 0).collect();
    html! {
        @if !with_dead.is_empty() {
            section id="dead" aria-labelledby="dead-title" {
                h2 id="dead-title" { "Dead letters" }
                div class="letters" { @for sink in with_dead { (letters(status, sink)) } }
                p class="hint" { "List them: " code { (with_commands("sprited events list --state dead")) } }
            }
        }
    }
}

fn letters(status: &Status, sink: &SinkStatus) -> Markup {
    let told: u64 = sink.dead_letters.iter().map(|group| group.count).sum();
    let others = sink.dead.saturating_sub(told);
    let redeliver = sink.redeliver();
    html! {
        article class="panel" data-key=(sink.name) {
            h3 { (counted(sink.dead, "dead letter")) " at " (sink.name) }
            @if !sink.dead_letters.is_empty() {
                ul {
                    @for DeadLetterGroup { error, count, newest } in &sink.dead_letters {
                        li data-key=(error) {
                            b { (number(*count)) }
                            (message(error))
                            p class="newest" { "the newest " (ago(status, *newest)) }
                        }
                    }
                    @if others > 0 { li { b { (number(others)) } p { "of other errors" } } }
                }
            }
            p class="hint" {
                "Redeliver them once the cause is fixed: "
                code { (with_commands(&redeliver)) }
            }
        }
    }
}
