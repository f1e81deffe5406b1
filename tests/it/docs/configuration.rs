//! `docs/configuration.md` has every key, and the default of each is the program's.

use std::collections::BTreeSet;
use std::path::Path;

use sprited::config::{self, Config};
use sprited::sinks::KINDS;

use super::code::corpus;
use super::root;
use super::tables::table;
use crate::config::shown;

/// Keys of `[credentials]` that stand for themselves until a role is assumed: what the program takes
/// for one that is left out is no part of the configuration.
const LATER: [&str; 3] = ["role_session_name", "role_duration", "sts_endpoint"];

/// Key, default, meaning.
type Row = [String; 3];

/// The rows under the heading.
fn rows(heading: &str) -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let (_, part) = text.split_once(&format!("\n{heading}\n")).expect(heading);
    let part = part.split("\n#").next().unwrap();
    let rows = table(part, "Key");
    rows.into_iter().map(|row| row.try_into().expect(heading)).collect()
}

fn plain(code: &str) -> Option<&str> {
    code.strip_prefix('`')?.strip_suffix('`')
}

/// What the example shows for the key in that part of it, which may be a comment there.
fn exemplary(part: &str, key: &str) -> String {
    let text = shown();
    let (_, rest) = text.split_once(part).expect(part);
    let rest = rest.split("\n[").next().unwrap();
    let mut lines = rest.lines().filter_map(|line| line.split_once(" = "));
    let found = lines.find(|(found, _)| *found == key);
    found.unwrap_or_else(|| panic!("{key} of {part} is not in the example")).1.to_owned()
}

fn parsed(text: &str) -> Option<String> {
    let loaded = Config::parse(text, Path::new("sprited.toml")).ok()?;
    Some(format!("{:#?}", loaded.config))
}

/// Holds a default against the program: `without` is a configuration without the key, to which the
/// line with the key can be added.
fn hold(what: &str, part: &str, row: &Row, without: &str) {
    let [key, default, meaning] = row;
    assert!(!meaning.is_empty(), "{what}");
    let key = plain(key).unwrap_or_else(|| panic!("{what}"));
    let example = exemplary(part, key);
    let absent = parsed(without);
    match default.as_str() {
        "required" => assert!(absent.is_none(), "{what} may be left out"),
        "none" => {
            let other = parsed(&format!("{without}{key} = {example}\n"));
            assert!(absent.is_some() && other.is_some(), "{what} cannot be set to {example}");
            assert_ne!(absent, other, "{what} has the default {example}");
        }
        code => {
            let value = plain(code).unwrap_or_else(|| panic!("{what}: {code}"));
            assert_eq!(value, example, "{what} is another in the example");
            if LATER.contains(&key) {
                let literal = value.trim_matches('"');
                assert!(
                    literal == "2h" || corpus().contains(&format!("= \"{literal}\"")),
                    "{what}"
                );
                return;
            }
            let set = parsed(&format!("{without}{key} = {value}\n"));
            assert!(absent.is_some() && set.is_some(), "{what} cannot be {value}");
            assert_eq!(absent, set, "{what}: {value} is not the default");
        }
    }
}

fn time(duration: std::time::Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn names(rows: &[Row]) -> BTreeSet<String> {
    let names: BTreeSet<_> = rows.iter().map(|row| plain(&row[0]).unwrap().to_owned()).collect();
    assert_eq!(names.len(), rows.len(), "{rows:?}");
    names
}

fn set(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn every_key_of_a_table_is_there_with_its_default() {
    let sink = "[[sinks]]\nname = 'a'\ntype = 'stdout'\n";
    for (table, keys) in config::outline().into_iter().filter(|(table, _)| *table != "sinks") {
        let rows = rows(&format!("## [{table}]"));
        assert_eq!(names(&rows), set(keys), "[{table}]");
        for row in &rows {
            let key = plain(&row[0]).unwrap();
            // A key by itself means nothing there.
            let others = match (table, key) {
                ("credentials", "secret_id") => "secret_key = 'b'\n",
                ("credentials", "secret_key") => "secret_id = 'a'\n",
                ("credentials", _) => "secret_id = 'a'\nsecret_key = 'b'\n",
                ("receive", "token") => "",
                ("receive", "previous_sign_key") => {
                    "token = 'a-token-of-some-length'\nsign_key = 'a'\n"
                }
                ("receive", _) => "token = 'a-token-of-some-length'\n",
                _ => "",
            };
            if table == "credentials" && others.lines().count() == 1 {
                // Both or neither.
                assert_eq!(row[1], "none", "{key}");
                assert!(parsed(&format!("{sink}[{table}]\n{others}")).is_none(), "{key}");
                continue;
            }
            let without = format!("{sink}[{table}]\n{others}");
            hold(&format!("[{table}] {key}"), &format!("[{table}]\n"), row, &without);
        }
    }
}

#[test]
fn every_key_of_a_sink_is_there_with_its_default() {
    let outline = config::outline();
    let (_, common) = outline.iter().find(|(table, _)| *table == "sinks").unwrap();
    let common_rows = rows("## [[sinks]]");
    assert_eq!(names(&common_rows), set(common));
    // The sink that another one comes after.
    let named = exemplary("[[sinks]]\n", "after");
    let before = format!("[[sinks]]\nname = {named}\ntype = 'exec'\ncommand = ['/a']\n");
    for kind in KINDS {
        let named = format!("type = \"{}\"\n", kind.name);
        let own = (kind.keys)();
        let own_rows =
            if own.is_empty() { Vec::new() } else { rows(&format!("### {}", kind.name)) };
        assert_eq!(names(&own_rows), set(own), "{}", kind.name);
        let required: Vec<_> = common_rows
            .iter()
            .chain(&own_rows)
            .filter(|row| row[1] == "required")
            .map(|row| plain(&row[0]).unwrap().to_owned())
            .collect();
        let value = |key: &str| match key {
            "name" => "'a'".to_owned(),
            "type" => format!("'{}'", kind.name),
            "after" => exemplary("[[sinks]]\n", key),
            key => exemplary(&named, key),
        };
        for row in common_rows.iter().chain(&own_rows) {
            let key = plain(&row[0]).unwrap();
            let others = required.iter().map(String::as_str).filter(|other| *other != key);
            // Keys that have no effect without another.
            let others = others.chain(match key {
                "keep" => Some("rotate_size"),
                "on" => Some("after"),
                "previous_secret" => Some("secret"),
                _ => None,
            });
            let lines: Vec<_> =
                others.map(|other| format!("{other} = {}\n", value(other))).collect();
            let without = format!("{before}[[sinks]]\n{}", lines.concat());
            // What all sinks have is shown for the first one, which is of another kind perhaps.
            let part = if own.contains(&key) { named.clone() } else { "[[sinks]]\n".to_owned() };
            if key == "timeout" && row[1] != format!("`\"{}\"`", time(kind.timeout)) {
                let own =
                    format!("For a `{}` the default is `\"{}\"`", kind.name, time(kind.timeout));
                assert!(row[2].contains(&own), "{own}");
                let set = parsed(&format!("{without}timeout = '{}'\n", time(kind.timeout)));
                assert_eq!(parsed(&without), set, "{}", kind.name);
                continue;
            }
            hold(&format!("{} {key}", kind.name), &part, row, &without);
        }
    }
    let text = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    for kind in KINDS {
        assert!(text.contains(&format!("\n### {}\n", kind.name)), "{}", kind.name);
    }
}

#[test]
fn a_journal_may_be_as_small_as_it_says() {
    let journal = |size: u64| {
        parsed(&format!("[journal]\nmax_size = {size}\n[[sinks]]\nname = 'a'\ntype = 'stdout'\n"))
    };
    let text = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let (_, said) = text.split_once("log; at least ").unwrap();
    let (number, _) = said.split_once(" MiB.").unwrap();
    let least = number.parse::<u64>().unwrap() << 20;
    assert!(journal(least).is_some() && journal(least - 1).is_none(), "{least}");
}
