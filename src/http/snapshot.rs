//! What the journal says, read once for all who look.
//!
//! One reader, beside the writer and away from the runtime's threads. It looks only when somebody
//! asks, at most once a second, and never for more than a twentieth of the time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::journal::{
    self, EventId, EventRow, EventState, Filter, JournalHealth, JournalReader, Overview,
    SinkOverview, SinkState,
};

/// How long what was read is good for.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// That, as a multiple of the time it took to read.
const SHARE: u32 = 20;

/// How long is waited for a new one, of a disk that hangs say.
const PATIENCE: Duration = Duration::from_secs(3);
/// Events that are shown.
const LATEST: usize = 12;
/// Dead letters that are shown.
const DEAD: usize = 5;

/// What was read at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The journal, or why it cannot be read.
    pub(super) journal: Result<JournalView, String>,
    good_until: Instant,
}

/// The journal at that moment.
#[derive(Debug)]
pub(super) struct JournalView {
    pub(super) overview: Overview,
    /// The newest events.
    pub(super) latest: Vec<EventRow>,
    /// The newest dead letters, each with its state at its sink.
    pub(super) dead: Vec<(EventRow, SinkState)>,
}

/// Where to ask for it.
#[derive(Debug)]
pub(super) struct Snapshots {
    path: PathBuf,
    condition: JournalHealth,
    latest: watch::Sender<Option<Arc<Snapshot>>>,
    wanted: Notify,
}

/// What the reader keeps from one look to the next.
#[derive(Debug)]
struct SnapshotPoller {
    path: PathBuf,
    condition: JournalHealth,
    reader: Option<JournalReader>,
    confirmed_before: EventId,
}

impl Snapshots {
    /// Of the journal at `path`, which need not be there yet, that does like this.
    pub(super) fn new(path: PathBuf, condition: JournalHealth) -> Self {
        Self { path, condition, latest: watch::Sender::new(None), wanted: Notify::new() }
    }

    /// The latest one, or a new one if that is too old.
    pub(super) async fn latest(&self) -> Arc<Snapshot> {
        let latest = tokio::time::timeout(PATIENCE, self.good()).await.ok().flatten();
        latest.unwrap_or_else(|| Arc::new(Snapshot::failed("it does not answer".to_owned())))
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

    /// Looks whenever it is asked to, until `stop`.
    pub(super) async fn run(&self, stop: CancellationToken) {
        let new = || SnapshotPoller::new(self.path.clone(), self.condition.clone());
        let mut eye = new();
        while stop.run_until_cancelled(self.wanted.notified()).await.is_some() {
            if self.latest.borrow().as_ref().is_some_and(|latest| latest.is_good()) {
                continue;
            }
            let looked = tokio::task::spawn_blocking(move || {
                let snapshot = eye.look();
                (eye, snapshot)
            });
            let (back, snapshot) = match looked.await {
                Ok(looked) => looked,
                Err(error) => (new(), Snapshot::failed(error.to_string())),
            };
            eye = back;
            self.latest.send_replace(Some(Arc::new(snapshot)));
        }
    }
}

impl Snapshot {
    fn is_good(&self) -> bool {
        Instant::now() < self.good_until
    }

    fn failed(error: String) -> Self {
        Self { journal: Err(error), good_until: Instant::now() + GOOD_FOR }
    }
}

impl SnapshotPoller {
    fn new(path: PathBuf, condition: JournalHealth) -> Self {
        Self { path, condition, reader: None, confirmed_before: EventId::default() }
    }

    /// Blocks.
    fn look(&mut self) -> Snapshot {
        let start = Instant::now();
        let journal = self.read();
        let now = Instant::now();
        Snapshot { journal, good_until: now + GOOD_FOR.max((now - start) * SHARE) }
    }

    fn read(&mut self) -> Result<JournalView, String> {
        // Another file at that path would be read with the index of the one that is open.
        self.condition.check_in_place().map_err(|error| error.to_string())?;
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
    let latest = reader.list(&Filter::default(), LATEST)?;
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
        for found in reader.list(&filter, DEAD)? {
            let at_sinks = reader.sinks_of(found.id)?;
            let at_sink = at_sinks.into_iter().find(|at| at.sink == sink.name);
            dead.extend(at_sink.map(|at_sink| (found, at_sink)));
        }
    }
    dead.sort_by_key(|(found, _)| std::cmp::Reverse(found.id));
    dead.truncate(DEAD);
    Ok(dead)
}
