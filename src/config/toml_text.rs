//! The configuration in force as TOML that can be read back, each value with the place it has it
//! from.

use std::fmt;

use serde_json::Value;

use super::show::{ShownConfig, ShownKey, ShownTable};
use crate::sanitize::{is_invisible, one_line};

/// Characters of the assignments that comments are lined up beside at most.
const MAX_COLUMN: usize = 56;

impl fmt::Display for ShownConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = one_line(&self.file.display().to_string());
        write!(f, "# {file}, with defaults and without secrets")?;
        let mut keys = self.tables.iter().flat_map(|table| &table.keys);
        let has_command = keys.any(|shown| shown.key == "command" && shown.value.is_some());
        f.write_str(if has_command { "; a `command` is shown as it is\n" } else { "\n" })?;
        self.tables.iter().try_for_each(|table| write!(f, "\n{table}"))
    }
}

impl fmt::Display for ShownTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, keys, unset } = self;
        if let Some(unset) = unset {
            return writeln!(f, "# [{table}] is not set: {unset}");
        }
        if table == "sinks" { writeln!(f, "[[{table}]]") } else { writeln!(f, "[{table}]") }?;
        let lines: Vec<_> = keys.iter().map(|key| (assignment(key), origin(key))).collect();
        let widths = lines.iter().map(|(assignment, _)| assignment.chars().count());
        let width = widths.filter(|width| *width <= MAX_COLUMN).max().unwrap_or(0);
        lines.iter().try_for_each(|(assignment, origin)| {
            writeln!(f, "{}", format!("{assignment:width$}  # {origin}").trim_start())
        })
    }
}

/// Nothing of a key that is not set: the comment says it.
fn assignment(key: &ShownKey) -> String {
    key.value.as_ref().map_or_else(String::new, |value| format!("{} = {}", key.key, toml(value)))
}

fn origin(ShownKey { key, value, line, unset }: &ShownKey) -> String {
    match (value, line, unset) {
        (Some(_), Some(line), _) => format!("line {line}"),
        (Some(_), None, _) => "default".to_owned(),
        (None, _, Some(unset)) => format!("{key} is not set: {unset}"),
        (None, _, None) => format!("{key} is not set"),
    }
}

/// On one line.
fn toml(value: &Value) -> String {
    let listed = |values: Vec<String>| values.join(", ");
    match value {
        Value::String(text) => quoted(text),
        Value::Array(values) => format!("[{}]", listed(values.iter().map(toml).collect())),
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let each =
                entries.iter().map(|(key, value)| format!("{} = {}", name(key), toml(value)));
            format!("{{ {} }}", listed(each.collect()))
        }
        plain => plain.to_string(),
    }
}

fn name(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { quoted(key) }
}

/// What a terminal would obey or hide is escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_invisible(c) => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_can_be_read_back() {
        let value = json!({
            "text": "a \"b\" \\ \n\t\u{1b}[31m \u{202e} \u{e0041} 字",
            "names": ["x", 1, true],
            "a b.c": { "x-y": "", "none": {} },
        });
        let text = format!("value = {}", toml(&value));
        let back: Value = ::toml::from_str(&text).unwrap();
        assert_eq!(back["value"], value);
        assert!(!text.chars().any(is_invisible), "{text:?}");
    }
}
