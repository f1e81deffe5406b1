//! Reads one JSON value.
//!
//! It has no input it gives up on: what it cannot decode stays as raw text, of too many values the
//! rest is passed over, and [`Parsed::exact`] tells that this happened.

use memchr::memchr2;

use super::json::{JsonKind, NameTest, Node, Parsed, Span};

/// Values nested deeper than this are kept as raw text.
const MAX_DEPTH: usize = 128;

/// Values and names of members that are read, those of the members that are asked for apart. A node
/// takes many times as much memory as the shortest text of one; an event of the cloud has a few
/// thousand in some 15 bytes each.
const MAX_NODES: usize = 500_000;

/// Reads a value that is well-formed, with `places` to hold its nodes. Were it not, the outcome
/// would be a wrong node, never a panic or a loop. Members of the value itself whose names are
/// `asked` for are there in any case, however many others are passed over.
pub(super) fn parse<'a>(text: &'a str, places: &'a mut Vec<Span>, asked: NameTest) -> Parsed<'a> {
    places.clear();
    let mut reader = Reader::new(text, places, asked);
    reader.value(0);
    reader.skip(None);
    let Reader { exact, is_compact, .. } = reader;
    Parsed { text, places, exact, is_compact: exact && is_compact }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    places: &'a mut Vec<Span>,
    asked: NameTest,
    exact: bool,
    is_compact: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, places: &'a mut Vec<Span>, asked: NameTest) -> Self {
        Self { text, at: 0, places, asked, exact: true, is_compact: true }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes to the next token, over white space and the punctuation `between`.
    fn skip(&mut self, between: Option<u8>) {
        while let Some(byte) = self.peek() {
            if is_space(byte) {
                self.is_compact = false;
            } else if Some(byte) != between {
                break;
            }
            self.at += 1;
        }
    }

    /// Reads a value into a node and those within it.
    fn value(&mut self, depth: usize) {
        self.skip(None);
        let (start, first) = (self.at, self.places.len());
        let kind = match self.peek() {
            Some(b'"') => return self.string(),
            Some(b'{' | b'[') if depth == MAX_DEPTH => JsonKind::Opaque,
            Some(b'{') => JsonKind::Object,
            Some(b'[') => JsonKind::Array,
            Some(b'n') | None => JsonKind::Null,
            Some(_) => JsonKind::Literal,
        };
        self.places.push(Span { kind, escaped: false, start, end: start, nodes: 1 });
        match kind {
            JsonKind::Object => self.object(depth + 1),
            JsonKind::Array => self.array(depth + 1),
            JsonKind::Opaque => self.opaque(),
            // Most values are, and nothing else begins so.
            JsonKind::Null => self.at += "null".len(),
            _ => self.literal(),
        }
        let nodes = self.places.len() - first;
        if let Some(place) = self.places.get_mut(first) {
            // A text that ends too early is no JSON.
            (place.end, place.nodes) = (self.at.min(self.text.len()), nodes);
        }
    }

    fn object(&mut self, depth: usize) {
        self.at += 1;
        loop {
            self.skip(Some(b','));
            if self.peek() != Some(b'"') {
                self.at += 1;
                return;
            }
            let is_full = self.is_full();
            if is_full && depth > 1 {
                return self.skip_rest();
            }
            let member = self.places.len();
            self.string();
            self.skip(Some(b':'));
            self.value(depth);
            if is_full && !self.is_asked(member) {
                self.places.truncate(member);
                self.exact = false;
            }
        }
    }

    /// Whether the member whose name is the node `at` is to be there in any case.
    fn is_asked(&self, at: usize) -> bool {
        let name = Node { text: self.text, places: self.places.get(at..).unwrap_or_default() };
        (self.asked)(&name.decoded())
    }

    fn array(&mut self, depth: usize) {
        self.at += 1;
        loop {
            self.skip(Some(b','));
            // What begins no value ends the array: each turn goes on in the text.
            if matches!(self.peek(), None | Some(b']' | b'}' | b':')) {
                self.at += 1;
                return;
            }
            if self.is_full() {
                return self.skip_rest();
            }
            self.value(depth);
        }
    }

    fn is_full(&self) -> bool {
        self.places.len() >= MAX_NODES
    }

    fn literal(&mut self) {
        while self.peek().is_some_and(|b| !is_space(b) && !matches!(b, b',' | b':' | b']' | b'}')) {
            self.at += 1;
        }
    }

    fn string(&mut self) {
        let start = self.at;
        let mut escaped = self.skip_string();
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        // Of the escapes only those by number can stand for what is no text.
        if escaped && quoted.contains("\\u") && serde_json::from_str::<String>(quoted).is_err() {
            (self.exact, escaped) = (false, false);
        }
        let (start, end) = (start + 1, self.at.saturating_sub(1).max(start + 1));
        self.places.push(Span { kind: JsonKind::String, escaped, start, end, nodes: 1 });
    }

    /// Goes past a string; tells whether it holds escapes.
    fn skip_string(&mut self) -> bool {
        let mut escapes = false;
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let Some(skipped) = memchr2(b'"', b'\\', rest) else {
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
    fn opaque(&mut self) {
        self.exact = false;
        self.go_past(0);
    }

    /// Goes past the end of the object or array of which a part was read.
    fn skip_rest(&mut self) {
        self.exact = false;
        self.go_past(1);
    }

    /// Goes on to where none of the `open` objects and arrays is open any more, nor those that
    /// begin on the way.
    fn go_past(&mut self, mut open: usize) {
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
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Appends well-formed JSON to `out` without the white space outside its strings.
pub(super) fn compact(text: &str, out: &mut String) {
    let bytes = text.as_bytes();
    let mut places = Vec::new();
    let mut reader = Reader::new(text, &mut places, |_| false);
    let mut kept = 0;
    while let Some(&byte) = bytes.get(reader.at) {
        match byte {
            b'"' => {
                reader.skip_string();
            }
            byte if is_space(byte) => {
                out.push_str(text.get(kept..reader.at).unwrap_or_default());
                reader.at += 1;
                kept = reader.at;
            }
            _ => reader.at += 1,
        }
    }
    out.push_str(text.get(kept..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::super::json::MAX_NAME;
    use super::*;
    use proptest::prelude::*;

    fn parse_all<'a>(text: &'a str, places: &'a mut Vec<Span>) -> Parsed<'a> {
        parse(text, places, |_| false)
    }

    /// What serde_json reads, for comparison.
    fn value(node: Node<'_>) -> serde_json::Value {
        match node.kind() {
            JsonKind::Null => serde_json::Value::Null,
            JsonKind::Literal | JsonKind::Opaque => serde_json::from_str(node.written()).unwrap(),
            JsonKind::String => serde_json::Value::String(node.decoded().into_owned()),
            JsonKind::Array => node.elements().map(value).collect(),
            JsonKind::Object => {
                node.members().map(|m| (m.name.decoded().into_owned(), value(m.value))).collect()
            }
        }
    }

    #[test]
    fn numbers_and_repeats_stay_as_written() {
        let text = r#" { "a" : 1.00 , "a":1e400, "b":[ ], "c":{ },"d":18446744073709551617 } "#;
        let mut places = Vec::new();
        let parsed = parse_all(text, &mut places);
        assert!(parsed.exact);
        let root = parsed.root();
        let names: Vec<_> = root.members().map(|member| member.name.decoded()).collect();
        assert_eq!(names, ["a", "a", "b", "c", "d"]);
        let spans: Vec<_> = root.members().map(|member| &text[member.span()]).collect();
        assert_eq!(spans[..4], [r#""a" : 1.00"#, r#""a":1e400"#, r#""b":[ ]"#, r#""c":{ }"#]);
        let a = root.get("a").unwrap();
        assert_eq!((a.kind(), a.written()), (JsonKind::Literal, "1e400"));
        let d = root.get("d").unwrap();
        assert_eq!(d.integer(), None);
        assert_eq!(d.text_or_number().unwrap(), "18446744073709551617");
    }

    #[test]
    fn a_lone_surrogate_and_great_depth_are_kept_raw() {
        let mut places = Vec::new();
        let parsed = parse_all(r#"{"a":"\ud800x","b":"\ud83d\ude00","\u0063":"\/"}"#, &mut places);
        assert!(!parsed.exact);
        let text = |name| parsed.root().get(name).unwrap().text().unwrap();
        assert_eq!((&*text("a"), &*text("b"), &*text("c")), (r"\ud800x", "😀", "/"));

        let deep = format!("{{\"x\":{}\"]\"{},\"y\":1}}", "[".repeat(9999), "]".repeat(9999));
        let parsed = parse_all(&deep, &mut places);
        assert!(!parsed.exact);
        assert_eq!(parsed.root().get("y").unwrap().written(), "1");
    }

    #[test]
    fn of_too_many_values_the_first_are_read_and_what_is_asked_for() {
        let mut places = Vec::new();
        let many = "0,".repeat(MAX_NODES);
        let text =
            format!(r#"{{"a":{{"T":"x","m":[[{many}0],[1]],"n":2}},"b":[{{}}],"c":3,"d":4}}"#);
        let parsed = parse(&text, &mut places, |name| matches!(name, "c" | "x"));
        assert!(!parsed.exact && !parsed.is_compact);
        let root = parsed.root();
        let names: Vec<_> = root.members().map(|member| member.name.written()).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(root.span(), 0..text.len());
        assert_eq!(root.get("c").unwrap().written(), "3");
        let a = root.get("a").unwrap();
        assert_eq!(a.get("T").unwrap().text().unwrap(), "x");
        assert!(a.get("n").is_none());
        assert_eq!(&text[a.span().end..], r#","b":[{}],"c":3,"d":4}"#);
        assert!(places.len() < MAX_NODES + 8, "{}", places.len());

        // The value itself: of an object what is asked for, of an array the first.
        let flat: String = (0..MAX_NODES).map(|n| format!("\"{n}\":{{\"c\":[]}},")).collect();
        let text = format!(r#"{{{flat}"c":"]","d":4}}"#);
        let root = parse(&text, &mut places, |name| name == "c").root();
        assert_eq!(root.get("c").unwrap().text().unwrap(), "]");
        assert!(root.get("0").is_some() && root.get("d").is_none());
        assert_eq!(root.span(), 0..text.len());
        assert!(places.len() < MAX_NODES + 8, "{}", places.len());
        let text = format!("[{many}0]");
        let parsed = parse_all(&text, &mut places);
        assert!(!parsed.exact && parsed.root().span() == (0..text.len()));

        let text = format!("[{}0]", "0,".repeat(MAX_NODES - 2));
        let parsed = parse_all(&text, &mut places);
        assert!(parsed.exact && parsed.is_compact);
    }

    #[test]
    fn a_name_is_short_and_has_no_control_characters() {
        let long = "é".repeat(MAX_NAME / 2);
        // What is name and id of a value in JSON.
        let both = |json: &str| {
            let mut places = Vec::new();
            let node = parse_all(json, &mut places).root();
            [node.name(), node.id()].map(|text| text.map(|text| text.into_owned()))
        };
        for (text, is_name) in [("样 1", true), (&long, true), ("a\0", false), ("\u{85}", false)] {
            let expected = is_name.then(|| text.to_owned());
            let json = serde_json::to_string(text).unwrap();
            assert_eq!(both(&json), [expected.clone(), expected], "{text:?}");
        }
        assert_eq!(both(&format!("\"{long}a\"")), [None, None]);
        assert_eq!(both("7"), [None, Some("7".to_owned())]);
        assert_eq!(both("true"), [None, None]);
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
            let mut places = Vec::new();
            let root = parse_all(&text, &mut places).root();
            root.members().for_each(|member| {
                std::hint::black_box(text.get(member.span()));
            });
            compact(&text, &mut String::new());
        }

        #[test]
        fn reads_what_serde_json_reads(json in any_json()) {
            let pretty = serde_json::to_string_pretty(&json).unwrap();
            let mut places = Vec::new();
            let parsed = parse_all(&pretty, &mut places);
            prop_assert!(parsed.exact);
            prop_assert_eq!(value(parsed.root()), json.clone());
            let mut compacted = String::new();
            compact(&pretty, &mut compacted);
            prop_assert_eq!(compacted, serde_json::to_string(&json).unwrap());
        }
    }
}
