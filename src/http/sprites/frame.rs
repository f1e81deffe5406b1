//! What the pages of sprites have in common.

use chrono::Utc;
use maud::{DOCTYPE, Markup, html};

use crate::format::foreign;

/// A page with this title, of the daemon on this machine.
pub(super) fn page(title: &str, host: &str, body: &Markup) -> Markup {
    let host = foreign(host);
    let now = Utc::now();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · sprited on " (host) }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
                link rel="stylesheet" href="/sprites.css";
            }
            body {
                header {
                    p class="home" { a href="/" {
                        img src="/icon.svg" alt="" width="28" height="28"; "sprited"
                    } }
                    p class="meta" {
                        span { "on " b { (host) } }
                        span { time datetime=(now.to_rfc3339()) {
                            (now.format("%Y-%m-%d %H:%M:%S")) " UTC"
                        } }
                        a href="/sprites" { "sprites" }
                    }
                }
                main { (body) }
            }
        }
    }
}
