//! The configuration in force, for a person or a program to read: every key of every table with its
//! value and the place it has it from. Secrets are masked.
//!
//! The text says what is written, the schema what else there is: keys, defaults, and which values are
//! secrets.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::mistake::{ConfigErrors, Location};
use super::schema::schema;
use super::sections::outline;
use super::text::read_text;
use crate::sinks::SinkKind;

/// What stands in the place of a secret.
pub const MASK: &str = "********";

/// Schemas of the tables: the same in every file.
static SCHEMA: LazyLock<Value> = LazyLock::new(schema);

/// A configuration with its defaults and without its secrets. `Display` writes it as TOML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownConfig {
    /// The file it was read from.
    pub file: PathBuf,
    /// In the order of the documents; the sinks come last, an entry each.
    pub tables: Vec<ShownTable>,
    /// Of the file's text.
    #[serde(skip)]
    digest: [u8; 32],
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownTable {
    /// Its name; `sinks` for each entry of `[[sinks]]`.
    pub table: String,
    /// All that it may have; empty for a table that is optional and not in the file.
    pub keys: Vec<ShownKey>,
    /// What holds for an optional table that is not in the file.
    pub unset: Option<String>,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownKey {
    /// Its name.
    pub key: String,
    /// As the file has it, secrets aside, or by default; `None` where it is not set.
    pub value: Option<Value>,
    /// The line of the file that sets it, from 1 on; `None` where none does.
    pub line: Option<usize>,
    /// What holds where it is not set.
    pub unset: Option<String>,
}

/// What a daemon answers that is asked for its configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfigInForce {
    /// The configuration.
    #[serde(flatten)]
    pub config: ShownConfig,
    /// Whether its file says something else by now; `None` where the daemon cannot read it.
    pub has_changed: Option<bool>,
}

impl ShownConfig {
    /// That of a text without mistakes.
    pub(super) fn of(text: &str, file: &Path) -> Self {
        let root = DeTable::parse(text).map(Spanned::into_inner).unwrap_or_default();
        let mut tables = Vec::new();
        for (name, keys) in outline() {
            let written = root.get(name).map(Spanned::get_ref);
            if let Some(DeValue::Array(entries)) = written {
                let entries = entries.iter().filter_map(|entry| entry.get_ref().as_table());
                tables.extend(entries.map(|entry| sink(text, keys, entry)));
                continue;
            }
            let schema = &SCHEMA["properties"][name];
            let unset = schema["x-unset"].as_str().filter(|_| written.is_none());
            let written = written.and_then(DeValue::as_table).cloned().unwrap_or_default();
            let keys = if unset.is_some() { &[] } else { keys };
            tables.push(ShownTable {
                table: name.to_owned(),
                keys: keys.iter().map(|key| shown(text, key, &written, schema)).collect(),
                unset: unset.map(str::to_owned),
            });
        }
        let digest = Sha256::digest(text).into();
        Self { file: file.to_owned(), tables, digest }
    }

    /// Whether the file says something else by now. Blocks on it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn has_changed(&self) -> Result<bool, ConfigErrors> {
        let digest: [u8; 32] = Sha256::digest(read_text(&self.file)?).into();
        Ok(digest != self.digest)
    }
}

fn sink(text: &str, common: &[&str], entry: &DeTable<'_>) -> ShownTable {
    let kind = entry.get("type").and_then(|kind| kind.get_ref().as_str());
    let own = kind.and_then(SinkKind::named).map_or(&[][..], |kind| (kind.keys)());
    let by_kind = SCHEMA["properties"]["sinks"]["items"]["allOf"].as_array();
    let schemas = by_kind.into_iter().flatten().map(|by_kind| &by_kind["then"]);
    let is_of_kind = |schema: &&Value| schema["properties"]["type"]["const"].as_str() == kind;
    let schema = schemas.into_iter().find(is_of_kind).unwrap_or(&Value::Null);
    let keys = common.iter().chain(own).map(|key| shown(text, key, entry, schema));
    ShownTable { table: "sinks".to_owned(), keys: keys.collect(), unset: None }
}

fn shown(text: &str, key: &str, written: &DeTable<'_>, table: &Value) -> ShownKey {
    let schema = &table["properties"][key];
    let (value, line) = match written.get_key_value(key) {
        Some((at, value)) => {
            let line = Location::of(text, at.span().start).line;
            (Some(masked(value.get_ref(), schema)), Some(line))
        }
        // After another sink it gets that one's events.
        None if key == "events" && written.contains_key("after") => (None, None),
        None => (schema.get("default").map(plain), None),
    };
    let unset = schema["x-unset"].as_str().filter(|_| value.is_none());
    ShownKey { key: key.to_owned(), value, line, unset: unset.map(str::to_owned) }
}

/// The value as it is written, without its secrets.
fn masked(value: &DeValue<'_>, schema: &Value) -> Value {
    match value {
        DeValue::String(_) if is_secret(schema) => MASK.into(),
        DeValue::String(url) if schema["format"] == "uri" => masked_url(url).into(),
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => integer(number),
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(is) => (*is).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(values) => {
            values.iter().map(|value| masked(value.get_ref(), &schema["items"])).collect()
        }
        // Of a secret it is the place, and no secret.
        DeValue::Table(entries) => {
            let each = entries.iter().map(|(key, value)| {
                let value = masked(value.get_ref(), &schema["additionalProperties"]);
                (key.get_ref().to_string(), value)
            });
            each.collect::<Map<_, _>>().into()
        }
    }
}

fn is_secret(schema: &Value) -> bool {
    schema["writeOnly"] == true
        || schema["anyOf"].as_array().is_some_and(|choices| choices.iter().any(is_secret))
}

/// User, path and query may be secrets, or hold some.
fn masked_url(url: &str) -> String {
    let Ok(url) = Url::parse(url) else { return MASK.to_owned() };
    let origin = url.origin().ascii_serialization();
    let is_plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let has_user = !url.username().is_empty() || url.password().is_some();
    if is_plain && !has_user { format!("{origin}/") } else { format!("{origin}/{MASK}") }
}

fn integer(number: &DeInteger<'_>) -> Value {
    let (digits, radix) = (number.as_str(), number.radix());
    let signed = i64::from_str_radix(digits, radix).map(Value::from);
    signed.or_else(|_| u64::from_str_radix(digits, radix).map(Value::from)).unwrap_or(json!(digits))
}

/// A default with its unit as one would write it: `16GiB`, not `16.0 GiB`.
fn plain(default: &Value) -> Value {
    match default.as_str() {
        Some(text) if text.ends_with("days") => text.replace("days", "d").into(),
        Some(text) if text.ends_with('B') => text.replace(".0 ", "").into(),
        _ => default.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_a_url_leads_is_shown() {
        for (url, shown) in [
            ("https://example.com", "https://example.com/"),
            ("https://example.com:8443/", "https://example.com:8443/"),
            ("https://example.com/hooks", "https://example.com/********"),
            ("https://me:hunter2@example.com/", "https://example.com/********"),
            ("https://example.com/?key=hunter2", "https://example.com/********"),
            ("hunter2", "********"),
        ] {
            assert_eq!(masked_url(url), shown);
        }
    }
}
