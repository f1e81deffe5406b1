//! What is counted over the life of a journal, in the transactions of the rows it counts.
//!
//! Of each sink, `routed = pending + delivered + dead + discarded` at every commit, by whichever
//! process: an event that comes into a state is added there, and taken off the one it leaves.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use crate::journal::types::SinkId;

/// What is counted. `audit` holds it against the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counter {
    /// Events stored: those there, and those pruned.
    Received,
    /// Times that a known event came. Without rows.
    Duplicates,
    /// Events for no sink: those there, and those pruned.
    Unrouted,
    /// Events taken back by the cloud: those there, and those pruned.
    Confirmed,
    /// Requests to deliver events again, by hand. Without rows of their own: each pending row has
    /// the number of its last one.
    Requests,
    Pruned,
    PrunedUnrouted,
    PrunedConfirmed,
    /// Events that were ever for the sink.
    Routed(SinkId),
    /// Events that the sink has: those there, and those pruned.
    Delivered(SinkId),
    /// Dead letters of the sink as of now: none is ever pruned.
    Dead(SinkId),
    /// Events that were taken from the sink by hand.
    Discarded(SinkId),
    /// Of the events pruned, those for the sink. All were delivered.
    PrunedOf(SinkId),
}

impl Counter {
    pub(super) fn row(self) -> (&'static str, i64) {
        match self {
            Self::Received => ("received", 0),
            Self::Duplicates => ("seen_again", 0),
            Self::Unrouted => ("unrouted", 0),
            Self::Confirmed => ("confirmed", 0),
            Self::Requests => ("requests", 0),
            Self::Pruned => ("pruned", 0),
            Self::PrunedUnrouted => ("pruned_unrouted", 0),
            Self::PrunedConfirmed => ("pruned_confirmed", 0),
            Self::Routed(sink) => ("routed", sink.0),
            Self::Delivered(sink) => ("delivered", sink.0),
            Self::Dead(sink) => ("dead", sink.0),
            Self::Discarded(sink) => ("discarded", sink.0),
            Self::PrunedOf(sink) => ("pruned", sink.0),
        }
    }
}

/// What a transaction adds to the counters, written at its end.
#[derive(Debug, Default)]
pub(super) struct Deltas(BTreeMap<Counter, i64>);

impl Deltas {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn add(&mut self, counter: Counter, by: i64) {
        *self.0.entry(counter).or_default() += by;
    }

    pub(super) fn add_rows(&mut self, counter: Counter, rows: usize) {
        self.add(counter, i64::try_from(rows).unwrap_or(i64::MAX));
    }

    pub(super) fn of(&self, counter: Counter) -> i64 {
        self.0.get(&counter).copied().unwrap_or_default()
    }

    /// Adds to what is there: other processes count in transactions of their own. Nothing that
    /// changed is nothing written, so that a commit of it costs no sync.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut add = connection.prepare_cached(
            "INSERT INTO counters (name, sink, value) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET value = value + excluded.value",
        )?;
        for (counter, delta) in self.0.iter().filter(|(_, delta)| **delta != 0) {
            let (name, sink) = counter.row();
            add.execute(params![name, sink, delta])?;
        }
        Ok(())
    }
}

/// The number of the last request to deliver events again; 0 before the first.
pub(super) fn last_request(connection: &Connection) -> rusqlite::Result<i64> {
    let (name, sink) = Counter::Requests.row();
    let mut select = connection.prepare_cached(
        "SELECT ifnull((SELECT value FROM counters WHERE name = ?1 AND sink = ?2), 0)",
    )?;
    select.query_row(params![name, sink], |row| row.get(0))
}

#[derive(Debug)]
pub(super) struct Counters(pub(super) BTreeMap<(String, i64), i64>);

impl Counters {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut select = connection.prepare_cached("SELECT name, sink, value FROM counters")?;
        let rows = select.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        rows.collect::<rusqlite::Result<_>>().map(Self)
    }

    pub(super) fn of(&self, counter: Counter) -> i64 {
        let (name, sink) = counter.row();
        self.0.get(&(name.to_owned(), sink)).copied().unwrap_or_default()
    }

    /// A counter without what is off it.
    pub(super) fn difference(&self, counted: Counter, off: &[Counter]) -> u64 {
        let off: i64 = off.iter().map(|counter| self.of(*counter)).sum();
        u64::try_from(self.of(counted) - off).unwrap_or_default()
    }
}

/// Sums over the journal's life, and what its rows say now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalTotals {
    /// Events stored, each once.
    pub received: u64,
    /// Times that a known event came again.
    pub duplicates: u64,
    /// Events for no sink.
    pub unrouted: u64,
    /// Events taken back by the cloud.
    pub confirmed: u64,
    /// Events for sinks, counted at each: they are delivered, dead, pending or discarded.
    pub routed: u64,
    /// Events that a sink has.
    pub delivered: u64,
    /// Dead letters.
    pub dead: u64,
    /// Events that were taken from a sink by hand.
    pub discarded: u64,
    /// Outstanding deliveries.
    pub pending: u64,
}
