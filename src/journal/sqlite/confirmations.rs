//! What the cloud took back, in SQL.

use chrono::{DateTime, Utc};

use super::counters::Counter;
use super::id_ranges::id_ranges;
use super::store::Store;
use crate::journal::error::Result;
use crate::journal::types::EventId;

impl Store {
    /// An event that was pruned before its handle was taken back leaves no trace.
    pub(in crate::journal) fn confirmed(
        &mut self,
        events: &[EventId],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut renew = self
            .connection
            .prepare_cached("UPDATE confirmations SET at = ?3 WHERE event BETWEEN ?1 AND ?2")?;
        let mut record = self.connection.prepare_cached(
            "INSERT INTO confirmations (event, at)
             SELECT id, ?3 FROM events WHERE id BETWEEN ?1 AND ?2 ON CONFLICT DO NOTHING",
        )?;
        for (first, last) in id_ranges(events.iter().copied()) {
            let range = [first.0, last.0, now.timestamp_millis()];
            renew.execute(range)?;
            self.deltas.add_rows(Counter::Confirmed, record.execute(range)?);
        }
        events.iter().for_each(|event| self.receipts.forget(*event));
        Ok(())
    }
}
