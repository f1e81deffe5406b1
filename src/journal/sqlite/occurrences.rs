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

use rusqlite::{OptionalExtension, params};

use super::store::Store;
use crate::event::{Entry, Key};
use crate::journal::error::Result;
use crate::journal::receipts::{Message, PullReceipt, Receipt, Taken};
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
        let content = entry.event.key;
        // Without a handle it comes for ever, and is the same each time.
        let receipt = answer.receipt.filter(|_| entry.handle.is_some());
        let (found, gone) = self.open_occurrence(content, receipt, [taken, &answer.taken])?;
        self.close(&gone)?;
        let Some(event) = found else {
            let may_be_repeat = !gone.is_empty() || self.is_newest_unacknowledged(content)?;
            return Ok(Occurrence::New { may_be_repeat });
        };
        taken.newest.insert(content, event);
        if let Some(handle) = &entry.handle {
            self.receipts.record(event, answer.receipt);
            self.connection
                .prepare_cached("UPDATE occurrences SET handle = ?2 WHERE event = ?1")?
                .execute(params![event.0, content.under_handle(handle).as_bytes()])?;
        }
        Ok(Occurrence::Known { event, is_under_its_handle: false })
    }

    /// The oldest open occurrence of `content` whose message may be the one that came by `receipt`,
    /// and older ones whose messages are gone.
    fn open_occurrence(
        &self,
        content: Key,
        receipt: Option<Receipt>,
        taken: [&Taken; 2],
    ) -> Result<(Option<EventId>, Vec<EventId>)> {
        let mut select = self.connection.prepare_cached(
            "SELECT event FROM occurrences WHERE content = ?1 AND is_open AND event > ?2
             ORDER BY event",
        )?;
        let newest = taken.iter().filter_map(|taken| taken.newest.get(&content));
        let after = newest.max().copied().unwrap_or_default();
        let mut rows = select.query(params![content.as_bytes(), after.0])?;
        let mut gone = Vec::new();
        while let Some(row) = rows.next()? {
            let event = EventId(row.get(0)?);
            if taken.iter().any(|taken| taken.known.contains(&event)) {
                continue;
            }
            match self.receipts.compare(event, self.is_pending(event)?, receipt) {
                Message::MayBeSame => return Ok((Some(event), gone)),
                Message::IsAnother => {}
                Message::IsGone => gone.push(event),
            }
        }
        Ok((None, gone))
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
    /// taken.
    fn is_newest_unacknowledged(&self, content: Key) -> Result<bool> {
        let mut select = self.connection.prepare_cached(
            "SELECT NOT is_open AND NOT EXISTS
               (SELECT 1 FROM confirmations WHERE confirmations.event = occurrences.event)
             FROM occurrences WHERE content = ?1 ORDER BY event DESC LIMIT 1",
        )?;
        Ok(select.query_row([content.as_bytes()], |row| row.get(0)).optional()?.unwrap_or(false))
    }

    /// Records what makes the event `event` an occurrence of `content` that came under `handle`.
    pub(super) fn add_occurrence(
        &mut self,
        event: EventId,
        content: Key,
        handle: Option<&str>,
        answer: &PullReceipt,
        taken: &mut Taken,
    ) -> Result<()> {
        taken.newest.insert(content, event);
        if handle.is_some() {
            self.receipts.record(event, answer.receipt);
        }
        let handle = handle.map(|handle| content.under_handle(handle));
        self.connection
            .prepare_cached(
                "INSERT INTO occurrences (event, content, handle, is_open) VALUES (?1, ?2, ?3, 1)",
            )?
            .execute(params![
                event.0,
                content.as_bytes(),
                handle.as_ref().map(Key::as_bytes).map(<[u8; 16]>::as_slice)
            ])?;
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

    /// An occurrence was posted and answered in time: what is equal is another one.
    pub(in crate::journal) fn acknowledge(&mut self, event: EventId) -> Result<()> {
        self.close(&[event])
    }

    /// Their confirmation has certainly not been taken.
    pub(in crate::journal) fn open_occurrences(&mut self, events: &[EventId]) -> Result<()> {
        let mut open = self
            .connection
            .prepare_cached("UPDATE occurrences SET is_open = 1 WHERE event = ?1")?;
        for event in events {
            open.execute([event.0])?;
        }
        Ok(())
    }
}
