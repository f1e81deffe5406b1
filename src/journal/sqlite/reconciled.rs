//! What reconciliation asks of the journal: which tasks it has events of, and up to where all of
//! them were compared.

use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::body;
use super::reader::JournalReader;
use super::store::Store;
use crate::event::AppId;
use crate::journal::error::Result;
use crate::journal::types::EventId;

/// Ids that are read at once, so that no read lasts long.
const IDS_AT_ONCE: i64 = 4096;

/// An event of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEvent {
    /// Its TaskId.
    pub task_id: String,
    /// Its EventType.
    pub event_type: String,
    /// The body of a ProcedureStateChanged, the one that may come before its task is over; `None`
    /// if it was pruned for space.
    pub body: Option<String>,
}

/// Where to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOn {
    /// The event up to which events are still to be read, or after which.
    pub at: EventId,
    /// Whether there are any.
    pub has_more: bool,
}

impl Store {
    pub(in crate::journal) fn set_begun(
        &mut self,
        apps: &[AppId],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut insert = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO begun (app, at) VALUES (?1, ?2)")?;
        for app in apps {
            insert.execute(params![app.0.cast_signed(), now.timestamp_millis()])?;
        }
        Ok(())
    }

    pub(in crate::journal) fn set_reconciled(
        &mut self,
        app: AppId,
        until: DateTime<Utc>,
    ) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO reconciled (app, until) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET until = excluded.until",
            )?
            .execute(params![app.0.cast_signed(), until.timestamp_millis()])?;
        Ok(())
    }
}

impl JournalReader {
    /// When a daemon first had `app` and this journal, or the first event of `app` was stored;
    /// `None` if neither was.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn begun(&self, app: AppId) -> Result<Option<DateTime<Utc>>> {
        self.reconcile_time("SELECT at FROM begun WHERE app = ?1", app)
    }

    /// Until when the tasks of `app` have finished of which the journal is known to have every
    /// event; `None` if they were never compared.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn reconciled_until(&self, app: AppId) -> Result<Option<DateTime<Utc>>> {
        self.reconcile_time("SELECT until FROM reconciled WHERE app = ?1", app)
    }

    fn reconcile_time(&self, sql: &str, app: AppId) -> Result<Option<DateTime<Utc>>> {
        let mut select = self.0.prepare_cached(sql)?;
        let at: Option<i64> =
            select.query_row([app.0.cast_signed()], |row| row.get(0)).optional()?;
        Ok(at.and_then(DateTime::from_timestamp_millis))
    }

    /// Visits events of tasks of `app` up to the event `last`, some of them. There are more until
    /// so many events in a row were first pulled before `since`: a clock may have been wrong for a
    /// while.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn tasks_before(
        &self,
        app: AppId,
        last: EventId,
        since: DateTime<Utc>,
        visit: impl FnMut(TaskEvent),
    ) -> Result<ReadOn> {
        let after = last.0.saturating_sub(IDS_AT_ONCE);
        tasks_between(&self.0, app, after, last.0, visit)?;
        let mut newest = self
            .0
            .prepare_cached("SELECT max(first_pulled) FROM events WHERE id > ?1 AND id <= ?2")?;
        let newest: Option<i64> = newest.query_row([after, last.0], |row| row.get(0))?;
        let is_older = newest.is_some_and(|newest| newest < since.timestamp_millis());
        Ok(ReadOn { at: EventId(after), has_more: !is_older && after > 0 })
    }

    /// Visits events of tasks of `app` after the event `after`, some of them.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn tasks_after(
        &self,
        app: AppId,
        after: EventId,
        visit: impl FnMut(TaskEvent),
    ) -> Result<ReadOn> {
        let newest = self.last()?.0;
        let last = after.0.saturating_add(IDS_AT_ONCE).min(newest).max(after.0);
        tasks_between(&self.0, app, after.0, last, visit)?;
        Ok(ReadOn { at: EventId(last), has_more: last < newest })
    }
}

fn tasks_between(
    connection: &Connection,
    app: AppId,
    after: i64,
    last: i64,
    mut visit: impl FnMut(TaskEvent),
) -> Result<()> {
    let mut select = connection.prepare_cached(
        "SELECT task_id, type, body FROM events
         LEFT JOIN bodies ON bodies.event = events.id AND type = 'ProcedureStateChanged'
         WHERE id > ?2 AND id <= ?3 AND app = ?1 AND task_id IS NOT NULL",
    )?;
    let mut rows = select.query(params![app.0.cast_signed(), after, last])?;
    while let Some(row) = rows.next()? {
        let has_none = row.get_ref(2)? == ValueRef::Null;
        visit(TaskEvent {
            task_id: row.get(0)?,
            event_type: row.get(1)?,
            body: if has_none { None } else { Some(body::column(row, 2)?) },
        });
    }
    Ok(())
}
