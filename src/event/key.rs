//! Which event it is, and of which application.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::json::{JsonKind, NameTest, Node};

/// A VOD application: the SubAppId events are pulled from. 0 stands for the account's primary
/// application, for which no SubAppId is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct AppId(pub u64);

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Tells one event from another: a hash of its content. Written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 16]);

impl Key {
    /// The key with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Of the content with this key, the occurrence that came under `handle`.
    #[must_use]
    pub fn under_handle(self, handle: &str) -> Self {
        Self::hash(b"handle", &[&self.0, handle.as_bytes()])
    }

    /// Of the content with this key, an occurrence that came under no handle: unlike any other.
    #[must_use]
    pub fn under_no_handle(self) -> Self {
        Self::hash(b"no handle", &[&self.0, &rand::random::<[u8; 16]>()])
    }

    /// The key of an event by its content: independent of the order of members and of members
    /// that are null, dependent on all else. Members of the root with names `without` do not count.
    pub(super) fn of_content(
        app: AppId,
        root: Node<'_>,
        without: NameTest,
        canonical: &mut Vec<u8>,
    ) -> Self {
        canonical.clear();
        canonicalize(root, Some(without), &mut Vec::with_capacity(32), canonical);
        Self::hash(b"content", &[&app.0.to_be_bytes(), canonical])
    }

    /// The key of an event that could not be read whole: by its text.
    pub(super) fn of_text(app: AppId, body: &str) -> Self {
        Self::hash(b"text", &[&app.0.to_be_bytes(), body.as_bytes()])
    }

    /// Hashes `parts`, of which all but the last have a fixed length, in a domain of their own.
    pub(super) fn hash(domain: &[u8], parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"sprited/1/");
        hash.update(domain);
        hash.update([0]);
        parts.iter().for_each(|part| hash.update(part));
        let digest: [u8; 32] = hash.finalize().into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(bytes)
    }
}

/// Members by their names.
type Members<'a> = Vec<(Cow<'a, str>, Node<'a>)>;

/// Writes a node so that two nodes give the same bytes only if they mean the same: each value
/// is a tag, then its length or count, then its content. Leaves `members` as it was.
fn canonicalize<'a>(
    node: Node<'a>,
    without: Option<NameTest>,
    members: &mut Members<'a>,
    out: &mut Vec<u8>,
) {
    match node.kind() {
        JsonKind::Null => out.push(b'n'),
        JsonKind::Literal => tagged(b'l', node.written(), out),
        JsonKind::String => tagged(b's', &node.decoded(), out),
        JsonKind::Opaque => tagged(b'o', node.written(), out),
        JsonKind::Array => {
            count(b'[', node.elements().count(), out);
            node.elements().for_each(|element| canonicalize(element, None, members, out));
        }
        JsonKind::Object => {
            let own = members.len();
            add_sorted(node, without, members);
            count(b'{', members.len() - own, out);
            for at in own..members.len() {
                let Some((name, value)) = members.get(at) else { break };
                let value = *value;
                tagged(b'm', name, out);
                canonicalize(value, None, members, out);
            }
            members.truncate(own);
        }
    }
}

/// Adds the members that count, by name; those that repeat keep their order, which has a meaning.
/// A null is as good as no member, but not beside others of its name, which it hides from a
/// reader or is hidden by.
fn add_sorted<'a>(object: Node<'a>, without: Option<NameTest>, members: &mut Members<'a>) {
    let own = members.len();
    let sort = |members: &mut Members<'a>| {
        let by_name = |(a, first): &(Cow<'_, str>, Node<'_>),
                       (b, second): &(Cow<'_, str>, Node<'_>)| {
            a.cmp(b).then_with(|| first.span().start.cmp(&second.span().start))
        };
        members.get_mut(own..).unwrap_or_default().sort_by(by_name);
    };
    // Lengths of their names modulo 64. Most of an event's members are null, none of them is
    // beside another in what the cloud writes, and most can be told to be by their length.
    let mut lengths = 0_u64;
    let length_of = |name: &str| 1 << (name.len() % 64);
    for member in object.members().filter(|member| member.value.kind() != JsonKind::Null) {
        let name = member.name.decoded();
        if !without.is_some_and(|without| without(&name)) {
            lengths |= length_of(&name);
            members.push((name, member.value));
        }
    }
    sort(members);
    let values = members.get(own..).unwrap_or_default();
    let is_beside = |name: &Cow<'_, str>| {
        lengths & length_of(name) != 0
            && values.binary_search_by(|(other, _)| other.cmp(name)).is_ok()
    };
    let nulls = object.members().filter(|member| member.value.kind() == JsonKind::Null);
    let nulls = nulls.map(|null| (null.name.decoded(), null.value));
    let beside: Members<'a> = nulls.filter(|(name, _)| is_beside(name)).collect();
    if !beside.is_empty() {
        members.extend(beside);
        sort(members);
    }
}

fn tagged(tag: u8, text: &str, out: &mut Vec<u8>) {
    count(tag, text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn count(tag: u8, number: usize, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(number as u64).to_be_bytes());
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an event's key is 32 hex digits")]
pub struct KeyError;

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(KeyError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| KeyError)?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let key = Key::hash(b"test", &[b"x"]);
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(Key::from_bytes([0; 16]).to_string(), "0".repeat(32));
        for text in ["", "+0000000000000000000000000000000", "xyz"] {
            assert_eq!(text.parse::<Key>(), Err(KeyError));
        }
        assert_ne!(key.under_handle("1"), key.under_handle("2"));
        assert_ne!(key.under_no_handle(), key.under_no_handle());
    }
}
