//! The limit of rejections in a row, after which a sink's rejections prove nothing.

use std::borrow::Cow;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

const EXPECTED: &str = "expected a number from 1 on, or \"off\"";

/// The key `max_rejects` of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub enum MaxRejects {
    /// Each rejected event is bad, however many there are.
    Off,
    /// So many different events rejected in a row, and none accepted between them, mean that the
    /// sink fails.
    At(NonZeroU32),
}

impl Default for MaxRejects {
    fn default() -> Self {
        Self::At(const { NonZeroU32::new(20).unwrap() })
    }
}

/// As it is written in the file.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number from 1 on, or \"off\"")]
enum Written {
    Number(i64),
    Text(String),
}

impl TryFrom<Written> for MaxRejects {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Text(text) if text == "off" => Ok(Self::Off),
            Written::Text(text) => Err(format!("{EXPECTED}; found {text:?}")),
            Written::Number(number) => {
                let number_of = u32::try_from(number).ok().and_then(NonZeroU32::new);
                number_of.map(Self::At).ok_or_else(|| format!("{EXPECTED}; found {number}"))
            }
        }
    }
}

impl Serialize for MaxRejects {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => "off".serialize(serializer),
            Self::At(number) => number.serialize(serializer),
        }
    }
}

impl JsonSchema for MaxRejects {
    fn schema_name() -> Cow<'static, str> {
        "MaxRejects".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "integer", "minimum": 1, "maximum": u32::MAX }, { "const": "off" }],
        })
    }
}
