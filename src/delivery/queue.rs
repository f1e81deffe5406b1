//! What a delivery loop takes in: fresh events from the feed, or from the journal while it is
//! behind, and failed ones that are due.

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
const LOOK_AT_CLOCK: Duration = Duration::from_secs(5);
/// A clock that is set back by less makes nobody wait.
const SET_BACK: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct DeliveryQueue {
    sink: SinkId,
    fed: FeedReceiver,
    journal: Journal,
    max_events: usize,
    /// Events that wait for delivery.
    ready: VecDeque<PendingEvent>,
    ready_bytes: usize,
    /// Events that wait, are under way, or whose verdict is being written: a read may return
    /// them once more.
    held: HashSet<EventId>,
    /// Every untried event up to this one was taken in.
    taken: EventId,
    /// Whether untried events have to be read from the journal.
    is_behind: bool,
    /// When failed events are to be looked for; `None` if there are none.
    next_due: Option<DateTime<Utc>>,
    make_all_due: bool,
    /// Whether events that wait may have been discarded.
    is_in_doubt: bool,
    /// Whether a read for due events found some that are held: the next one waits for a release.
    is_blocked: bool,
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

    /// Whether the time of day was set back since the last look.
    fn was_set_back(&mut self) -> bool {
        let last = std::mem::replace(self, Self::now());
        last.day + (self.steady - last.steady) > self.day + SET_BACK
    }
}

impl DeliveryQueue {
    pub(super) fn new(
        sink: SinkId,
        fed: FeedReceiver,
        journal: Journal,
        limits: BatchLimits,
    ) -> Self {
        Self {
            sink,
            fed,
            journal,
            max_events: (limits.max_batch * limits.max_in_flight).clamp(16, MAX_EVENTS),
            ready: VecDeque::new(),
            ready_bytes: 0,
            held: HashSet::new(),
            taken: EventId::default(),
            is_behind: true,
            next_due: Some(DateTime::UNIX_EPOCH),
            make_all_due: false,
            is_in_doubt: false,
            is_blocked: false,
            probed_newest: false,
            clock: WallClock::now(),
        }
    }

    /// Takes in what there is room for; while the sink is down, one event when it is to be probed.
    pub(super) async fn refill(&mut self, probe: Option<Instant>, is_braked: bool) -> Result<()> {
        if self.is_in_doubt {
            self.drop_discarded().await?;
            self.is_in_doubt = false;
        }
        if self.clock.was_set_back() {
            tracing::debug!("the clock was set back: what failed is tried again at once");
            self.make_all_due();
        }
        if self.make_all_due {
            self.journal.due_now(self.sink, Utc::now()).await?;
            self.make_all_due = false;
            self.look_for_due();
        }
        if let Some(at) = probe {
            return self.take_probe(at, is_braked).await;
        }
        self.read_due().await?;
        self.read_feed();
        while self.is_behind && self.room() > 0 {
            self.read_untried().await?;
        }
        Ok(())
    }

    /// Takes in one event for the probe at `at`, from either end in turn: a run of events that
    /// fail by themselves, wherever it stands, does not keep a sink down that takes others. With
    /// the brake on those that were rejected have their turn instead of the oldest.
    async fn take_probe(&mut self, at: Instant, is_braked: bool) -> Result<()> {
        self.put_back();
        if at > Instant::now() || !self.held.is_empty() {
            return Ok(());
        }
        let end = match (self.probed_newest, is_braked) {
            (false, _) => QueueEnd::Newest,
            (true, false) => QueueEnd::Oldest,
            (true, true) => QueueEnd::LeastTried,
        };
        let probe = self.journal.probe(self.sink, self.taken, end).await?;
        self.probed_newest = end == QueueEnd::Newest;
        if let Some(pending) = probe {
            self.hold(pending);
        }
        // Nothing waits: whatever comes next is the probe.
        while self.is_behind && self.held.is_empty() {
            self.read_untried().await?;
        }
        Ok(())
    }

    /// Leaves to the journal what waits here; it is read anew.
    fn put_back(&mut self) {
        for pending in self.ready.drain(..) {
            self.held.remove(&pending.id);
            if pending.attempts == 0 {
                self.taken = self.taken.min(EventId(pending.id.0 - 1));
            }
        }
        self.ready_bytes = 0;
        self.is_behind = true;
        self.look_for_due();
    }

    /// Waits for the feed. Cancel safe.
    pub(super) async fn arrived(&mut self) {
        if self.is_behind || self.room() == 0 {
            return std::future::pending().await;
        }
        match self.fed.next().await {
            Some(fresh) => self.take_fresh(fresh),
            None => self.is_behind = self.fed.is_lagging(),
        }
    }

    /// Up to `max` events for one delivery.
    pub(super) fn take(&mut self, max: usize) -> Vec<PendingEvent> {
        let events: Vec<_> = self.ready.drain(..max.min(self.ready.len())).collect();
        self.ready_bytes -= events.iter().map(|pending| pending.event.body.len()).sum::<usize>();
        events
    }

    /// The verdicts on these events are written.
    pub(super) fn release(&mut self, events: &[EventId]) {
        for event in events {
            self.held.remove(event);
        }
        if std::mem::take(&mut self.is_blocked) {
            self.look_for_due();
        }
    }

    /// When failed events are due next, if there is room for them.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.next_due.filter(|_| self.room() > 0)?;
        let wait = (due - Utc::now()).to_std().unwrap_or_default();
        Some(Instant::now() + wait.min(LOOK_AT_CLOCK))
    }

    /// Learns from records when failed events are due.
    pub(super) fn note_due(&mut self, records: &[DeliveryRecord]) {
        for record in records {
            if let DeliveryOutcome::Retry { due, .. } = record.outcome {
                self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
            }
        }
    }

    /// Somebody else wrote to the journal: may have made events due, or discarded some of those
    /// that wait here or in the feed, which is read from the journal then.
    pub(super) fn mark_stale(&mut self) {
        self.is_in_doubt = true;
        self.is_behind = true;
        self.look_for_due();
    }

    fn look_for_due(&mut self) {
        self.next_due = Some(DateTime::UNIX_EPOCH);
    }

    /// The sink is up again: what failed meanwhile need not wait any longer.
    pub(super) fn make_all_due(&mut self) {
        self.make_all_due = true;
    }

    /// Events that wait, are under way, or whose verdict is being written.
    pub(super) fn in_flight(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing waits here.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Whether nothing waits here and all untried events were taken in.
    pub(super) fn is_dry(&self) -> bool {
        self.ready.is_empty() && !self.is_behind && !self.fed.is_lagging()
    }

    /// Forgets what waits here and is owed no more.
    async fn drop_discarded(&mut self) -> Result<()> {
        let waiting = self.ready.iter().map(|pending| pending.id).collect();
        let owed: HashSet<_> =
            self.journal.outstanding(self.sink, waiting).await?.into_iter().collect();
        self.ready.retain(|pending| {
            let is_owed = owed.contains(&pending.id);
            if !is_owed {
                self.ready_bytes -= pending.event.body.len();
                self.held.remove(&pending.id);
            }
            is_owed
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
        while !self.is_behind && self.room() > 0 {
            match self.fed.try_next() {
                Some(fresh) => self.take_fresh(fresh),
                // What was left out came after all that was in the queue.
                None => return self.is_behind = self.fed.is_lagging(),
            }
        }
    }

    /// Reads untried events in their order. The feed is asked for events again *before* the
    /// read, and what is in its queue is thrown away: all of that is in the journal, and what
    /// comes into the queue from here on is either in this read, and shows by its number, or
    /// after it.
    async fn read_untried(&mut self) -> Result<()> {
        self.fed.catch_up();
        while self.fed.try_next().is_some() {}
        let part = self.journal.untried(self.sink, self.taken, self.room()).await?;
        for pending in part.events {
            self.taken = pending.id;
            // One that was put back may have been taken in for a probe.
            if !self.held.contains(&pending.id) {
                self.hold(pending);
            }
        }
        self.is_behind = !part.is_all || self.fed.is_lagging();
        Ok(())
    }

    async fn read_due(&mut self) -> Result<()> {
        let now = Utc::now();
        if self.room() == 0 || self.next_due.is_none_or(|due| due > now) {
            return Ok(());
        }
        // Rows under way are due as well: asked for more than those, some others come.
        let limit = self.room() + self.held.len();
        let (part, next) = self.journal.due(self.sink, now, limit).await?;
        self.next_due = next;
        let held = self.held.len();
        for pending in part.events {
            if self.held.contains(&pending.id) {
                // Its new wait is not written yet: it is looked for once more when it is.
                self.is_blocked = true;
                continue;
            }
            // Those held need not be due, and then there are more others than there is room for.
            if self.room() == 0 {
                self.next_due = Some(now);
                break;
            }
            self.hold(pending);
        }
        if !part.is_all && self.held.len() == held {
            // All that was read is held: another read now would find the same.
            self.next_due = None;
        }
        Ok(())
    }

    fn take_fresh(&mut self, fresh: NewEvent) {
        // A smaller number was read from the journal before.
        if fresh.id > self.taken {
            self.taken = fresh.id;
            self.hold(PendingEvent::untried(fresh));
        }
    }

    fn hold(&mut self, pending: PendingEvent) {
        self.ready_bytes += pending.event.body.len();
        self.held.insert(pending.id);
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
    async fn intake(folder: &Path, events: u32) -> (DeliveryQueue, Vec<EventId>) {
        let (path, max_size) = (folder.join("journal.db"), ByteSize::mib(64));
        let settings = JournalSettings { path, max_size, ..JournalSettings::default() };
        let (journal, _closing) = Journal::open(&settings).unwrap();
        let sink = journal.register(vec!["sink".to_owned()]).await.unwrap()[0];
        let (feed, fed) = feed();
        let wanted = Wanted::from(vec!["*".to_owned()]);
        journal.set_routes(vec![Route { sink, wanted, feed }]).await.unwrap();
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
        DeliveryRecord { event, outcome }
    }

    /// The places of the events that are probed with, one after the other; each fails, and is due
    /// after those before it.
    async fn probes(
        intake: &mut DeliveryQueue,
        ids: &[EventId],
        is_braked: bool,
        n: i64,
    ) -> Vec<usize> {
        let mut probed = Vec::new();
        for hour in 2..2 + n {
            intake.refill(Some(Instant::now()), is_braked).await.unwrap();
            let [pending] = &intake.take(9)[..] else { panic!("not one event") };
            probed.push(ids.iter().position(|id| *id == pending.id).unwrap());
            let (id, sink) = (pending.id, intake.sink);
            intake.journal.record(sink, vec![failed(id, hour)], None, Utc::now()).await.unwrap();
            intake.release(&[id]);
        }
        probed
    }

    #[tokio::test]
    async fn a_sink_that_is_down_is_probed_from_both_ends_in_turn() {
        let folder = tempfile::tempdir().unwrap();
        let (mut intake, ids) = intake(folder.path(), 6).await;
        assert_eq!(probes(&mut intake, &ids, false, 6).await, [5, 0, 4, 1, 3, 2]);
        // All were tried: of those tried least the one that is due first.
        assert_eq!(probes(&mut intake, &ids, false, 5).await, [5, 0, 4, 1, 3]);
    }

    #[tokio::test]
    async fn with_the_brake_on_the_newest_untried_and_the_least_tried_have_their_turns() {
        let folder = tempfile::tempdir().unwrap();
        let (mut intake, ids) = intake(folder.path(), 8).await;
        let records = [0, 1, 1].map(|n| failed(ids[n], 1)).into();
        intake.journal.record(intake.sink, records, None, Utc::now()).await.unwrap();
        let probed = probes(&mut intake, &ids, true, 8).await;
        assert_eq!(probed, [7, 0, 6, 7, 5, 6, 4, 5]);
        // Nothing was ever tried: the oldest is as good.
        let folder = tempfile::tempdir().unwrap();
        let (mut intake, ids) = self::intake(folder.path(), 3).await;
        intake.probed_newest = true;
        assert_eq!(probes(&mut intake, &ids, true, 1).await, [0]);
    }

    #[tokio::test]
    async fn more_failed_events_than_there_is_room_for_wait_in_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let (mut intake, ids) = intake(folder.path(), 46).await;
        let records = ids[..30].iter().map(|id| failed(*id, 1)).collect();
        intake.journal.record(intake.sink, records, None, Utc::now()).await.unwrap();

        intake.refill(None, false).await.unwrap();
        assert_eq!((intake.ready.len(), intake.room()), (16, 0));
        // Four are under way, all that failed is due: there is room for four of them.
        let under_way: Vec<_> = intake.take(4).iter().map(|pending| pending.id).collect();
        intake.make_all_due();
        intake.refill(None, false).await.unwrap();
        assert_eq!((intake.ready.len(), intake.room()), (16, 0));
        assert_eq!(intake.next_due(), None, "it would be looked for in vain");
        intake.release(&under_way);
        let taken = intake.take(16);
        assert_eq!(taken[12..].iter().filter(|pending| pending.attempts == 1).count(), 4);
        intake.refill(None, false).await.unwrap();
        assert_eq!(intake.ready.len(), 16, "the others follow");
    }
}
