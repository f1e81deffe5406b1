//! The answer to PullEvents: no entry of it is lost, and what is wrong is said on one line.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sprited::sanitize::is_invisible;
use sprited::vod::{VodError, read_pull};

use super::event::check_entry;

const MAX_TEXT: usize = 2_000;

/// Takes `bytes` for the body of an answer, good and bad.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for status in [429, 502] {
        match read_pull(status, bytes.to_vec()) {
            Err(error) => check_error(&error),
            // Only the word that nothing waits is taken with such a status.
            Ok(pulled) => assert!(pulled.is_empty()),
        }
    }
    let pulled = match read_pull(200, bytes.to_vec()) {
        Ok(pulled) => pulled,
        Err(error) => return check_error(&error),
    };
    assert!(!pulled.request_id.contains(is_invisible));
    let expected = entries(&text);
    let entries: Vec<(&str, bool)> = pulled.entries().collect();
    let texts: Vec<&str> = entries.iter().map(|(entry, _)| *entry).collect();
    assert_eq!(texts, expected, "every entry, as it stands");
    // With a replacement character of its own it cannot be told from outside.
    let is_known = !bytes.windows(3).any(|three| three == "\u{fffd}".as_bytes());
    for (entry, replaced) in entries {
        match text {
            Cow::Borrowed(_) => assert!(!replaced),
            Cow::Owned(_) if is_known => assert_eq!(replaced, entry.contains('\u{fffd}')),
            Cow::Owned(_) => assert!(!replaced || entry.contains('\u{fffd}')),
        }
        check_entry(entry);
    }
}

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// The elements of EventSet in the Response of an answer that was read.
fn entries(text: &str) -> Vec<&str> {
    let answer: Members<'_> = serde_json::from_str(text).expect("it is an object");
    let response = answer.get("Response").expect("it has a Response");
    let response: Members<'_> = serde_json::from_str(response.get()).expect("it is an object");
    let given = |name| response.get(name).filter(|value| value.get() != "null");
    match (given("Error"), given("EventSet")) {
        (None, Some(set)) => {
            let entries: Vec<&RawValue> = serde_json::from_str(set.get()).expect("it is a list");
            entries.into_iter().map(RawValue::get).collect()
        }
        _ => Vec::new(),
    }
}

fn check_error(error: &VodError) {
    let text = error.to_string();
    assert!(!text.contains(is_invisible), "{text:?}");
    assert!(text.chars().count() <= MAX_TEXT, "{} characters", text.chars().count());
}
