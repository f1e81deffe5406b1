//! The status page: everything in one answer, no script, nothing from elsewhere.
//!
//! The sheets of image sprites are on other machines, and their addresses are not trusted: neither
//! browser nor daemon fetches them. A sheet is drawn by its number of tiles and linked to.

mod chart;
mod sections;
mod sheet;

use maud::{DOCTYPE, Markup, html};

use super::status::{Mood, Status};
use crate::format::time;

/// Seconds between two loads of the page.
const REFRESH: u32 = 10;

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const ICON: &str = include_str!("icon.svg");

/// Returns the page; one that is held does not reload itself.
pub(super) fn render(status: &Status, is_held: bool) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if !is_held { meta http-equiv="refresh" content=(REFRESH); }
                title { (mood(status.headline.mood)) " · sprited" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
            }
            body {
                header {
                    h1 { img src="/icon.svg" alt="" width="28" height="28"; "sprited" }
                    p class="meta" {
                        span { "version " (status.version) }
                        span { time datetime=(status.at.to_rfc3339()) {
                            (status.at.format("%Y-%m-%d %H:%M:%S")) " UTC"
                        } }
                        @if is_held { a href="/" { "follow" } } @else { a href="/?hold" { "hold" } }
                    }
                }
                main {
                    p class={ "now " (class(status.headline.mood)) } role="status" { (status.headline.sentence) }
                    (sections::pipeline(status))
                    (sections::applications(status))
                    (sections::last_hour(status))
                    (sections::sinks(status))
                    (sections::dead(status))
                    (sections::latest(status))
                    (sections::checks(status))
                }
                footer {
                    a href="/metrics" { "metrics" } a href="/readyz" { "readyz" }
                    a href="/status.json" { "JSON" } a href="/status.txt" { "text" }
                    @if !is_held {
                        span { "reloads every "
                            (time(REFRESH.into())) }
                    }
                }
            }
        }
    }
}

fn class(mood: Mood) -> &'static str {
    match mood {
        Mood::Good => "good",
        Mood::Degraded => "degraded",
        Mood::Bad => "bad",
    }
}

fn mood(mood: Mood) -> &'static str {
    match mood {
        Mood::Good => "ok",
        Mood::Degraded => "degraded",
        Mood::Bad => "not working",
    }
}
