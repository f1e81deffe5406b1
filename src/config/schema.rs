//! The configuration as JSON Schema, for editors and for whoever writes it by program.
//!
//! Every module's settings describe themselves; here they become one file, and the keys of a
//! `[[sinks]]` entry depend on its `type`. It knows each key and each kind of value; what has to
//! hold between keys is for `sprited check`.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::sections::{schema_of, schemas};
use super::sinks::Common;
use crate::sinks::{KINDS, SinkKind};

/// What other documents know this version of it by.
const ID: &str = concat!("urn:sprited:configuration:", env!("CARGO_PKG_VERSION"));

/// The schema, of the draft 2020-12: accepts what the configuration may hold and no unknown key.
#[must_use]
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let generator = &mut settings.into_generator();
    let sink = sink(generator);
    let mut tables = schemas(generator);
    tables.insert(
        "sinks".to_owned(),
        json!({
            "description": "Where events go.",
            "type": "array",
            "minItems": 1,
            "items": sink,
        }),
    );
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "The configuration of sprited",
        "type": "object",
        "properties": tables,
        "required": ["sinks"],
        "additionalProperties": false,
    });
    leave_out_null(&mut schema);
    schema
}

/// An entry, by its `type`: what is wrong with one key is told of that key, not of every kind of sink
/// that the entry is none of.
fn sink(generator: &mut SchemaGenerator) -> Value {
    let by_kind = |kind: &SinkKind| {
        json!({
            "if": { "properties": { "type": { "const": kind.name } }, "required": ["type"] },
            "then": sink_of(generator, kind),
        })
    };
    let all: Vec<Value> = KINDS.iter().map(by_kind).collect();
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    json!({
        "type": "object",
        "properties": { "type": { "enum": names } },
        "required": ["type"],
        "allOf": all,
    })
}

/// An entry of that kind: the keys that every sink has, and its own.
fn sink_of(generator: &mut SchemaGenerator, kind: &SinkKind) -> Value {
    let own = (kind.schema)(generator).to_value();
    let mut entry = schema_of::<Common>(generator);
    for part in ["properties", "required"] {
        match (&mut entry[part], &own[part]) {
            (Value::Object(all), Value::Object(own)) => all.extend(own.clone()),
            (Value::Array(all), Value::Array(own)) => all.extend(own.iter().cloned()),
            _ => {}
        }
    }
    entry["properties"]["type"] = json!({ "const": kind.name, "description": kind.about });
    entry["properties"]["timeout"]["default"] =
        humantime::format_duration(kind.timeout).to_string().into();
    entry["description"] = kind.about.into();
    entry
}

/// TOML has no null: what is not set is left out.
fn leave_out_null(schema: &mut Value) {
    let is_null = |value: &Value| value == "null" || value["type"] == "null";
    match schema {
        Value::Object(members) => {
            if members.get("default").is_some_and(Value::is_null) {
                members.remove("default");
            }
            for choice in ["type", "anyOf"] {
                if let Some(Value::Array(choices)) = members.get_mut(choice) {
                    choices.retain(|value| !is_null(value));
                }
            }
            unwrap_only_choice(members);
            members.values_mut().for_each(leave_out_null);
        }
        Value::Array(values) => values.iter_mut().for_each(leave_out_null),
        _ => {}
    }
}

fn unwrap_only_choice(members: &mut Map<String, Value>) {
    if let Some(Value::Array(choices)) = members.get_mut("type")
        && let [_] = choices.as_slice()
    {
        let only = choices.remove(0);
        members.insert("type".to_owned(), only);
    }
}
