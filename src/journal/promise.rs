//! A write that is answered before its commit.

use chrono::{DateTime, Utc};

use super::job::Records;
use super::store::Store;
use super::{EventId, Result};

/// A write that was answered before its commit: it must come about whatever commits fail.
#[derive(Clone, Debug)]
pub(super) enum Promise {
    Records(Records),
    Confirmed(Vec<EventId>, DateTime<Utc>),
}

impl Promise {
    /// Writes it once more, in a transaction after the one that failed.
    pub(super) fn keep(&self, store: &mut Store) -> Result<()> {
        match self {
            Self::Records(records) => store.record(records).map(drop),
            Self::Confirmed(events, now) => store.confirmed(events, *now),
        }
    }
}
