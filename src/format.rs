//! Numbers and moments in words, and foreign text made safe to show.

use chrono::TimeDelta;

use crate::sanitize::{self, KeptEnd};
use crate::units::plural;

/// Characters of foreign text that are shown.
const MAX_TEXT: usize = 300;

/// `1,234,567`
#[must_use]
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 event`, `2 events`
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {}", number(count), plural(count, noun))
}

/// In the unit that fits: `4 ms`, `2.5 s`, `3 min`, `2 h`, `5 days`.
#[must_use]
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 0.000_5 => "0 ms".to_owned(),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6_000.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3_600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

/// A length of time in seconds, not below zero, whatever the clock does.
#[must_use]
pub fn seconds(time: TimeDelta) -> f64 {
    time.to_std().unwrap_or_default().as_secs_f64()
}

/// How long ago: `just now`, `5.0 s ago`.
#[must_use]
pub fn ago(seconds: f64) -> String {
    if seconds < 1.0 { "just now".to_owned() } else { format!("{} ago", time(seconds)) }
}

/// How often in a second, or what is more telling: `12/s`, `1.5/s`, `3/min`, `2/h`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 10.0 => format!("{r:.0}/s"),
        r if r >= 1.0 => format!("{r:.1}/s"),
        r if r * 60.0 >= 1.0 => format!("{:.0}/min", r * 60.0),
        r if r * 3_600.0 >= 0.5 => format!("{:.0}/h", r * 3_600.0),
        _ => "0/s".to_owned(),
    }
}

/// Foreign text on one line, not too long, with what a reader would not see made visible.
#[must_use]
pub fn foreign(text: &str) -> String {
    sanitize::one_line(&sanitize::truncate(text, MAX_TEXT, KeptEnd::First))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        let numbers = [0, 999, 1_000, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
        let times = [0.0, 0.004, 2.46, 9.96, 59.0, 190.0, 7_300.0, 400_000.0].map(time);
        assert_eq!(times, ["0 ms", "4 ms", "2.5 s", "10 s", "59 s", "3 min", "2 h", "5 days"]);
        assert_eq!([0.6, 5.0].map(ago), ["just now", "5.0 s ago"]);
        let rates = [0.0, 0.001, 0.05, 1.5, 230.4].map(rate);
        assert_eq!(rates, ["0/s", "4/h", "3/min", "1.5/s", "230/s"]);
    }

    #[test]
    fn foreign_text_stays_on_its_line() {
        assert_eq!(foreign("a\u{1b}[2J\n\u{202e}b"), "a\\u{1b}[2J\\n\\u{202e}b");
        assert_eq!(foreign(&"x".repeat(400)).chars().count(), 301);
    }
}
