//! What the operator changes by hand, beside the daemon that writes.
//!
//! Each call is one short transaction that keeps the counters right. The daemon's lock is not
//! asked for: SQLite keeps the two apart, and the daemon notices what others wrote.

use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::counters::{self, Counter, Deltas};
use super::following::{self, followed, release};
use super::open::open_beside;
use super::rows::{sinks, sinks_text};
use crate::event::AfterState;
use crate::journal::error::{OpenError, Result};
use crate::journal::types::{EventId, SinkId};

/// A journal opened for changes by hand. Blocks; each call waits up to 5 s for another's
/// transaction, and happens whole or not at all.
#[derive(Debug)]
pub struct JournalAdmin(Connection);

/// What a requeue did with the events it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requeued {
    /// Pending again, or for the first time at this sink.
    pub requeued: u64,
    /// Pending already; due now.
    pub expedited: u64,
    /// Left as they are: their bodies were pruned for space, so there is nothing to deliver.
    pub without_body: u64,
    /// No longer in the journal.
    pub gone: u64,
}

/// Who gets an event that was discarded while it was pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The sinks that follow: it was discarded at that sink alone.
    Followers,
    /// Nobody: it was discarded at every sink.
    Nobody,
}

struct Row {
    sinks: Vec<SinkId>,
    has_body: bool,
}

impl JournalAdmin {
    /// How many events to give to one call, so that it takes a few milliseconds.
    pub const BATCH: usize = 64;

    /// Opens the journal at `path`.
    ///
    /// # Errors
    /// When there is none, or it is foreign, newer or damaged, or cannot be written.
    pub fn open(path: &Path) -> std::result::Result<Self, OpenError> {
        open_beside(path).map(Self)
    }

    /// Has `sink` get these events once more, whatever became of them there before; as if never
    /// tried, and due at `now`. The attempts there before stay known. It takes the place of the sink
    /// `from`, if one is named: those that follow that one follow it.
    pub fn requeue(
        &mut self,
        sink: SinkId,
        from: Option<SinkId>,
        events: &[EventId],
        now: DateTime<Utc>,
    ) -> Result<Requeued> {
        let mut edit = Edit::begin(&mut self.0)?;
        edit.deltas.add(Counter::Requests, 1);
        let request = counters::last_request(&edit.transaction)? + 1;
        let mut done = Requeued::default();
        for event in events {
            match edit.row(*event)? {
                None => done.gone += 1,
                Some(Row { has_body: false, .. }) => done.without_body += 1,
                Some(_) if edit.expedite(sink, *event, request, now)? => done.expedited += 1,
                Some(row) => {
                    edit.requeue((sink, from), *event, row, request, now)?;
                    done.requeued += 1;
                }
            }
        }
        edit.commit()?;
        Ok(done)
    }

    /// Takes these events from `sink`, where they are pending or dead: from here on they are not
    /// for it, and the sinks in `then` get what was pending. Returns how many were.
    pub fn discard(
        &mut self,
        sink: SinkId,
        events: &[EventId],
        then: Then,
        now: DateTime<Utc>,
    ) -> Result<u64> {
        let mut edit = Edit::begin(&mut self.0)?;
        let mut discarded = 0;
        for event in events {
            discarded += u64::from(edit.discard(sink, *event, then, now)?);
        }
        edit.commit()?;
        Ok(discarded)
    }
}

/// One transaction, rolled back unless it is committed.
struct Edit<'c> {
    transaction: Transaction<'c>,
    deltas: Deltas,
}

impl<'c> Edit<'c> {
    fn begin(connection: &'c mut Connection) -> Result<Self> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Self { transaction, deltas: Deltas::default() })
    }

    fn commit(self) -> Result<()> {
        self.deltas.write(&self.transaction)?;
        Ok(self.transaction.commit()?)
    }

    fn row(&self, event: EventId) -> Result<Option<Row>> {
        let mut select = self.transaction.prepare_cached(
            "SELECT sinks, EXISTS (SELECT 1 FROM bodies WHERE event = id) FROM events
             WHERE id = ?1",
        )?;
        let row = select
            .query_row([event.0], |row| Ok(Row { sinks: sinks(row, 0)?, has_body: row.get(1)? }));
        Ok(row.optional()?)
    }

    /// Makes a failed event due earlier; returns whether it is pending at all. One that was never
    /// tried has its turn already.
    fn expedite(
        &self,
        sink: SinkId,
        event: EventId,
        request: i64,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let pending = self
            .transaction
            .prepare_cached(
                "UPDATE pending SET due = min(due, ?3), request = ?4 WHERE sink = ?1 AND event = ?2",
            )?
            .execute(params![sink.0, event.0, now.timestamp_millis(), request])?;
        Ok(pending > 0)
    }

    fn requeue(
        &mut self,
        (sink, from): (SinkId, Option<SinkId>),
        event: EventId,
        mut row: Row,
        request: i64,
        now: DateTime<Utc>,
    ) -> Result<()> {
        if self.delete("DELETE FROM dead WHERE sink = ?1 AND event = ?2", sink, event)? {
            self.deltas.add(Counter::Dead(sink), -1);
        } else if row.sinks.contains(&sink) {
            self.deltas.add(Counter::Delivered(sink), -1);
        }
        let is_new = !row.sinks.contains(&sink);
        if is_new {
            self.deltas.add(Counter::Unrouted, -i64::from(row.sinks.is_empty()));
            self.deltas.add(Counter::Routed(sink), 1);
            row.sinks.push(sink);
            self.set_sinks(event, &row.sinks)?;
        }
        let (mut followers, mut result) = following::left_at(&self.transaction, sink, event)?;
        if followers.is_none() && is_new {
            followers = following::before_its_turn(&self.transaction, sink, event)?;
        }
        if let Some(from) = from.filter(|_| is_new) {
            let left = following::left_at(&self.transaction, from, event)?;
            (followers, result) = (followers.or(left.0), result.or(left.1));
        }
        let now = now.timestamp_millis();
        let released = result.as_ref().map(|_| now);
        self.transaction
            .prepare_cached(
                "INSERT INTO pending (sink, event, due, request, followers, released, result)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![sink.0, event.0, now, request, followers, released, result])?;
        following::skip_if_removed(&self.transaction, &mut self.deltas, sink, event, now)?;
        Ok(())
    }

    fn discard(
        &mut self,
        sink: SinkId,
        event: EventId,
        then: Then,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let (range, untried) = ((event, event), (0, None));
        let discarded = AfterState::Discarded;
        let followed = match then {
            Then::Followers => followed(&self.transaction, sink, range, discarded, untried, 1)?,
            Then::Nobody => Vec::new(),
        };
        let was_pending =
            self.delete("DELETE FROM pending WHERE sink = ?1 AND event = ?2", sink, event)?;
        let was_dead =
            self.delete("DELETE FROM dead WHERE sink = ?1 AND event = ?2", sink, event)?;
        if !was_pending && !was_dead {
            return Ok(false);
        }
        self.delete("DELETE FROM attempts WHERE sink = ?1 AND event = ?2", sink, event)?;
        self.deltas.add(Counter::Dead(sink), -i64::from(was_dead));
        self.deltas.add(Counter::Discarded(sink), 1);
        if let Some(mut row) = self.row(event)? {
            row.sinks.retain(|other| *other != sink);
            self.deltas.add(Counter::Unrouted, i64::from(row.sinks.is_empty()));
            self.set_sinks(event, &row.sinks)?;
        }
        for settled in &followed {
            let now = now.timestamp_millis();
            release(&self.transaction, &mut self.deltas, sink, settled, now)?;
        }
        Ok(true)
    }

    fn set_sinks(&self, event: EventId, sinks: &[SinkId]) -> Result<()> {
        self.transaction
            .prepare_cached("UPDATE events SET sinks = ?2 WHERE id = ?1")?
            .execute(params![event.0, sinks_text(sinks)])?;
        Ok(())
    }

    fn delete(&self, sql: &str, sink: SinkId, event: EventId) -> Result<bool> {
        Ok(self.transaction.prepare_cached(sql)?.execute([sink.0, event.0])? > 0)
    }
}
