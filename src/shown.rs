//! Text from outside on its way to a person: into a log line, an error, a table.
//!
//! An event or an answer may hold what a terminal obeys (escape sequences) or what makes a line
//! look like another (marks of direction, letters without width). Whoever shows it asks here.

/// Whether a terminal or an editor would obey the character, or hide it, rather than show it.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text with `\u{1b}` in the place of what is unseen, but for what `keeps` names.
pub fn escape(text: &str, keeps: impl Fn(char) -> bool, out: &mut String) {
    for c in text.chars() {
        if is_unseen(c) && !keeps(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

/// JSON with `\u009b` in the place of what is unseen: the same JSON, since that can stand in its
/// strings only. Line ends stay.
pub fn escape_json(json: &str, out: &mut String) {
    for c in json.chars() {
        if c == '\n' || !is_unseen(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
}
