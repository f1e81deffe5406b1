//! Events are stored, or are known, in SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension, params};

use super::counters::Counter;
use super::runs::runs;
use super::store::{Store, sinks_text};
use super::{Appended, EventId, Fresh, Result, Route, SinkId};
use crate::event::{Event, Key};

/// An event without TaskId that is equal to one confirmed longer ago than this happened anew.
const NEW_OCCURRENCE: TimeDelta = TimeDelta::minutes(10);

/// What became of an event that was to be stored.
pub(super) struct Stored {
    pub(super) appended: Appended,
    /// A fresh event, and the sinks that want it.
    pub(super) fresh: Option<(Fresh, Vec<SinkId>)>,
}

/// Fresh events that are not yet in `pending`.
type Owed = BTreeMap<SinkId, Vec<EventId>>;

impl Store {
    /// Stores each event, unless it is known.
    pub(super) fn append(
        &mut self,
        events: &[Arc<Event>],
        routes: &[Route],
        now: DateTime<Utc>,
    ) -> Result<Vec<Stored>> {
        let mut owed = Owed::new();
        let mut stored = Vec::with_capacity(events.len());
        for event in events {
            stored.push(self.append_one(event, routes, &mut owed, now)?);
        }
        self.owe(&mut owed)?;
        Ok(stored)
    }

    fn append_one(
        &mut self,
        event: &Arc<Event>,
        routes: &[Route],
        owed: &mut Owed,
        now: DateTime<Utc>,
    ) -> Result<Stored> {
        let newest = match event.task_id {
            Some(_) => None,
            None => self.newest_occurrence(event.key)?,
        };
        let (number, id) = match newest {
            Some(newest) => newest,
            None => match self.insert(event, routes, owed)? {
                Some(stored) => return Ok(stored),
                None => (0, self.known(event.key)?),
            },
        };
        if event.task_id.is_none() && self.is_confirmed_long_since(id, now)? {
            return self.append_occurrence(event, number + 1, routes, owed);
        }
        self.count(Counter::SeenAgain, 1);
        // It may be one of these events.
        self.owe(owed)?;
        let pending = self.is_pending(id)?;
        let recurs = event.task_id.is_none();
        Ok(Stored { appended: Appended { id, fresh: false, pending, recurs }, fresh: None })
    }

    /// Stores an event that is equal to others as one of its own.
    fn append_occurrence(
        &mut self,
        event: &Arc<Event>,
        mut number: u32,
        routes: &[Route],
        owed: &mut Owed,
    ) -> Result<Stored> {
        loop {
            let key = event.key.occurrence(number);
            let anew = Arc::new(Event { key, ..Event::clone(event) });
            if let Some(stored) = self.insert(&anew, routes, owed)? {
                self.connection
                    .prepare_cached(
                        "INSERT INTO occurrences (key, number, event) VALUES (?1, ?2, ?3)
                         ON CONFLICT (key) DO UPDATE
                           SET number = excluded.number, event = excluded.event",
                    )?
                    .execute(params![event.key.as_bytes(), number, stored.appended.id.0])?;
                return Ok(stored);
            }
            // Numbers begin anew once the newest was pruned; some older ones may still be there.
            number += 1;
        }
    }

    /// Inserts an event and adds to what is owed; `None` if another has its key.
    fn insert(
        &mut self,
        event: &Arc<Event>,
        routes: &[Route],
        owed: &mut Owed,
    ) -> Result<Option<Stored>> {
        let sinks: Vec<SinkId> = routes
            .iter()
            .filter(|route| route.wanted.matches(event))
            .map(|route| route.sink)
            .collect();
        let id = EventId(self.next_id);
        if !self.key_index.add(&self.connection, event.key, id)? {
            return Ok(None);
        }
        self.connection
            .prepare_cached(
                "INSERT INTO events (id, key, app, type, file_id, task_id, first_pulled, replaced,
                                     sinks)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                id.0,
                event.key.as_bytes(),
                event.app.0.cast_signed(),
                event.event_type,
                event.file_id,
                event.task_id,
                event.first_pulled.timestamp_millis(),
                event.replaced,
                sinks_text(&sinks),
            ])?;
        self.connection
            .prepare_cached("INSERT INTO bodies (event, body) VALUES (?1, ?2)")?
            .execute(params![id.0, self.compressor.compress(&event.body)])?;
        self.next_id += 1;
        self.count(Counter::Received, 1);
        if sinks.is_empty() {
            self.count(Counter::Unrouted, 1);
        }
        for sink in &sinks {
            owed.entry(*sink).or_default().push(id);
        }
        let recurs = event.task_id.is_none();
        let appended = Appended { id, fresh: true, pending: !sinks.is_empty(), recurs };
        let fresh = Fresh { id, event: event.clone() };
        Ok(Some(Stored { appended, fresh: Some((fresh, sinks)) }))
    }

    /// Inserts the pending rows of events, and forgets that they were to be.
    fn owe(&mut self, owed: &mut Owed) -> Result<()> {
        for (sink, events) in std::mem::take(owed) {
            for (first, last) in runs(events) {
                let inserted = self
                    .connection
                    .prepare_cached(
                        "INSERT INTO pending (sink, event)
                         SELECT ?1, id FROM events WHERE id BETWEEN ?2 AND ?3",
                    )?
                    .execute([sink.0, first.0, last.0])?;
                self.count(Counter::Routed(sink), inserted);
            }
        }
        Ok(())
    }

    /// The newest further occurrence of the event with this key, if it had any.
    fn newest_occurrence(&self, key: Key) -> Result<Option<(u32, EventId)>> {
        Ok(self
            .connection
            .prepare_cached("SELECT number, event FROM occurrences WHERE key = ?1")?
            .query_row([key.as_bytes()], |row| Ok((row.get(0)?, EventId(row.get(1)?))))
            .optional()?)
    }

    /// The event that has the key.
    fn known(&mut self, key: Key) -> Result<EventId> {
        let found = self.key_index.find(&self.connection, key)?;
        Ok(found.ok_or(rusqlite::Error::QueryReturnedNoRows)?)
    }

    /// Or may have been confirmed then: of a call that was asked, the answer may be lost.
    fn is_confirmed_long_since(&self, id: EventId, now: DateTime<Utc>) -> Result<bool> {
        let at: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT max(at) FROM (SELECT at FROM confirmations WHERE event = ?1
                                      UNION ALL SELECT at FROM confirming WHERE event = ?1)",
            )?
            .query_row([id.0], |row| row.get(0))?;
        let long_since = (now - NEW_OCCURRENCE).timestamp_millis();
        Ok(at.is_some_and(|at| at < long_since))
    }
}
