//! Where in the store sprites begin: a folder, by names that mean the same in a path and in a URL.

use serde::{Deserialize, Deserializer, de};

/// A relative path of one to eight names; each is 1 to 64 of `a`–`z`, `A`–`Z`, `0`–`9`, `.`, `_` and
/// `-`, and begins with no dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

/// Folders one in another.
const MAX_NAMES: usize = 8;
/// Characters of a name.
const MAX_LENGTH: usize = 64;

impl Prefix {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn read(text: &str) -> Option<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_name = |name: &str| {
            (1..=MAX_LENGTH).contains(&name.len())
                && !name.starts_with('.')
                && name.chars().all(is_plain)
        };
        let is_one = text.split('/').count() <= MAX_NAMES && text.split('/').all(is_name);
        is_one.then(|| Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| {
            de::Error::custom(
                "expected a relative path of a-z, A-Z, 0-9, ., _ and -, such as \"vod/sprites\", of \
                 which no part begins with a dot",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_lead_down_are_one() {
        for text in ["sprites", "a/b", "a.b/c_d/e-f", "A/0", &"x".repeat(64)] {
            assert_eq!(Prefix::read(text).unwrap().as_str(), text);
        }
        let (long, deep) = ("x".repeat(65), "a/".repeat(8) + "a");
        for text in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", ".a", "a b", "ä", "a\0", &long, &deep,
        ] {
            assert_eq!(Prefix::read(text), None, "{text}");
        }
    }
}
