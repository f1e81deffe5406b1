//! Snapshots of the journal, each read once for all requests.
//!
//! One reader, beside the writer and away from the runtime's threads. It reads on request only, at
//! most once a second, and for no more than a twentieth of the time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::state::JournalFacts;
use crate::journal::{
    self, EventId, EventRow, EventState, Filter, JournalHealth, JournalReader, Overview,
    SinkOverview, SinkState,
};

/// How long what was read is good for.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// The same, as a multiple of the time it took to read.
const GOOD_FOR_FACTOR: u32 = 20;

/// How long a new one is waited for, of a disk that hangs say.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// The oldest one that is shown where no other is to be had in time.
const MAX_AGE: Duration = Duration::from_secs(60);
const MAX_LATEST: usize = 12;
const MAX_DEAD: usize = 5;

/// The journal, as it was read at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The journal, or why it cannot be read.
    pub journal: Result<JournalView, String>,
    taken: Instant,
    good_until: Instant,
}

/// What is shown of a journal.
#[derive(Debug)]
pub struct JournalView {
    /// How many events are in which state.
    pub overview: Overview,
    /// The newest events, the newest first.
    pub latest: Vec<EventRow>,
    /// The newest dead letters, each with its state at its sink.
    pub dead: Vec<(EventRow, SinkState)>,
}

/// Snapshots of a journal, on request.
#[derive(Debug)]
pub struct Snapshots {
    path: PathBuf,
    health: JournalHealth,
    latest: watch::Sender<Option<Arc<Snapshot>>>,
    wanted: Notify,
}

#[derive(Debug)]
struct SnapshotPoller {
    path: PathBuf,
    health: JournalHealth,
    reader: Option<JournalReader>,
    confirmed_before: EventId,
}

impl Snapshots {
    /// Snapshots of the journal at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: PathBuf, health: JournalHealth) -> Self {
        Self { path, health, latest: watch::Sender::new(None), wanted: Notify::new() }
    }

    /// Returns the latest one, or a new one if that is too old; of a disk that does not answer within
    /// 3 s one that says so. Cancel safe.
    pub async fn latest(&self) -> Arc<Snapshot> {
        let latest = tokio::time::timeout(READ_TIMEOUT, self.good()).await.ok().flatten();
        latest.unwrap_or_else(|| Arc::new(Snapshot::failed("no answer from the disk".to_owned())))
    }

    /// The same, but of a disk that does not answer in `patience` the last one, if that is less than a
    /// minute old.
    pub async fn latest_within(&self, patience: Duration) -> Arc<Snapshot> {
        if let Ok(Some(latest)) = tokio::time::timeout(patience, self.good()).await {
            return latest;
        }
        let last = self.latest.borrow().clone();
        let last = last.filter(|last| last.taken.elapsed() < MAX_AGE);
        last.unwrap_or_else(|| Arc::new(Snapshot::failed("no answer from the disk".to_owned())))
    }

    async fn good(&self) -> Option<Arc<Snapshot>> {
        let mut seen = self.latest.subscribe();
        loop {
            let latest = seen.borrow_and_update().clone();
            if let Some(latest) = latest.filter(|latest| latest.is_good()) {
                return Some(latest);
            }
            self.wanted.notify_one();
            seen.changed().await.ok()?;
        }
    }

    /// Reads a snapshot whenever one is wanted, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let new = || SnapshotPoller::new(self.path.clone(), self.health.clone());
        let mut poller = new();
        while stop.run_until_cancelled(self.wanted.notified()).await.is_some() {
            if self.latest.borrow().as_ref().is_some_and(|latest| latest.is_good()) {
                continue;
            }
            let polled = tokio::task::spawn_blocking(move || {
                let snapshot = poller.poll();
                (poller, snapshot)
            });
            let (back, snapshot) = match polled.await {
                Ok(polled) => polled,
                Err(error) => (new(), Snapshot::failed(error.to_string())),
            };
            poller = back;
            self.latest.send_replace(Some(Arc::new(snapshot)));
        }
    }
}

impl Snapshot {
    /// Returns what the state is made of.
    #[must_use]
    pub fn facts(&self) -> JournalFacts<'_> {
        let seen = self.journal.as_ref();
        let newest = seen.ok().and_then(|seen| seen.latest.first());
        JournalFacts {
            overview: seen.map(|seen| &seen.overview).map_err(String::as_str),
            newest: newest.map(|found| found.event.first_pulled),
        }
    }

    fn is_good(&self) -> bool {
        Instant::now() < self.good_until
    }

    fn failed(error: String) -> Self {
        let taken = Instant::now();
        Self { journal: Err(error), taken, good_until: taken + GOOD_FOR }
    }
}

impl SnapshotPoller {
    fn new(path: PathBuf, health: JournalHealth) -> Self {
        Self { path, health, reader: None, confirmed_before: EventId::default() }
    }

    /// Blocks.
    fn poll(&mut self) -> Snapshot {
        let start = Instant::now();
        let journal = self.read();
        let now = Instant::now();
        let good_until = now + GOOD_FOR.max((now - start) * GOOD_FOR_FACTOR);
        Snapshot { journal, taken: start, good_until }
    }

    fn read(&mut self) -> Result<JournalView, String> {
        // Another file at that path would be read with the index of the one that is open.
        self.health.check_in_place().map_err(|error| error.to_string())?;
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => JournalReader::open(&self.path).map_err(|error| error.to_string())?,
        };
        // After a failure it is opened anew.
        let seen = see(&reader, self.confirmed_before).map_err(|error| error.reason())?;
        self.reader = Some(reader);
        self.confirmed_before = seen.overview.confirmed_before;
        Ok(seen)
    }
}

fn see(reader: &JournalReader, confirmed_before: EventId) -> journal::Result<JournalView> {
    let overview = reader.overview(Utc::now(), confirmed_before)?;
    let latest = reader.list(&Filter::default(), MAX_LATEST)?;
    let dead = dead(reader, &overview)?;
    Ok(JournalView { overview, latest, dead })
}

/// The newest dead letters of all sinks: an event may still be pending at another one.
fn dead(
    reader: &JournalReader,
    overview: &Overview,
) -> journal::Result<Vec<(EventRow, SinkState)>> {
    let mut dead = Vec::new();
    for SinkOverview { sink, .. } in overview.sinks.iter().filter(|sink| sink.events.dead > 0) {
        let name = Some(sink.name.clone());
        let filter = Filter { state: Some(EventState::Dead), sink: name, ..Filter::default() };
        for found in reader.list(&filter, MAX_DEAD)? {
            let at_sinks = reader.sinks_of(found.id)?;
            let at_sink = at_sinks.into_iter().find(|at| at.sink == sink.name);
            dead.extend(at_sink.map(|at_sink| (found, at_sink)));
        }
    }
    dead.sort_by_key(|(found, _)| std::cmp::Reverse(found.id));
    dead.truncate(MAX_DEAD);
    Ok(dead)
}
