//! What is paused by hand, pulling or sinks, in SQL.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::Serialize;

use super::maintenance::{sqlite, take_lock};
use super::open::open_beside;
use super::reader::JournalReader;
use super::store::Store;
use crate::journal::error::{MaintenanceError, Result};
use crate::journal::types::SinkId;

/// Pulling, in the place of a sink: no sink has this number.
pub(super) const PULLING: i64 = 0;

/// What can be paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pausable<'a> {
    /// Pulling, from all applications.
    Pulling,
    /// Deliveries to the sink of this name.
    Sink(&'a str),
}

/// Something that is paused by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PausedPart {
    /// A sink; `None` is pulling.
    pub sink: Option<String>,
    /// Since when.
    pub since: DateTime<Utc>,
}

impl fmt::Display for PausedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.since.format("%Y-%m-%d %H:%M:%S UTC");
        match &self.sink {
            None => write!(f, "pulling since {since}"),
            Some(sink) => write!(f, "the sink {sink:?} since {since}"),
        }
    }
}

impl JournalReader {
    /// What is paused by hand, pulling first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn paused(&self) -> Result<Vec<PausedPart>> {
        Ok(parts(&self.0)?)
    }
}

/// Pauses something in the journal at `path`, where no daemon runs, or resumes it (`None`); the
/// next start finds it so. Returns since when it was paused before: that time stays when it is paused
/// again. Blocks for one short transaction, with the daemon's lock in hand.
///
/// # Errors
/// When a daemon has the journal; when it cannot be written.
pub fn set_paused(
    path: &Path,
    what: Pausable<'_>,
    since: Option<DateTime<Utc>>,
) -> std::result::Result<Option<DateTime<Utc>>, MaintenanceError> {
    // Before the lock, which would leave its file where there is no journal.
    let mut connection = open_beside(path)?;
    let _lock = take_lock(path)?;
    let mut set = || {
        let edit = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let of = match what {
            Pausable::Pulling => Some(PULLING),
            Pausable::Sink(name) => number(&edit, name, since.is_some())?,
        };
        let before = match of {
            Some(of) => set(&edit, of, since)?,
            None => None,
        };
        edit.commit()?;
        Ok(before)
    };
    set().map_err(sqlite(path))
}

/// The number of a sink; `None` if the journal has not heard of it, and `add` is false.
fn number(connection: &Connection, name: &str, add: bool) -> rusqlite::Result<Option<i64>> {
    if add {
        connection.execute(
            "INSERT INTO sinks (name, active) VALUES (?1, 0) ON CONFLICT (name) DO NOTHING",
            [name],
        )?;
    }
    connection
        .query_row("SELECT id FROM sinks WHERE name = ?1", [name], |row| row.get(0))
        .optional()
}

impl Store {
    pub(in crate::journal) fn set_paused(
        &mut self,
        of: Option<SinkId>,
        since: Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>> {
        Ok(set(&self.connection, row(of), since)?)
    }

    pub(in crate::journal) fn resume_sink_named(
        &mut self,
        name: &str,
    ) -> Result<Option<DateTime<Utc>>> {
        match number(&self.connection, name, false)? {
            Some(of) => Ok(set(&self.connection, of, None)?),
            None => Ok(None),
        }
    }

    pub(in crate::journal) fn paused(&self, of: Option<SinkId>) -> Result<Option<DateTime<Utc>>> {
        Ok(get(&self.connection, row(of))?)
    }
}

/// The row of a sink, or that of pulling.
fn row(of: Option<SinkId>) -> i64 {
    of.map_or(PULLING, |sink| sink.0)
}

fn get(connection: &Connection, of: i64) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let mut select = connection.prepare_cached("SELECT since FROM paused WHERE sink = ?1")?;
    let since: Option<i64> = select.query_row([of], |row| row.get(0)).optional()?;
    Ok(since.and_then(DateTime::from_timestamp_millis))
}

fn set(
    connection: &Connection,
    of: i64,
    since: Option<DateTime<Utc>>,
) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let before = get(connection, of)?;
    match since {
        Some(since) => connection
            .prepare_cached(
                "INSERT INTO paused (sink, since) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            )?
            .execute(params![of, since.timestamp_millis()])?,
        None => connection.prepare_cached("DELETE FROM paused WHERE sink = ?1")?.execute([of])?,
    };
    Ok(before)
}

pub(super) fn parts(connection: &Connection) -> rusqlite::Result<Vec<PausedPart>> {
    let mut select = connection.prepare_cached(
        "SELECT name, since FROM paused LEFT JOIN sinks ON sinks.id = paused.sink
         ORDER BY name",
    )?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows: Vec<(Option<String>, i64)> = rows.collect::<rusqlite::Result<_>>()?;
    let part =
        |(sink, since)| Some(PausedPart { sink, since: DateTime::from_timestamp_millis(since)? });
    Ok(rows.into_iter().filter_map(part).collect())
}

/// Everything that is paused, by its row, and since when.
pub(super) fn all(connection: &Connection) -> Result<BTreeMap<i64, DateTime<Utc>>> {
    let mut select = connection.prepare_cached("SELECT sink, since FROM paused")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows: Vec<(i64, i64)> = rows.collect::<rusqlite::Result<_>>()?;
    let time = |(of, since)| Some((of, DateTime::from_timestamp_millis(since)?));
    Ok(rows.into_iter().filter_map(time).collect())
}
