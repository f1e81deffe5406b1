//! The ledger: the history of each event, and totals.
//!
//! Owns what tests and operators read. Decides nothing. When it is full, the entries of the oldest
//! events are dropped; the totals stay.

mod entries;
mod push;
mod tasks;

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::action::ApiAction;
use super::handle::Handle;
use super::push::PushEnd;
use super::queue::{Confirmation, HandOut, RefusalReason};
use super::sprites::Task;
use entries::{maybe_time, push_last, time};
pub use push::{LedgerPush, LedgerTry, PushTotals};
pub use tasks::TaskTotals;

/// Counters of calls, events and faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerTotals {
    /// Events added.
    pub added: u64,
    /// Events handed out, each time counted.
    pub handed_out: u64,
    /// Of these, those that had been handed out before.
    pub handed_out_again: u64,
    /// Events confirmed.
    pub confirmed: u64,
    /// Events whose retention ended before they were confirmed.
    pub expired: u64,
    /// Events not confirmed, leased ones included.
    pub waiting: usize,
    /// Of these, those a pull would hand out now.
    pub visible: usize,
    /// Pulls that have found nothing and wait for an event.
    pub pulls_waiting: usize,
    /// The sprite tasks that were made.
    pub tasks: TaskTotals,
    /// What was posted instead of handed out.
    pub pushed: PushTotals,
    /// Calls by action and outcome: `ok`, `events`, `empty`, the error's code, or `fault` for
    /// those that a fault answered before they took effect. Whether the answer arrived is not
    /// known. A call that names no known action counts as `other`. A call that a fault left
    /// without an answer before it took effect is not counted.
    pub calls: BTreeMap<String, BTreeMap<String, u64>>,
    /// Requests for the files of sprites by kind, `vtt` or `sheet`, and outcome: `ok`, `forbidden`, or
    /// the name of the fault. Others are not counted.
    pub files: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Faults that were applied, by kind.
    pub faults: BTreeMap<&'static str, u64>,
}

impl LedgerTotals {
    /// Returns how many calls of `action` ended in `outcome`.
    #[must_use]
    pub fn calls_of(&self, action: ApiAction, outcome: &str) -> u64 {
        self.calls
            .get(action.name())
            .and_then(|outcomes| outcomes.get(outcome))
            .copied()
            .unwrap_or_default()
    }

    /// Returns how many requests for files of sprites of this kind, `vtt` or `sheet`, ended in
    /// `outcome`.
    #[must_use]
    pub fn files_of(&self, kind: &str, outcome: &str) -> u64 {
        self.files.get(kind).and_then(|outcomes| outcomes.get(outcome)).copied().unwrap_or_default()
    }
}

/// The totals and the entries of the ledger.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerSnapshot {
    /// Counters of calls, events and faults.
    pub totals: LedgerTotals,
    /// The events in the order in which they were added; where there were more than the ledger
    /// holds, the latest of them.
    pub events: Vec<LedgerEntry>,
}

impl LedgerSnapshot {
    /// Returns the entry of the event with this number.
    #[must_use]
    pub fn event(&self, id: u64) -> Option<&LedgerEntry> {
        self.events.iter().find(|record| record.id == id)
    }
}

/// The history of one event.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerEntry {
    /// Its number: events count from 1 in the order in which they are added.
    pub id: u64,
    /// The application in whose queue it is or was; 0 for the primary one.
    pub app: u64,
    /// When it was added.
    #[serde(serialize_with = "time")]
    pub added: DateTime<Utc>,
    /// How often it was handed out.
    pub times: u32,
    /// Its hand-outs, of a great many the last ones.
    pub hand_outs: Vec<LedgerHandOut>,
    /// When and how it was confirmed.
    pub confirmed: Option<LedgerConfirmation>,
    /// When its retention ended, if it was not confirmed until then.
    #[serde(serialize_with = "maybe_time")]
    pub expired: Option<DateTime<Utc>>,
    /// Attempts to confirm it that were refused, of a great many the last ones.
    pub refused: Vec<LedgerRefusal>,
    /// What became of it, if it was to be posted.
    pub pushed: Option<Box<LedgerPush>>,
}

/// One hand-out of an event.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerHandOut {
    #[serde(serialize_with = "handle")]
    handle: Handle,
    /// When.
    #[serde(serialize_with = "time")]
    pub at: DateTime<Utc>,
    /// When its handle expires and the event becomes visible again.
    #[serde(serialize_with = "time")]
    pub lease_ends: DateTime<Utc>,
}

impl LedgerHandOut {
    /// Returns the handle of this hand-out.
    #[must_use]
    pub fn handle(&self) -> String {
        self.handle.to_string()
    }
}

/// How an event was confirmed.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerConfirmation {
    #[serde(serialize_with = "handle")]
    handle: Handle,
    /// When.
    #[serde(serialize_with = "time")]
    pub at: DateTime<Utc>,
}

impl LedgerConfirmation {
    /// Returns the handle that was sent.
    #[must_use]
    pub fn handle(&self) -> String {
        self.handle.to_string()
    }
}

/// An attempt to confirm an event that was refused.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerRefusal {
    /// The handle that was sent.
    pub handle: String,
    /// When.
    #[serde(serialize_with = "time")]
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: RefusalReason,
}

/// Keeps the entries of up to `capacity` events.
#[derive(Debug)]
pub(super) struct Ledger {
    capacity: usize,
    /// Consecutive numbers, without a gap.
    records: VecDeque<LedgerEntry>,
    totals: LedgerTotals,
}

impl Ledger {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, records: VecDeque::new(), totals: LedgerTotals::default() }
    }

    pub(super) fn added(&mut self, id: u64, app: u64, at: DateTime<Utc>) {
        self.totals.added += 1;
        if self.records.len() >= self.capacity {
            self.records.pop_front();
        }
        self.records.push_back(LedgerEntry {
            id,
            app,
            added: at,
            times: 0,
            hand_outs: Vec::new(),
            confirmed: None,
            expired: None,
            refused: Vec::new(),
            pushed: None,
        });
    }

    /// Counts a sprite task.
    pub(super) fn task_made(&mut self, task: &Task) {
        self.totals.tasks.count(task);
    }

    /// Records that the event, the last one added, is to be posted.
    pub(super) fn will_push(&mut self, id: u64) {
        self.totals.pushed.events += 1;
        if let Some(record) = self.record(id) {
            record.pushed = Some(Box::default());
        }
    }

    /// Records a try to post the event, and its end if this was the last one.
    pub(super) fn pushed(&mut self, id: u64, attempt: LedgerTry, end: PushEnd) {
        self.totals.pushed.count(&attempt, end);
        if let Some(push) = self.record(id).and_then(|record| record.pushed.as_mut()) {
            push.record(attempt, end);
        }
    }

    pub(super) fn expired(&mut self, ids: &[u64], at: DateTime<Utc>) {
        self.totals.expired += ids.len() as u64;
        for id in ids {
            if let Some(record) = self.record(*id) {
                record.expired = Some(at);
            }
        }
    }

    pub(super) fn handed_out(&mut self, batch: &[HandOut], at: DateTime<Utc>) {
        for out in batch {
            self.totals.handed_out += 1;
            self.totals.handed_out_again += u64::from(out.times > 1);
            if let Some(record) = self.record(out.event) {
                record.times = out.times;
                let entry = LedgerHandOut { handle: out.handle, at, lease_ends: out.lease_ends };
                push_last(&mut record.hand_outs, entry);
            }
        }
    }

    pub(super) fn confirm(&mut self, outcome: &Confirmation, at: DateTime<Utc>) {
        for (id, handle) in &outcome.confirmed {
            self.totals.confirmed += 1;
            if let Some(record) = self.record(*id) {
                record.confirmed = Some(LedgerConfirmation { handle: *handle, at });
            }
        }
        for refused in &outcome.refused {
            if let Some(record) = refused.event.and_then(|id| self.record(id)) {
                let entry =
                    LedgerRefusal { handle: refused.handle.clone(), at, reason: refused.reason };
                push_last(&mut record.refused, entry);
            }
        }
    }

    /// Counts a call by its outcome.
    pub(super) fn answered(&mut self, action: &'static str, outcome: &str) {
        // Borrowed look-ups first: this is on the way of every call.
        if let Some(count) = self.totals.calls.get_mut(action).and_then(|by| by.get_mut(outcome)) {
            *count += 1;
            return;
        }
        self.totals.calls.entry(action.to_owned()).or_default().insert(outcome.to_owned(), 1);
    }

    /// Counts a fault that was drawn.
    pub(super) fn file_answered(&mut self, kind: &'static str, outcome: &'static str) {
        *self.totals.files.entry(kind).or_default().entry(outcome).or_default() += 1;
    }

    pub(super) fn fault_drawn(&mut self, kind: &'static str) {
        *self.totals.faults.entry(kind).or_default() += 1;
    }

    /// Returns what it has counted; the gauges are 0.
    pub(super) fn totals(&self) -> LedgerTotals {
        LedgerTotals { pushed: self.totals.pushed.complete(), ..self.totals.clone() }
    }

    pub(super) fn records(&self) -> Vec<LedgerEntry> {
        self.records.iter().cloned().collect()
    }

    fn record(&mut self, id: u64) -> Option<&mut LedgerEntry> {
        let first = self.records.front()?.id;
        let index = usize::try_from(id.checked_sub(first)?).ok()?;
        self.records.get_mut(index)
    }
}

fn handle<S: Serializer>(handle: &Handle, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_records_go_and_the_totals_stay() {
        let mut ledger = Ledger::new(2);
        let at = DateTime::from_timestamp(1_735_689_600, 0).unwrap();
        for id in 1..=3 {
            ledger.added(id, 7, at);
        }
        ledger.expired(&[1, 2], at);
        let records = ledger.records();
        assert_eq!(records.iter().map(|record| record.id).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(records[0].expired, Some(at));
        assert_eq!(ledger.totals().added, 3);
        assert_eq!(ledger.totals().expired, 2);
    }

    #[test]
    fn it_is_written_with_times_and_handles_as_text() {
        let mut ledger = Ledger::new(2);
        let at = DateTime::from_timestamp(1_735_689_600, 0).unwrap();
        ledger.added(1, 7, at);
        let json = serde_json::to_value(&ledger.records()[0]).unwrap();
        assert_eq!(json["added"], "2025-01-01T00:00:00.000000Z");
        assert_eq!(json["expired"], serde_json::Value::Null);
    }
}
