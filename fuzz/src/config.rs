//! The configuration: what is wrong is said with its line, and the same at every place; what is
//! right means the same however it is written.

use std::path::Path;

use sprited::config::{Config, ConfigErrors, Loaded, Mistake};
use sprited::sanitize::is_invisible;

/// Takes `bytes` for the text of a configuration, if they are UTF-8.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines = text.matches('\n').count() + 1;
    let parsed = parse(text);
    let (Ok(Loaded { warnings, .. }) | Err(ConfigErrors { warnings, .. })) = &parsed;
    check_problems(warnings, lines);
    match &parsed {
        Ok(loaded) => check_rewritten(text, &loaded.config),
        Err(ConfigErrors { mistakes: faults, .. }) => {
            assert!(!faults.is_empty(), "it says what is wrong");
            check_problems(faults, lines);
            check_secret(text, faults);
        }
    }
    check_shifted(text, &parsed);
}

fn parse(text: &str) -> Result<Loaded, ConfigErrors> {
    Config::parse(text, Path::new("sprited.toml"))
}

fn check_problems(problems: &[Mistake], lines: usize) {
    for Mistake { place, message } in problems {
        let place = place.expect("what is wrong with a text has a place in it");
        assert!((1..=lines).contains(&place.line), "{place:?} of {lines}: {message}");
        assert!(place.column >= 1);
        assert!(!message.is_empty() && !message.contains(is_invisible), "{message:?}");
    }
    assert!(problems.is_sorted_by_key(|problem| problem.place));
}

/// A secret that stands in the text once is in no message.
fn check_secret(text: &str, faults: &[Mistake]) {
    let Ok(root) = toml::from_str::<toml::Table>(text) else { return };
    let secret = root.get("credentials").and_then(|table| table.get("secret_key")?.as_str());
    let Some(secret) = secret.filter(|secret| secret.len() >= 8) else { return };
    if text.matches(secret).count() == 1 {
        for Mistake { message, .. } in faults {
            assert!(!message.contains(secret), "{message}");
        }
    }
}

/// Written anew by another hand, it means the same.
fn check_rewritten(text: &str, config: &Config) {
    let table: toml::Table = toml::from_str(text).expect("it was read");
    let rewritten = toml::to_string(&table).expect("what was read can be written");
    let again = parse(&rewritten).expect("it is as right as before").config;
    assert_eq!(format!("{again:?}"), format!("{config:?}"), "{rewritten}");
}

/// A line more at the top moves every line by one and changes nothing else.
fn check_shifted(text: &str, parsed: &Result<Loaded, ConfigErrors>) {
    // A byte order mark is none behind the beginning.
    if text.starts_with('\u{feff}') {
        return;
    }
    let shifted = parse(&format!("#\n{text}"));
    match (parsed, &shifted) {
        (Ok(one), Ok(other)) => {
            assert_eq!(format!("{:?}", one.config), format!("{:?}", other.config));
            assert_eq!(placed(&one.warnings, 0), placed(&other.warnings, 1));
        }
        (Err(one), Err(other)) => {
            assert_eq!(placed(&one.mistakes, 0), placed(&other.mistakes, 1));
            assert_eq!(placed(&one.warnings, 0), placed(&other.warnings, 1));
        }
        _ => panic!("a comment decides"),
    }
}

/// The problems without the first `lines`. What is about the file as a whole stands at its
/// beginning, wherever that is.
fn placed(problems: &[Mistake], lines: usize) -> Vec<(usize, usize, &str)> {
    let place = |problem: &Mistake| problem.place.map_or((1, 1), |at| (at.line, at.column));
    let mut placed: Vec<_> = problems
        .iter()
        .map(|problem| {
            let (line, column) = place(problem);
            (if line == 1 { line } else { line - lines }, column, problem.message.as_str())
        })
        .collect();
    placed.sort_unstable();
    placed
}
