//! How a journal of an earlier version gets the tables of this one.

use rusqlite::Connection;

use super::schema::{
    EVENTS, FAILURES, FOLLOWING, KEYS_COMPLETE, OCCURRENCES, PAUSED, POSTED, RECONCILED, REJECTED,
    VERSION,
};

/// A journal of version 1 had an index over the keys of all events, and may have been made
/// without `confirming`.
const RENAME_1: &str = "ALTER TABLE events RENAME TO events_1;";
const MOVE_1: &str = "
INSERT INTO events SELECT *, 0 FROM events_1;
INSERT INTO keys SELECT key, id FROM events_1 ORDER BY key;
DROP TABLE events_1;
CREATE TABLE IF NOT EXISTS confirming (event INTEGER PRIMARY KEY, at INTEGER NOT NULL);
";

/// A journal of version 2 had the keys of the newest events in a table of their own.
const MOVE_2: &str = "
INSERT INTO keys SELECT key, event FROM new_keys ORDER BY key;
DROP TABLE new_keys;
";

// A journal of version 3 has bodies that are compressed without a dictionary, and may keep them.

/// A journal of version 4 distinguished equal events by the time since its confirmation, and
/// knew of each content the newest. The handles of its events are not known: one that is open takes
/// the next that comes. None is open that no sink has to take any more: an answer that a handle was
/// refused took the record of the confirmation back, also where others had been taken.
const RENAME_4: &str = "ALTER TABLE occurrences RENAME TO occurrences_4;";
const MOVE_4: &str = "
INSERT INTO occurrences
  SELECT id, ifnull((SELECT old.key FROM occurrences_4 AS old WHERE old.event = events.id), key),
         NULL,
         EXISTS (SELECT 1 FROM pending JOIN sinks ON sinks.id = pending.sink
                 WHERE pending.event = events.id AND active)
           AND NOT EXISTS (SELECT 1 FROM confirmations WHERE confirmations.event = events.id)
           AND NOT EXISTS (SELECT 1 FROM confirming WHERE confirming.event = events.id)
  FROM events WHERE task_id IS NULL AND NOT (type = 'NewFileUpload' AND file_id IS NOT NULL);
DROP TABLE occurrences_4;
DROP TABLE confirming;
ALTER TABLE pending ADD COLUMN request INTEGER NOT NULL DEFAULT 0;
";

/// A journal of version 5 had only events that were pulled.
const ADD_ORIGIN: &str = "ALTER TABLE events ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;";

/// A journal of version 6 had of each event that has failed the first and the last attempt. Of dead
/// letters, of which there may be very many, the last one is taken over.
const MOVE_6: &str = "
INSERT INTO attempts
  SELECT event, sink, 1, first_failed, 0, ifnull(first_error, '') FROM pending WHERE attempts > 0
  UNION ALL SELECT event, sink, 1, at, 0, last_error FROM dead;
INSERT INTO attempts
  SELECT event, sink, 2, last_failed, 0, nullif(last_error, first_error)
    FROM pending WHERE attempts > 1;
";

/// Gives a journal of an earlier version the tables of this one, at once or not at all.
pub(super) fn migrate(connection: &Connection, version: i32) -> rusqlite::Result<()> {
    tracing::info!(from = version, to = VERSION, "migrating the journal");
    let to_3 = match version {
        1 => format!("{RENAME_1} {EVENTS} {MOVE_1} {KEYS_COMPLETE}"),
        2 => format!("{MOVE_2} {KEYS_COMPLETE} {ADD_ORIGIN}"),
        3..=5 => ADD_ORIGIN.to_owned(),
        _ => String::new(),
    };
    let to_5 = match version {
        ..=4 => format!("{RENAME_4} {OCCURRENCES} {MOVE_4} {REJECTED}"),
        _ => String::new(),
    };
    let to_6 = match version {
        ..=5 => format!("{POSTED} {RECONCILED}"),
        _ => String::new(),
    };
    let to_7 = match version {
        ..=6 => format!("{FAILURES} {MOVE_6}"),
        _ => String::new(),
    };
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {to_3} {to_5} {to_6} {to_7} {PAUSED} {FOLLOWING} \
         PRAGMA user_version = {VERSION}; COMMIT;"
    ))?;
    tracing::info!("journal migrated");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::journal::sqlite::open::open;

    /// The samples have no event that failed twice.
    #[test]
    fn of_version_6_the_first_and_the_last_failure_become_attempts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.db");
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/journals");
        std::fs::copy(samples.join("before-0.2.0-version-6.db"), &path).unwrap();
        let old = Connection::open(&path).unwrap();
        old.execute_batch(
            "UPDATE pending SET attempts = 5, first_failed = 1, last_failed = 9,
               first_error = 'one', last_error = 'two' WHERE sink = 2 AND event = 1;
             UPDATE pending SET due = 5, attempts = 2, first_failed = 2, last_failed = 8,
               first_error = 'same', last_error = 'same' WHERE sink = 2 AND event = 3;
             UPDATE dead SET attempts = 3, first_failed = 3, at = 7, first_error = 'one',
               last_error = 'two';",
        )
        .unwrap();
        drop(old);
        let new = open(&path).unwrap();
        let sql = "SELECT event, sink, number, at, error FROM attempts ORDER BY event, number";
        let mut select = new.prepare(sql).unwrap();
        let rows = select.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        });
        let rows: Vec<(i64, i64, i64, i64, Option<String>)> =
            rows.unwrap().map(Result::unwrap).collect();
        let error = |error: &str| Some(error.to_owned());
        assert_eq!(
            rows,
            [
                (1, 2, 1, 1, error("one")),
                (1, 2, 2, 9, error("two")),
                (3, 2, 1, 2, error("same")),
                (3, 2, 2, 8, None),
                // Its first failure stays in its own row.
                (4, 3, 1, 7, error("two")),
            ]
        );
    }
}
