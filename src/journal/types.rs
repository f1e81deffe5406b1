//! What is said of events and sinks everywhere in the journal, and what can go wrong.

use std::sync::Arc;

use bytesize::ByteSize;

use super::capacity::Unprunable;
use crate::event::Key;

/// The number of an event in a journal: grows with every event that is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub i64);

/// The number of a sink in a journal: stays with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkId(pub i64);

/// What an append did with one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The event's number.
    pub id: EventId,
    /// The event's key: that of the occurrence, where it may repeat.
    pub key: Key,
    /// Whether it was seen for the first time.
    pub is_new: bool,
    /// Whether a sink still has to take it.
    pub pending: bool,
    /// Whether an event that reads the same may be another one.
    pub is_repeatable: bool,
    /// Whether it may repeat, and came under this handle before.
    pub is_under_its_handle: bool,
    /// Whether it may have been stored before as another one: the confirmation of that one was
    /// sent, and no answer said that it was taken.
    pub may_be_duplicate: bool,
}

/// Why the journal did not do what it was asked. Nothing of it happened.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum JournalError {
    /// SQLite could not write or read.
    #[error("the journal cannot be written: {0}")]
    Sqlite(Arc<str>),
    /// `max_size` is reached, and all of it is pending or dead.
    #[error("the journal is full: {size} of journal.max_size = {max_size} are in use; {filling}")]
    Full {
        /// What is in use.
        size: ByteSize,
        /// The setting.
        max_size: ByteSize,
        /// What of it cannot go.
        filling: Unprunable,
    },
    /// Its file or its write-ahead log was deleted, moved or replaced; nothing brings it back.
    #[error("{0}; sprited copies what it has open, and ends")]
    Gone(Arc<str>),
    /// Another process has taken it over.
    #[error(
        "{0}, and another sprited has taken the journal; this one writes nothing more, and ends"
    )]
    Taken(Arc<str>),
    /// Whether its files are in place cannot be seen at the moment.
    #[error("cannot see whether it is in place: {0}")]
    Unseen(Arc<str>),
    /// The writer has ended.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    /// Whether the daemon ends by it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::Taken(_))
    }
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.to_string().into())
    }
}

/// A result of the journal.
pub type Result<T> = std::result::Result<T, JournalError>;
