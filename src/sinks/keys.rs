//! Which keys a settings type knows.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// The keys that `T` takes, as its own `Deserialize` names them: no second list to keep. `T` is
/// a struct with named fields; anything else has none.
#[must_use]
pub fn keys_of<T: Deserialize<'static>>() -> &'static [&'static str] {
    match T::deserialize(Listener) {
        Err(Heard(keys)) => keys,
        Ok(_) => &[],
    }
}

struct Listener;

/// Ends the deserialization that only asks for the names.
#[derive(Debug)]
struct Heard(&'static [&'static str]);

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the keys were asked for, not the values")
    }
}

impl std::error::Error for Heard {}

impl de::Error for Heard {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for Listener {
    type Error = Heard;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Heard> {
        Err(Heard(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Heard> {
        Err(Heard(fields))
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
