//! The delivery queue of a sink: new events from the feed, or from the journal while the queue is
//! lagging, and failed ones that are due.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::journal::{
    DeliveryOutcome, DeliveryRecord, EventId, FeedReceiver, Journal, NewEvent, PendingEvent,
    QueueEnd, Result, SinkId,
};
use crate::sinks::BatchLimits;

/// Bytes of event bodies that wait here at most, give or take one read.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Events that wait here at most.
const MAX_EVENTS: usize = 1024;
/// How long a clock that was set back may go unnoticed while failed events wait.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// A clock that is set back by less delays nothing.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct DeliveryQueue {
    sink: SinkId,
    feed: FeedReceiver,
    journal: Journal,
    max_events: usize,
    ready: VecDeque<PendingEvent>,
    ready_bytes: usize,
    /// Events that wait, are in delivery, or are being recorded: a read may return them once more.
    in_flight: HashSet<EventId>,
    /// Every untried event up to this one was read.
    cursor: EventId,
    /// Whether untried events have to be read from the journal.
    is_lagging: bool,
    /// When failed events are due next; `None` if there are none.
    next_due: Option<DateTime<Utc>>,
    make_all_due: bool,
    /// Whether events that wait may have been discarded.
    is_stale: bool,
    /// Whether a read for due events found some that are in flight: the next one waits for a
    /// release.
    is_deferred: bool,
    /// Whether the last probe was the newest untried event.
    probed_newest: bool,
    clock: WallClock,
}

/// The time of day, by which failed events are due, beside the clock that nobody sets.
#[derive(Debug)]
struct WallClock {
    day: DateTime<Utc>,
    steady: std::time::Instant,
}

impl WallClock {
    fn now() -> Self {
        Self { day: Utc::now(), steady: std::time::Instant::now() }
    }

    fn was_set_back(&mut self) -> bool {
        let last = std::mem::replace(self, Self::now());
        last.day + (self.steady - last.steady) > self.day + CLOCK_TOLERANCE
    }
}

impl DeliveryQueue {
    pub(super) fn new(
        sink: SinkId,
        feed: FeedReceiver,
        journal: Journal,
        limits: BatchLimits,
    ) -> Self {
        Self {
            sink,
            feed,
            journal,
            max_events: (limits.max_batch * limits.max_in_flight).clamp(16, MAX_EVENTS),
            ready: VecDeque::new(),
            ready_bytes: 0,
            in_flight: HashSet::new(),
            cursor: EventId::default(),
            is_lagging: true,
            next_due: Some(DateTime::UNIX_EPOCH),
            make_all_due: false,
            is_stale: false,
            is_deferred: false,
            probed_newest: false,
            clock: WallClock::now(),
        }
    }

    /// Reads what there is room for; while the sink is down, one event when it is to be probed.
    pub(super) async fn refill(&mut self, probe: Option<Instant>, is_braked: bool) -> Result<()> {
        if self.is_stale {
            self.drop_discarded().await?;
            self.is_stale = false;
        }
        if self.clock.was_set_back() {
            tracing::debug!("clock set back: failed events are retried now");
            self.make_all_due();
        }
        if self.make_all_due {
            self.journal.due_now(self.sink, Utc::now()).await?;
            self.make_all_due = false;
            self.recheck_due();
        }
        if let Some(at) = probe {
            return self.take_probe(at, is_braked).await;
        }
        self.read_due().await?;
        self.read_feed();
        while self.is_lagging && self.room() > 0 {
            self.read_untried().await?;
        }
        Ok(())
    }

    /// Reads one event for the probe at `at`, from either end in turn: a run of events that fail by
    /// themselves, wherever it is, does not keep a sink down that accepts others. With
    /// the brake on those that were rejected have their turn instead of the oldest.
    async fn take_probe(&mut self, at: Instant, is_braked: bool) -> Result<()> {
        self.return_ready();
        if at > Instant::now() || !self.in_flight.is_empty() {
            return Ok(());
        }
        let end = match (self.probed_newest, is_braked) {
            (false, _) => QueueEnd::Newest,
            (true, false) => QueueEnd::Oldest,
            (true, true) => QueueEnd::LeastTried,
        };
        let probe = self.journal.probe(self.sink, self.cursor, end).await?;
        self.probed_newest = end == QueueEnd::Newest;
        if let Some(pending) = probe {
            self.add(pending);
        }
        // Nothing waits: whatever comes next is the probe.
        while self.is_lagging && self.in_flight.is_empty() {
            self.read_untried().await?;
        }
        Ok(())
    }

    /// Returns what waits here to the journal, to be read again.
    pub(super) fn return_ready(&mut self) {
        for pending in self.ready.drain(..) {
            self.in_flight.remove(&pending.id);
            if pending.attempts == 0 {
                self.cursor = self.cursor.min(EventId(pending.id.0 - 1));
            }
        }
        self.ready_bytes = 0;
        self.is_lagging = true;
        self.recheck_due();
    }

    /// Waits for a new event. Cancel safe.
    pub(super) async fn receive(&mut self) {
        if self.is_lagging || self.room() == 0 {
            return std::future::pending().await;
        }
        match self.feed.next().await {
            Some(fresh) => self.take_fresh(fresh),
            None => self.is_lagging = self.feed.is_lagging(),
        }
    }

    pub(super) fn take(&mut self, max: usize) -> Vec<PendingEvent> {
        let events: Vec<_> = self.ready.drain(..max.min(self.ready.len())).collect();
        self.ready_bytes -= events.iter().map(|pending| pending.event.body.len()).sum::<usize>();
        events
    }

    /// Drops what is not in delivery: nothing more is started. It stays due in the journal.
    pub(super) fn drop_waiting(&mut self) {
        let waiting: Vec<_> = self.take(usize::MAX).iter().map(|pending| pending.id).collect();
        self.finished(&waiting);
    }

    /// Records that the verdicts on these events are written.
    pub(super) fn finished(&mut self, events: &[EventId]) {
        for event in events {
            self.in_flight.remove(event);
        }
        if std::mem::take(&mut self.is_deferred) {
            self.recheck_due();
        }
    }

    /// Returns when failed events are due next, if there is room for them.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.next_due.filter(|_| self.room() > 0)?;
        let wait = (due - Utc::now()).to_std().unwrap_or_default();
        Some(Instant::now() + wait.min(CLOCK_CHECK_INTERVAL))
    }

    pub(super) fn learn_due(&mut self, records: &[DeliveryRecord]) {
        for record in records {
            if let DeliveryOutcome::Retry { due, .. } = record.outcome {
                self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
            }
        }
    }

    /// Records that another process wrote to the journal: it may have made events due, or discarded
    /// some of those that wait here or in the feed, which are read from the journal then.
    pub(super) fn mark_stale(&mut self) {
        self.is_stale = true;
        self.is_lagging = true;
        self.recheck_due();
    }

    fn recheck_due(&mut self) {
        self.next_due = Some(DateTime::UNIX_EPOCH);
    }

    /// Makes all failed events due, as after an outage.
    pub(super) fn make_all_due(&mut self) {
        self.make_all_due = true;
    }

    /// Whether the sink before has released events that were not looked for.
    pub(super) fn has_released(&self) -> bool {
        self.feed.has_released()
    }

    /// Waits until the feed lags or has released events. Cancel safe.
    pub(super) async fn marked(&self) {
        self.feed.marked().await;
    }

    /// Looks for them with the next refill.
    pub(super) fn learn_released(&mut self) {
        if self.feed.take_released() {
            self.recheck_due();
        }
    }

    /// Returns how many events wait, are in delivery, or are being recorded.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Whether nothing waits here and all untried events were read.
    pub(super) fn is_dry(&self) -> bool {
        self.ready.is_empty()
            && !self.is_lagging
            && !self.feed.is_lagging()
            && !self.feed.has_released()
    }

    async fn drop_discarded(&mut self) -> Result<()> {
        let waiting = self.ready.iter().map(|pending| pending.id).collect();
        let outstanding: HashSet<_> =
            self.journal.outstanding(self.sink, waiting).await?.into_iter().collect();
        self.ready.retain(|pending| {
            let is_outstanding = outstanding.contains(&pending.id);
            if !is_outstanding {
                self.ready_bytes -= pending.event.body.len();
                self.in_flight.remove(&pending.id);
            }
            is_outstanding
        });
        Ok(())
    }

    fn room(&self) -> usize {
        if self.ready_bytes >= MAX_BYTES {
            return 0;
        }
        self.max_events.saturating_sub(self.ready.len())
    }

    fn read_feed(&mut self) {
        while !self.is_lagging && self.room() > 0 {
            match self.feed.try_next() {
                Some(fresh) => self.take_fresh(fresh),
                // What was left out came after all that was in the queue.
                None => return self.is_lagging = self.feed.is_lagging(),
            }
        }
    }

    /// Reads untried events in their order. The feed is asked for events again *before* the read,
    /// and what is in its queue is thrown away: all of that is in the journal, and what comes into
    /// the queue from here on is either in this read, and shows by its number, or after it.
    async fn read_untried(&mut self) -> Result<()> {
        self.feed.catch_up();
        while self.feed.try_next().is_some() {}
        let part = self.journal.untried(self.sink, self.cursor, self.room()).await?;
        for pending in part.events {
            self.cursor = pending.id;
            // One that was returned may have been read for a probe.
            if !self.in_flight.contains(&pending.id) {
                self.add(pending);
            }
        }
        self.is_lagging = !part.is_all || self.feed.is_lagging();
        Ok(())
    }

    async fn read_due(&mut self) -> Result<()> {
        let now = Utc::now();
        if self.room() == 0 || self.next_due.is_none_or(|due| due > now) {
            return Ok(());
        }
        // Rows in flight are due as well: with a limit above those, some others come.
        let limit = self.room() + self.in_flight.len();
        let (part, next) = self.journal.due(self.sink, now, limit).await?;
        self.next_due = next;
        let before = self.in_flight.len();
        for pending in part.events {
            if self.in_flight.contains(&pending.id) {
                // Its new wait is not written yet: it is read once more when it is.
                self.is_deferred = true;
                continue;
            }
            // Those in flight need not be due, and then there are more others than room.
            if self.room() == 0 {
                self.next_due = Some(now);
                break;
            }
            self.add(pending);
        }
        if !part.is_all && self.in_flight.len() == before {
            // All that was read is in flight: another read now would find the same.
            self.next_due = None;
        }
        Ok(())
    }

    fn take_fresh(&mut self, fresh: NewEvent) {
        // A smaller number was read from the journal before.
        if fresh.id > self.cursor {
            self.cursor = fresh.id;
            self.add(PendingEvent::untried(fresh));
        }
    }

    fn add(&mut self, pending: PendingEvent) {
        self.ready_bytes += pending.event.body.len();
        self.in_flight.insert(pending.id);
        self.ready.push_back(pending);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytesize::ByteSize;
    use chrono::TimeDelta;

    use super::*;
    use crate::event::{AppId, Wanted, read};
    use crate::journal::{JournalSettings, Route, feed};

    /// A journal with one sink and as many events for it.
    async fn queue_of(folder: &Path, events: u32) -> (DeliveryQueue, Vec<EventId>) {
        let (path, max_size) = (folder.join("journal.db"), ByteSize::mib(64));
        let settings = JournalSettings { path, max_size, ..JournalSettings::default() };
        let (journal, _closing) = Journal::open(&settings).unwrap();
        let sink = journal.register(vec!["sink".to_owned()]).await.unwrap()[0];
        let (feed, fed) = feed();
        let wanted = Wanted::from(vec!["*".to_owned()]);
        journal
            .set_routes(vec![Route { sink, wanted, feed, after: None }], Utc::now())
            .await
            .unwrap();
        let now = Utc::now();
        let event = |n| read(AppId(1), &format!(r#"{{"N":{n}}}"#), false, now).event;
        let appended =
            journal.append((0..events).map(|n| event(n).into()).collect(), now).await.unwrap();
        let limits = BatchLimits { max_batch: 1, max_in_flight: 1 };
        let ids = appended.iter().map(|appended| appended.id).collect();
        (DeliveryQueue::new(sink, fed, journal, limits), ids)
    }

    fn failed(event: EventId, hours: i64) -> DeliveryRecord {
        let due = Utc::now() + TimeDelta::hours(hours);
        let outcome =
            DeliveryOutcome::Retry { due, charged: Default::default(), error: "no".to_owned() };
        DeliveryRecord { event, outcome, mirrored: Vec::new() }
    }

    /// The places of the events that are probed with, one after the other; each fails, and is due
    /// after those before it.
    async fn probes(
        queue: &mut DeliveryQueue,
        ids: &[EventId],
        is_braked: bool,
        n: i64,
    ) -> Vec<usize> {
        let mut probed = Vec::new();
        for hour in 2..2 + n {
            queue.refill(Some(Instant::now()), is_braked).await.unwrap();
            let [pending] = &queue.take(9)[..] else { panic!("not one event") };
            probed.push(ids.iter().position(|id| *id == pending.id).unwrap());
            let (id, sink) = (pending.id, queue.sink);
            queue.journal.record(sink, vec![failed(id, hour)], None, Utc::now()).await.unwrap();
            queue.finished(&[id]);
        }
        probed
    }

    #[tokio::test]
    async fn a_sink_that_is_down_is_probed_from_both_ends_in_turn() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, ids) = queue_of(folder.path(), 6).await;
        assert_eq!(probes(&mut queue, &ids, false, 6).await, [5, 0, 4, 1, 3, 2]);
        // All were tried: of those tried least the one that is due first.
        assert_eq!(probes(&mut queue, &ids, false, 5).await, [5, 0, 4, 1, 3]);
    }

    #[tokio::test]
    async fn with_the_brake_on_the_newest_untried_and_the_least_tried_have_their_turns() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, ids) = queue_of(folder.path(), 8).await;
        let records = [0, 1, 1].map(|n| failed(ids[n], 1)).into();
        queue.journal.record(queue.sink, records, None, Utc::now()).await.unwrap();
        let probed = probes(&mut queue, &ids, true, 8).await;
        assert_eq!(probed, [7, 0, 6, 7, 5, 6, 4, 5]);
        // Nothing was ever tried: the oldest is as good.
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, ids) = queue_of(folder.path(), 3).await;
        queue.probed_newest = true;
        assert_eq!(probes(&mut queue, &ids, true, 1).await, [0]);
    }

    #[tokio::test]
    async fn more_failed_events_than_there_is_room_for_wait_in_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, ids) = queue_of(folder.path(), 46).await;
        let records = ids[..30].iter().map(|id| failed(*id, 1)).collect();
        queue.journal.record(queue.sink, records, None, Utc::now()).await.unwrap();

        queue.refill(None, false).await.unwrap();
        assert_eq!((queue.ready.len(), queue.room()), (16, 0));
        // Four are under way, all that failed is due: there is room for four of them.
        let under_way: Vec<_> = queue.take(4).iter().map(|pending| pending.id).collect();
        queue.make_all_due();
        queue.refill(None, false).await.unwrap();
        assert_eq!((queue.ready.len(), queue.room()), (16, 0));
        assert_eq!(queue.next_due(), None, "it would be looked for in vain");
        queue.finished(&under_way);
        let taken = queue.take(16);
        assert_eq!(taken[12..].iter().filter(|pending| pending.attempts == 1).count(), 4);
        queue.refill(None, false).await.unwrap();
        assert_eq!(queue.ready.len(), 16, "the others follow");
    }
}
