//! Which of several equal events is which, where nothing in them tells: a cast that starts, stops,
//! starts.
//!
//! An *occurrence* answers for one message of the cloud's queue. Of the handles that it comes under
//! one counts, the newest, and only that one is ever confirmed. It is *open* while no confirmation
//! was sent, or each one that was sent has certainly not been taken. An equal event under another
//! handle joins the oldest open occurrence that no other entry of the same answer has taken: it may
//! be the same message, handed out again. The handle that counted before is forgotten; were it
//! another message, it comes again, and is an occurrence of its own once this one is closed, or
//! when the time of its receipts tells them apart. An occurrence whose message is not in the queue
//! any more (receipts.rs) is closed when an equal event comes: the new one would be confirmed in
//! its place.
//!
//! Why no message is lost: a handle belongs to one message, an occurrence sends one handle until
//! the answer is known, and it is stored and delivered before. So no more messages are confirmed
//! than occurrences were delivered, whatever the clocks say and wherever a kill comes. What that
//! costs is a repeat, where an answer was lost or a kill came between a confirmation and its
//! record.
//!
//! A posted event has no handle and is posted again only for a moment, where its answer did not
//! come in time. So an equal one that is posted joins an open occurrence that was posted within
//! [`REPOST_TIME`], and no other; so does one that is pulled, whose handle counts from then on.
//! Once the answer was written in time the occurrence is closed, whatever handle it had.

use chrono::TimeDelta;
use rusqlite::{OptionalExtension, params};
use tokio::time::Instant;

use super::rows::{origin_number, time};
use super::store::Store;
use crate::event::{Entry, EventOrigin, Key};
use crate::journal::error::Result;
use crate::journal::receipts::{Message, PullReceipt, REPOST_TIME, Taken};
use crate::journal::types::{ConfirmPermission, EventId, HandleConfirmation};

/// What an entry is.
pub(super) enum Occurrence {
    /// One that is there; whether it has come under this handle before.
    Known { event: EventId, is_under_its_handle: bool },
    /// A new one; whether the confirmation of the newest equal one may have been in vain: then it
    /// may be that one's message again.
    New { may_be_repeat: bool },
}

impl Store {
    /// The occurrences that came under a handle of `entries`, which no other entry can take.
    pub(super) fn taken_by_handle(&self, entries: &[Entry]) -> Result<Taken> {
        let mut taken = Taken::default();
        for entry in entries.iter().filter(|entry| entry.event.is_repeatable()) {
            taken.known.extend(self.under_its_handle(entry)?);
        }
        Ok(taken)
    }

    fn under_its_handle(&self, entry: &Entry) -> Result<Option<EventId>> {
        let Some(handle) = &entry.handle else { return Ok(None) };
        let mut select =
            self.connection.prepare_cached("SELECT event FROM occurrences WHERE handle = ?1")?;
        let handle = entry.event.key.under_handle(handle);
        let found = select.query_row([handle.as_bytes()], |row| row.get(0).map(EventId));
        Ok(found.optional()?)
    }

    /// Which occurrence an entry of `answer` is.
    pub(super) fn occurrence_of(
        &mut self,
        entry: &Entry,
        answer: &PullReceipt,
        taken: &mut Taken,
    ) -> Result<Occurrence> {
        if let Some(event) = self.under_its_handle(entry)? {
            self.receipts.record(event, answer.receipt);
            return Ok(Occurrence::Known { event, is_under_its_handle: true });
        }
        if is_posted(entry) {
            let over = self.receipts.posted_too_long_ago(Instant::now());
            self.close(&over)?;
        }
        let content = entry.event.key;
        let (found, over) = self.open_occurrence(entry, answer, [taken, &answer.taken])?;
        self.close(&over)?;
        let Some(event) = found else {
            let may_be_repeat = !over.is_empty() || self.is_newest_unacknowledged(content)?;
            return Ok(Occurrence::New { may_be_repeat });
        };
        taken.newest.insert(content, event);
        if is_posted(entry) {
            self.record_posted(event, answer)?;
        } else if let Some(handle) = &entry.handle {
            self.receipts.record(event, answer.receipt);
            self.connection
                .prepare_cached("UPDATE occurrences SET handle = ?2 WHERE event = ?1")?
                .execute(params![event.0, content.under_handle(handle).as_bytes()])?;
            self.forget_posted(event)?;
        }
        Ok(Occurrence::Known { event, is_under_its_handle: false })
    }

    /// The oldest open occurrence that an entry of `answer` may be, and older ones that none can be
    /// any more: their messages are gone, or they will not be posted again.
    fn open_occurrence(
        &self,
        entry: &Entry,
        answer: &PullReceipt,
        taken: [&Taken; 2],
    ) -> Result<(Option<EventId>, Vec<EventId>)> {
        let content = entry.event.key;
        // Without a handle it comes for ever, and is the same each time.
        let receipt = answer.receipt.filter(|_| entry.handle.is_some());
        let mut select = self.connection.prepare_cached(
            "SELECT event, (SELECT at FROM posted WHERE posted.event = occurrences.event)
             FROM occurrences WHERE content = ?1 AND is_open AND event > ?2 ORDER BY event",
        )?;
        let newest = taken.iter().filter_map(|taken| taken.newest.get(&content));
        let after = newest.max().copied().unwrap_or_default();
        let mut rows = select.query(params![content.as_bytes(), after.0])?;
        let mut over = Vec::new();
        while let Some(row) = rows.next()? {
            let event = EventId(row.get(0)?);
            let posted = time(row, 1)?;
            if taken.iter().any(|taken| taken.known.contains(&event)) {
                continue;
            }
            let message = match posted {
                Some(at) => self.compare_posted(event, answer.pulled - at),
                None if is_posted(entry) => Message::IsAnother,
                None => self.receipts.compare(event, self.is_pending(event)?, receipt),
            };
            match message {
                Message::MayBeSame => return Ok((Some(event), over)),
                Message::IsAnother => {}
                Message::IsGone => over.push(event),
            }
        }
        Ok((None, over))
    }

    /// What an occurrence that was posted this long before it is to an equal event. The clock may
    /// have been set meanwhile: then it is another one.
    fn compare_posted(&self, event: EventId, before: TimeDelta) -> Message {
        let is_recent = before.to_std().is_ok_and(|before| before < REPOST_TIME);
        match is_recent && self.receipts.may_be_posted_again(event, Instant::now()) {
            true => Message::MayBeSame,
            false => Message::IsGone,
        }
    }

    fn record_posted(&mut self, event: EventId, answer: &PullReceipt) -> Result<()> {
        self.receipts.record_posted(event, Instant::now());
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO posted (event, at) VALUES (?1, ?2)")?
            .execute([event.0, answer.pulled.timestamp_millis()])?;
        Ok(())
    }

    fn forget_posted(&mut self, event: EventId) -> Result<()> {
        self.receipts.forget_posted(event);
        self.connection
            .prepare_cached("DELETE FROM posted WHERE event = ?1")?
            .execute([event.0])?;
        Ok(())
    }

    fn close(&self, events: &[EventId]) -> Result<()> {
        let mut close = self
            .connection
            .prepare_cached("UPDATE occurrences SET is_open = 0 WHERE event = ?1")?;
        for event in events {
            close.execute([event.0])?;
        }
        Ok(())
    }

    /// Whether a confirmation of the newest occurrence was sent and no answer said that it was
    /// taken, or it was posted and not answered in time.
    fn is_newest_unacknowledged(&self, content: Key) -> Result<bool> {
        let mut select = self.connection.prepare_cached(
            "SELECT NOT is_open AND NOT EXISTS
               (SELECT 1 FROM confirmations WHERE confirmations.event = occurrences.event)
               AND NOT (handle IS NULL
                        AND (SELECT origin FROM events WHERE id = occurrences.event) = ?2
                        AND NOT EXISTS (SELECT 1 FROM posted WHERE event = occurrences.event))
             FROM occurrences WHERE content = ?1 ORDER BY event DESC LIMIT 1",
        )?;
        let values = params![content.as_bytes(), origin_number(EventOrigin::Callback)];
        Ok(select.query_row(values, |row| row.get(0)).optional()?.unwrap_or(false))
    }

    /// Records what makes the event `event` an occurrence of what `entry` says.
    pub(super) fn add_occurrence(
        &mut self,
        event: EventId,
        entry: &Entry,
        answer: &PullReceipt,
        taken: &mut Taken,
    ) -> Result<()> {
        let content = entry.event.key;
        taken.newest.insert(content, event);
        let handle = entry.handle.as_ref().map(|handle| content.under_handle(handle));
        self.connection
            .prepare_cached(
                "INSERT INTO occurrences (event, content, handle, is_open) VALUES (?1, ?2, ?3, 1)",
            )?
            .execute(params![
                event.0,
                content.as_bytes(),
                handle.as_ref().map(Key::as_bytes).map(<[u8; 16]>::as_slice)
            ])?;
        if handle.is_some() {
            self.receipts.record(event, answer.receipt);
        } else if is_posted(entry) {
            self.record_posted(event, answer)?;
        }
        Ok(())
    }

    /// Closes the occurrences under each handle, unless the handle does not count.
    pub(in crate::journal) fn close_occurrences(
        &mut self,
        handles: &[HandleConfirmation],
    ) -> Result<Vec<ConfirmPermission>> {
        handles.iter().map(|handle| self.close_those_under(handle)).collect()
    }

    fn close_those_under(&self, sending: &HandleConfirmation) -> Result<ConfirmPermission> {
        let mut select = self
            .connection
            .prepare_cached("SELECT content, handle, is_open FROM occurrences WHERE event = ?1")?;
        let mut open = Vec::new();
        for event in &sending.events {
            let row = select.query_row([event.0], |row| {
                let content = Key::from_bytes(row.get(0)?);
                let handle = row.get::<_, Option<[u8; 16]>>(1)?.map(Key::from_bytes);
                Ok((content.under_handle(&sending.handle), handle, row.get::<_, bool>(2)?))
            });
            // Of an event that can be told from all others there is none.
            let Some((this, counts, is_open)) = row.optional()? else { continue };
            if counts != Some(this) {
                return Ok(ConfirmPermission::Superseded);
            }
            if is_open {
                open.push(*event);
            }
        }
        self.close(&open)?;
        Ok(ConfirmPermission::Granted(open))
    }

    /// Whether the event may repeat.
    pub(in crate::journal) fn is_occurrence(&self, event: EventId) -> Result<bool> {
        let mut select =
            self.connection.prepare_cached("SELECT 1 FROM occurrences WHERE event = ?1")?;
        Ok(select.exists([event.0])?)
    }

    /// An occurrence was posted and answered in time: what is equal is another one. So is what
    /// was pulled and took it for the same; its handle is not confirmed.
    pub(in crate::journal) fn acknowledge(&mut self, event: EventId) -> Result<()> {
        self.connection
            .prepare_cached("UPDATE occurrences SET is_open = 0, handle = NULL WHERE event = ?1")?
            .execute([event.0])?;
        self.forget_posted(event)
    }

    /// Their confirmation has certainly not been taken; that of one that was acknowledged meanwhile
    /// does not matter.
    pub(in crate::journal) fn open_occurrences(&mut self, events: &[EventId]) -> Result<()> {
        let mut open = self.connection.prepare_cached(
            "UPDATE occurrences SET is_open = 1 WHERE event = ?1 AND handle IS NOT NULL",
        )?;
        for event in events {
            open.execute([event.0])?;
        }
        Ok(())
    }
}

fn is_posted(entry: &Entry) -> bool {
    entry.event.origin == EventOrigin::Callback
}
