//! The page of who is trusted with what: each of its lines names the tests that hold it.

use std::fs;
use std::path::Path;

use super::root;

/// The last cell of each row of the tables in `SECURITY.md` that say what tests hold.
pub(super) fn held_by() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let mut rows = Vec::new();
    let mut is_table = false;
    for line in text.lines() {
        match line.strip_prefix('|') {
            Some(row) if row.trim_end().ends_with("held by |") => {
                assert!(row.starts_with(' '), "{row}");
                is_table = true;
            }
            Some(row) if is_table && !row.starts_with("---") => {
                let cells: Vec<_> = row.trim_end_matches('|').split('|').collect();
                let names = cells.last().unwrap().split('`').skip(1).step_by(2);
                rows.push((cells[0].trim().to_owned(), names.map(str::to_owned).collect()));
            }
            Some(_) => {}
            None => is_table = false,
        }
    }
    rows
}

/// The functions below `folder` that are tests.
fn tests_below(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                let function = line.trim_start_matches("async ").strip_prefix("fn ");
                if let Some(name) = function.and_then(|rest| rest.split('(').next())
                    && is_test
                {
                    found.push(name.to_owned());
                }
                is_test = line.starts_with("#[")
                    && (is_test
                        || line.starts_with("#[test]")
                        || line.starts_with("#[tokio::test"));
            }
        }
    }
}

#[test]
fn every_line_of_who_is_trusted_names_tests_that_exist() {
    let mut tests = Vec::new();
    tests_below(&root().join("tests"), &mut tests);
    tests_below(&root().join("src"), &mut tests);
    tests_below(&root().join("crates"), &mut tests);
    assert!(tests.len() > 400, "{}", tests.len());
    let rows = held_by();
    assert!(rows.len() >= 20, "{}", rows.len());
    for (line, names) in rows {
        assert!(!names.is_empty(), "no test holds: {line}");
        for name in names {
            assert!(tests.contains(&name), "there is no test {name}, which is to hold: {line}");
        }
    }
}
