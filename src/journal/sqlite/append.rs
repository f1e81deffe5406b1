//! Storing events, unless they are known, in SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::params;

use super::counters::Counter;
use super::followers::{self, Direct};
use super::id_ranges::id_ranges;
use super::occurrences::Occurrence;
use super::rows::{origin_number, sinks_text};
use super::store::Store;
use crate::event::{Entry, Event, Key};
use crate::journal::error::Result;
use crate::journal::feed::Route;
use crate::journal::receipts::{PullReceipt, Taken};
use crate::journal::types::{Appended, EventId, NewEvent, SinkId, StoredEntry};

/// New events that are not yet in `pending`, by the sinks that get them at once and the text of
/// those that follow.
type Outstanding = BTreeMap<Direct, Vec<EventId>>;

impl Store {
    /// Stores each event of `answer`, unless it is known.
    pub(in crate::journal) fn append(
        &mut self,
        entries: &[Entry],
        answer: &PullReceipt,
        routes: &[Route],
    ) -> Result<Vec<StoredEntry>> {
        let mut outstanding = Outstanding::new();
        let mut taken = self.taken_by_handle(entries)?;
        let mut stored = Vec::with_capacity(entries.len());
        for entry in entries {
            stored.push(match entry.event.is_repeatable() {
                true => {
                    self.append_repeatable(entry, answer, &mut taken, routes, &mut outstanding)?
                }
                false => self.append_unique(&entry.event, routes, &mut outstanding)?,
            });
        }
        self.insert_pending(&mut outstanding)?;
        Ok(stored)
    }

    fn append_unique(
        &mut self,
        event: &Arc<Event>,
        routes: &[Route],
        outstanding: &mut Outstanding,
    ) -> Result<StoredEntry> {
        if let Some(stored) = self.insert(event, routes, outstanding)? {
            return Ok(stored);
        }
        let found = self.key_index.find(&self.connection, event.key)?;
        let id = found.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        Ok(StoredEntry { appended: self.duplicate(id, event.key, outstanding)?, new: None })
    }

    fn append_repeatable(
        &mut self,
        entry: &Entry,
        answer: &PullReceipt,
        taken: &mut Taken,
        routes: &[Route],
        outstanding: &mut Outstanding,
    ) -> Result<StoredEntry> {
        let may_be_repeat = match self.occurrence_of(entry, answer, taken)? {
            Occurrence::Known { event, is_under_its_handle } => {
                let appended = self.duplicate(event, self.key_of(event)?, outstanding)?;
                return Ok(StoredEntry {
                    appended: Appended { is_repeatable: true, is_under_its_handle, ..appended },
                    new: None,
                });
            }
            Occurrence::New { may_be_repeat } => may_be_repeat,
        };
        let content = entry.event.key;
        let under = |key: Key| match entry.handle.as_deref() {
            Some(handle) => key.under_handle(handle),
            None => key.under_no_handle(),
        };
        let mut key = under(content);
        let mut stored = loop {
            let occurrence = Arc::new(Event { key, ..Event::clone(&entry.event) });
            if let Some(stored) = self.insert(&occurrence, routes, outstanding)? {
                break stored;
            }
            // An occurrence that first came under this handle has another by now: that was another
            // message, and so is this.
            key = under(key);
        };
        let appended = &mut stored.appended;
        (appended.is_repeatable, appended.may_be_duplicate) = (true, may_be_repeat);
        self.add_occurrence(appended.id, entry, answer, taken)?;
        Ok(stored)
    }

    /// Counts an event that is there already.
    fn duplicate(
        &mut self,
        id: EventId,
        key: Key,
        outstanding: &mut Outstanding,
    ) -> Result<Appended> {
        self.count(Counter::Duplicates, 1);
        // It may be one of these events.
        self.insert_pending(outstanding)?;
        Ok(appended(id, key, false, self.is_pending(id)?))
    }

    fn key_of(&self, id: EventId) -> Result<Key> {
        let mut select = self.connection.prepare_cached("SELECT key FROM events WHERE id = ?1")?;
        Ok(select.query_row([id.0], |row| row.get(0).map(Key::from_bytes))?)
    }

    /// Inserts an event and adds to what is outstanding; `None` if another has its key.
    fn insert(
        &mut self,
        event: &Arc<Event>,
        routes: &[Route],
        outstanding: &mut Outstanding,
    ) -> Result<Option<StoredEntry>> {
        let direct = followers::direct(routes, event);
        let sinks: Vec<SinkId> = direct.iter().map(|(sink, _)| *sink).collect();
        let id = EventId(self.next_id);
        if !self.key_index.add(&self.connection, event.key, id)? {
            return Ok(None);
        }
        self.connection
            .prepare_cached(
                "INSERT INTO events (id, key, app, type, file_id, task_id, first_pulled, replaced,
                                     sinks, origin)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
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
                origin_number(event.origin),
            ])?;
        self.connection
            .prepare_cached("INSERT INTO bodies (event, body) VALUES (?1, ?2)")?
            .execute(params![id.0, self.compressor.compress(&event.body)])?;
        self.next_id += 1;
        self.count(Counter::Received, 1);
        if sinks.is_empty() {
            self.count(Counter::Unrouted, 1);
        }
        for to in direct {
            outstanding.entry(to).or_default().push(id);
        }
        let appended = appended(id, event.key, true, !sinks.is_empty());
        let new = NewEvent { id, event: event.clone() };
        Ok(Some(StoredEntry { appended, new: Some((new, sinks)) }))
    }

    /// Inserts the pending rows of events, and forgets that they were to be.
    fn insert_pending(&mut self, outstanding: &mut Outstanding) -> Result<()> {
        for ((sink, followers), events) in std::mem::take(outstanding) {
            for (first, last) in id_ranges(events) {
                let inserted = self
                    .connection
                    .prepare_cached(
                        "INSERT INTO pending (sink, event, followers)
                         SELECT ?1, id, ?4 FROM events WHERE id BETWEEN ?2 AND ?3",
                    )?
                    .execute(params![sink.0, first.0, last.0, followers])?;
                self.count(Counter::Routed(sink), inserted);
            }
        }
        Ok(())
    }
}

/// Of an event that can be told from all others.
fn appended(id: EventId, key: Key, is_new: bool, pending: bool) -> Appended {
    let (is_repeatable, is_under_its_handle, may_be_duplicate) = Default::default();
    Appended { id, key, is_new, pending, is_repeatable, is_under_its_handle, may_be_duplicate }
}
