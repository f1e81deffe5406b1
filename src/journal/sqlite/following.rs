//! One sink after another, in SQL.
//!
//! A pending row carries the sinks that follow. The transaction that settles it inserts theirs: at
//! no commit is an event settled that a sink still has to get. What became of it is kept beside the
//! event, with the sinks that got it by that and those that wait for something else.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::counters::{Counter, Deltas};
use super::followers::Followers;
use super::rows::{sinks, sinks_text, time};
use crate::event::{AfterResult, AfterState};
use crate::journal::error::Result;
use crate::journal::types::{EventId, SinkId};

/// Rows of a removed sink that are in memory at once.
const SKIP_PAGE: usize = 1000;

/// A pending row that others follow.
pub(super) struct Followed {
    pub(super) event: EventId,
    followers: Followers,
    result: AfterResult,
}

impl Followed {
    /// It has failed now, if it had not before.
    pub(super) fn failed(&mut self, now: DateTime<Utc>) {
        self.result.first_failed.get_or_insert(now);
    }
}

/// The first `limit` pending rows of a range at `sink` that others follow, with what became of each by now: it was
/// tried `attempts` more times.
pub(super) fn followed(
    connection: &Connection,
    sink: SinkId,
    (first, last): (EventId, EventId),
    state: AfterState,
    (attempts, error): (u32, Option<&str>),
    limit: usize,
) -> Result<Vec<Followed>> {
    let mut select = connection.prepare_cached(
        "SELECT event, followers, attempts, first_failed, name
         FROM pending JOIN sinks ON sinks.id = pending.sink
         WHERE sink = ?1 AND event BETWEEN ?2 AND ?3 AND followers IS NOT NULL
         ORDER BY event LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select.query_map([sink.0, first.0, last.0, limit], |row| {
        Ok(Followed {
            event: EventId(row.get(0)?),
            followers: Followers::column(row, 1)?,
            result: AfterResult {
                sink: row.get(4)?,
                state,
                error: error.map(str::to_owned),
                attempts: row.get::<_, u32>(2)? + attempts,
                first_failed: time(row, 3)?,
            },
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Gives an event that `sink` has settled to the sinks that follow, those of them for which that is
/// what they wait for and which have not had it. Returns these. Its row at `sink` is gone.
pub(super) fn release(
    connection: &Connection,
    deltas: &mut Deltas,
    sink: SinkId,
    settled: &Followed,
    now: i64,
) -> Result<Vec<SinkId>> {
    let Followed { event, followers, result } = settled;
    let mut of = connection.prepare_cached("SELECT sinks FROM events WHERE id = ?1")?;
    let mut all = of.query_row([event.0], |row| sinks(row, 0))?;
    let was_unrouted = all.is_empty();
    let text = serde_json::to_string(result).unwrap_or_default();
    let mut insert = connection.prepare_cached(
        "INSERT INTO pending (sink, event, due, followers, released, result)
         VALUES (?1, ?2, ?3, ?4, ?3, ?5)",
    )?;
    // Of one that was taken from it by hand it may have had another result.
    let mut forget = connection.prepare_cached(
        "UPDATE results SET released = trim(replace(' ' || released || ' ', ' ' || ?3 || ' ', ' '))
         WHERE event = ?1 AND sink <> ?2",
    )?;
    let (covered, waiting) = followers.split(|on| on.covers(result.state));
    let mut released = Vec::new();
    for follower in covered.0 {
        // A redelivery releases nobody twice.
        if all.contains(&follower.sink) {
            continue;
        }
        forget.execute(params![event.0, sink.0, follower.sink.0])?;
        insert.execute(params![follower.sink.0, event.0, now, follower.followers.text(), text])?;
        deltas.add(Counter::Routed(follower.sink), 1);
        all.push(follower.sink);
        released.push(follower.sink);
    }
    if !released.is_empty() {
        deltas.add(Counter::Unrouted, -i64::from(was_unrouted));
        connection
            .prepare_cached("UPDATE events SET sinks = ?2 WHERE id = ?1")?
            .execute(params![event.0, sinks_text(&all)])?;
    }
    // Those that got it by an earlier result get this one if they are to get it again.
    connection
        .prepare_cached(
            "INSERT INTO results (event, sink, result, released, waiting)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET result = excluded.result,
               released = trim(released || ' ' || excluded.released), waiting = excluded.waiting",
        )?
        .execute(params![event.0, sink.0, text, sinks_text(&released), waiting.text()])?;
    Ok(released)
}

/// Gives what is pending at a sink that was removed to the sinks that follow whatever becomes of it.
/// Its rows stay, for its return, with the others that follow.
pub(super) fn skip(
    connection: &Connection,
    deltas: &mut Deltas,
    sink: SinkId,
    now: i64,
) -> Result<()> {
    let mut keep = connection
        .prepare_cached("UPDATE pending SET followers = ?3 WHERE sink = ?1 AND event = ?2")?;
    let mut first = EventId(i64::MIN);
    loop {
        let range = (first, EventId(i64::MAX));
        let page = followed(connection, sink, range, AfterState::Skipped, (0, None), SKIP_PAGE)?;
        for skipped in &page {
            release(connection, deltas, sink, skipped, now)?;
            let (_, waiting) = skipped.followers.split(|on| on.covers(AfterState::Skipped));
            keep.execute(params![sink.0, skipped.event.0, waiting.text()])?;
        }
        match page.last() {
            Some(last) if page.len() == SKIP_PAGE => first = EventId(last.event.0 + 1),
            _ => break,
        }
    }
    Ok(())
}

/// The sinks that have yet to get an event which `sink` had settled before and gets again.
pub(super) fn waiting(
    connection: &Connection,
    sink: SinkId,
    event: EventId,
) -> Result<Option<String>> {
    let mut select =
        connection.prepare_cached("SELECT waiting FROM results WHERE event = ?1 AND sink = ?2")?;
    Ok(select.query_row([event.0, sink.0], |row| row.get(0)).optional()?.flatten())
}

/// The newest result by which `sink` got an event, which it gets again.
pub(super) fn result_for(
    connection: &Connection,
    sink: SinkId,
    event: EventId,
) -> Result<Option<String>> {
    let mut select = connection.prepare_cached(
        "SELECT result FROM results
         WHERE event = ?1 AND ' ' || released || ' ' LIKE '% ' || ?2 || ' %'",
    )?;
    Ok(select.query_row([event.0, sink.0], |row| row.get(0)).optional()?)
}

/// The sinks that get an event once `sink` has settled it, by name.
pub(super) fn names(
    connection: &Connection,
    sink: SinkId,
    event: EventId,
) -> rusqlite::Result<Vec<String>> {
    let mut select = connection.prepare_cached(
        "SELECT followers FROM pending WHERE sink = ?1 AND event = ?2 AND followers IS NOT NULL",
    )?;
    let followers = select.query_row([sink.0, event.0], |row| Followers::column(row, 0));
    let mut name = connection.prepare_cached("SELECT name FROM sinks WHERE id = ?1")?;
    let mut names = Vec::new();
    for follower in followers.optional()?.unwrap_or_default().0 {
        names.extend(name.query_row([follower.sink.0], |row| row.get(0)).optional()?);
    }
    Ok(names)
}
