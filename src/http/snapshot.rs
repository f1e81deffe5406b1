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

use crate::journal::{EventId, Overview, Reader};

/// How long what was read is good for.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// That, as a multiple of the time it took to read.
const SHARE: u32 = 20;

/// What was read at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The journal, or why it cannot be read.
    pub(super) journal: Result<Overview, String>,
    good_until: Instant,
}

/// Where to ask for it.
#[derive(Debug)]
pub(super) struct Snapshots {
    path: PathBuf,
    latest: watch::Sender<Option<Arc<Snapshot>>>,
    wanted: Notify,
}

/// What the reader keeps from one look to the next.
#[derive(Debug)]
struct Eye {
    path: PathBuf,
    reader: Option<Reader>,
    confirmed_before: EventId,
}

impl Snapshots {
    /// Of the journal at `path`, which need not be there yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, latest: watch::Sender::new(None), wanted: Notify::new() }
    }

    /// The latest one, or a new one if that is too old. `None` once nobody looks any more.
    pub(super) async fn latest(&self) -> Option<Arc<Snapshot>> {
        let mut seen = self.latest.subscribe();
        loop {
            let latest = seen.borrow_and_update().clone();
            if let Some(latest) = latest.filter(|latest| Instant::now() < latest.good_until) {
                return Some(latest);
            }
            self.wanted.notify_one();
            seen.changed().await.ok()?;
        }
    }

    /// Looks whenever it is asked to, until `stop`.
    pub(super) async fn run(&self, stop: CancellationToken) {
        let mut eye = Eye::new(self.path.clone());
        while stop.run_until_cancelled(self.wanted.notified()).await.is_some() {
            let is_good = |latest: &Arc<Snapshot>| Instant::now() < latest.good_until;
            if self.latest.borrow().as_ref().is_some_and(is_good) {
                continue;
            }
            let path = self.path.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let snapshot = eye.look();
                (eye, snapshot)
            });
            let (back, snapshot) = match looked.await {
                Ok(looked) => looked,
                Err(error) => (Eye::new(path), Snapshot::failed(error.to_string())),
            };
            eye = back;
            self.latest.send_replace(Some(Arc::new(snapshot)));
        }
    }
}

impl Snapshot {
    fn failed(error: String) -> Self {
        Self { journal: Err(error), good_until: Instant::now() + GOOD_FOR }
    }
}

impl Eye {
    fn new(path: PathBuf) -> Self {
        Self { path, reader: None, confirmed_before: EventId::default() }
    }

    /// Blocks.
    fn look(&mut self) -> Snapshot {
        let start = Instant::now();
        let journal = self.read();
        let now = Instant::now();
        Snapshot { journal, good_until: now + GOOD_FOR.max((now - start) * SHARE) }
    }

    fn read(&mut self) -> Result<Overview, String> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::open(&self.path).map_err(|error| error.to_string())?,
        };
        let overview = reader.overview(Utc::now(), self.confirmed_before);
        // After a failure it is opened anew.
        let overview = overview.map_err(|error| error.to_string())?;
        self.reader = Some(reader);
        self.confirmed_before = overview.confirmed_before;
        Ok(overview)
    }
}
