//! JSON on several lines, for people.

/// How deep a container may be and still stand on lines of its own: a body that is nothing but
/// brackets would otherwise grow with the square of its length.
const MAX_DEPTH: usize = 32;

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
