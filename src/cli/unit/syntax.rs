//! What stands in the files of systemd: assignments, specifiers, words and escapes.

use std::fmt;
use std::path::{Path, PathBuf};

/// A line of `[Service]`, and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) file: PathBuf,
    pub(super) key: String,
    /// Empty where everything that was assigned before is to be forgotten.
    pub(super) value: String,
}

/// The value may be a secret.
impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}= in {}", self.key, self.file.display())
    }
}

/// The assignments of `[Service]` in the text of a unit or drop-in.
pub(super) fn assignments(file: &Path, text: &str) -> Vec<Assignment> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in whole_lines(text) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=')
            && section == "Service"
        {
            let (key, value) = (key.trim_end().to_owned(), value.trim_start().to_owned());
            found.push(Assignment { file: file.to_owned(), key, value });
        }
    }
    found
}

/// The lines without comments; one that ends in a backslash goes on in the next, behind a blank.
pub(super) fn whole_lines(text: &str) -> Vec<String> {
    let (mut lines, mut begun) = (Vec::new(), String::new());
    for line in text.lines() {
        // Also between the parts of one line.
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        match line.strip_suffix('\\').filter(|_| backslashes % 2 == 1) {
            Some(part) => begun.extend([part, " "]),
            None => lines.push(std::mem::take(&mut begun) + line),
        }
    }
    lines.push(begun);
    lines
}

/// Undoes the escapes of C in a text; `None` if one of them is none.
pub(super) fn unescaped(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (letter, digits) = (after.chars().next()?, |from, to| after.get(from..to));
        let number = |digits: &str, base| u32::from_str_radix(digits, base).ok();
        let (byte, length) = match letter {
            'a' => (7, 1),
            'b' => (8, 1),
            'f' => (12, 1),
            'n' => (b'\n', 1),
            'r' => (b'\r', 1),
            't' => (b'\t', 1),
            'v' => (11, 1),
            's' => (b' ', 1),
            '\\' | '"' | '\'' => (letter as u8, 1),
            'x' => (u8::try_from(number(digits(1, 3)?, 16)?).ok()?, 3),
            '0'..='7' => (u8::try_from(number(digits(0, 3)?, 8)?).ok()?, 3),
            'u' | 'U' => {
                let end = if letter == 'u' { 5 } else { 9 };
                let sign = char::from_u32(number(digits(1, end)?, 16)?)?;
                bytes.extend_from_slice(sign.to_string().as_bytes());
                rest = after.get(end..)?;
                continue;
            }
            _ => return None,
        };
        bytes.push(byte);
        rest = after.get(length..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// Splits a text at white space into words, of which one in quotes may hold some.
pub(super) fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, '\\') => {
                let escape: String = [c].into_iter().chain(characters.next()).collect();
                let byte = unescaped(&escape).and_then(|bytes| String::from_utf8(bytes).ok());
                word.get_or_insert_default().push_str(&byte.unwrap_or(escape));
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Takes the quotes from a value of a file of variables, as a shell would.
pub(super) fn unquoted(value: &str) -> String {
    let (mut text, mut quote) = (String::new(), None);
    let mut characters = value.trim().chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None | Some('"'), '\\') => text.extend(characters.next()),
            (_, c) => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_service_s_assignments_count_and_lines_may_go_on() {
        let text = "[Unit]\nA=1\n[Service]\n# B=2\n ; C=3\nD = 4 \\\n  # remark\n5\nE=\\\\\nF=\n\
                    G=a=b\n[Install]\nH=6\nno assignment\n";
        let found = assignments(Path::new("u"), text);
        let found: Vec<_> = found.iter().map(|a| (a.key.as_str(), a.value.as_str())).collect();
        assert_eq!(found, [("D", "4  5"), ("E", "\\\\"), ("F", ""), ("G", "a=b")]);
    }

    #[test]
    fn escapes_are_those_of_c() {
        for (text, bytes) in [
            ("plain", Some("plain")),
            ("\\n", Some("\n")),
            ("a\\tb\\x41\\101\\\\\\s\\u00fc", Some("a\tbAA\\ ü")),
            ("\\", None),
            ("\\q", None),
            ("\\x4", None),
            ("\\xü", None),
            ("\\777", None),
        ] {
            assert_eq!(unescaped(text).as_deref(), bytes.map(str::as_bytes), "{text}");
        }
        assert_eq!(unescaped("\\xff"), Some(vec![255]));
    }

    #[test]
    fn words_may_be_in_quotes() {
        assert_eq!(words(" A=b  \"C=d e\" F='g\"h'\\ni \"\""), ["A=b", "C=d e", "F=g\"h\ni", ""]);
    }
}
