//! Words for people, and text from outside on its way to a terminal.

use crate::sanitize;

/// How deep a container may be and still stand on lines of its own: a body that is nothing but
/// brackets would otherwise grow with the square of its length.
const MAX_DEPTH: usize = 32;

/// `1 event`, `2 events`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The text on one line, as `\u{1b}` what a terminal would obey or hide.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    sanitize::escape(text, |_| false, &mut plain);
    plain
}

/// The same JSON, as `\u009b` what a terminal would obey or hide: it may stand in JSON's strings
/// as it is. Line ends stay.
pub(super) fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    sanitize::escape_json(json, &mut plain);
    plain
}

/// Well-formed JSON on several lines, token for token: numbers and repeated members stay as
/// they are.
pub(super) fn pretty_json(json: &str) -> String {
    let mut pretty = String::with_capacity(json.len() * 2);
    let line = |pretty: &mut String, depth: usize| {
        pretty.push('\n');
        pretty.extend(std::iter::repeat_n("  ", depth));
    };
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    let mut characters = json.chars().filter(|c| *c != '\n').peekable();
    while let Some(c) = characters.next() {
        if in_string {
            in_string = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            pretty.push(c);
            continue;
        }
        match c {
            '{' | '[' => {
                depth += 1;
                pretty.push(c);
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    depth = depth.saturating_sub(1);
                    pretty.push(end);
                } else if depth <= MAX_DEPTH {
                    line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if depth < MAX_DEPTH {
                    line(&mut pretty, depth);
                }
                pretty.push(c);
            }
            ',' => {
                pretty.push(c);
                if depth <= MAX_DEPTH {
                    line(&mut pretty, depth);
                }
            }
            ':' => pretty.push_str(": "),
            c => {
                in_string = c == '"';
                pretty.push(c);
            }
        }
    }
    pretty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        assert_eq!(
            plain("a\u{1b}[31m\n\u{9b}2J\u{202e}ü 你"),
            "a\\u{1b}[31m\\n\\u{9b}2J\\u{202e}ü 你"
        );
        let json = "{\"a\":\"\u{7f}\u{9b}31m\u{202e}ü\u{e0041}\"}\n";
        let plain = plain_json(json);
        assert_eq!(plain, "{\"a\":\"\\u007f\\u009b31m\\u202eü\\udb40\\udc41\"}\n");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&plain), value(json));
    }

    #[test]
    fn pretty_json_keeps_every_token() {
        let json = r#"{"a":[1.50,123456789012345678901234567890,{}],"a":"x\"{,:\\","b":[],"c":{"d":null}}"#;
        insta::assert_snapshot!(pretty_json(json), @r#"
        {
          "a": [
            1.50,
            123456789012345678901234567890,
            {}
          ],
          "a": "x\"{,:\\",
          "b": [],
          "c": {
            "d": null
          }
        }
        "#);
        assert_eq!(pretty_json("17"), "17");
    }

    #[test]
    fn depth_does_not_blow_it_up() {
        let depth = 100_000;
        let json = format!("{}1,2{}", "[".repeat(depth), "]".repeat(depth));
        let pretty = pretty_json(&json);
        assert!(pretty.len() < json.len() + 10_000, "{}", pretty.len());
        assert_eq!(pretty.split_whitespace().collect::<String>(), json);
    }
}
