//! What keeps failing at a sink, and what it has given up, by the error.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, params, params_from_iter};

use super::filter::{Filter, Order, Query};
use super::reader::JournalReader;
use super::rows::time;
use crate::event::Key;
use crate::journal::error::Result;
use crate::journal::types::{EventState, SinkId};

/// Events of a sink that are named, those with the most attempts.
const MAX_FAILING: i64 = 3;
/// Dead letters of a sink that are looked at, the newest ones.
const MAX_DEAD: i64 = 10_000;
/// Errors that are told apart, those of the most dead letters.
const MAX_GROUPS: i64 = 5;

/// An event that a sink has failed to take three times or more, and still has to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingEvent {
    /// The event's key.
    pub key: Key,
    /// Its type.
    pub event_type: String,
    /// Failed deliveries.
    pub attempts: u32,
    /// The last failure, in words.
    pub error: String,
    /// When it failed first.
    pub first_failed: DateTime<Utc>,
    /// When it is due again.
    pub due: Option<DateTime<Utc>>,
}

/// The dead letters of a sink; none is ever pruned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetters {
    /// When the last of them was given up.
    pub newest: Option<DateTime<Utc>>,
    /// The newest 10,000 by their last error, at most the five that most of them have, those first.
    pub by_error: Vec<DeadGroup>,
}

/// Dead letters with the same last error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadGroup {
    /// The error, in words.
    pub error: String,
    /// How many there are.
    pub count: u64,
    /// When the last of them was given up.
    pub newest: DateTime<Utc>,
}

/// By an index that has no others.
const FAILING: &str = "
  SELECT key, type, attempts, ifnull(last_error, ''), first_failed, due
  FROM pending CROSS JOIN events ON events.id = pending.event
  WHERE sink = ?1 AND attempts >= 3 ORDER BY attempts DESC, event LIMIT ?2";
const BY_ERROR: &str = "
  SELECT last_error, count(*) AS letters, max(at) AS newest
  FROM (SELECT last_error, at FROM dead WHERE sink = ?1 ORDER BY at DESC LIMIT ?2)
  GROUP BY last_error ORDER BY letters DESC, newest DESC LIMIT ?3";

impl JournalReader {
    /// The dead letters of this sink for which `filter` holds, whatever it says of sink and state,
    /// by their last error: at most `limit` groups, the largest first, and how many there are.
    /// Reads all of them.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn dead_by_error(
        &self,
        sink: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<(Vec<DeadGroup>, u64)> {
        let (state, sink) = (Some(EventState::Dead), Some(sink.to_owned()));
        let filter = Filter { state, sink, ..filter.clone() };
        let Query { from, conditions, values, .. } = filter.query(Order::NewestFirst);
        let mut select = self.0.prepare(&format!(
            "SELECT last_error, letters, newest, count(*) OVER () FROM (
               SELECT x.last_error, count(*) AS letters, max(x.at) AS newest FROM {from}
               WHERE {conditions} GROUP BY x.last_error)
             ORDER BY letters DESC, newest DESC LIMIT {limit}"
        ))?;
        let mut all = 0;
        let groups = select.query_map(params_from_iter(values), |row| {
            all = row.get::<_, i64>(3)?.cast_unsigned();
            group(row)
        })?;
        let groups = groups.collect::<rusqlite::Result<_>>()?;
        Ok((groups, all))
    }
}

fn group(row: &Row<'_>) -> rusqlite::Result<DeadGroup> {
    let count = row.get::<_, i64>(1)?.cast_unsigned();
    Ok(DeadGroup { error: row.get(0)?, count, newest: time(row, 2)?.unwrap_or_default() })
}

pub(super) fn failing(connection: &Connection, sink: SinkId) -> Result<Vec<FailingEvent>> {
    let mut select = connection.prepare_cached(FAILING)?;
    let rows = select.query_map(params![sink.0, MAX_FAILING], |row| {
        Ok(FailingEvent {
            key: Key::from_bytes(row.get(0)?),
            event_type: row.get(1)?,
            attempts: row.get(2)?,
            error: row.get(3)?,
            first_failed: time(row, 4)?.unwrap_or_default(),
            due: time(row, 5)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn dead_letters(connection: &Connection, sink: SinkId) -> Result<DeadLetters> {
    let mut newest = connection.prepare_cached("SELECT max(at) FROM dead WHERE sink = ?1")?;
    let mut select = connection.prepare_cached(BY_ERROR)?;
    let groups = select.query_map(params![sink.0, MAX_DEAD, MAX_GROUPS], group)?;
    Ok(DeadLetters {
        newest: newest.query_row([sink.0], |row| time(row, 0))?,
        by_error: groups.collect::<rusqlite::Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::{Params, StatementStatus};

    use super::*;
    use crate::journal::sqlite::open::open;

    /// A journal with so many failing events and dead letters.
    fn journal(folder: &tempfile::TempDir, rows: i64) -> Connection {
        let connection = open(&folder.path().join(format!("{rows}.db"))).unwrap();
        connection
            .execute_batch(&format!(
                "WITH numbers (n) AS
                   (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})
                 INSERT INTO events
                   SELECT n, CAST(printf('%016d', n) AS BLOB), 1, 'Odd', NULL, NULL, 0, 0, '1', 0
                   FROM numbers;
                 INSERT INTO pending (sink, event, due, attempts, first_failed, last_error)
                   SELECT 1, id, id, 9 - id % 7, id, 'no' FROM events;
                 INSERT INTO dead SELECT 1, id, id, 1, id, 'first', 'last ' || (id % 9) FROM events;"
            ))
            .unwrap();
        connection
    }

    /// What SQLite does for it, in steps of its own machine.
    fn steps(connection: &Connection, sql: &str, values: impl Params) -> i32 {
        let mut select = connection.prepare(sql).unwrap();
        let mut rows = select.query(values).unwrap();
        while rows.next().unwrap().is_some() {}
        drop(rows);
        select.get_status(StatementStatus::VmStep)
    }

    #[test]
    fn no_more_is_looked_at_however_much_has_failed() {
        let folder = tempfile::tempdir().unwrap();
        let [few, many] = [12_000, 36_000].map(|rows| journal(&folder, rows));
        let of = failing(&many, SinkId(1)).unwrap();
        let of: Vec<_> = of.iter().map(|event| (event.attempts, *event.key.as_bytes())).collect();
        assert_eq!(
            of,
            [7, 14, 21]
                .map(|event| (9, format!("{event:016}").into_bytes()[..].try_into().unwrap()))
        );
        let dead = dead_letters(&many, SinkId(1)).unwrap();
        assert_eq!(dead.newest.map(|at| at.timestamp_millis()), Some(36_000));
        let groups: Vec<_> =
            dead.by_error.iter().map(|group| (&*group.error, group.count)).collect();
        assert_eq!((groups.len(), groups[0]), (5, ("last 0", 1112)));

        let looked = |connection: &Connection| {
            (
                steps(connection, FAILING, params![1, MAX_FAILING]),
                steps(connection, BY_ERROR, params![1, MAX_DEAD, MAX_GROUPS]),
            )
        };
        let [few, many] = [few, many].map(|connection| looked(&connection));
        assert!(few.0 == many.0 && few.1.abs_diff(many.1) < 100, "{few:?}, {many:?}");
    }
}
