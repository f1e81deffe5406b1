//! Rows that refer to what is not there, or say what cannot be.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde::Serialize;

use crate::journal::error::Result;
use crate::journal::sqlite::counters::{Counter, Counters};
use crate::journal::types::SinkId;

/// Rows of one kind that are named.
const MAX_NAMED: usize = 20;

/// Rows that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What is wrong with them.
    pub what: &'static str,
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub first: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Violations(BTreeMap<&'static str, (u64, Vec<String>)>);

impl Violations {
    pub(super) fn add(&mut self, what: &'static str, which: String) {
        let (count, first) = self.0.entry(what).or_default();
        *count += 1;
        if first.len() < MAX_NAMED {
            first.push(which);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<Violation> {
        let kinds = self.0.into_iter();
        kinds.map(|(what, (count, first))| Violation { what, count, first }).collect()
    }
}

/// Rows in one page.
pub(super) const PAGE_ROWS: usize = 5000;

/// The rules of one table, which is read page by page in the order of its primary key.
struct Rules {
    table: &'static str,
    key: &'static [&'static str],
    name: &'static str,
    /// What must not hold, and what it is called.
    wrong: &'static [(&'static str, &'static str)],
}

const NO_EVENT: &str = "NOT EXISTS (SELECT 1 FROM events WHERE id = t.event)";
const NO_SINK: &str = "NOT EXISTS (SELECT 1 FROM sinks WHERE id = t.sink)";
const NOT_FOR: &str = "EXISTS (SELECT 1 FROM events WHERE id = t.event
  AND ' ' || sinks || ' ' NOT LIKE '% ' || t.sink || ' %')";
const NO_BODY: &str = "EXISTS (SELECT 1 FROM events WHERE id = t.event)
  AND NOT EXISTS (SELECT 1 FROM bodies WHERE event = t.event)";
const NOT_FOUND: &str = "NOT EXISTS (SELECT 1 FROM keys WHERE key = t.key AND event = t.id)
  AND (t.id < (SELECT before FROM keys_complete)
       OR EXISTS (SELECT 1 FROM keys WHERE key = t.key))";
const NO_ATTEMPT: &str = "t.attempts > 0
  AND NOT EXISTS (SELECT 1 FROM attempts WHERE event = t.event AND sink = t.sink)";
/// 0 is pulling.
const PAUSED_AT_NO_SINK: &str =
    "t.sink <> 0 AND NOT EXISTS (SELECT 1 FROM sinks WHERE id = t.sink)";
const AT_SINK: &str = "'event ' || t.event || ' at sink ' || t.sink";

const RULES: [Rules; 12] = [
    Rules {
        table: "events",
        key: &["id"],
        name: "'event ' || t.id",
        wrong: &[
            ("events that their key does not lead to", NOT_FOUND),
            ("events of no origin", "t.origin NOT IN (0, 1, 2)"),
        ],
    },
    Rules {
        table: "pending",
        key: &["sink", "event"],
        name: AT_SINK,
        wrong: &[
            ("pending without an event", NO_EVENT),
            ("pending at no sink", NO_SINK),
            ("pending at a sink that the event is not for", NOT_FOR),
            ("pending without a body", NO_BODY),
            (
                "pending and dead at one sink",
                "EXISTS (SELECT 1 FROM dead WHERE sink = t.sink AND event = t.event)",
            ),
            ("pending and failed, without an attempt", NO_ATTEMPT),
        ],
    },
    Rules {
        table: "dead",
        key: &["sink", "event"],
        name: AT_SINK,
        wrong: &[
            ("dead without an event", NO_EVENT),
            ("dead at no sink", NO_SINK),
            ("dead at a sink that the event is not for", NOT_FOR),
            ("dead without a body", NO_BODY),
            ("dead without an attempt", NO_ATTEMPT),
        ],
    },
    Rules {
        table: "attempts",
        key: &["event", "sink", "number"],
        name: AT_SINK,
        wrong: &[
            ("attempts of no event", NO_EVENT),
            ("attempts at no sink", NO_SINK),
            ("attempts at a sink that the event is not for", NOT_FOR),
            (
                "attempts that neither failed nor delivered, or both",
                "t.is_delivered NOT IN (0, 1) OR (t.is_delivered AND t.error IS NOT NULL)",
            ),
        ],
    },
    Rules {
        table: "results",
        key: &["event", "sink"],
        name: AT_SINK,
        wrong: &[("results of no event", NO_EVENT), ("results at no sink", NO_SINK)],
    },
    Rules {
        table: "confirmations",
        key: &["event"],
        name: "'event ' || t.event",
        wrong: &[("confirmed without an event", NO_EVENT)],
    },
    Rules {
        table: "bodies",
        key: &["event"],
        name: "'event ' || t.event",
        wrong: &[("bodies of no event", NO_EVENT)],
    },
    Rules {
        table: "occurrences",
        key: &["event"],
        name: "'event ' || t.event",
        wrong: &[
            ("occurrences of no event", NO_EVENT),
            (
                "occurrences that are neither open nor closed, or without content",
                "t.is_open NOT IN (0, 1) OR length(t.content) <> 16 OR ifnull(length(t.handle), 16) <> 16",
            ),
        ],
    },
    Rules {
        table: "posted",
        key: &["event"],
        name: "'event ' || t.event",
        wrong: &[(
            "posted but no occurrences",
            "NOT EXISTS (SELECT 1 FROM occurrences WHERE event = t.event)",
        )],
    },
    Rules {
        table: "keys",
        key: &["key"],
        name: "'key ' || lower(hex(t.key))",
        wrong: &[("keys of no event", NO_EVENT)],
    },
    Rules {
        table: "sinks",
        key: &["id"],
        name: "'sink ' || t.id",
        wrong: &[("sinks without a name or state", "t.name = '' OR t.active NOT IN (0, 1)")],
    },
    Rules {
        table: "paused",
        key: &["sink"],
        name: "'sink ' || t.sink",
        wrong: &[("paused at no sink", PAUSED_AT_NO_SINK)],
    },
];

pub(super) fn check(connection: &Connection, violations: &mut Violations) -> Result<()> {
    for rules in &RULES {
        table(connection, violations, rules)?;
    }
    newest_keys(connection, violations)?;
    check_counters(connection, violations)
}

/// Those that need not be in `keys`, which has each only once.
fn newest_keys(connection: &Connection, violations: &mut Violations) -> Result<()> {
    let twice: Vec<String> = {
        let mut select = connection.prepare(
            "SELECT 'key ' || lower(hex(key)) FROM events
             WHERE id >= (SELECT before FROM keys_complete) GROUP BY key HAVING count(*) > 1",
        )?;
        select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
    };
    twice.into_iter().for_each(|which| violations.add("keys of several events", which));
    Ok(())
}

fn table(
    connection: &Connection,
    violations: &mut Violations,
    Rules { table, key, name, wrong }: &Rules,
) -> Result<()> {
    let columns = key.join(", ");
    let places = |from: usize| {
        let places = (0..key.len()).map(|at| format!("?{}", from + at));
        places.collect::<Vec<_>>().join(", ")
    };
    let conditions: Vec<&str> = wrong.iter().map(|(_, condition)| *condition).collect();
    let sql = |after: &str| {
        format!(
            "SELECT {columns}, {name}, {} FROM {table} AS t {after} ORDER BY {columns} LIMIT {PAGE_ROWS}",
            conditions.join(", ")
        )
    };
    let (first, next) = (sql(""), sql(&format!("WHERE ({columns}) > ({})", places(1))));
    let mut after: Option<Vec<Value>> = None;
    loop {
        let (mut found, mut rows_read, mut last) = (Vec::new(), 0, None);
        {
            // One statement is one snapshot: a row and what it refers to are of one moment.
            let mut select =
                connection.prepare_cached(if after.is_some() { &next } else { &first })?;
            let mut rows = select.query(params_from_iter(after.iter().flatten()))?;
            while let Some(row) = rows.next()? {
                rows_read += 1;
                for (at, (what, _)) in wrong.iter().enumerate() {
                    if row.get::<_, bool>(key.len() + 1 + at)? {
                        found.push((*what, row.get::<_, String>(key.len())?));
                    }
                }
                let values = (0..key.len()).map(|column| row.get(column));
                last = Some(values.collect::<rusqlite::Result<Vec<Value>>>()?);
            }
        }
        for (what, which) in found {
            violations.add(what, which);
        }
        if rows_read < PAGE_ROWS {
            return Ok(());
        }
        after = last;
    }
}

fn check_counters(connection: &Connection, violations: &mut Violations) -> Result<()> {
    connection.execute_batch("BEGIN")?;
    let (counters, known) = (Counters::read(connection)?, known_sinks(connection)?);
    connection.execute_batch("COMMIT")?;
    for ((name, sink), value) in counters.0 {
        let which = format!("{name} of sink {sink}");
        if !known.contains_key(&sink) && sink != 0 {
            violations.add("counters of no sink", which);
        } else if !is_counter(&name, sink) {
            violations.add("counters of nothing", which);
        } else if value < 0 {
            violations.add("counters below zero", which);
        }
    }
    Ok(())
}

fn is_counter(name: &str, sink: i64) -> bool {
    let of = SinkId(sink);
    let all = [
        Counter::Received,
        Counter::Duplicates,
        Counter::Unrouted,
        Counter::Confirmed,
        Counter::Requests,
        Counter::Pruned,
        Counter::PrunedUnrouted,
        Counter::PrunedConfirmed,
        Counter::Routed(of),
        Counter::Delivered(of),
        Counter::Dead(of),
        Counter::Discarded(of),
        Counter::PrunedOf(of),
    ];
    all.iter().any(|counter| counter.row() == (name, sink))
}

pub(super) fn known_sinks(connection: &Connection) -> Result<BTreeMap<i64, String>> {
    let mut select = connection.prepare_cached("SELECT id, name FROM sinks")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
