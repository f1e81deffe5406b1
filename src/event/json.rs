//! Reads one JSON value into nodes that borrow from its text.
//!
//! Unlike a general parser it keeps numbers as they were written, keeps members that repeat, and
//! has no input it gives up on: what it cannot decode stays as raw text, and [`Parsed::exact`]
//! tells that this happened.

use std::borrow::Cow;
use std::ops::Range;

/// Values nested deeper than this are kept as raw text.
const MAX_DEPTH: usize = 128;

/// A longer text is no name or id, in bytes. Those go into attributes, headers and environments,
/// and into each sprite of an event, so that an endless one would multiply.
const MAX_NAME: usize = 256;

/// A JSON value.
#[derive(Debug, PartialEq)]
pub(super) enum Node<'a> {
    Null,
    /// `true`, `false` or a number, as written.
    Literal(&'a str),
    /// Decoded, but for strings that hold a lone surrogate: those are as written.
    String(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    /// In the order of the text, with members that repeat.
    Object(Vec<Member<'a>>),
    /// Too deep to be read: as written.
    Opaque(&'a str),
}

/// A member of an object.
#[derive(Debug, PartialEq)]
pub(super) struct Member<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Node<'a>,
    /// Where name and value stand in the text.
    pub(super) span: Range<usize>,
}

/// What [`parse`] makes of a text.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    pub(super) root: Node<'a>,
    /// Whether every string was decoded and every depth read.
    pub(super) exact: bool,
    /// Whether no white space was seen outside strings. What is too deep was not looked at.
    pub(super) is_compact: bool,
}

impl<'a> Node<'a> {
    /// The member `name` of an object; the last one where it repeats.
    pub(super) fn get(&self, name: &str) -> Option<&Node<'a>> {
        self.members().iter().rev().find(|member| member.name == name).map(|member| &member.value)
    }

    /// The members of an object; none for anything else.
    pub(super) fn members(&self) -> &[Member<'a>] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// The elements of an array; none for anything else.
    pub(super) fn elements(&self) -> &[Node<'a>] {
        match self {
            Self::Array(elements) => elements,
            _ => &[],
        }
    }

    /// The text of a string that is not empty.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The text of a string that is not empty, or a number as written.
    pub(super) fn text_or_number(&self) -> Option<&str> {
        match self {
            Self::Literal(literal) if literal.starts_with(|c: char| c != 't' && c != 'f') => {
                Some(literal)
            }
            _ => self.text(),
        }
    }

    /// A text that can be a name.
    pub(super) fn name(&self) -> Option<&str> {
        self.text().filter(is_name)
    }

    /// A text or number that can be an id.
    pub(super) fn id(&self) -> Option<&str> {
        self.text_or_number().filter(is_name)
    }

    /// A number, or a string that holds one, if it is a whole one within 64 bits.
    pub(super) fn integer(&self) -> Option<i64> {
        self.text_or_number().and_then(|text| text.parse().ok())
    }
}

/// CloudEvents allows no control characters in attributes, nor do headers and environments.
fn is_name(text: &&str) -> bool {
    text.len() <= MAX_NAME && !text.contains(char::is_control)
}

/// Reads a value that is well-formed. Were it not, the outcome would be a wrong node, never a
/// panic or a loop.
pub(super) fn parse(text: &str) -> Parsed<'_> {
    let mut reader = Reader { text, at: 0, exact: true, is_compact: true };
    let root = reader.value(0);
    reader.skip(b"");
    Parsed { root, exact: reader.exact, is_compact: reader.exact && reader.is_compact }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    exact: bool,
    is_compact: bool,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn slice(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    /// Goes to the next token, over white space and the punctuation in `between`.
    fn skip(&mut self, between: &[u8]) {
        while let Some(byte) = self.peek() {
            if is_space(byte) {
                self.is_compact = false;
            } else if !between.contains(&byte) {
                break;
            }
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Node<'a> {
        self.skip(b"");
        match self.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => self.opaque(),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => Node::String(self.string()),
            _ => match self.literal() {
                "null" | "" => Node::Null,
                literal => Node::Literal(literal),
            },
        }
    }

    fn object(&mut self, depth: usize) -> Node<'a> {
        // An event has about forty members.
        let mut members = if depth == 1 { Vec::with_capacity(48) } else { Vec::new() };
        self.at += 1;
        loop {
            self.skip(b",");
            let start = self.at;
            if self.peek() != Some(b'"') {
                self.at += 1;
                return Node::Object(members);
            }
            let name = self.string();
            self.skip(b":");
            let value = self.value(depth);
            members.push(Member { name, value, span: start..self.at });
        }
    }

    fn array(&mut self, depth: usize) -> Node<'a> {
        let mut elements = Vec::new();
        self.at += 1;
        loop {
            self.skip(b",");
            // What begins no value ends the array: each turn goes on in the text.
            if matches!(self.peek(), None | Some(b']' | b'}' | b':')) {
                self.at += 1;
                return Node::Array(elements);
            }
            elements.push(self.value(depth));
        }
    }

    fn literal(&mut self) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(|b| !is_space(b) && !b",:]}".contains(&b)) {
            self.at += 1;
        }
        self.slice(start)
    }

    fn string(&mut self) -> Cow<'a, str> {
        let start = self.at;
        let escapes = self.skip_string();
        let quoted = self.slice(start);
        let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
        if !escapes {
            return Cow::Borrowed(inner);
        }
        serde_json::from_str::<String>(quoted).map_or_else(
            |_| {
                self.exact = false;
                Cow::Borrowed(inner)
            },
            Cow::Owned,
        )
    }

    /// Goes past a string; tells whether it holds escapes.
    fn skip_string(&mut self) -> bool {
        let mut escapes = false;
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let Some(skipped) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
                self.at = self.text.len();
                return escapes;
            };
            self.at += skipped + 1;
            if rest.get(skipped) == Some(&b'"') {
                return escapes;
            }
            escapes = true;
            self.at += 1;
        }
    }

    /// Goes past an object or array of any depth without recursion.
    fn opaque(&mut self) -> Node<'a> {
        self.exact = false;
        let start = self.at;
        let mut open = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => open = open.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                break;
            }
        }
        Node::Opaque(self.slice(start))
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Appends well-formed JSON to `out` without the white space outside its strings.
pub(super) fn compact(text: &str, out: &mut String) {
    let bytes = text.as_bytes();
    let (mut at, mut kept) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let mut reader = Reader { text, at, exact: true, is_compact: true };
                reader.skip_string();
                at = reader.at;
            }
            byte if is_space(byte) => {
                out.push_str(text.get(kept..at).unwrap_or_default());
                at += 1;
                kept = at;
            }
            _ => at += 1,
        }
    }
    out.push_str(text.get(kept..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What serde_json reads, for comparison.
    fn value(node: &Node<'_>) -> serde_json::Value {
        match node {
            Node::Null => serde_json::Value::Null,
            Node::Literal(text) | Node::Opaque(text) => serde_json::from_str(text).unwrap(),
            Node::String(text) => serde_json::Value::String(text.clone().into_owned()),
            Node::Array(elements) => elements.iter().map(value).collect(),
            Node::Object(members) => {
                members.iter().map(|m| (m.name.clone().into_owned(), value(&m.value))).collect()
            }
        }
    }

    #[test]
    fn numbers_and_repeats_stay_as_written() {
        let text = r#" { "a" : 1.00 , "a":1e400, "b":[ ], "c":{ },"d":18446744073709551617 } "#;
        let parsed = parse(text);
        assert!(parsed.exact);
        let names: Vec<_> = parsed.root.members().iter().map(|m| m.name.as_ref()).collect();
        assert_eq!(names, ["a", "a", "b", "c", "d"]);
        assert_eq!(parsed.root.get("a"), Some(&Node::Literal("1e400")));
        assert_eq!(parsed.root.get("d").unwrap().integer(), None);
        assert_eq!(parsed.root.get("d").unwrap().text_or_number(), Some("18446744073709551617"));
    }

    #[test]
    fn a_lone_surrogate_and_great_depth_are_kept_raw() {
        let parsed = parse(r#"{"a":"\ud800x","b":"\ud83d\ude00"}"#);
        assert!(!parsed.exact);
        assert_eq!(parsed.root.get("a").unwrap().text(), Some(r"\ud800x"));
        assert_eq!(parsed.root.get("b").unwrap().text(), Some("😀"));

        let deep = format!("{{\"x\":{}\"]\"{},\"y\":1}}", "[".repeat(9999), "]".repeat(9999));
        let parsed = parse(&deep);
        assert!(!parsed.exact);
        assert_eq!(parsed.root.get("y"), Some(&Node::Literal("1")));
    }

    #[test]
    fn a_name_is_short_and_has_no_control_characters() {
        let long = "é".repeat(MAX_NAME / 2);
        for (text, is_name) in [("样 1", true), (&long, true), ("a\0", false), ("\u{85}", false)] {
            let node = Node::String(text.into());
            assert_eq!(node.name().is_some(), is_name, "{text:?}");
            assert_eq!(node.id().is_some(), is_name, "{text:?}");
        }
        assert_eq!(Node::String(format!("{long}a").into()).name(), None);
        assert_eq!((Node::Literal("7").name(), Node::Literal("7").id()), (None, Some("7")));
        assert_eq!(Node::Literal("true").id(), None);
    }

    /// Any JSON value, with white space thrown in by the pretty printer.
    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_not_json_ends_too(text in r#"[\[\]{}:," \\a1é]{0,40}"#) {
            let mut reader = Reader { text: &text, at: 0, exact: true, is_compact: true };
            reader.value(0);
            compact(&text, &mut String::new());
        }

        #[test]
        fn reads_what_serde_json_reads(json in any_json()) {
            let pretty = serde_json::to_string_pretty(&json).unwrap();
            let parsed = parse(&pretty);
            prop_assert!(parsed.exact);
            prop_assert_eq!(value(&parsed.root), json.clone());
            let mut compacted = String::new();
            compact(&pretty, &mut compacted);
            prop_assert_eq!(compacted, serde_json::to_string(&json).unwrap());
        }
    }
}
