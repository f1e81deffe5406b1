//! `docs/architecture.md` has every table of the journal with its columns, and every queue.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use sprited::journal::{Journal, JournalSettings};

use super::root;
use super::tables::table;

fn text() -> String {
    fs::read_to_string(root().join("docs/architecture.md")).unwrap()
}

/// The columns of each table, in their order.
type Tables = BTreeMap<String, Vec<String>>;

fn of_a_new_journal() -> Tables {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        JournalSettings { path: folder.path().join("journal.db"), ..JournalSettings::default() };
    let (journal, _closing) = Journal::open(&settings).unwrap();
    let connection = Connection::open(&settings.path).unwrap();
    let column = |sql: &str| -> Vec<String> {
        let mut select = connection.prepare(sql).unwrap();
        let names = select.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    };
    let tables = column("SELECT name FROM sqlite_master WHERE type = 'table'");
    drop(journal);
    tables
        .into_iter()
        .map(|table| {
            let columns = column(&format!("SELECT name FROM pragma_table_info('{table}')"));
            (table, columns)
        })
        .collect()
}

#[test]
fn the_tables_of_the_journal_are_those_of_a_new_one() {
    let text = text();
    let parts = text.split("\n### Table ").skip(1);
    let documented: Tables = parts
        .map(|part| {
            let (name, rest) = part.split_once('\n').unwrap();
            let rest = rest.split("\n#").next().unwrap();
            let rows = table(rest, "Column");
            let columns = rows.into_iter().map(|row| {
                assert!(row.len() == 2 && row[1].ends_with('.'), "{name}: {row:?}");
                row[0].trim_matches('`').to_owned()
            });
            (name.to_owned(), columns.collect())
        })
        .collect();
    assert_eq!(documented, of_a_new_journal());
}

/// The files below `src` that make a queue outside their tests, and how many each makes.
fn queues(folder: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            queues(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let production = text.split("#[cfg(test)]").next().unwrap();
        let made =
            ["mpsc::channel(", "= sync_channel(", "unbounded_channel(", "broadcast::channel("];
        let count = made.iter().map(|made| production.matches(made).count()).sum();
        if count > 0 && !path.ends_with("tests.rs") {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            found.insert(name, count);
        }
    }
}

#[test]
fn every_queue_has_a_row() {
    let mut made = BTreeMap::new();
    queues(&root().join("src"), &mut made);
    assert!(made.len() >= 3, "{made:?}");
    let mut documented = BTreeMap::new();
    for row in table(&text(), "From") {
        if let Some(file) = row[2].strip_prefix("queue, ") {
            assert!(row[3].starts_with(|c: char| c.is_ascii_digit()), "no bound: {row:?}");
            *documented.entry(file.trim_matches('`').to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!(documented, made);
}
