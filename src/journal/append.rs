//! Events are stored, or are known, in SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::params;

use super::counters::Counter;
use super::id_ranges::runs;
use super::occurrences::Occurrence;
use super::receipts::{PullReceipt, Taken};
use super::store::{Store, sinks_text};
use super::{Appended, EventId, NewEvent, Result, Route, SinkId};
use crate::event::{Entry, Event, Key};

/// What became of an event that was to be stored.
pub(super) struct StoredEntry {
    pub(super) appended: Appended,
    /// A fresh event, and the sinks that want it.
    pub(super) fresh: Option<(NewEvent, Vec<SinkId>)>,
}

/// Fresh events that are not yet in `pending`.
type Owed = BTreeMap<SinkId, Vec<EventId>>;

impl Store {
    /// Stores each event of `answer`, unless it is known.
    pub(super) fn append(
        &mut self,
        entries: &[Entry],
        answer: &PullReceipt,
        routes: &[Route],
    ) -> Result<Vec<StoredEntry>> {
        let mut owed = Owed::new();
        let mut taken = self.under_their_handles(entries)?;
        let mut stored = Vec::with_capacity(entries.len());
        for entry in entries {
            stored.push(match entry.event.is_repeatable() {
                true => self.append_repeatable(entry, answer, &mut taken, routes, &mut owed)?,
                false => self.append_unique(&entry.event, routes, &mut owed)?,
            });
        }
        self.owe(&mut owed)?;
        Ok(stored)
    }

    fn append_unique(
        &mut self,
        event: &Arc<Event>,
        routes: &[Route],
        owed: &mut Owed,
    ) -> Result<StoredEntry> {
        if let Some(stored) = self.insert(event, routes, owed)? {
            return Ok(stored);
        }
        let found = self.key_index.find(&self.connection, event.key)?;
        let id = found.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        Ok(StoredEntry { appended: self.known(id, event.key, owed)?, fresh: None })
    }

    fn append_repeatable(
        &mut self,
        entry: &Entry,
        answer: &PullReceipt,
        taken: &mut Taken,
        routes: &[Route],
        owed: &mut Owed,
    ) -> Result<StoredEntry> {
        let may_be_repeat = match self.occurrence_of(entry, answer, taken)? {
            Occurrence::Known { event, is_under_its_handle } => {
                let appended = self.known(event, self.key_of(event)?, owed)?;
                return Ok(StoredEntry {
                    appended: Appended { is_repeatable: true, is_under_its_handle, ..appended },
                    fresh: None,
                });
            }
            Occurrence::New { may_be_repeat } => may_be_repeat,
        };
        let (content, handle) = (entry.event.key, entry.handle.as_deref());
        let under = |key: Key| match handle {
            Some(handle) => key.under_handle(handle),
            None => key.under_no_handle(),
        };
        let mut key = under(content);
        let mut stored = loop {
            let occurrence = Arc::new(Event { key, ..Event::clone(&entry.event) });
            if let Some(stored) = self.insert(&occurrence, routes, owed)? {
                break stored;
            }
            // An occurrence that first came under this handle has another by now: that was another
            // message, and so is this.
            key = under(key);
        };
        let appended = &mut stored.appended;
        (appended.is_repeatable, appended.may_be_duplicate) = (true, may_be_repeat);
        let id = appended.id;
        self.add_occurrence(id, content, handle, answer, taken)?;
        Ok(stored)
    }

    /// An event that is there already.
    fn known(&mut self, id: EventId, key: Key, owed: &mut Owed) -> Result<Appended> {
        self.count(Counter::Duplicates, 1);
        // It may be one of these events.
        self.owe(owed)?;
        Ok(Appended {
            id,
            key,
            is_new: false,
            pending: self.is_pending(id)?,
            is_repeatable: false,
            is_under_its_handle: false,
            may_be_duplicate: false,
        })
    }

    fn key_of(&self, id: EventId) -> Result<Key> {
        let mut select = self.connection.prepare_cached("SELECT key FROM events WHERE id = ?1")?;
        Ok(select.query_row([id.0], |row| row.get(0).map(Key::from_bytes))?)
    }

    /// Inserts an event and adds to what is owed; `None` if another has its key.
    fn insert(
        &mut self,
        event: &Arc<Event>,
        routes: &[Route],
        owed: &mut Owed,
    ) -> Result<Option<StoredEntry>> {
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
        let appended = Appended {
            id,
            key: event.key,
            is_new: true,
            pending: !sinks.is_empty(),
            is_repeatable: false,
            is_under_its_handle: false,
            may_be_duplicate: false,
        };
        let fresh = NewEvent { id, event: event.clone() };
        Ok(Some(StoredEntry { appended, fresh: Some((fresh, sinks)) }))
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
}
