//! What the documents say of speed is what the raw run has.

use std::collections::BTreeMap;
use std::fs;

use super::root;
use super::tables::table;

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// Events a second, CPU seconds per 1,000 events, peak in MiB.
type Figures = [f64; 3];

/// Of each scenario and client.
fn raw() -> BTreeMap<(String, String), Figures> {
    let text = text("docs/performance.md");
    let (_, run) = text.split_once("## The raw run").unwrap();
    let (_, run) = run.split_once("```text\n").unwrap();
    let run = run.split("```").next().unwrap();
    let clients = ["sprited", "floor", "durable floor", "Python SDK loop"];
    let mut all = BTreeMap::new();
    let mut scenario = "";
    for line in run.lines() {
        if !line.starts_with(' ') {
            scenario = line.split(':').next().unwrap();
        }
        for client in clients {
            let Some(rest) = line.strip_prefix(&format!(" {client} ")) else { continue };
            let numbers = rest.split_whitespace().map(str::parse::<f64>);
            // Another name goes on here.
            let Ok(numbers) = numbers.take(4).collect::<Result<Vec<_>, _>>() else { continue };
            let figures = [numbers[1], numbers[2], numbers[3]];
            all.insert((scenario.to_owned(), client.to_owned()), figures);
        }
    }
    assert!(all.len() >= 20, "{all:?}");
    all
}

/// Whether the text begins with the number, rounded to as many digits as it has.
fn is_said(cell: &str, number: f64) -> bool {
    let plain = cell.replace(['*', ','], "");
    let digits = plain.split(' ').next().unwrap();
    let places = digits.split_once('.').map_or(0, |(_, places)| places.len());
    let said: f64 = digits.parse().unwrap_or_else(|_| panic!("{cell:?}"));
    (said - number).abs() <= 0.5 * 0.1_f64.powi(i32::try_from(places).unwrap()) + 1e-9
}

fn hold(document: &str, cells: &[String], figures: Figures) {
    assert_eq!(cells.len(), 3, "{document}: {cells:?}");
    for (cell, number) in cells.iter().zip(figures) {
        assert!(is_said(cell, number), "{document}: {cell:?} of {cells:?} is {number} in the run");
    }
}

#[test]
fn the_tables_of_speed_are_those_of_the_run() {
    let raw = raw();
    let of = |scenario: &str, client: &str| raw[&(scenario.to_owned(), client.to_owned())];
    let rows = table(&text("README.md"), "Scenario");
    let which = [
        ("limit-40ms", "sprited"),
        ("limit-150ms", "sprited"),
        ("jitter", "sprited"),
        ("million", "sprited"),
        ("limit-40ms", "Python SDK loop"),
    ];
    assert_eq!(rows.len(), which.len());
    for (row, (scenario, client)) in rows.iter().zip(which) {
        hold("README.md", &row[1..], of(scenario, client));
    }

    let rows = table(&text("docs/performance.md"), "Scenario");
    let scenarios = ["limit-40ms", "limit-150ms", "jitter", "throttled", "unlimited", "million"];
    let mut scenarios = scenarios.iter();
    let mut scenario = "";
    for row in &rows {
        if !row[0].is_empty() {
            scenario = scenarios.next().unwrap();
        }
        let client = if row[1] == "Python loop" { "Python SDK loop" } else { &row[1] };
        hold("docs/performance.md", &row[2..], of(scenario, client));
    }
    assert_eq!(scenarios.next(), None);
    assert_eq!(rows.len(), 21);
}
