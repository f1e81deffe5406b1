//! A journal as large as it may be, and what fills it.

use std::fmt;

use chrono::{DateTime, Utc};
use rusqlite::OptionalExtension;

use super::store::Store;
use super::writer::Writer;
use super::{Backlog, JournalError, Result};

/// What keeps a full journal from giving up more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unprunable {
    /// The sink with the most events pending or dead; `None` if no sink has any.
    pub most: Option<Backlog>,
    /// Whether that sink stands in the configuration.
    pub is_configured: bool,
}

impl fmt::Display for Unprunable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Backlog { sink, pending, dead }) = &self.most else {
            return f.write_str("nothing is pending or dead, but keys are kept for 4 days");
        };
        let gone = if self.is_configured { "" } else { ", which is no longer configured," };
        write!(f, "the sink {sink:?}{gone} has {pending} events pending and {dead} dead")
    }
}

/// A journal that was full takes events again below this share of `max_size`, in percent: at the
/// limit itself it would stop and go with each event that leaves it.
const FULL_UNTIL: u64 = 95;
/// Steps of pruning for one append when the journal is found full.
const MAX_PRUNE_STEPS: usize = 10;

impl Writer {
    /// Refuses when the journal is full, and what is settled does not make room within a few
    /// steps: whoever was refused comes again soon, and so do the next ones.
    pub(super) fn make_room(&mut self, now: DateTime<Utc>) -> Result<()> {
        if !self.store.is_full()? {
            self.unmeasured = 0;
            self.store.was_full = false;
            return Ok(());
        }
        for _ in 0..MAX_PRUNE_STEPS {
            if !self.write_now(|store| store.prune(now))? {
                break;
            }
        }
        if self.store.is_full()?
            && let Err(error) = self.store.empty_log()
        {
            tracing::debug!(%error, "cannot empty the journal's write-ahead log");
        }
        self.store.check_size()
    }
}

impl Store {
    /// Refuses when the journal is as large as it may be.
    pub(super) fn check_size(&mut self) -> Result<()> {
        self.was_full = self.is_full()?;
        if !self.was_full {
            return Ok(());
        }
        let (size, max_size) = (self.size()?, self.settings.max_size);
        Err(JournalError::Full { size, max_size, filling: self.filling()? })
    }

    pub(super) fn is_full(&self) -> Result<bool> {
        let max_size = self.settings.max_size.as_u64();
        let limit = if self.was_full { max_size / 100 * FULL_UNTIL } else { max_size };
        Ok(self.size()?.as_u64() >= limit)
    }

    /// By the counters: without a look at the rows.
    fn filling(&self) -> Result<Unprunable> {
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
