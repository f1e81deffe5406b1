//! How many events may be pending past their lease before the oldest are confirmed early.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

const EXPECTED: &str = "expected a number from 0 on, or \"never\"";

/// The key `confirm.max_unconfirmed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub enum MaxUnconfirmed {
    /// Of more pending events than this the oldest are confirmed early.
    At(usize),
    /// None is confirmed early, however many there are: the cloud keeps a copy of each until every
    /// sink that wants it has it, or until it forgets the event.
    Never,
}

impl MaxUnconfirmed {
    /// Returns the number, if it is one.
    #[must_use]
    pub fn limit(self) -> Option<usize> {
        match self {
            Self::At(limit) => Some(limit),
            Self::Never => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number from 0 on, or \"never\"")]
enum Written {
    Number(i64),
    Text(String),
}

impl TryFrom<Written> for MaxUnconfirmed {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Text(text) if text == "never" => Ok(Self::Never),
            Written::Text(text) => Err(format!("{EXPECTED}; found {text:?}")),
            Written::Number(number) => usize::try_from(number)
                .map(Self::At)
                .map_err(|_| format!("{EXPECTED}; found {number}")),
        }
    }
}

impl Serialize for MaxUnconfirmed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(limit) => limit.serialize(serializer),
            Self::Never => "never".serialize(serializer),
        }
    }
}

impl JsonSchema for MaxUnconfirmed {
    fn schema_name() -> Cow<'static, str> {
        "MaxUnconfirmed".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "const": "never" }],
        })
    }
}
