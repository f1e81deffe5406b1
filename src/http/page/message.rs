//! Foreign text of any length, and moments.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::format;
use crate::http::status::Status;

/// Characters that fit into two lines of a phone.
const TWO_LINES: usize = 90;

/// A message, at first two lines of it; opened it is whole, and can be selected.
pub(super) fn message(text: &str) -> Markup {
    message_beyond(TWO_LINES, text)
}

/// The same of a text of more than `most` characters.
pub(super) fn message_beyond(most: usize, text: &str) -> Markup {
    html! {
        @if text.chars().count() <= most {
            p class="message" { (text) }
        } @else {
            details class="message" data-key="message" {
                summary { span class="start" { (text) } span class="less" { "less" } }
                p { (text) }
            }
        }
    }
}

/// A text with commands in it: no line ends within the name of an option.
pub(super) fn with_commands(text: &str) -> Markup {
    html! {
        @for (at, word) in text.split(' ').enumerate() {
            @if at > 0 { " " }
            @if word.starts_with("--") { span class="option" { (word) } } @else { (word) }
        }
    }
}

/// `3 min ago`
pub(super) fn ago(status: &Status, at: DateTime<Utc>) -> Markup {
    let age = format::seconds(status.at - at);
    html! { time datetime=(at.to_rfc3339()) { (format::ago(age)) } }
}

/// `02:14:05 UTC`, with its day unless that is today.
pub(super) fn moment(status: &Status, at: DateTime<Utc>) -> Markup {
    let is_today = at.date_naive() == status.at.date_naive();
    let shown = at.format(if is_today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" });
    html! { time datetime=(at.to_rfc3339()) { (shown) " UTC" } }
}
