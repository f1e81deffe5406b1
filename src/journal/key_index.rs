//! Leads from an event's key to the event, at a cost that hardly grows with the journal.
//!
//! Keys are hashes. In one large index every fresh one would go to another page, to be read,
//! logged and written back for it alone. So the newest stand in a small index, `new_keys`, whose
//! pages stay in memory. Once that is full they go over to the large one, `keys`, a range of them
//! at a time, many to a page. A key stands in one of the two.

use rusqlite::{Connection, OptionalExtension, params};

use super::{EventId, Result};
use crate::event::Key;

/// Keys in `new_keys`, beyond which some go over: 2 MiB of pages. The more there are, the more of
/// a range share a page.
const MAX_NEW: i64 = 1 << 16;
/// Keys that go over with one commit.
const RANGE: i64 = 512;

/// The index's state in memory, of which nothing has to last.
#[derive(Debug)]
pub(super) struct KeyIndex {
    max_new: i64,
    /// How many keys are in `new_keys`; `None` where that has to be counted.
    new: Option<i64>,
    /// The end of the range that went over last.
    moved: Key,
}

impl Default for KeyIndex {
    fn default() -> Self {
        Self { max_new: MAX_NEW, new: None, moved: Key::from_bytes([0; 16]) }
    }
}

impl KeyIndex {
    /// Has `key` lead to `event`, unless it leads to one already; tells whether it did not.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        key: Key,
        event: EventId,
    ) -> Result<bool> {
        let is_settled = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM keys WHERE key = ?1)")?
            .query_row([key.as_bytes()], |row| row.get::<_, bool>(0))?;
        // In a statement of its own: one that may write several rows keeps the pages as they were.
        let added = !is_settled
            && connection
                .prepare_cached(
                    "INSERT INTO new_keys (key, event) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING",
                )?
                .execute(params![key.as_bytes(), event.0])?
                == 1;
        self.count(i64::from(added));
        Ok(added)
    }

    /// Forgets `key`.
    pub(super) fn remove(&mut self, connection: &Connection, key: Key) -> Result<()> {
        let removed = connection
            .prepare_cached("DELETE FROM new_keys WHERE key = ?1")?
            .execute([key.as_bytes()])?;
        if removed == 0 {
            connection
                .prepare_cached("DELETE FROM keys WHERE key = ?1")?
                .execute([key.as_bytes()])?;
        }
        self.count(-i64::from(removed == 1));
        Ok(())
    }

    /// Moves a range over if there are too many new keys. To be called before each commit.
    pub(super) fn move_over(&mut self, connection: &Connection) -> Result<()> {
        let new = match self.new {
            Some(new) => new,
            None => connection.query_row("SELECT count(*) FROM new_keys", [], |row| row.get(0))?,
        };
        self.new = Some(new);
        if new < self.max_new + RANGE {
            return Ok(());
        }
        let last: Option<[u8; 16]> = connection
            .prepare_cached(
                "SELECT max(key) FROM (SELECT key FROM new_keys WHERE key > ?1
                                       ORDER BY key LIMIT ?2)",
            )?
            .query_row(params![self.moved.as_bytes(), RANGE], |row| row.get(0))?;
        let Some(last) = last else {
            // All of them are before it. The next commit begins with the first.
            self.moved = Key::from_bytes([0; 16]);
            return Ok(());
        };
        let range = params![self.moved.as_bytes(), last];
        let moved = connection
            .prepare_cached(
                "INSERT INTO keys (key, event)
                 SELECT key, event FROM new_keys WHERE key > ?1 AND key <= ?2 ORDER BY key",
            )?
            .execute(range)?;
        connection
            .prepare_cached("DELETE FROM new_keys WHERE key > ?1 AND key <= ?2")?
            .execute(range)?;
        self.count(-i64::try_from(moved).unwrap_or_default());
        self.moved = Key::from_bytes(last);
        Ok(())
    }

    /// What was added or moved in the open transaction was not.
    pub(super) fn rolled_back(&mut self) {
        self.new = None;
    }

    fn count(&mut self, change: i64) {
        self.new = self.new.map(|new| new + change);
    }
}

/// The event that `key` leads to.
pub(super) fn find(connection: &Connection, key: Key) -> Result<Option<EventId>> {
    Ok(connection
        .prepare_cached(
            "SELECT event FROM new_keys WHERE key = ?1
             UNION ALL SELECT event FROM keys WHERE key = ?1",
        )?
        .query_row([key.as_bytes()], |row| row.get(0).map(EventId))
        .optional()?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::journal::schema;

    /// The `number`th key of many that are spread like hashes.
    fn key(number: u64) -> Key {
        Key::from_bytes(
            (u128::from(number) + 1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                .to_be_bytes(),
        )
    }

    fn rows(connection: &Connection, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        connection.query_row(&count, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn each_key_leads_to_its_event_wherever_it_stands_and_whatever_was_rolled_back() {
        let folder = tempfile::tempdir().unwrap();
        let connection = schema::open(&folder.path().join("journal.db")).unwrap();
        let max_new = 700;
        let mut index = KeyIndex { max_new, ..KeyIndex::default() };
        let mut there = HashMap::new();
        let mut next = 0_u64;
        for commit in 0..200 {
            connection.execute_batch("BEGIN").unwrap();
            let mut after = there.clone();
            for _ in 0..100 {
                next += 1;
                let event = EventId(next.cast_signed());
                assert!(index.add(&connection, key(next), event).unwrap());
                after.insert(next, event);
            }
            for known in after.keys().step_by(97) {
                assert!(!index.add(&connection, key(*known), EventId(0)).unwrap(), "{known}");
            }
            // From one index and from the other.
            for gone in [next - 50, next / 2, next / 3] {
                index.remove(&connection, key(gone)).unwrap();
                after.remove(&gone);
            }
            index.move_over(&connection).unwrap();
            if commit % 7 == 3 {
                connection.execute_batch("ROLLBACK").unwrap();
                index.rolled_back();
            } else {
                connection.execute_batch("COMMIT").unwrap();
                there = after;
            }
            let (new, old) = (rows(&connection, "new_keys"), rows(&connection, "keys"));
            assert_eq!(new + old, i64::try_from(there.len()).unwrap());
            assert!(index.new.is_none_or(|counted| counted == new), "{index:?}, {new}");
            assert!(new < max_new + RANGE + 200, "{new}");
        }
        for number in 1..=next {
            let found = find(&connection, key(number)).unwrap();
            assert_eq!(found.as_ref(), there.get(&number), "{number}");
        }
        assert!(rows(&connection, "keys") > 10_000);
    }

    #[test]
    fn a_range_goes_to_few_pages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let connection = schema::open(&path).unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        let mut index = KeyIndex { max_new: 20_000, ..KeyIndex::default() };
        let mut next = 0_u64;
        let mut add = |count| {
            connection.execute_batch("BEGIN").unwrap();
            for _ in 0..count {
                next += 1;
                index.add(&connection, key(next), EventId(next.cast_signed())).unwrap();
            }
            index.move_over(&connection).unwrap();
            connection.execute_batch("COMMIT").unwrap();
        };
        (0..160).for_each(|_| add(RANGE));
        // The 60,000 that went over have some 500 pages; a range is a fortieth of the new ones.
        let logged = || std::fs::metadata(path.with_extension("db-wal")).unwrap().len() / 4096;
        let before = logged();
        add(1);
        let range = RANGE.cast_unsigned();
        assert!(logged() - before < range / 8, "{}", logged() - before);
    }
}
