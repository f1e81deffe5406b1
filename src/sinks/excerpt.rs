//! What a target said, made fit for an error message.

use crate::sanitize;
use crate::secret::Secret;

/// The most characters of foreign text that go into an error message.
pub(super) const EXCERPT_CHARS: usize = 200;

/// Which end of the text tells most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeptEnd {
    First,
    Last,
}

/// At most [`EXCERPT_CHARS`] of `bytes` on one line: what a terminal obeys or hides escaped, the values of
/// `hidden` masked, cut at the other end. Empty where there is no text.
pub(super) fn excerpt(bytes: &[u8], end: KeptEnd, hidden: &[Secret]) -> String {
    let text = printable(bytes, hidden);
    let surplus = text.chars().count().saturating_sub(EXCERPT_CHARS);
    if surplus == 0 {
        return text;
    }
    match end {
        KeptEnd::First => text.chars().take(EXCERPT_CHARS).chain("…".chars()).collect(),
        KeptEnd::Last => "…".chars().chain(text.chars().skip(surplus)).collect(),
    }
}

/// All of `bytes` on one line: what a terminal obeys or hides escaped, the values of `hidden` masked.
pub(super) fn printable(bytes: &[u8], hidden: &[Secret]) -> String {
    let mut text = String::from_utf8_lossy(bytes).trim().to_owned();
    // A target may echo what it was sent. The longest first: one may be a part of another, of
    // which the rest would stay.
    let mut hidden: Vec<_> = hidden.iter().filter(|secret| !secret.expose().is_empty()).collect();
    hidden.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    for secret in hidden {
        text = text.replace(secret.expose(), "[secret]");
    }
    let mut line = String::with_capacity(text.len());
    sanitize::escape(&text, |_| false, &mut line);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_secrets_masked() {
        let said = b"  no \x1b[31m\nkey hunter2\xff\xe2\x80\xa8 ";
        let text = excerpt(said, KeptEnd::First, &["hunter2".into(), "".into()]);
        assert_eq!(text, "no \\u{1b}[31m\\nkey [secret]\u{fffd}");
    }

    #[test]
    fn a_secret_within_another_leaves_nothing_of_it() {
        let hidden = ["hunter2".into(), "me:hunter2@home".into()];
        assert_eq!(printable(b"no me:hunter2@home", &hidden), "no [secret]");
    }

    #[test]
    fn only_one_end_of_long_text_is_kept() {
        let said = format!("a{}z", "é".repeat(1000));
        let first = excerpt(said.as_bytes(), KeptEnd::First, &[]);
        assert!(first.starts_with('a') && first.ends_with('…'));
        assert_eq!(first.chars().count(), EXCERPT_CHARS + 1);
        assert!(excerpt(said.as_bytes(), KeptEnd::Last, &[]).ends_with('z'));
    }
}
