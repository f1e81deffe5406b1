//! What a source file names of the crate, read off its tokens.
//!
//! However a path is written, it has to begin at the crate's root or with a name that does. So
//! every way to the root is followed, and one that gives the root, or everything in it, another
//! name is reported as such: behind that name nothing could be told.

use std::collections::BTreeSet;

/// What is reported of a file that gives the crate's root another name, or takes all of it in.
pub(super) const ROOT: &str = "(the root itself)";

/// The crate's modules that the production code of a file names whose own module is so many
/// steps below the root, one at least.
pub(super) fn named(text: &str, depth: usize) -> BTreeSet<String> {
    let tokens = without_tests(tokens(text));
    let mut reader = Reader { tokens: &tokens, at: 0, names: BTreeSet::new() };
    // For each open brace, whether it is that of a module within the file.
    let mut braces = Vec::new();
    while let Some(token) = reader.peek(0) {
        let here = depth + braces.iter().filter(|is_module| **is_module).count();
        match token {
            "{" => {
                let is_module = reader.at >= 2 && tokens[reader.at - 2] == "mod";
                braces.push(is_module);
                reader.at += 1;
            }
            "}" => {
                braces.pop();
                reader.at += 1;
            }
            _ => reader.path(here),
        }
    }
    reader.names
}

/// Whether such tokens stand in the file, one behind the other.
pub(super) fn has(text: &str, wanted: &[&str]) -> bool {
    tokens(text).windows(wanted.len()).any(|found| found == wanted)
}

struct Reader<'a> {
    tokens: &'a [String],
    at: usize,
    names: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    fn peek(&self, ahead: usize) -> Option<&'a str> {
        self.tokens.get(self.at + ahead).map(String::as_str)
    }

    fn before(&self, steps: usize) -> Option<&'a str> {
        self.tokens.get(self.at.checked_sub(steps)?).map(String::as_str)
    }

    fn follows(&self, expected: &[&str]) -> bool {
        expected.iter().enumerate().all(|(ahead, token)| self.peek(ahead) == Some(token))
    }

    /// Reads the path that begins here, or one token if none does.
    fn path(&mut self, depth: usize) {
        let before = self.before(1);
        let is_visibility = |reader: &Self| before == Some("(") && reader.before(2) == Some("pub");
        // `extern crate self as other;` is a way to the root that no path shows.
        if self.follows(&["extern", "crate"]) {
            self.names.insert(ROOT.to_owned());
            self.at += 2;
            return;
        }
        let mut left = match self.peek(0) {
            // In the middle of a path these are names like others.
            _ if before == Some("::") && self.before(2).is_some_and(ends_a_name) => None,
            Some("crate") if !is_visibility(self) => Some(0),
            // The library by its name: in the program, and by `::sprited`.
            Some("sprited") if self.peek(1) == Some("::") => Some(0),
            Some("self" | "super") if !is_visibility(self) => Some(depth),
            _ => None,
        };
        if self.peek(0) == Some("super") {
            left = left.map(|left| left.saturating_sub(1));
        }
        self.at += 1;
        let Some(mut left) = left else { return };
        while self.follows(&["::", "super"]) {
            left = left.saturating_sub(1);
            self.at += 2;
        }
        if left == 0 {
            self.of_root();
        }
    }

    /// Reads what is named of the root: `::name`, `::{…}`, `::*`, or nothing, which gives the root
    /// itself another name.
    fn of_root(&mut self) {
        if self.peek(0) != Some("::") {
            self.names.insert(ROOT.to_owned());
            return;
        }
        self.at += 1;
        if self.peek(0) != Some("{") {
            return self.name();
        }
        self.at += 1;
        let mut depth = 0;
        let mut is_first = true;
        while let Some(token) = self.peek(0) {
            match token {
                "}" if depth == 0 => {
                    self.at += 1;
                    return;
                }
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 0 => {
                    is_first = true;
                    self.at += 1;
                    continue;
                }
                "::" if is_first => {}
                _ if is_first => {
                    self.name();
                    is_first = false;
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// The name of a module; `self` and `*` stand for the root.
    fn name(&mut self) {
        let Some(name) = self.peek(0) else { return };
        let is_root = matches!(name, "self" | "*" | "super" | "{");
        self.names.insert(if is_root { ROOT } else { name }.to_owned());
        self.at += usize::from(name != "{");
    }
}

fn ends_a_name(token: &str) -> bool {
    token == ">" || token.ends_with(|c: char| c.is_alphanumeric() || c == '_') && token != "use"
}

/// The types of a file that others see.
pub(super) fn types(text: &str) -> BTreeSet<String> {
    let tokens = without_tests(tokens(text));
    let is_kind = |token: &str| matches!(token, "struct" | "enum" | "trait" | "union" | "type");
    let is_seen = |at: usize| {
        let before = |steps: usize| at.checked_sub(steps).map(|at| tokens[at].as_str());
        before(1) == Some("pub")
            || (before(1) == Some(")") && (2..8).any(|n| before(n) == Some("pub")))
    };
    (0..tokens.len().saturating_sub(1))
        .filter(|at| is_kind(&tokens[*at]) && is_seen(*at))
        .map(|at| tokens[at + 1].clone())
        .collect()
}

/// Leaves out each item that is compiled for tests alone.
pub(super) fn without_tests(tokens: Vec<String>) -> Vec<String> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].iter().zip(TEST).all(|(token, other)| token == other)
            || tokens.len() - at < TEST.len()
        {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        // To the `;` that ends the item, or to the end of its braces.
        let mut depth = 0;
        while at < tokens.len() {
            let token = tokens[at].as_str();
            at += 1;
            match token {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(token, ";" | "}") {
                break;
            }
        }
    }
    kept
}

/// Names, `::`, and every other character alone; without comments, literals and lifetimes. A path
/// in a literal is one: so serde has them.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens: Vec<String> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let next = rest.get(1).copied();
        at += match rest[0] {
            c if c.is_whitespace() => 1,
            '/' if next == Some('/') => rest.iter().take_while(|c| **c != '\n').count(),
            '/' if next == Some('*') => comment(rest),
            '"' => {
                let length = string(rest);
                let content: String = rest[1..(length - 1).min(rest.len())].iter().collect();
                if content.starts_with("crate::") || content.starts_with("super::") {
                    tokens.extend(self::tokens(&content));
                }
                length
            }
            '\'' if next == Some('\\') => 2 + 1 + until(&rest[3..], '\''),
            '\'' if rest.get(2) == Some(&'\'') => 3,
            '\'' => 1 + rest[1..].iter().take_while(|c| is_name(**c)).count(),
            ':' if next == Some(':') => {
                tokens.push("::".to_owned());
                2
            }
            c if is_name(c) => {
                let name: String = rest.iter().take_while(|c| is_name(**c)).collect();
                let length = name.chars().count();
                let behind = &rest[length..];
                match (name.as_str(), behind) {
                    ("r" | "br" | "cr", ['#' | '"', ..]) if raw_string(behind) > 0 => {
                        length + raw_string(behind)
                    }
                    ("b" | "c", ['"', ..]) => length + string(behind),
                    ("r", ['#', ..]) => length + 1,
                    _ => {
                        tokens.push(name);
                        length
                    }
                }
            }
            c => {
                tokens.push(c.to_string());
                1
            }
        };
    }
    tokens
}

/// How many characters there are up to `end`, that included.
fn until(text: &[char], end: char) -> usize {
    text.iter().position(|c| *c == end).map_or(text.len(), |at| at + 1)
}

fn comment(text: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < text.len() {
        match (text[at], text[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn string(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of `#"…"#` with any number of `#`; 0 if this is none.
fn raw_string(text: &[char]) -> usize {
    let marks = text.iter().take_while(|c| **c == '#').count();
    if text.get(marks) != Some(&'"') {
        return 0;
    }
    let is_end = |at: &usize| {
        text[*at] == '"'
            && text[at + 1..].iter().take(marks).filter(|c| **c == '#').count() == marks
    };
    (marks + 1..text.len()).find(is_end).map_or(text.len(), |at| at + 1 + marks)
}

#[test]
fn literals_and_comments_name_nothing() {
    let text = r####"
        // crate::a
        /* crate::b /* crate::c */ crate::d */
        const A: &str = "a crate::e \" crate::f";
        const B: &str = r#"crate::g " crate::h"#;
        const C: (char, char, u8) = ('"', '\'', b'"');
        fn f<'a>(x: &'a str) { use crate::seen; }
        const D: &[u8] = br"crate::i";
        const E: char = '\u{22}'; use crate::too;
    "####;
    let seen: Vec<_> = named(text, 1).into_iter().collect();
    assert_eq!(seen, ["seen", "too"]);
}
