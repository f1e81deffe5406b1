//! Text from outside on its way to a person: into a log line, an error, a table.
//!
//! An event or an answer may hold what a terminal obeys (escape sequences) or what makes a line
//! look like another (marks of direction, letters without width). Whoever shows it asks here.

/// Whether a terminal or an editor would obey the character, or hide it, rather than show it.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control() || is_ignorable(c) || is_format(c) || is_blank_glyph(c)
}

/// The property `Default_Ignorable_Code_Point` of Unicode, as a whole: code points in it that are
/// not assigned yet are ignored as well.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// What else changes the text around it and is nothing by itself: ends of lines and paragraphs,
/// marks of annotations, the joiners of hieroglyphs.
fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{2028}'..='\u{2029}' | '\u{fff9}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}'
    )
}

/// What is a sign by its properties and has no ink: an empty pattern of Braille, a note without a
/// head, a filler.
fn is_blank_glyph(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{16fe4}' | '\u{1d159}')
}

/// Whether the character is a quotation mark.
#[must_use]
pub fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '\u{2018}'..='\u{201f}' | '«' | '»' | '‹' | '›')
}

/// Whether quotation marks stand around a value that is to be taken letter by letter.
#[must_use]
pub fn is_in_quotes(value: &str) -> bool {
    let value = value.trim_matches(|c: char| c.is_whitespace() || is_invisible(c));
    value.chars().count() > 1 && value.starts_with(is_quote) && value.ends_with(is_quote)
}

/// What stands in a value that is to be taken letter by letter and that nobody sees there, as a
/// sentence about it goes on; `None` if it is as it looks. Blanks inside are as they look.
#[must_use]
pub fn invisible_in(value: &str) -> Option<&'static str> {
    let is_hidden = |c: char| c != ' ' && (c.is_whitespace() || is_invisible(c));
    let is_blank = |c: char| c.is_whitespace();
    if value.ends_with(['\n', '\r']) {
        Some("ends in a line end")
    } else if value.starts_with('\u{feff}') {
        Some("begins with a byte order mark")
    } else if value.starts_with(is_blank) {
        Some("begins with white space")
    } else if value.ends_with(is_blank) {
        Some("ends in white space")
    } else if value.contains(is_hidden) {
        Some("holds a character that cannot be seen")
    } else {
        None
    }
}

/// Returns the text on one line, with `\u{1b}` in the place of what a terminal would obey or hide.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    escape(text, |_| false, &mut line);
    line
}

/// Returns the same JSON, with `\u009b` in the place of what a terminal would obey or hide. Line
/// ends stay.
#[must_use]
pub fn json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    escape_json(json, &mut out);
    out
}

/// Which end of a long text is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptEnd {
    /// Its beginning.
    First,
    /// Its end.
    Last,
}

/// Returns at most `max` characters of the text; a `…` stands for what was cut off.
#[must_use]
pub fn truncate(text: &str, max: usize, end: KeptEnd) -> String {
    let surplus = text.chars().count().saturating_sub(max);
    if surplus == 0 {
        return text.to_owned();
    }
    match end {
        KeptEnd::First => text.chars().take(max).chain("…".chars()).collect(),
        KeptEnd::Last => "…".chars().chain(text.chars().skip(surplus)).collect(),
    }
}

/// Appends the text with `\u{1b}` in the place of what is invisible, except for what `keeps` names.
pub fn escape(text: &str, keeps: impl Fn(char) -> bool, out: &mut String) {
    for c in text.chars() {
        if is_invisible(c) && !keeps(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

/// Appends the JSON with `\u009b` in the place of what is invisible, which can stand in its strings
/// only. Line ends stay.
pub fn escape_json(json: &str, out: &mut String) {
    for c in json.chars() {
        if c == '\n' || !is_invisible(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        assert_eq!(
            one_line("a\u{1b}[31m\n\u{9b}2J\u{202e}ü 你"),
            "a\\u{1b}[31m\\n\\u{9b}2J\\u{202e}ü 你"
        );
        let text = "{\"a\":\"\u{7f}\u{9b}31m\u{202e}ü\u{e0041}\"}\n";
        let sanitized = json(text);
        assert_eq!(sanitized, "{\"a\":\"\\u007f\\u009b31m\\u202eü\\udb40\\udc41\"}\n");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&sanitized), value(text));
    }

    #[test]
    fn only_one_end_of_long_text_is_kept() {
        let text = format!("a{}z", "é".repeat(1000));
        let first = truncate(&text, 200, KeptEnd::First);
        assert!(first.starts_with('a') && first.ends_with('…'));
        assert_eq!(first.chars().count(), 201);
        assert!(truncate(&text, 200, KeptEnd::Last).ends_with('z'));
        assert_eq!(truncate(&text, 1002, KeptEnd::Last), text);
    }

    #[test]
    fn every_character_that_has_no_ink_is_invisible() {
        for c in [
            '\u{34f}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{17b5}',
            '\u{180b}',
            '\u{180c}',
            '\u{180d}',
            '\u{180e}',
            '\u{180f}',
            '\u{2065}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{ffa0}',
            '\u{fff0}',
            '\u{fff8}',
            '\u{1bca0}',
            '\u{1d159}',
            '\u{1d173}',
            '\u{16fe4}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{e0100}',
            '\u{e01ef}',
            '\u{e0fff}',
            '\u{13430}',
        ] {
            assert!(is_invisible(c), "{c:?}");
            assert_eq!(
                invisible_in(&format!("a{c}b")),
                Some("holds a character that cannot be seen")
            );
        }
        for c in "aä字한ᄀ👍⠿\u{fffc}\u{fffd}\u{301}\u{1d158}\u{180a} ".chars() {
            assert!(!is_invisible(c), "{c:?}");
        }
    }

    #[test]
    fn what_nobody_sees_in_a_value_is_found() {
        for (value, found) in [
            ("", None),
            ("plain", None),
            ("inner  blanks", None),
            ("ümläut 字", None),
            ("a\n", Some("ends in a line end")),
            ("a\r\n", Some("ends in a line end")),
            (" a", Some("begins with white space")),
            ("\u{a0}a", Some("begins with white space")),
            ("\na", Some("begins with white space")),
            ("a\t", Some("ends in white space")),
            ("a\u{3000}", Some("ends in white space")),
            ("\u{feff}a", Some("begins with a byte order mark")),
            ("a\u{a0}b", Some("holds a character that cannot be seen")),
            ("a\u{200b}b", Some("holds a character that cannot be seen")),
            ("a\u{feff}b", Some("holds a character that cannot be seen")),
            ("a\u{ad}b", Some("holds a character that cannot be seen")),
            ("a\u{7}b", Some("holds a character that cannot be seen")),
            ("a\tb", Some("holds a character that cannot be seen")),
            ("a\0", Some("holds a character that cannot be seen")),
        ] {
            assert_eq!(invisible_in(value), found, "{value:?}");
        }
    }
}
