//! Whether the numbers add up: the counters against the rows, and the rows against each other.
//!
//! Reads in short snapshots beside the daemon. Events are counted a page at a time, and what is
//! held against them is read in the snapshot of the last page. If something was pruned or changed
//! by hand meanwhile, or the sums differ, all of it is counted again in one snapshot: that one
//! decides. It keeps nobody from writing, only the write-ahead log from starting over.

mod references;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, Row, params};
use serde::Serialize;

pub use self::references::Violation;
use self::references::{PAGE_ROWS, Violations, known_sinks};
use super::counters::{Counter, Counters};
use super::open::open_read_only;
use crate::journal::error::{OpenError, Result};
use crate::journal::types::SinkId;

/// A number that was counted as it came about, and recounted now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CounterCheck {
    /// What is counted.
    pub what: &'static str,
    /// At which sink, if at one.
    pub sink: Option<String>,
    /// By the counters.
    pub counted: i64,
    /// By the rows.
    pub recounted: i64,
    /// Whether they are equal.
    pub ok: bool,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// Every sum.
    pub sums: Vec<CounterCheck>,
    /// Every kind of violation there is.
    pub violations: Vec<Violation>,
}

impl AuditReport {
    /// Whether all is as it must be.
    pub fn ok(&self) -> bool {
        self.violations.is_empty() && self.sums.iter().all(|sum| sum.ok)
    }
}

/// Audits the journal at `path`. Blocks, for a minute or so where it is very large.
///
/// # Errors
/// When it cannot be opened; within, when it cannot be read.
pub fn audit(path: &Path) -> std::result::Result<Result<AuditReport>, OpenError> {
    let connection = open_read_only(path)?;
    Ok(Audit { connection, violations: Violations::default() }.run())
}

/// Rows that refer to what is not there.
pub(super) fn references(connection: &Connection) -> Result<Vec<Violation>> {
    let mut violations = Violations::default();
    references::check(connection, &mut violations)?;
    Ok(violations.into_list())
}

struct Audit {
    connection: Connection,
    violations: Violations,
}

#[derive(Default)]
struct Tally {
    events: i64,
    unrouted: i64,
    of_sink: BTreeMap<i64, i64>,
}

impl Audit {
    fn run(mut self) -> Result<AuditReport> {
        let (mut sums, is_certain) = self.sums(false)?;
        if !is_certain || sums.iter().any(|sum| !sum.ok) || !self.violations.is_empty() {
            self.violations = Violations::default();
            sums = self.sums(true)?.0;
        }
        references::check(&self.connection, &mut self.violations)?;
        Ok(AuditReport { sums, violations: self.violations.into_list() })
    }

    /// The sums, and whether nothing was taken from pages that had been counted before the last.
    fn sums(&mut self, in_one_snapshot: bool) -> Result<(Vec<CounterCheck>, bool)> {
        let mut tally = Tally::default();
        let (mut after, mut before) = (0, None);
        self.connection.execute_batch("BEGIN")?;
        loop {
            let removed = removed(&Counters::read(&self.connection)?);
            let is_unchanged = *before.get_or_insert(removed) == removed;
            let last = self.count_page(after, &mut tally)?;
            if let Some(last) = last {
                after = last;
                if !in_one_snapshot {
                    self.connection.execute_batch("COMMIT; BEGIN")?;
                }
                continue;
            }
            let sums = self.compare(&tally)?;
            self.connection.execute_batch("COMMIT")?;
            return Ok((sums, is_unchanged));
        }
    }

    /// Counts a page; the last event of it, unless there are no others after it.
    fn count_page(&mut self, after: i64, tally: &mut Tally) -> Result<Option<i64>> {
        let sinks: BTreeSet<i64> = known_sinks(&self.connection)?.into_keys().collect();
        let events = {
            let mut select = self.connection.prepare_cached(
                "SELECT id, hex(key), typeof(key) = 'blob' AND length(key) = 16, sinks
                 FROM events WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let rows = select.query_map(params![after, PAGE_ROWS as i64], event)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()?
        };
        for (id, key, is_key, of) in &events {
            let name = || format!("event {id}, key {}", key.to_ascii_lowercase());
            if !is_key {
                self.violations.add("events whose key is not 16 bytes", name());
            }
            tally.events += 1;
            tally.unrouted += i64::from(of.is_empty());
            let mut seen = BTreeSet::new();
            for sink in of.split_ascii_whitespace() {
                match sink.parse::<i64>() {
                    Ok(sink) if sinks.contains(&sink) && seen.insert(sink) => {}
                    _ => self
                        .violations
                        .add("events for a sink that is unknown, or twice for one", name()),
                }
            }
            for sink in seen {
                *tally.of_sink.entry(sink).or_default() += 1;
            }
        }
        Ok(events.last().map(|event| event.0).filter(|_| events.len() == PAGE_ROWS))
    }

    /// Holds the tally against the counters, all of the snapshot that is open.
    fn compare(&self, tally: &Tally) -> Result<Vec<CounterCheck>> {
        let counters = Counters::read(&self.connection)?;
        let known = known_sinks(&self.connection)?;
        let (pending, dead) = (self.rows_of_sinks("pending")?, self.rows_of_sinks("dead")?);
        let confirmations: i64 =
            self.connection
                .query_row("SELECT count(*) FROM confirmations", [], |row| row.get(0))?;
        let mut sums = Vec::new();
        let mut add = |what, sink: Option<&str>, counter, recounted| {
            let counted = counters.of(counter);
            let sink = sink.map(str::to_owned);
            sums.push(CounterCheck { what, sink, counted, recounted, ok: counted == recounted });
        };
        let pruned = counters.of(Counter::Pruned);
        add("received", None, Counter::Received, tally.events + pruned);
        let pruned = counters.of(Counter::PrunedUnrouted);
        add("unrouted", None, Counter::Unrouted, tally.unrouted + pruned);
        let pruned = counters.of(Counter::PrunedConfirmed);
        add("confirmed", None, Counter::Confirmed, confirmations + pruned);
        for (id, name) in &known {
            let (name, sink) = (Some(name.as_str()), SinkId(*id));
            let of = |rows: &BTreeMap<i64, i64>| rows.get(id).copied().unwrap_or_default();
            let (events, pending, dead) = (of(&tally.of_sink), of(&pending), of(&dead));
            let pruned = counters.of(Counter::PrunedOf(sink));
            let discarded = counters.of(Counter::Discarded(sink));
            add("routed", name, Counter::Routed(sink), events + pruned + discarded);
            let delivered = events - pending - dead + pruned;
            add("delivered", name, Counter::Delivered(sink), delivered);
            add("dead", name, Counter::Dead(sink), dead);
        }
        Ok(sums)
    }

    fn rows_of_sinks(&self, table: &str) -> Result<BTreeMap<i64, i64>> {
        let sql = format!("SELECT sink, count(*) FROM {table} GROUP BY sink");
        let mut select = self.connection.prepare_cached(&sql)?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// An event's number, key, whether that is one, and its sinks.
type EventRow = (i64, String, bool, String);

fn event(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

/// Grows with whatever takes events or their sinks away.
fn removed(counters: &Counters) -> i64 {
    let of = counters.0.iter().filter(|((name, _), _)| name == "pruned" || name == "discarded");
    of.map(|(_, value)| value).sum()
}
