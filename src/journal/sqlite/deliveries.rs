//! What is outstanding at the sinks, and what became of it, in SQL.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row, Rows, params};

use super::counters::Counter;
use super::following::{followed, release};
use super::id_ranges::id_ranges;
use super::rows::{after, event_row, time};
use super::store::Store;
use crate::event::{AfterState, Event, Key};
use crate::journal::error::Result;
use crate::journal::types::{
    DeliveryOutcome, DeliveryRecord, EventId, PendingEvent, PendingPage, QueueEnd, Recorded,
    SinkId, SinkRecords, UnacknowledgedEvent,
};

/// No event waits longer for its next try: an hour is the most that a target may ask for.
const MAX_DUE_DELAY: Duration = Duration::from_secs(2 * 3600);
/// Bytes of event bodies in one read, give or take the last one.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The event that was tried least, of the first that are due: what is tried goes behind the others,
/// so that each has its turn. Its body is looked up once it is chosen.
const LEAST_TRIED: &str = "pending.event =
  (SELECT event FROM (SELECT event, attempts, due FROM pending
                      WHERE sink = ?1 AND due IS NOT NULL ORDER BY due LIMIT 1000)
   ORDER BY attempts, due LIMIT 1)";

impl Store {
    pub(super) fn is_pending(&self, event: EventId) -> Result<bool> {
        Ok(!self.pending_within(event, event)?.is_empty())
    }

    /// The events of a range that an active sink still has to take.
    fn pending_within(&self, first: EventId, last: EventId) -> Result<HashSet<EventId>> {
        // CROSS JOIN keeps the order: few sinks, a look-up by the primary key for each.
        let mut select = self.connection.prepare_cached(
            "SELECT pending.event FROM sinks CROSS JOIN pending
               ON pending.sink = sinks.id AND pending.event BETWEEN ?1 AND ?2 WHERE sinks.active",
        )?;
        let rows = select.query_map([first.0, last.0], |row| row.get(0).map(EventId))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    pub(in crate::journal) fn settled(&self, events: &[EventId]) -> Result<Vec<EventId>> {
        let mut pending = HashSet::new();
        for (first, last) in id_ranges(events.iter().copied()) {
            pending.extend(self.pending_within(first, last)?);
        }
        Ok(events.iter().copied().filter(|event| !pending.contains(event)).collect())
    }

    pub(in crate::journal) fn record(&mut self, records: &SinkRecords) -> Result<Recorded> {
        let sink = records.sink;
        let mut released = BTreeSet::new();
        let is_delivered =
            |record: &DeliveryRecord| matches!(record.outcome, DeliveryOutcome::Delivered);
        for part in records.records.chunk_by(|a, b| is_delivered(a) == is_delivered(b)) {
            if part.iter().all(is_delivered) {
                let has_failed = self.has_failed(sink)?;
                for (first, last) in id_ranges(part.iter().map(|record| record.event)) {
                    if has_failed {
                        self.add_deliveries(sink, first, last, records.now.timestamp_millis())?;
                    }
                    let delivered = (AfterState::Delivered, None);
                    let range = (first, last);
                    let removed = self.settle_at(records, range, delivered, &mut released)?;
                    self.count(Counter::Delivered(sink), removed);
                }
                self.connection
                    .prepare_cached("DELETE FROM rejected WHERE sink = ?1")?
                    .execute([sink.0])?;
            } else {
                for record in part {
                    self.record_failed(records, record, &mut released)?;
                }
            }
        }
        let is_retried =
            |record: &&DeliveryRecord| matches!(record.outcome, DeliveryOutcome::Retry { .. });
        let through = records.records.iter().filter(|record| !is_retried(record));
        let through: Vec<_> = through.map(|record| record.event).collect();
        let settled = self.settled(&through)?;
        if let Some(checkpoint) = &records.checkpoint {
            self.set_checkpoint(sink, checkpoint)?;
        }
        Ok(Recorded { settled, pending: self.count_outstanding(sink)?, released })
    }

    /// The records without those whose event was requeued by hand after the request `last_request`.
    /// These are due.
    pub(in crate::journal) fn without_requeued(
        &self,
        records: &SinkRecords,
        last_request: i64,
    ) -> Result<SinkRecords> {
        let mut expedite = self.connection.prepare_cached(
            "UPDATE pending SET due = min(ifnull(due, ?4), ?4)
             WHERE sink = ?1 AND event = ?2 AND request > ?3",
        )?;
        let (sink, now) = (records.sink, records.now.timestamp_millis());
        let mut kept = SinkRecords { records: Vec::new(), ..records.clone() };
        for record in &records.records {
            if expedite.execute([sink.0, record.event.0, last_request, now])? == 0 {
                kept.records.push(record.clone());
            }
        }
        Ok(kept)
    }

    fn record_failed(
        &mut self,
        records: &SinkRecords,
        record: &DeliveryRecord,
        released: &mut BTreeSet<SinkId>,
    ) -> Result<()> {
        let (sink, event, now) = (records.sink, record.event, records.now.timestamp_millis());
        match &record.outcome {
            DeliveryOutcome::Delivered => {}
            DeliveryOutcome::Retry { due, charged, error } => {
                self.add_failure(sink, event, now, error)?;
                self.connection
                    .prepare_cached(
                        "UPDATE pending SET due = ?3, attempts = attempts + 1, charged = ?4,
                           first_failed = ifnull(first_failed, ?5), last_failed = ?5,
                           first_error = ifnull(first_error, ?6), last_error = ?6
                         WHERE sink = ?1 AND event = ?2",
                    )?
                    .execute(params![
                        sink.0,
                        event.0,
                        due.timestamp_millis(),
                        millis(*charged),
                        now,
                        error
                    ])?;
            }
            DeliveryOutcome::Dead { error } | DeliveryOutcome::Rejected { error } => {
                self.add_failure(sink, event, now, error)?;
                self.connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO dead
                           (sink, event, at, attempts, first_failed, first_error, last_error)
                         SELECT sink, event, ?3, attempts + 1, ifnull(first_failed, ?3),
                                ifnull(first_error, ?4), ?4
                         FROM pending WHERE sink = ?1 AND event = ?2",
                    )?
                    .execute(params![sink.0, event.0, now, error])?;
                let dead = (AfterState::Dead, Some(error.as_str()));
                let removed = self.settle_at(records, (event, event), dead, released)?;
                self.count(Counter::Dead(sink), removed);
            }
        }
        if matches!(record.outcome, DeliveryOutcome::Rejected { .. }) {
            self.connection
                .prepare_cached("INSERT OR IGNORE INTO rejected (sink, event) VALUES (?1, ?2)")?
                .execute([sink.0, event.0])?;
        }
        Ok(())
    }

    /// Removes what is pending within a range, which was just tried once more, and gives it to the
    /// sinks that follow. Returns how many there were.
    fn settle_at(
        &mut self,
        records: &SinkRecords,
        (first, last): (EventId, EventId),
        (state, error): (AfterState, Option<&str>),
        released: &mut BTreeSet<SinkId>,
    ) -> Result<usize> {
        let (connection, sink) = (&self.connection, records.sink);
        let followed = followed(connection, sink, (first, last), state, (1, error), usize::MAX)?;
        let removed = connection
            .prepare_cached("DELETE FROM pending WHERE sink = ?1 AND event BETWEEN ?2 AND ?3")?
            .execute([sink.0, first.0, last.0])?;
        let now = records.now.timestamp_millis();
        let is_mirrored = |record: &&DeliveryRecord| !record.mirrored.is_empty();
        for mut settled in followed {
            if state == AfterState::Dead {
                settled.failed(records.now);
            }
            let mut mirrored = records.records.iter().filter(is_mirrored);
            if let Some(record) = mirrored.find(|record| record.event == settled.event) {
                settled = settled.mirrored(record.mirrored.clone());
            }
            released.extend(release(connection, &mut self.deltas, sink, &settled, now)?);
        }
        Ok(removed)
    }

    pub(in crate::journal) fn untried(
        &self,
        sink: SinkId,
        after: EventId,
        limit: usize,
    ) -> Result<PendingPage> {
        let sql = select_pending(
            "pending.due IS NULL AND pending.event > ?2 ORDER BY pending.event LIMIT ?3",
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        read_page(select.query(params![sink.0, after.0, to_sql(limit)])?, limit)
    }

    pub(in crate::journal) fn due(
        &self,
        sink: SinkId,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<(PendingPage, Option<DateTime<Utc>>)> {
        let now = now.timestamp_millis();
        // Due later than any wait is long: the clock was set back.
        let farthest = now + MAX_DUE_DELAY.as_millis() as i64;
        let mut page = self.due_if("pending.due <= ?2", sink, now, limit)?;
        if page.is_all {
            let limit = limit - page.events.len();
            let put_off = self.due_if("pending.due > ?2", sink, farthest, limit)?;
            page.events.extend(put_off.events);
            page.is_all = put_off.is_all;
        }
        if !page.is_all {
            return Ok((page, Some(DateTime::from_timestamp_millis(now).unwrap_or_default())));
        }
        let next: Option<i64> = self
            .connection
            .prepare_cached("SELECT min(due) FROM pending WHERE sink = ?1 AND due > ?2")?
            .query_row([sink.0, now], |row| row.get(0))?;
        let next = next.filter(|due| *due <= farthest);
        Ok((page, next.and_then(DateTime::from_timestamp_millis)))
    }

    fn due_if(&self, when: &str, sink: SinkId, bound: i64, limit: usize) -> Result<PendingPage> {
        let sql = select_pending(&format!("{when} ORDER BY pending.due LIMIT ?3"));
        let mut select = self.connection.prepare_cached(&sql)?;
        read_page(select.query(params![sink.0, bound, to_sql(limit)])?, limit)
    }

    pub(in crate::journal) fn probe(
        &self,
        sink: SinkId,
        after: EventId,
        end: QueueEnd,
    ) -> Result<Option<PendingEvent>> {
        if end == QueueEnd::LeastTried
            && let Some(least_tried) = self.least_tried(sink)?
        {
            return Ok(Some(least_tried));
        }
        let order = if end == QueueEnd::Newest { "DESC" } else { "ASC" };
        let sql = select_pending(&format!(
            "pending.due IS NULL AND pending.event > ?2 ORDER BY pending.event {order} LIMIT 1"
        ));
        let mut select = self.connection.prepare_cached(&sql)?;
        let untried = select.query_row([sink.0, after.0], pending_row).optional()?;
        if untried.is_some() { Ok(untried) } else { self.least_tried(sink) }
    }

    fn least_tried(&self, sink: SinkId) -> Result<Option<PendingEvent>> {
        let mut select = self.connection.prepare_cached(&select_pending(LEAST_TRIED))?;
        Ok(select.query_row([sink.0], pending_row).optional()?)
    }

    pub(in crate::journal) fn due_now(&mut self, sink: SinkId, now: DateTime<Utc>) -> Result<()> {
        self.connection
            .prepare_cached("UPDATE pending SET due = ?2 WHERE sink = ?1 AND due > ?2")?
            .execute([sink.0, now.timestamp_millis()])?;
        Ok(())
    }

    pub(in crate::journal) fn unacknowledged(
        &self,
        sink: SinkId,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<UnacknowledgedEvent>> {
        let mut select = self.connection.prepare_cached(
            "SELECT event, key,
               due IS NOT NULL AND attempts = 0 AND (released IS NULL OR request > 0)
             FROM pending JOIN events ON events.id = event
             WHERE sink = ?1 AND event > ?2 ORDER BY event LIMIT ?3",
        )?;
        let rows = select.query_map([sink.0, after.0, to_sql(limit)], |row| {
            let (id, key) = (EventId(row.get(0)?), Key::from_bytes(row.get(1)?));
            Ok(UnacknowledgedEvent { id, key, is_requeued: row.get(2)? })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    pub(in crate::journal) fn outstanding(
        &self,
        sink: SinkId,
        events: Vec<EventId>,
    ) -> Result<Vec<EventId>> {
        let mut select = self
            .connection
            .prepare_cached("SELECT 1 FROM pending WHERE sink = ?1 AND event = ?2")?;
        let mut outstanding = Vec::with_capacity(events.len());
        for event in events {
            if select.exists([sink.0, event.0])? {
                outstanding.push(event);
            }
        }
        Ok(outstanding)
    }

    pub(in crate::journal) fn pending(&self) -> Result<u64> {
        let mut select = self.connection.prepare_cached(
            "SELECT count(*) FROM sinks CROSS JOIN pending ON pending.sink = sinks.id
             WHERE sinks.active",
        )?;
        Ok(select.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned())
    }

    /// Deliveries outstanding at `sink`, by its counters: without reading the rows.
    fn count_outstanding(&self, sink: SinkId) -> Result<u64> {
        let stored: i64 = self
            .connection
            .prepare_cached(
                "SELECT ifnull(sum(CASE name WHEN 'routed' THEN value ELSE -value END), 0)
                 FROM counters
                 WHERE name IN ('routed', 'delivered', 'dead', 'discarded') AND sink = ?1",
            )?
            .query_row([sink.0], |row| row.get(0))?;
        let settled = [Counter::Delivered(sink), Counter::Dead(sink), Counter::Discarded(sink)];
        let settled: i64 = settled.into_iter().map(|counter| self.deltas.of(counter)).sum();
        let outstanding = stored + self.deltas.of(Counter::Routed(sink)) - settled;
        Ok(u64::try_from(outstanding).unwrap_or_default())
    }
}

/// Reads rows until there are `limit`, or until their bodies have a size.
fn read_page(mut rows: Rows<'_>, limit: usize) -> Result<PendingPage> {
    let mut page = PendingPage { events: Vec::new(), is_all: true };
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let pending = pending_row(row)?;
        bytes += pending.event.body.len();
        page.events.push(pending);
        if page.events.len() == limit || bytes >= MAX_PAGE_BYTES {
            page.is_all = false;
            break;
        }
    }
    Ok(page)
}

fn to_sql(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn select_pending(which: &str) -> String {
    format!(
        "SELECT pending.event, attempts, charged, first_failed, last_failed, request > 0,
                key, app, type, file_id, task_id, body, first_pulled, replaced, origin,
                released, result
         FROM pending JOIN events ON events.id = pending.event
           LEFT JOIN bodies ON bodies.event = pending.event
         WHERE pending.sink = ?1 AND {which}"
    )
}

fn pending_row(row: &Row<'_>) -> rusqlite::Result<PendingEvent> {
    let event = Event { after: after(row, 16)?.map(Arc::new), ..event_row(row, 6)? };
    Ok(PendingEvent {
        id: EventId(row.get(0)?),
        attempts: row.get(1)?,
        charged: Duration::from_millis(row.get::<_, i64>(2)?.cast_unsigned()),
        first_failed: time(row, 3)?,
        last_failed: time(row, 4)?,
        is_requeued: row.get(5)?,
        event: Arc::new(event),
        released: time(row, 15)?,
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::journal::JournalSettings;
    use crate::journal::sqlite::open::open;

    fn store(folder: &tempfile::TempDir, failed: i64) -> Store {
        let path = folder.path().join(format!("{failed}.db"));
        let connection = open(&path).unwrap();
        connection
            .execute_batch(&format!(
                "INSERT INTO sinks (id, name, active) VALUES (1, 'sink', 1);
                 WITH numbers (n) AS
                   (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {failed})
                 INSERT INTO pending (sink, event, due, attempts) SELECT 1, n, n, 9 - n % 7
                   FROM numbers;
                 INSERT INTO events SELECT event, CAST(printf('%016d', event) AS BLOB), 1, 'Odd', NULL, NULL, 0, 0, '1', 0
                   FROM pending;"
            ))
            .unwrap();
        Store::new(connection, JournalSettings { path, ..JournalSettings::default() }).unwrap()
    }

    /// What SQLite does for it, in steps of its own machine.
    fn steps(store: &Store) -> i32 {
        let mut select = store.connection.prepare(&select_pending(LEAST_TRIED)).unwrap();
        select.query_row([1], pending_row).unwrap();
        select.get_status(StatementStatus::VmStep)
    }

    #[test]
    fn a_probe_of_many_failed_events_looks_at_a_thousand() {
        let folder = tempfile::tempdir().unwrap();
        let [few, many] = [2_000, 40_000].map(|failed| store(&folder, failed));
        let chosen = many.least_tried(SinkId(1)).unwrap().unwrap();
        assert_eq!((chosen.id, chosen.attempts), (EventId(6), 3));
        assert_eq!(steps(&few), steps(&many));

        let explain = format!("EXPLAIN QUERY PLAN {}", select_pending(LEAST_TRIED));
        let mut select = many.connection.prepare(&explain).unwrap();
        let plan = select.query_map([1], |row| row.get::<_, String>(3)).unwrap();
        let plan = plan.collect::<rusqlite::Result<Vec<_>>>().unwrap().join("\n");
        assert!(plan.contains("USING INDEX pending_due (sink=?"), "{plan}");
        assert!(!plan.contains("SCAN pending") && !plan.contains("SCAN events"), "{plan}");
    }
}
