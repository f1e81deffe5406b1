//! The journal at one moment: how many events are in which state, and what is oldest.
//!
//! What it costs grows with what is pending or dead, not with what is delivered: most of it is
//! read off the counters.

use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::counters::{Counter, Counters};
use super::failures::{DeadLetters, FailingEvent, dead_letters, failing};
use super::paused::{self, PULLING};
use super::reader::{JournalReader, KnownSink};
use super::store;
use crate::journal::error::Result;
use crate::journal::settings::MIN_RETENTION;
use crate::journal::types::{EventId, SinkId};

/// The journal at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Events stored in the life of the journal, each once.
    pub received: u64,
    /// Times that a known event came again.
    pub duplicates: u64,
    /// Events that the cloud took back.
    pub confirmed: u64,
    /// Events by their state over all sinks.
    pub events: StateCounts,
    /// Events for no sink.
    pub unrouted: u64,
    /// Every sink that the journal has heard of, by name.
    pub sinks: Vec<SinkOverview>,
    /// Since when pulling is paused by hand.
    pub pulling_paused: Option<DateTime<Utc>>,
    /// When the oldest of the events was pulled that the cloud did not take back and that it still
    /// keeps. Of what came by another road than the queue it keeps nothing.
    pub oldest_unconfirmed: Option<DateTime<Utc>>,
    /// No event before this one has to be checked for that again.
    pub confirmed_before: EventId,
    /// Bytes in use in database and write-ahead log.
    pub size: ByteSize,
}

/// How many events are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateCounts {
    /// A sink still has to take them.
    pub pending: u64,
    /// They were taken.
    pub delivered: u64,
    /// They were given up.
    pub dead: u64,
}

/// One sink at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkOverview {
    /// The sink.
    pub sink: KnownSink,
    /// Its events, by their state there.
    pub events: StateCounts,
    /// When the oldest of those pending was first pulled.
    pub oldest_pending: Option<DateTime<Utc>>,
    /// Since when the first of those that are to be delivered now has been: never tried since its
    /// first pull, or due again.
    pub oldest_due: Option<DateTime<Utc>>,
    /// Events that have failed three times or more and are still pending, at most three, those with
    /// the most attempts first.
    pub failing: Vec<FailingEvent>,
    /// Its dead letters, by their error.
    pub dead_letters: DeadLetters,
    /// Since when it is paused by hand.
    pub paused: Option<DateTime<Utc>>,
}

impl JournalReader {
    /// The journal at one moment; `confirmed_before` is that of the last overview.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn overview(&self, now: DateTime<Utc>, confirmed_before: EventId) -> Result<Overview> {
        // One transaction is one moment.
        let moment = self.0.unchecked_transaction()?;
        let counters = Counters::read(&moment)?;
        let mut paused = paused::all(&moment)?;
        let mut sinks = Vec::new();
        for sink in self.sinks()? {
            let events = states(&counters, sink.id);
            let oldest_pending = oldest_pending(&moment, sink.id)?;
            let oldest_due = oldest_due(&moment, sink.id, now)?;
            let failing = failing(&moment, sink.id)?;
            let dead_letters = match events.dead {
                0 => DeadLetters::default(),
                _ => dead_letters(&moment, sink.id)?,
            };
            sinks.push(SinkOverview {
                paused: paused.remove(&sink.id.0),
                sink,
                events,
                oldest_pending,
                oldest_due,
                failing,
                dead_letters,
            });
        }
        let unrouted = counters.difference(Counter::Unrouted, &[Counter::PrunedUnrouted]);
        let kept = counters.difference(Counter::Received, &[Counter::Pruned]);
        let pending = pending_at_any(&moment, &sinks)?;
        let dead = dead_at_any(&moment, &sinks)?;
        let delivered = kept.saturating_sub(unrouted + pending + dead);
        let (oldest_unconfirmed, confirmed_before) =
            oldest_unconfirmed(&moment, now, confirmed_before)?;
        Ok(Overview {
            received: counters.difference(Counter::Received, &[]),
            duplicates: counters.difference(Counter::Duplicates, &[]),
            confirmed: counters.difference(Counter::Confirmed, &[]),
            events: StateCounts { pending, delivered, dead },
            unrouted,
            sinks,
            pulling_paused: paused.remove(&PULLING),
            oldest_unconfirmed,
            confirmed_before,
            size: store::size(&moment)?,
        })
    }
}

/// By the law that the counters keep; see `counters`.
fn states(counters: &Counters, sink: SinkId) -> StateCounts {
    use Counter::{Dead, Delivered, Discarded, PrunedOf, Routed};
    let settled = [Delivered(sink), Dead(sink), Discarded(sink)];
    StateCounts {
        pending: counters.difference(Routed(sink), &settled),
        delivered: counters.difference(Delivered(sink), &[PrunedOf(sink)]),
        dead: counters.difference(Dead(sink), &[]),
    }
}

/// Events that are pending at any sink: where it is one sink, its own count.
fn pending_at_any(connection: &Connection, sinks: &[SinkOverview]) -> Result<u64> {
    let mut counts = sinks.iter().map(|sink| sink.events.pending).filter(|count| *count > 0);
    match (counts.next(), counts.next()) {
        (None, _) => Ok(0),
        (Some(count), None) => Ok(count),
        _ => count(connection, "SELECT count(DISTINCT event) FROM pending"),
    }
}

/// Events that are dead at any sink, and pending at none.
fn dead_at_any(connection: &Connection, sinks: &[SinkOverview]) -> Result<u64> {
    if sinks.iter().all(|sink| sink.events.dead == 0) {
        return Ok(0);
    }
    count(
        connection,
        "SELECT count(DISTINCT event) FROM dead
         WHERE NOT EXISTS (SELECT 1 FROM sinks CROSS JOIN pending
                           ON pending.sink = sinks.id AND pending.event = dead.event)",
    )
}

fn count(connection: &Connection, sql: &str) -> Result<u64> {
    let count: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// Events are stored in the order of their age. What waited for another sink is as old as its release.
fn oldest_pending(connection: &Connection, sink: SinkId) -> Result<Option<DateTime<Utc>>> {
    let mut select = connection.prepare_cached(
        "SELECT ifnull(released, first_pulled) FROM pending JOIN events ON events.id = event
         WHERE sink = ?1 ORDER BY event LIMIT 1",
    )?;
    let at: Option<i64> = select.query_row([sink.0], |row| row.get(0)).optional()?;
    Ok(at.and_then(DateTime::from_timestamp_millis))
}

fn oldest_due(
    connection: &Connection,
    sink: SinkId,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    let mut select = connection.prepare_cached(
        "SELECT (SELECT first_pulled FROM events
                 WHERE id = (SELECT event FROM pending
                             WHERE sink = ?1 AND due IS NULL ORDER BY event LIMIT 1)),
                (SELECT min(due) FROM pending WHERE sink = ?1 AND due IS NOT NULL)",
    )?;
    let times: [Option<i64>; 2] =
        select.query_row([sink.0], |row| Ok([row.get(0)?, row.get(1)?]))?;
    let oldest = times.into_iter().flatten().filter(|at| *at <= now.timestamp_millis()).min();
    Ok(oldest.and_then(DateTime::from_timestamp_millis))
}

/// The oldest event of the queue after `before` that was not confirmed, and up to where there is
/// none.
fn oldest_unconfirmed(
    connection: &Connection,
    now: DateTime<Utc>,
    before: EventId,
) -> Result<(Option<DateTime<Utc>>, EventId)> {
    let kept_since = (now - MIN_RETENTION).timestamp_millis();
    let mut select = connection.prepare_cached(
        "SELECT id, first_pulled FROM events
         WHERE id >= ?1 AND first_pulled > ?2 AND origin = 0
           AND NOT EXISTS (SELECT 1 FROM confirmations WHERE event = events.id)
         ORDER BY id LIMIT 1",
    )?;
    let oldest = select
        .query_row(params![before.0, kept_since], |row| Ok((EventId(row.get(0)?), row.get(1)?)))
        .optional()?;
    if let Some((event, at)) = oldest {
        return Ok((DateTime::from_timestamp_millis(at), event));
    }
    let mut next = connection.prepare_cached("SELECT ifnull(max(id), 0) + 1 FROM events")?;
    Ok((None, next.query_row([], |row| row.get(0).map(EventId))?))
}
