//! Whether the journal is as large as it may be, and what fills it, in SQL.

use rusqlite::OptionalExtension;

use super::store::Store;
use crate::journal::error::{JournalError, Result};
use crate::journal::place::JournalPlace;
use crate::journal::types::{Backlog, Unprunable};

/// A journal that was full takes events again below this share of `max_size`, in percent: at the
/// limit itself it would stop and go with each event that leaves it.
const FULL_UNTIL: u64 = 95;
impl Store {
    /// Refuses when the journal is as large as it may be.
    pub(in crate::journal) fn check_capacity(&mut self) -> Result<()> {
        self.was_full = self.is_full()?;
        if !self.was_full {
            return Ok(());
        }
        let (size, max_size) = (self.size()?, self.settings.max_size);
        let place = JournalPlace::now(self.path());
        Err(JournalError::Full { size, max_size, place, unprunable: self.unprunable()? })
    }

    pub(in crate::journal) fn is_full(&self) -> Result<bool> {
        let max_size = self.settings.max_size.as_u64();
        let limit = if self.was_full { max_size / 100 * FULL_UNTIL } else { max_size };
        Ok(self.size()?.as_u64() >= limit)
    }

    /// By the counters: without reading the rows.
    fn unprunable(&self) -> Result<Unprunable> {
        let mut select = self.connection.prepare_cached(
            "SELECT sinks.name, active,
                    sum(CASE counters.name WHEN 'routed' THEN value
                                           WHEN 'delivered' THEN -value
                                           WHEN 'discarded' THEN -value ELSE 0 END) AS kept,
                    sum(CASE counters.name WHEN 'dead' THEN value ELSE 0 END) AS dead
             FROM sinks JOIN counters ON counters.sink = sinks.id
             GROUP BY sinks.id HAVING kept > 0 ORDER BY kept DESC LIMIT 1",
        )?;
        let most = select.query_row([], |row| {
            let (kept, dead): (i64, i64) = (row.get(2)?, row.get(3)?);
            let count = |events| u64::try_from(events).unwrap_or_default();
            let (pending, dead) = (count(kept - dead), count(dead));
            let most = Some(Backlog { sink: row.get(0)?, pending, dead });
            Ok(Unprunable { most, is_configured: row.get(1)? })
        });
        Ok(most.optional()?.unwrap_or(Unprunable { most: None, is_configured: false }))
    }
}
