//! Leads from an event's key to the event, at a cost that hardly grows with the journal.
//!
//! Keys are hashes. Written to an index at once, each would go to a page of its own, to be read,
//! logged and written back for it alone. So the keys of the newest events are kept in memory, from
//! where they go over to the index, the table `keys`, a range of them at a time, many to a page.
//! Round by round the ranges pass over all keys there are. After a round, every event that was
//! there when it began has its key in `keys`, which is recorded in `keys_complete`; of the events
//! since then they are read before the first use, which is after the daemon is ready.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use rusqlite::{Connection, OptionalExtension, params};

use crate::event::Key;
use crate::journal::error::Result;
use crate::journal::types::EventId;

/// Keys in memory, beyond which some go over: 1 MiB or so. The more there are, the more of a range
/// share a page, and the more events a start has to read: up to four times as many.
const MAX_NEW: usize = 1 << 15;
/// Keys that go over together.
const RANGE: usize = 512;

#[derive(Debug)]
pub(super) struct KeyIndex {
    max_new: usize,
    is_read: bool,
    /// Once it is read, every key that is not in `keys`, and after a start some that are.
    new: BTreeMap<Key, EventId>,
    round: Round,
    /// As it was before the open transaction.
    committed: Round,
    /// Each change of `new` in the open transaction: the key, and what it led to before.
    changes: Vec<(Key, Option<EventId>)>,
}

/// One pass over all keys.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// The event that was next to be stored when it began.
    began_at: EventId,
    /// The last key that went over.
    moved: Option<Key>,
}

impl KeyIndex {
    /// `next` is the event that will be stored next.
    pub(super) fn open(connection: &Connection, next: EventId) -> rusqlite::Result<Self> {
        // Ids begin at one again where every event was pruned.
        connection.execute("UPDATE keys_complete SET before = ?1 WHERE before > ?1", [next.0])?;
        let round = Round { began_at: next, moved: None };
        Ok(Self {
            max_new: MAX_NEW,
            is_read: false,
            new: BTreeMap::new(),
            round,
            committed: round,
            changes: Vec::new(),
        })
    }

    /// Reads the keys that may not be in `keys`, unless that was done. To be called before a
    /// transaction takes events away, which may be rolled back.
    pub(super) fn read(&mut self, connection: &Connection) -> Result<()> {
        if self.is_read {
            return Ok(());
        }
        let mut select = connection.prepare(
            "SELECT key, id FROM events WHERE id >= (SELECT before FROM keys_complete)
               AND typeof(key) = 'blob' AND length(key) = 16",
        )?;
        self.new = select
            .query_map([], |row| Ok((Key::from_bytes(row.get(0)?), EventId(row.get(1)?))))?
            .collect::<rusqlite::Result<_>>()?;
        self.is_read = true;
        Ok(())
    }

    /// Has `key` lead to `event`, unless it leads to one already; returns whether it did not.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        key: Key,
        event: EventId,
    ) -> Result<bool> {
        self.read(connection)?;
        let Entry::Vacant(place) = self.new.entry(key) else { return Ok(false) };
        if find_moved(connection, key)?.is_some() {
            return Ok(false);
        }
        place.insert(event);
        self.changes.push((key, None));
        Ok(true)
    }

    pub(super) fn find(&mut self, connection: &Connection, key: Key) -> Result<Option<EventId>> {
        self.read(connection)?;
        match self.new.get(&key) {
            Some(event) => Ok(Some(*event)),
            None => find_moved(connection, key),
        }
    }

    pub(super) fn remove(&mut self, connection: &Connection, key: Key) -> Result<()> {
        self.read(connection)?;
        self.forget_new(key);
        connection.prepare_cached("DELETE FROM keys WHERE key = ?1")?.execute([key.as_bytes()])?;
        Ok(())
    }

    /// Moves a range over, and another, while there are too many in memory. To be called before
    /// each commit, with the event that will be stored next.
    pub(super) fn move_over(&mut self, connection: &Connection, next: EventId) -> Result<()> {
        while self.new.len() >= self.max_new + RANGE {
            self.move_range(connection, next)?;
        }
        Ok(())
    }

    fn move_range(&mut self, connection: &Connection, next: EventId) -> Result<()> {
        let from = self.round.moved.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.new.range((from, Bound::Unbounded));
        let range: Vec<_> = rest.take(RANGE).map(|(key, event)| (*key, *event)).collect();
        // What was read at the start may be there.
        let mut add = connection.prepare_cached(
            "INSERT INTO keys (key, event) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING",
        )?;
        for (key, event) in &range {
            add.execute(params![key.as_bytes(), event.0])?;
            self.forget_new(*key);
        }
        if range.len() == RANGE {
            self.round.moved = range.last().map(|(key, _)| *key);
        } else {
            connection
                .prepare_cached("UPDATE keys_complete SET before = ?1")?
                .execute([self.round.began_at.0])?;
            self.round = Round { began_at: next, moved: None };
        }
        Ok(())
    }

    /// What was changed since the last commit will last.
    pub(super) fn committed(&mut self) {
        self.committed = self.round;
        self.changes.clear();
    }

    /// What was changed since the last commit was not.
    pub(super) fn rolled_back(&mut self) {
        self.round = self.committed;
        for (key, before) in self.changes.drain(..).rev() {
            match before {
                Some(event) => self.new.insert(key, event),
                None => self.new.remove(&key),
            };
        }
    }

    fn forget_new(&mut self, key: Key) {
        if let Some(event) = self.new.remove(&key) {
            self.changes.push((key, Some(event)));
        }
    }
}

/// The event that `key` leads to, if the key went over to the index.
fn find_moved(connection: &Connection, key: Key) -> Result<Option<EventId>> {
    Ok(connection
        .prepare_cached("SELECT event FROM keys WHERE key = ?1")?
        .query_row([key.as_bytes()], |row| row.get(0).map(EventId))
        .optional()?)
}

/// The event that `key` leads to, by what is in the database alone: slower, as it looks through
/// the newest events.
pub(super) fn find(connection: &Connection, key: Key) -> Result<Option<EventId>> {
    Ok(connection
        .prepare_cached(
            "SELECT event FROM keys WHERE key = ?1
             UNION ALL
             SELECT id FROM events
               WHERE id >= (SELECT before FROM keys_complete) AND key = ?1
             LIMIT 1",
        )?
        .query_row([key.as_bytes()], |row| row.get(0).map(EventId))
        .optional()?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::journal::sqlite::open as journal;

    /// The `number`th key of many that are spread like hashes.
    fn key(number: u64) -> Key {
        Key::from_bytes(
            (u128::from(number) + 1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                .to_be_bytes(),
        )
    }

    /// Stores events with the keys `from..to`, and leads those to them.
    fn add(index: &mut KeyIndex, connection: &Connection, keys: std::ops::Range<u64>) {
        for number in keys.clone() {
            let event = EventId(number.cast_signed());
            assert!(index.add(connection, key(number), event).unwrap());
            connection
                .prepare_cached(
                    "INSERT INTO events VALUES (?1, ?2, 1, '', NULL, NULL, 0, 0, '', 0)",
                )
                .unwrap()
                .execute(params![event.0, key(number).as_bytes()])
                .unwrap();
        }
        index.move_over(connection, EventId(keys.end.cast_signed())).unwrap();
    }

    fn open(connection: &Connection, next: u64, max_new: usize) -> KeyIndex {
        let mut index = KeyIndex::open(connection, EventId(next.cast_signed())).unwrap();
        index.read(connection).unwrap();
        KeyIndex { max_new, ..index }
    }

    #[test]
    fn each_key_leads_to_its_event_whatever_was_pruned_rolled_back_or_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let connection = journal::open(&folder.path().join("journal.db")).unwrap();
        let max_new = 700;
        let mut index = open(&connection, 1, max_new);
        let mut there = HashMap::new();
        let mut next = 1_u64;
        for commit in 0..200 {
            connection.execute_batch("BEGIN").unwrap();
            let mut after = there.clone();
            for known in after.keys().step_by(97) {
                assert!(!index.add(&connection, key(*known), EventId(0)).unwrap(), "{known}");
            }
            // From memory and from the table.
            for gone in [next - next.min(50), next / 2, next / 3] {
                index.remove(&connection, key(gone)).unwrap();
                connection
                    .execute("DELETE FROM events WHERE id = ?1", [gone.cast_signed()])
                    .unwrap();
                after.remove(&gone);
            }
            // A commit may bring more than a range.
            let end = next + if commit % 20 == 0 { 1_300 } else { 100 };
            add(&mut index, &connection, next..end);
            after.extend((next..end).map(|number| (number, EventId(number.cast_signed()))));
            // Of what is rolled back the ids are used again.
            if commit % 7 == 3 {
                connection.execute_batch("ROLLBACK").unwrap();
                index.rolled_back();
            } else {
                connection.execute_batch("COMMIT").unwrap();
                index.committed();
                there = after;
                next = end;
            }
            assert!(index.new.len() < max_new + RANGE || commit % 7 == 3, "{}", index.new.len());
            if commit % 60 == 59 {
                let new = index.new;
                index = open(&connection, next, max_new);
                assert!(new.iter().all(|(key, event)| index.new.get(key) == Some(event)));
                assert!(index.new.len() < 4 * (max_new + RANGE), "{}", index.new.len());
                index.move_over(&connection, EventId(next.cast_signed())).unwrap();
                index.committed();
            }
        }
        for number in 0..next {
            let event = there.get(&number).copied();
            assert_eq!(index.find(&connection, key(number)).unwrap(), event, "{number}");
            assert_eq!(find(&connection, key(number)).unwrap(), event, "{number}");
        }
        let count = "SELECT count(*) FROM keys";
        assert!(connection.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap() > 10_000);
    }

    #[test]
    fn ids_that_begin_anew_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let connection = journal::open(&folder.path().join("journal.db")).unwrap();
        connection.execute("UPDATE keys_complete SET before = 5000", []).unwrap();
        let mut index = open(&connection, 1, MAX_NEW);
        add(&mut index, &connection, 1..3);
        assert_eq!(find(&connection, key(2)).unwrap(), Some(EventId(2)));
        assert_eq!(open(&connection, 3, MAX_NEW).new, index.new);
    }

    #[test]
    fn a_range_goes_to_few_pages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let connection = journal::open(&path).unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        let mut index = open(&connection, 1, 20_000);
        let range = RANGE as u64;
        let mut commit = |keys: std::ops::Range<u64>| {
            connection.execute_batch("BEGIN").unwrap();
            add(&mut index, &connection, keys);
            connection.execute_batch("COMMIT").unwrap();
        };
        (0..160).for_each(|number| commit(number * range..(number + 1) * range));
        // The 60,000 that went over have some 500 pages; a range is a fortieth of the new ones.
        let logged = || std::fs::metadata(path.with_extension("db-wal")).unwrap().len() / 4096;
        let before = logged();
        commit(160 * range..160 * range + 1);
        assert!(logged() - before < range / 8, "{}", logged() - before);
    }
}
