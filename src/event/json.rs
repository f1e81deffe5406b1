//! A JSON value as nodes that point into its text, as [`scan`](super::scan) reads it.
//!
//! Unlike those of a general parser they keep numbers as they were written and members that repeat.
//! They stand in one list, each before those within it, which serves one value after another.

use std::borrow::Cow;
use std::ops::Range;

/// A longer text is no name or id, in bytes. Those go into attributes, headers and environments,
/// and into each sprite of an event, so that an endless one would multiply.
pub(super) const MAX_NAME: usize = 256;

/// Says of the decoded name of a member whether it is one of some.
pub(super) type NameTest = fn(&str) -> bool;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonKind {
    Null,
    /// `true`, `false` or a number.
    Literal,
    String,
    Array,
    Object,
    /// Too deep to be read.
    Opaque,
}

/// A value's place in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) kind: JsonKind,
    /// Whether a string has to be decoded: it holds escapes, and no lone surrogate.
    pub(super) escaped: bool,
    /// Of a string what is within its quotes.
    pub(super) start: usize,
    pub(super) end: usize,
    /// The nodes of this value, itself included.
    pub(super) nodes: usize,
}

/// What [`parse`](super::scan::parse) makes of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parsed<'a> {
    pub(super) text: &'a str,
    pub(super) places: &'a [Span],
    /// Whether every string was decoded, every depth read, and every member.
    pub(super) exact: bool,
    /// Whether no white space was seen outside strings. What is too deep was not looked at.
    pub(super) is_compact: bool,
}

impl<'a> Parsed<'a> {
    /// The whole value.
    pub(super) fn root(&self) -> Node<'a> {
        Node { text: self.text, places: self.places }
    }
}

/// A JSON value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    pub(super) text: &'a str,
    /// Its own, then those of what is in it.
    pub(super) places: &'a [Span],
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    pub(super) name: Node<'a>,
    pub(super) value: Node<'a>,
}

impl<'a> Node<'a> {
    pub(super) fn kind(&self) -> JsonKind {
        self.places.first().map_or(JsonKind::Null, |place| place.kind)
    }

    /// The value as it is written; of a string what is within its quotes.
    pub(super) fn written(&self) -> &'a str {
        let place = self.places.first();
        place.and_then(|place| self.text.get(place.start..place.end)).unwrap_or_default()
    }

    /// Where the value stands in the text from which it was read, a string with its quotes.
    pub(super) fn span(&self) -> Range<usize> {
        let Some(place) = self.places.first() else { return 0..0 };
        let quote = usize::from(place.kind == JsonKind::String);
        place.start.saturating_sub(quote)..place.end + quote
    }

    /// A string decoded, but for one that holds a lone surrogate; anything else as it is written.
    #[inline]
    pub(super) fn decoded(&self) -> Cow<'a, str> {
        let written = self.written();
        match self.places.first() {
            Some(place) if place.escaped => unescaped(written),
            _ => Cow::Borrowed(written),
        }
    }

    /// Whether a string says `text`.
    #[inline]
    pub(super) fn is(&self, text: &str) -> bool {
        let Some(place) = self.places.first() else { return false };
        // Most names differ in length from the one that is looked for.
        (place.escaped || place.start + text.len() == place.end) && self.decoded() == text
    }

    /// The member `name` of an object; the last one where it repeats.
    pub(super) fn get(&self, name: &str) -> Option<Node<'a>> {
        // Of all that is done with an event this is done most often: no iterator, whose items
        // would be moved about.
        let mut found = None;
        let mut rest = self.within(JsonKind::Object);
        while let [_, value, ..] = rest {
            let nodes = 1 + value.nodes;
            if (Node { text: self.text, places: rest }).is(name) {
                found = rest.get(1..nodes);
            }
            rest = rest.get(nodes..).unwrap_or_default();
        }
        found.map(|places| Node { text: self.text, places })
    }

    /// The members of an object in the order of the text, with those that repeat; none for
    /// anything else.
    pub(super) fn members(&self) -> impl Iterator<Item = Member<'a>> + use<'a> {
        let text = self.text;
        let mut rest = self.within(JsonKind::Object);
        std::iter::from_fn(move || {
            let [_, value, ..] = rest else { return None };
            let (member, others) = rest.split_at_checked(1 + value.nodes)?;
            let (name, value) = member.split_at_checked(1)?;
            rest = others;
            Some(Member { name: Node { text, places: name }, value: Node { text, places: value } })
        })
    }

    /// The elements of an array; none for anything else.
    pub(super) fn elements(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let text = self.text;
        let mut rest = self.within(JsonKind::Array);
        std::iter::from_fn(move || {
            let (places, others) = rest.split_at_checked(rest.first()?.nodes)?;
            rest = others;
            Some(Node { text, places })
        })
    }

    fn within(&self, kind: JsonKind) -> &'a [Span] {
        match self.places {
            [place, rest @ ..] if place.kind == kind => rest,
            _ => &[],
        }
    }

    /// The text of a string that is not empty.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        (self.kind() == JsonKind::String).then(|| self.decoded()).filter(|text| !text.is_empty())
    }

    /// The text of a string that is not empty, or a number as written.
    pub(super) fn text_or_number(&self) -> Option<Cow<'a, str>> {
        let is_number = self.kind() == JsonKind::Literal && !self.written().starts_with(['t', 'f']);
        if is_number { Some(Cow::Borrowed(self.written())) } else { self.text() }
    }

    /// A text that can be a name.
    pub(super) fn name(&self) -> Option<Cow<'a, str>> {
        self.text().filter(|text| is_name(text))
    }

    /// A text or number that can be an id: one of nothing but zeros or blanks stands for none.
    pub(super) fn id(&self) -> Option<Cow<'a, str>> {
        let is_none = |text: &str| text.chars().all(|c| c == '0' || c.is_whitespace());
        self.text_or_number().filter(|text| is_name(text) && !is_none(text))
    }

    /// A number, or a string that holds one, if it is a whole one within 64 bits.
    pub(super) fn integer(&self) -> Option<i64> {
        self.text_or_number().and_then(|text| text.parse().ok())
    }
}

impl Member<'_> {
    /// Name and value as they stand in the text from which they were read.
    pub(super) fn span(&self) -> Range<usize> {
        self.name.span().start..self.value.span().end
    }
}

#[cold]
fn unescaped(written: &str) -> Cow<'_, str> {
    serde_json::from_str(&format!("\"{written}\"")).map_or(Cow::Borrowed(written), Cow::Owned)
}

/// CloudEvents allows no control characters in attributes, nor do headers and environments.
fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME && !text.contains(char::is_control)
}
