//! The status page: everything in one answer, no script, nothing from elsewhere.
//!
//! The sheets of image sprites stand on other machines, and what their addresses say is not ours:
//! neither browser nor daemon fetches them. A sheet is drawn by its number of tiles and linked to.

mod chart;
mod sections;
mod sheet;

use maud::{DOCTYPE, Markup, html};

use super::format::duration;
use super::headline::Mood;
use super::status::Status;

/// Seconds between two loads of the page.
const REFRESH: u32 = 10;

/// Its look.
pub(super) const STYLE: &str = include_str!("style.css");
/// Its mark.
pub(super) const ICON: &str = include_str!("icon.svg");

/// The page; one that is `held` stays as it is, for whoever reads or copies.
pub(super) fn render(status: &Status, held: bool) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if !held { meta http-equiv="refresh" content=(REFRESH); }
                title { (mood(status.mood)) " · sprited" }
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
                        @if held { a href="/" { "follow" } } @else { a href="/?hold" { "hold" } }
                    }
                }
                main {
                    p class={ "now " (class(status.mood)) } role="status" { (status.sentence) }
                    (sections::way(status))
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
                    @if !held {
                        span { "loads itself again every "
                            (duration(std::time::Duration::from_secs(REFRESH.into()))) }
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
        Mood::Good => "all well",
        Mood::Degraded => "degraded",
        Mood::Bad => "not working",
    }
}
