//! What a pull brought: its entries, one after the other.

use std::iter::Peekable;
use std::ops::Range;
use std::slice::Iter;

use serde::Deserialize;
use serde_json::Deserializer;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::answer::{CallAnswer, EntryPositions, MAX_REQUEST_ID, NoArray, Replaced, Text};
use super::http;

/// What one PullEvents brought: by the documents at most 16 entries, often none. Holds the text of
/// the answer, and hardly more.
pub struct Pulled {
    /// The moment at which the request that was answered was sent. Its entries are leased no
    /// earlier than that.
    pub sent: Instant,
    /// The RequestId of the answer, empty if it had none.
    pub request_id: String,
    text: Text,
    places: EntryPositions,
}

impl Pulled {
    /// Takes the entries out of the answer to PullEvents. Fails when EventSet is there and not an
    /// array.
    pub(super) fn read(answer: CallAnswer) -> Result<Self, String> {
        let CallAnswer { sent, request_id, content, .. } = answer;
        let request_id = http::excerpt(&request_id.unwrap_or_default(), MAX_REQUEST_ID);
        let (text, places) =
            content.unwrap_or_else(|| (Text::new(Vec::new()), Ok(EntryPositions::default())));
        let places = places.map_err(|NoArray| "\"EventSet\" is no array".to_owned())?;
        Ok(Self { sent, request_id, text, places })
    }

    /// Each entry of the EventSet as it was received, whatever JSON it is, and whether bytes
    /// that were not UTF-8 were replaced in it.
    pub fn entries(&self) -> Entries<'_> {
        Entries {
            text: self.text.as_str(),
            first: self.places.first.iter(),
            others: self.places.others.clone(),
            left: self.places.count,
            replaced: self.text.replaced().peekable(),
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.places.count
    }

    /// Whether the queue was empty.
    pub fn is_empty(&self) -> bool {
        self.places.count == 0
    }

    /// Bytes of the answer, after decompression.
    pub fn size(&self) -> usize {
        self.text.size()
    }
}

impl std::fmt::Debug for Pulled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pulled")
            .field("request_id", &self.request_id)
            .field("entries", &self.places.count)
            .finish_non_exhaustive()
    }
}

/// The entries of an answer in order; see [`Pulled::entries`].
pub struct Entries<'a> {
    text: &'a str,
    first: Iter<'a, Range<usize>>,
    others: Range<usize>,
    left: usize,
    replaced: Peekable<Replaced<'a>>,
}

impl Entries<'_> {
    /// Where the next of those stands whose places were not kept.
    fn another(&mut self) -> Option<Range<usize>> {
        let rest = self.text.get(self.others.clone())?;
        let rest = rest.trim_start_matches([',', ' ', '\t', '\n', '\r']);
        // The answer was read before: it is well-formed.
        let entry = <&RawValue>::deserialize(&mut Deserializer::from_str(rest)).ok()?;
        let start = self.others.end - rest.len();
        self.others.start = start + entry.get().len();
        Some(start..self.others.start)
    }

    /// Whether there are replaced bytes within `place`, the next one.
    fn is_replaced(&mut self, place: &Range<usize>) -> bool {
        while self.replaced.next_if(|at| *at < place.start).is_some() {}
        self.replaced.peek().is_some_and(|at| *at < place.end)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a str, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let kept = self.first.next().cloned();
        let place = kept.or_else(|| self.another())?;
        self.left = self.left.saturating_sub(1);
        let is_replaced = self.is_replaced(&place);
        Some((self.text.get(place)?, is_replaced))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Entries<'_> {}

impl std::fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries").field("left", &self.left).finish_non_exhaustive()
    }
}
