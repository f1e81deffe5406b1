//! Values with a unit: how the configuration writes them, as JSON Schema, and counts in words.
//!
//! Knows nothing of the crate: the settings of each module name these where their own types
//! cannot say it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Returns `event` for one, `events` for any other count.
#[must_use]
pub fn plural(count: u64, noun: &str) -> String {
    format!("{noun}{}", if count == 1 { "" } else { "s" })
}

/// Returns `1 event`, `2 events`.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {}", plural(count, noun))
}

/// A duration, as `humantime` reads it.
#[derive(Debug)]
pub struct Duration;

/// A number of bytes, as `bytesize` reads it.
#[derive(Debug)]
pub struct Size;

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let units = "nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds|second|secs|sec|s|\
                     minutes|minute|mins|min|m|hours|hour|hrs|hr|h|days|day|d|\
                     weeks|week|wks|wk|w|months|month|M|years|year|yrs|yr|y";
        json_schema!({
            "type": "string",
            "pattern": format!("^(0|( *[0-9]+([.][0-9]+)? *({units}))+ *)$"),
            "examples": ["500ms", "30s", "10m", "72h", "14d"],
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": "^([0-9]+|[0-9]+([.][0-9]+)? *([bB]|[kmgtpeKMGTPE][iI]?[bB]?))$",
            "minimum": 0,
            "examples": ["64MiB", "16GiB"],
        })
    }
}
