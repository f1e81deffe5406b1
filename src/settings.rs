//! What the settings of every module have in common: their keys, and what a check of them finds.
//!
//! Knows nothing of the crate.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// What a check of a table of settings finds: a mistake, with which they cannot be used, or a
/// warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingIssue {
    /// What is wrong or doubtful, beginning with its key. Never holds a secret.
    pub message: String,
    /// Whether it is a mistake.
    pub is_mistake: bool,
}

impl SettingIssue {
    /// A mistake: the settings cannot be used.
    pub fn mistake(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_mistake: true }
    }

    /// A warning: the settings can be used.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_mistake: false }
    }

    /// The key that it is about; empty where it is about the whole table.
    pub fn key(&self) -> &str {
        let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        self.message.split(ends).next().unwrap_or_default()
    }
}

/// Most checks find mistakes only.
impl From<String> for SettingIssue {
    fn from(message: String) -> Self {
        Self::mistake(message)
    }
}

/// Returns the keys that `T` takes, as its own `Deserialize` names them: no second list to keep.
/// `T` is a struct with named fields; anything else has none.
#[must_use]
pub fn keys_of<T: Deserialize<'static>>() -> &'static [&'static str] {
    match T::deserialize(KeyListener) {
        Err(KeyNames(keys)) => keys,
        Ok(_) => &[],
    }
}

struct KeyListener;

/// Ends the deserialization that only asks for the names.
#[derive(Debug)]
struct KeyNames(&'static [&'static str]);

impl fmt::Display for KeyNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the keys were asked for, not the values")
    }
}

impl std::error::Error for KeyNames {}

impl de::Error for KeyNames {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for KeyListener {
    type Error = KeyNames;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, KeyNames> {
        Err(KeyNames(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, KeyNames> {
        Err(KeyNames(fields))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Sample {
        #[serde(rename = "type")]
        _kind: String,
        _other: u8,
    }

    #[test]
    fn a_type_names_its_own_keys() {
        assert_eq!(keys_of::<Sample>(), ["type", "_other"]);
        assert!(keys_of::<String>().is_empty());
    }
}
