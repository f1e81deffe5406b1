//! JSON taken apart in the plainest way, with no code of the program's.

/// A value; what stands in it is as written.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// A string with its quotes, a number, or a word.
    Plain(&'a str),
    Array(Vec<Value<'a>>),
    /// Names with their quotes.
    Object(Vec<(&'a str, Value<'a>)>),
}

/// Deeper values are not taken apart.
const MAX_DEPTH: usize = 100;

/// The value in `text`, which must be well-formed; `None` if it is too deep.
pub(crate) fn read(text: &str) -> Option<Value<'_>> {
    let mut rest = text;
    value(&mut rest, 0)
}

fn value<'a>(rest: &mut &'a str, depth: usize) -> Option<Value<'a>> {
    if depth > MAX_DEPTH {
        return None;
    }
    let first = token(rest);
    let mut elements = Vec::new();
    let mut members = Vec::new();
    match first {
        "[" => loop {
            match peek(rest) {
                "]" => {
                    token(rest);
                    return Some(Value::Array(elements));
                }
                "," => _ = token(rest),
                _ => elements.push(value(rest, depth + 1)?),
            }
        },
        "{" => loop {
            match token(rest) {
                "}" => return Some(Value::Object(members)),
                "," => {}
                name => {
                    assert_eq!(token(rest), ":", "the text was said to be well-formed");
                    members.push((name, value(rest, depth + 1)?));
                }
            }
        },
        plain => Some(Value::Plain(plain)),
    }
}

fn peek<'a>(rest: &&'a str) -> &'a str {
    token(&mut { *rest })
}

fn token<'a>(rest: &mut &'a str) -> &'a str {
    let text = rest.trim_start_matches([' ', '\t', '\n', '\r']);
    let end = match text.as_bytes().first() {
        Some(b'"') => string_end(text),
        Some(b'[' | b']' | b'{' | b'}' | b',' | b':') => 1,
        Some(_) => {
            let ends = |c: char| " \t\n\r,:]}".contains(c);
            text.find(ends).unwrap_or(text.len())
        }
        None => panic!("the text was said to be well-formed"),
    };
    let (token, behind) = text.split_at(end);
    *rest = behind;
    token
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    panic!("the text was said to be well-formed")
}

/// What a string means; `None` where that is no text, for a lone surrogate say.
pub(crate) fn decoded(string: &str) -> Option<String> {
    serde_json::from_str(string).ok()
}

impl<'a> Value<'a> {
    /// The members of an object; none for anything else.
    pub(crate) fn members(&self) -> &[(&'a str, Value<'a>)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    pub(crate) fn is_string(&self) -> bool {
        matches!(self, Self::Plain(text) if text.starts_with('"'))
    }

    /// Whether every string in it is text.
    pub(crate) fn is_text(&self) -> bool {
        match self {
            Self::Plain(text) => !text.starts_with('"') || decoded(text).is_some(),
            Self::Array(elements) => elements.iter().all(Self::is_text),
            Self::Object(members) => {
                members.iter().all(|(name, value)| decoded(name).is_some() && value.is_text())
            }
        }
    }

    /// Writes it with `space` around each token.
    pub(crate) fn write(&self, space: &str, out: &mut String) {
        out.push_str(space);
        match self {
            Self::Plain(text) => out.push_str(text),
            Self::Array(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    element.write(space, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    out.push_str(&format!("{space}{name}{space}:"));
                    value.write(space, out);
                }
                out.push_str(space);
                out.push('}');
            }
        }
        out.push_str(space);
    }

    /// The members of each object in another order; those of one name keep theirs.
    pub(crate) fn reorder(&mut self) {
        match self {
            Self::Plain(_) => {}
            Self::Array(elements) => elements.iter_mut().for_each(Self::reorder),
            Self::Object(members) => {
                members.iter_mut().for_each(|(_, value)| value.reorder());
                members.sort_by_cached_key(|(name, _)| std::cmp::Reverse(decoded(name)));
            }
        }
    }
}
