//! One sink after another, in SQL.
//!
//! A pending row carries the sinks that follow. The transaction that settles it inserts theirs: at
//! no commit is an event settled that a sink still has to get. What became of it is kept beside the
//! event, with the sinks that got it by that and those that wait for something else.

use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::counters::{Counter, Deltas};
use super::followers::Followers;
use super::rows::{after, sinks, sinks_text, time};
use crate::event::{AfterResult, AfterState, MirrorResult};
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

    /// Its sink is a mirror, which made this of its sprites.
    pub(super) fn mirrored(self, results: Vec<MirrorResult>) -> Self {
        Self { result: self.result.with_mirrored(results), ..self }
    }
}

/// The first `limit` pending rows of a range at `sink` that others follow, with what became of each
/// by now: it was tried `attempts` more times. What a mirror before `sink` made of its sprites goes
/// on with it.
pub(super) fn followed(
    connection: &Connection,
    sink: SinkId,
    (first, last): (EventId, EventId),
    state: AfterState,
    (attempts, error): (u32, Option<&str>),
    limit: usize,
) -> Result<Vec<Followed>> {
    let mut select = connection.prepare_cached(
        "SELECT event, followers, attempts, first_failed, name, result
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
                mirrored: after(row, 5)?.map(|before| before.mirrored).unwrap_or_default(),
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
    let (mut released, mut skipped) = (Vec::new(), Vec::new());
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
        if !follower.followers.0.is_empty() {
            let result = removed(connection, follower.sink)?;
            let passed = |result| Followed { event: *event, followers: follower.followers, result };
            skipped.extend(result.map(passed).map(|passed| (follower.sink, passed)));
        }
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
    for (sink, passed) in &skipped {
        released.extend(skip_one(connection, deltas, *sink, passed, now)?);
    }
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
    let mut first = EventId(i64::MIN);
    loop {
        let range = (first, EventId(i64::MAX));
        let page = followed(connection, sink, range, AfterState::Skipped, (0, None), SKIP_PAGE)?;
        for skipped in &page {
            skip_one(connection, deltas, sink, skipped, now)?;
        }
        match page.last() {
            Some(last) if page.len() == SKIP_PAGE => first = EventId(last.event.0 + 1),
            _ => break,
        }
    }
    Ok(())
}

/// Gives an event that is pending at a removed sink to those that follow whatever becomes of it there.
/// The others stay with its row. Returns the sinks that got it by that.
fn skip_one(
    connection: &Connection,
    deltas: &mut Deltas,
    sink: SinkId,
    skipped: &Followed,
    now: i64,
) -> Result<Vec<SinkId>> {
    let released = release(connection, deltas, sink, skipped, now)?;
    let (_, waiting) = skipped.followers.split(|on| on.covers(AfterState::Skipped));
    connection
        .prepare_cached("UPDATE pending SET followers = ?3 WHERE sink = ?1 AND event = ?2")?
        .execute(params![sink.0, skipped.event.0, waiting.text()])?;
    Ok(released)
}

/// The same for one that was just made pending by hand, if its sink is a removed one.
pub(super) fn skip_if_removed(
    connection: &Connection,
    deltas: &mut Deltas,
    sink: SinkId,
    event: EventId,
    now: i64,
) -> Result<()> {
    if removed(connection, sink)?.is_some() {
        let range = (event, event);
        for skipped in followed(connection, sink, range, AfterState::Skipped, (0, None), 1)? {
            skip_one(connection, deltas, sink, &skipped, now)?;
        }
    }
    Ok(())
}

/// What a sink does with every event if it was removed: nothing.
fn removed(connection: &Connection, sink: SinkId) -> Result<Option<AfterResult>> {
    let mut select =
        connection.prepare_cached("SELECT name FROM sinks WHERE id = ?1 AND NOT active")?;
    let name = select.query_row([sink.0], |row| row.get(0)).optional()?;
    let (state, error, attempts, first_failed) = (AfterState::Skipped, None, 0, None);
    let mirrored = Vec::new();
    Ok(name.map(|sink| AfterResult { sink, state, error, attempts, first_failed, mirrored }))
}

/// The sinks that follow `sink`, which has not had its turn with an event and gets it now by hand.
pub(super) fn before_its_turn(
    connection: &Connection,
    sink: SinkId,
    event: EventId,
) -> Result<Option<String>> {
    let mut select = connection.prepare_cached(
        "SELECT followers FROM sinks CROSS JOIN pending
           ON pending.sink = sinks.id AND pending.event = ?1 WHERE followers IS NOT NULL
         UNION ALL SELECT waiting FROM results WHERE event = ?1 AND waiting IS NOT NULL",
    )?;
    let mut rows = select.query([event.0])?;
    while let Some(row) = rows.next()? {
        if let Some(follower) = Followers::column(row, 0)?.find(sink) {
            return Ok(follower.followers.text());
        }
    }
    Ok(None)
}

/// What follows a sink by whose name an event was known, and how it came there: for the sink that
/// takes its place.
pub(super) fn left_at(
    connection: &Connection,
    sink: SinkId,
    event: EventId,
) -> Result<(Option<String>, Option<String>)> {
    let mut select = connection
        .prepare_cached("SELECT followers, result FROM pending WHERE sink = ?1 AND event = ?2")?;
    let pending = select.query_row([sink.0, event.0], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(match pending.optional()? {
        Some(left) => left,
        None => (waiting(connection, sink, event)?, result_for(connection, sink, event)?),
    })
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

/// The newest result at the sink that `sink` follows, of an event that it gets by hand.
pub(super) fn result_for(
    connection: &Connection,
    sink: SinkId,
    event: EventId,
) -> Result<Option<String>> {
    let mut select = connection
        .prepare_cached("SELECT result, released, waiting FROM results WHERE event = ?1")?;
    let mut rows = select.query([event.0])?;
    while let Some(row) = rows.next()? {
        let waits = match row.get_ref(2)? {
            ValueRef::Null => false,
            _ => Followers::column(row, 2)?.0.iter().any(|follower| follower.sink == sink),
        };
        if waits || sinks(row, 1)?.contains(&sink) {
            return Ok(Some(row.get(0)?));
        }
    }
    Ok(None)
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
