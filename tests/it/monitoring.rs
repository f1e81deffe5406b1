//! The metrics' documentation, the alert rules and the dashboard name what is exported.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sprited::metrics::{MetricEntry, Metrics, Times};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

fn entries() -> Vec<MetricEntry> {
    Metrics::new(&Times::new([1.0])).entries().to_vec()
}

/// The rows of the table: name, kind, labels, meaning.
fn rows() -> Vec<[String; 4]> {
    let text = text("docs/metrics.md");
    let (table, _) = text.split_once("## Labels").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>().try_into().expect(row)
    })
    .collect()
}

#[test]
fn the_table_of_metrics_is_what_is_exported() {
    let table: Vec<_> =
        rows().into_iter().map(|[name, kind, _, meaning]| (name, kind, meaning)).collect();
    let exported: Vec<_> = entries()
        .into_iter()
        .map(|MetricEntry { name, kind, help }| {
            (format!("`{name}`"), kind.to_owned(), help.to_owned())
        })
        .collect();
    assert_eq!(table, exported);
}

/// Every series that the table has, and the labels of each.
pub(crate) fn series() -> Vec<(String, BTreeSet<String>)> {
    rows()
        .into_iter()
        .flat_map(|[name, kind, labels, _]| {
            let name = name.trim_matches('`').to_owned();
            let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            let endings: &[&str] =
                if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            let series = |ending: &&str| {
                let mut labels: BTreeSet<String> = BTreeSet::clone(&labels);
                labels.extend((*ending == "_bucket").then(|| "le".to_owned()));
                (format!("{name}{ending}"), labels)
            };
            endings.iter().map(series).collect::<Vec<_>>()
        })
        .collect()
}

/// The names in a PromQL expression that only a metric of ours can have, with what stands in the
/// braces behind each: matchers such as `sink="a"`.
fn named(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut rest = expression;
    let mut found = Vec::new();
    while let Some(start) = rest.find(is_word) {
        let word: String = rest[start..].chars().take_while(|c| is_word(*c)).collect();
        rest = &rest[start + word.len()..];
        if !word.starts_with("sprited_") && !word.starts_with("process_") {
            continue;
        }
        let mut matchers = Vec::new();
        if let Some(braces) = rest.strip_prefix('{') {
            let (inside, behind) = braces.split_once('}').expect(expression);
            rest = behind;
            matchers = inside.split(',').map(|matcher| matcher.trim().to_owned()).collect();
        }
        found.push((word, matchers));
    }
    found
}

#[track_caller]
fn assert_exported(expressions: &[String]) {
    let series = series();
    let mut count = 0;
    for expression in expressions {
        for (name, matchers) in named(expression) {
            count += 1;
            let known = series.iter().find(|(known, _)| *known == name);
            let (_, known) = known.unwrap_or_else(|| panic!("no metric is called {name}"));
            for matcher in matchers {
                let label = matcher.split(['=', '!']).next().unwrap();
                let target = ["job", "instance"].contains(&label);
                assert!(target || known.contains(label), "{name} has no label {label}");
            }
        }
    }
    assert!(count >= expressions.len(), "{expressions:?}");
}

/// The expression of each alert.
fn alerts() -> Vec<String> {
    let rules = text("monitoring/alerts.yml");
    let lines: Vec<_> = rules.lines().map(str::trim).collect();
    let alerts = lines.iter().filter(|line| line.starts_with("- alert:")).count();
    let mut expressions = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(expression) = line.strip_prefix("expr:") else { continue };
        // A folded block goes on to the next key.
        let folded = lines[at + 1..].iter().take_while(|_| expression.trim() == ">-");
        let more = folded.take_while(|line| !line.starts_with("for:") && !line.ends_with(':'));
        expressions.push(more.fold(expression.to_owned(), |all, line| all + " " + line));
    }
    assert!(alerts >= 10 && expressions.len() == alerts, "{alerts} alerts, {expressions:#?}");
    expressions
}

/// The counters that alerts look at, each with its matchers.
pub(crate) fn counted() -> Vec<(String, Vec<String>)> {
    let watched = alerts().into_iter().flat_map(|expression| named(&expression));
    let counted: Vec<_> = watched.filter(|(name, _)| name.ends_with("_total")).collect();
    assert!(counted.len() >= 5, "{counted:?}");
    counted
}

#[test]
fn the_alert_rules_name_what_there_is() {
    assert_exported(&alerts());
    // What an alert says can be looked up.
    let help = text("docs/metrics.md");
    for line in text("monitoring/alerts.yml").lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            assert!(help.contains(&format!("`{name}`")), "docs/metrics.md does not name {name}");
        }
    }
}

#[test]
fn the_dashboard_names_what_there_is() {
    fn expressions(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match (name.as_str(), value) {
                        ("expr" | "query" | "definition", Value::String(text))
                            if text.contains('(') =>
                        {
                            found.push(text.clone());
                        }
                        _ => expressions(value, found),
                    }
                }
            }
            Value::Array(elements) => {
                elements.iter().for_each(|element| expressions(element, found));
            }
            _ => {}
        }
    }
    let dashboard: Value = serde_json::from_str(&text("monitoring/dashboard.json")).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    assert!(found.len() >= 15, "{found:#?}");
    assert_exported(&found);
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        let has_words = panel["title"].as_str().is_some_and(|title| !title.is_empty());
        let is_row = panel["type"] == "row";
        assert!(has_words && (is_row || panel["description"].is_string()), "{panel}");
    }
}

#[test]
fn a_name_that_does_not_exist_is_found_out() {
    let expression = r#"sum by (sink) (rate(sprited_no_such_total{sink=~"a|b", job="x"}[5m])) > 0"#;
    let matchers = vec![r#"sink=~"a|b""#.to_owned(), r#"job="x""#.to_owned()];
    assert_eq!(named(expression), [("sprited_no_such_total".to_owned(), matchers)]);
    assert!(std::panic::catch_unwind(|| assert_exported(&[expression.to_owned()])).is_err());
    let label = r#"sprited_sink_up{type="x"}"#.to_owned();
    assert!(std::panic::catch_unwind(move || assert_exported(&[label])).is_err());
}
