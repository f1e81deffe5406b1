//! Times, sizes and counts in the documents are those of the code.

use std::time::Duration;

use super::passages::{Passage, passages};
use super::prose;

/// What the code has for a number of the documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Time(Duration),
    Bytes(u64),
    Number(f64),
}

impl From<Duration> for Value {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number as f64)
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// How people write numbers up to twenty, and one of something.
fn numeral(text: &str) -> Option<f64> {
    const WORDS: [&str; 11] =
        ["", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    match text {
        "a" | "an" => Some(1.0),
        "half an" => Some(0.5),
        _ => {
            let word = WORDS.iter().position(|word| !word.is_empty() && *word == text);
            word.map(|number| number as f64).or_else(|| text.replace(',', "").parse().ok())
        }
    }
}

/// A number as the documents write it: `30 s`, `four days`, `16 MiB`, `90 %`, `1,024`.
fn read(text: &str) -> Option<Value> {
    let (count, unit) = match text.rsplit_once(' ') {
        Some((count, unit)) => (numeral(count)?, unit),
        None if text.ends_with(|c: char| c.is_ascii_alphabetic()) && numeral(text).is_none() => {
            return humantime::parse_duration(text).ok().map(Value::Time);
        }
        None => (numeral(text)?, ""),
    };
    let time = |unit: Duration| Some(Value::Time(unit.mul_f64(count)));
    let bytes = |unit: u64| Some(Value::Bytes((count * unit as f64) as u64));
    match unit {
        "" | "%" | "times" => Some(Value::Number(count)),
        "ms" => time(Duration::from_millis(1)),
        "s" | "second" | "seconds" => time(Duration::from_secs(1)),
        "min" | "minute" | "minutes" => time(Duration::from_secs(60)),
        "h" | "hour" | "hours" => time(Duration::from_secs(3600)),
        "day" | "days" => time(DAY),
        "week" | "weeks" => time(7 * DAY),
        "MiB" => bytes(1 << 20),
        "GiB" => bytes(1 << 30),
        _ => None,
    }
}

/// The times, sizes and shares in a text, and where each stands.
fn quantities(text: &str) -> Vec<(usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, ',' | '.' | '%');
    let mut words: Vec<(usize, &str)> = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match start {
            None if is_word(c) => start = Some(at),
            Some(from) if !is_word(c) => {
                words.push((from, text[from..at].trim_end_matches([',', '.'])));
                start = None;
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for pair in words.windows(2) {
        let [(from, count), (at, unit)] = pair else { continue };
        let whole = &text[*from..at + unit.len()];
        // Once a second, and a second time.
        let is_rate = whole == "a second";
        if whole == format!("{count} {unit}")
            && !is_rate
            && !unit.is_empty()
            && matches!(read(whole), Some(Value::Time(_) | Value::Bytes(_)))
            || whole.ends_with(" %")
        {
            found.push((*from, whole));
        }
    }
    found
}

#[test]
fn every_number_is_that_of_the_code() {
    for Passage { document, words, values } in passages() {
        let text = prose(document);
        let plain = words.replace(['{', '}'], "");
        assert!(
            text.contains(&plain),
            "{document} does not say any more {plain:?}: see tests/it/docs/passages.rs"
        );
        let written: Vec<_> =
            words.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        let read: Vec<_> = written.iter().map(|text| read(text).expect(text)).collect();
        assert_eq!(read, values, "{document}: {words:?} is not what the code has");
    }
}

/// Documents whose every time and size has to stand in the table above. What is measured, and the
/// arithmetic on it, has none to stand for.
const COMPLETE: [&str; 11] = [
    "README.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/configuration.md",
    "docs/getting-started.md",
    "docs/metrics.md",
    "docs/operations.md",
    "docs/sinks.md",
    "docs/sprites.md",
    "docs/troubleshooting.md",
];

#[test]
fn no_number_is_held_against_nothing() {
    let table = passages();
    let helps = sprited::metrics::Metrics::new(&sprited::metrics::Times::new([1.0]));
    for document in COMPLETE {
        let mut text = prose(document);
        if let Some((before, rest)) = text.clone().split_once("## Performance") {
            text = [before, rest.split_once("## Documentation").unwrap().1].concat();
        }
        let of_document = table.iter().filter(|passage| passage.document == document);
        let passages = of_document.map(|passage| passage.words.replace(['{', '}'], ""));
        // The table of metrics is held against what is exported elsewhere.
        let helps = helps.entries().iter().map(|entry| entry.help.to_owned());
        // The longest first: one may be a part of another.
        let mut covered: Vec<_> = passages.chain(helps).collect();
        covered.sort_by_key(|words| std::cmp::Reverse(words.len()));
        for words in covered {
            text = text.replace(&words, "…");
        }
        let left = quantities(&text);
        let around = |at: usize| text[at..].chars().take(60).collect::<String>();
        let left: Vec<_> = left.iter().map(|(at, _)| around(*at)).collect();
        assert!(left.is_empty(), "{document}: add to tests/it/docs/passages.rs {left:#?}");
    }
}

#[test]
fn numbers_are_found_as_people_write_them() {
    let text = "in 30 s, four days, up to an hour. It takes 16 MiB (90 %) and a minute, a second of 3 kinds.";
    let found: Vec<_> = quantities(text).into_iter().map(|(_, text)| text).collect();
    assert_eq!(found, ["30 s", "four days", "an hour", "16 MiB", "90 %", "a minute"]);
    assert_eq!(read("half an hour"), Some(Value::Time(Duration::from_secs(1800))));
}
