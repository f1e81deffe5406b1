//! The status page: everything in one answer, nothing from elsewhere, whole without its script.
//!
//! What matters most comes first: the state, what needs attention, the sinks. The script brings
//! the page up to date in place; without it the page loads itself again.
//!
//! The sheets of image sprites are on other machines, and their addresses are not trusted: neither
//! browser nor page fetches them. A sheet is drawn by its number of tiles and linked to. Where a
//! mirror has it in a folder and the pages of sprites are served, a real tile of it is shown.

mod axis;
mod chart;
mod events;
mod facts;
mod message;
mod pipeline;
mod sheet;
mod sinks;
mod state;

#[cfg(test)]
mod tests;

use maud::{DOCTYPE, Markup, html};

use super::status::Status;
use crate::format::time;

/// Seconds between two versions of the page.
const REFRESH: u32 = 10;

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("page.js");
pub(super) const ICON: &str = include_str!("icon.svg");

/// Returns the page; one that is held stays as it is.
pub(super) fn render(status: &Status, is_held: bool) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-version=(status.version) data-refresh=(REFRESH) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (status.state.mood.words()) " · sprited on " (status.daemon.host) }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
                @if !is_held {
                    script src="/page.js" defer {}
                    noscript { meta http-equiv="refresh" content=(REFRESH); }
                }
            }
            body {
                (header(status, is_held))
                main {
                    (state::banner(status))
                    (state::attention(status))
                    (sinks::sinks(status))
                    (sinks::dead_letters(status))
                    (pipeline::applications(status))
                    (pipeline::pipeline(status))
                    (pipeline::last_hour(status))
                    (events::latest(status))
                    (facts::checks(status))
                    (facts::daemon(status))
                }
                footer {
                    a href="/metrics" { "metrics" } a href="/readyz" { "readyz" }
                    a href="/status.json" { "JSON" } a href="/status.txt" { "text" }
                    @if !is_held { span { "updated every " (time(REFRESH.into())) } }
                }
            }
        }
    }
}

fn header(status: &Status, is_held: bool) -> Markup {
    html! {
        header {
            h1 { img src="/icon.svg" alt="" width="28" height="28"; "sprited" }
            p class="meta" {
                span { "on " b { (status.daemon.host) } }
                span { time datetime=(status.at.to_rfc3339()) {
                    (status.at.format("%Y-%m-%d %H:%M:%S")) " UTC"
                } }
                @if is_held { a href="/" { "follow" } } @else { a href="/?hold" { "hold" } }
            }
        }
    }
}
