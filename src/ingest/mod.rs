//! The single entry point for events of every source: entries are stored, counted and logged, and
//! their leases handed to the confirmer.
//!
//! Owns the retries while the journal refuses writes. Knows the journal and no source: a source calls
//! [`Ingest::take_answer`] for entries with handles or [`Ingest::store`] for entries without; both
//! return when the entries are on disk. The journal offers new events to the sinks by itself; nothing
//! here waits for a sink.

mod leases;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event::{self, AppId, Entry, EntryReader, EventOrigin, UNKNOWN_TYPE};
use crate::journal::{Appended, Journal, JournalError, JournalHealth, PullReceipt};
use crate::lease::Lease;
use crate::limits::{Backoff, Outage};
use crate::metrics::{ByTypeOutcomeAndOrigin, Metrics};
use crate::sync::lock;
use leases::LeaseBuilder;

/// Entries that are stored at once at most; a usual answer has fewer.
const MAX_PORTION_ENTRIES: usize = 256;
/// Bytes of entries after which no more are added to those that are stored at once.
const MAX_PORTION_BYTES: usize = 4 * 1024 * 1024;

/// Takes entries of every source. Clones share the state of the journal's outage.
#[derive(Clone, Debug)]
pub struct Ingest {
    journal: Journal,
    health: JournalHealth,
    leases: mpsc::Sender<Vec<Lease>>,
    metrics: Metrics,
    /// Calls of [`Ingest::store`] whose entries the journal has refused so far.
    waiting: Arc<AtomicUsize>,
    outage: Arc<Mutex<Outage>>,
}

/// What a source says of entries that it hands over together.
#[derive(Clone, Copy)]
pub struct IngestSource<'a> {
    /// What log lines call the application; `None` where it is the only one.
    pub app_name: Option<AppId>,
    /// What the cloud calls the request that brought them: the RequestId of an answer; `None` where
    /// it has no name.
    pub request_id: Option<&'a str>,
    /// The waits between two tries while the journal refuses them.
    pub retries: Backoff,
    /// Called after each append that failed, with `false`, and after the one that then succeeds,
    /// with `true`.
    pub on_append: &'a (dyn Fn(bool) + Sync),
}

/// Entries with handles, as an answer has them.
#[derive(Debug)]
pub struct LeasedEntries<T> {
    /// The application that they were pulled from.
    pub app: AppId,
    /// Each entry, well-formed JSON, and whether bytes that were not UTF-8 were replaced in it.
    pub entries: T,
    /// When they were handed out.
    pub receipt: PullReceipt,
    /// Nothing is sent for their handles from this moment on.
    pub deadline: Instant,
}

impl fmt::Debug for IngestSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app_name, request_id, retries: _, on_append: _ } = self;
        f.debug_tuple("IngestSource").field(app_name).field(request_id).finish()
    }
}

/// Counts a caller as waiting for as long as it is there: it may be dropped at any time.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ingest {
    /// Stores in `journal` and sends the leases of what is stored to `leases`.
    #[must_use]
    pub fn new(journal: Journal, leases: mpsc::Sender<Vec<Lease>>, metrics: Metrics) -> Self {
        let (waiting, outage) = Default::default();
        Self { health: journal.health(), journal, leases, metrics, waiting, outage }
    }

    /// Whether a source that has so many requests in flight may make another: not while entries
    /// wait for the journal, and one at a time while it was not written a moment ago.
    #[must_use]
    pub fn accepts(&self, in_flight: usize) -> bool {
        self.check_recovered();
        !self.is_waiting() && (in_flight == 0 || !self.health.is_unwritable())
    }

    fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Stores the entries of an answer in portions, so that few are in memory at once however many
    /// there are, then hands on their leases. Returns how many were known though a sink still has
    /// to take them. Ends early at `stop`: what is stored by then comes again, and is known.
    pub async fn take_answer<'e>(
        &self,
        answer: LeasedEntries<impl ExactSizeIterator<Item = (&'e str, bool)>>,
        source: IngestSource<'_>,
        stop: &CancellationToken,
    ) -> usize {
        let LeasedEntries { app, mut entries, mut receipt, deadline } = answer;
        let mut reader = EntryReader::default();
        let mut repeats = 0;
        let mut leases = LeaseBuilder::new(app, deadline);
        loop {
            let read = |text: &str, replaced| reader.read(app, text, replaced, receipt.pulled);
            let portion = next_portion(&mut entries, read);
            if portion.is_empty() {
                break;
            }
            let stored = self.store(&portion, &receipt, source, stop).await;
            let Some(appended) = stored else { return repeats };
            repeats += appended.iter().filter(|of| !of.is_new && of.pending).count();
            Arc::make_mut(&mut receipt.taken).add(&portion, &appended);
            leases.add(portion, &appended);
        }
        let leases = leases.into_leases();
        if !leases.is_empty() && self.leases.send(leases).await.is_err() {
            tracing::debug!("leases dropped: the confirmer has ended");
        }
        repeats
    }

    /// Stores entries, however often that has to be tried, then counts and logs them: when this
    /// returns them, they are on disk. `None` if `stop` came first. A caller that does not wait so
    /// long may drop it: they may be on disk then, and are known when they come again.
    pub async fn store(
        &self,
        entries: &[Entry],
        receipt: &PullReceipt,
        source: IngestSource<'_>,
        stop: &CancellationToken,
    ) -> Option<Vec<Appended>> {
        let mut failures = 0;
        let mut waiting = None;
        let appended = loop {
            let error = match self.journal.append(entries.to_vec(), receipt.clone()).await {
                Ok(appended) => break appended,
                Err(error) => error,
            };
            failures += 1;
            waiting.get_or_insert_with(|| {
                self.waiting.fetch_add(1, Ordering::Relaxed);
                Waiting(&self.waiting)
            });
            self.metrics.append_failures.inc();
            (source.on_append)(false);
            self.record_failed(&error);
            let pause = tokio::time::sleep(source.retries.wait(failures));
            stop.run_until_cancelled(pause).await?;
        };
        if waiting.take().is_some() {
            (source.on_append)(true);
            self.check_recovered();
        }
        self.record_stored(entries, &appended, source);
        Some(appended)
    }

    fn record_stored(&self, entries: &[Entry], appended: &[Appended], source: IngestSource<'_>) {
        let IngestSource { app_name, request_id, .. } = source;
        let app = app_name.map(tracing::field::display);
        // Those of an answer are mostly of one type: looked up once, not for each event.
        let mut counts: Vec<(ByTypeOutcomeAndOrigin, u64)> = Vec::new();
        for (entry, appended) in entries.iter().zip(appended) {
            let event = &entry.event;
            let outcome = if appended.is_new { "new" } else { "duplicate" };
            let (r#type, origin) = (event::known_type(&event.event_type), event.origin.as_str());
            let labels = ByTypeOutcomeAndOrigin { r#type, outcome, origin };
            match counts.iter_mut().find(|(other, _)| *other == labels) {
                Some((_, count)) => *count += 1,
                None => counts.push((labels, 1)),
            }
            tracing::debug!(
                app,
                event = %appended.key,
                event_type = %event.event_type,
                new = appended.is_new,
                request_id,
                "entry stored"
            );
            if lacks_handle(entry) {
                self.metrics.events_without_handle.inc();
            }
            if appended.may_be_duplicate {
                self.metrics.possible_duplicates.inc();
                tracing::debug!(app, event = %appended.key, "possible duplicate: no answer acknowledged the confirmation of an equal event");
            }
        }
        let new = || entries.iter().zip(appended).filter(|(_, appended)| appended.is_new);
        // Of an answer that is nonsense throughout, not one line for each entry.
        let warn = |is_odd: fn(&Entry) -> bool, message| {
            let mut odd = new().filter(|(entry, _)| is_odd(entry));
            let Some((_, first)) = odd.next() else { return };
            let entries = 1 + odd.count();
            tracing::warn!(app, event = %first.key, entries, request_id, "{message}");
        };
        warn(lacks_handle, "entry has no handle; it cannot be confirmed");
        let unknown = "entry has no EventType; stored unchanged";
        warn(|entry| entry.event.event_type == UNKNOWN_TYPE, unknown);
        let replaced = "entry is not UTF-8; invalid bytes replaced";
        warn(|entry| entry.event.replaced, replaced);
        for (labels, count) in &counts {
            self.metrics.events.get_or_create(labels).inc_by(*count);
        }
    }

    fn record_failed(&self, error: &JournalError) {
        // The journal logs that itself, and its loop ends.
        if error.is_final() {
            return;
        }
        if let Some(report) = self.outage().failed(Instant::now()) {
            tracing::error!(
                %error,
                failures = report.failures,
                "journal accepts no events; pulling paused"
            );
        }
    }

    /// Logs when the journal accepts events again: all that waited, and by its own health.
    fn check_recovered(&self) {
        if self.is_waiting() || self.health.is_unwritable() {
            return;
        }
        if let Some(report) = self.outage().recovered(Instant::now()) {
            tracing::info!(
                lasted_seconds = report.lasted.as_secs(),
                "journal accepts events again"
            );
        }
    }

    /// For a few instructions only, never over an await.
    fn outage(&self) -> MutexGuard<'_, Outage> {
        lock(&self.outage)
    }
}

/// Whether it was pulled and cannot be confirmed.
fn lacks_handle(entry: &Entry) -> bool {
    entry.handle.is_none() && entry.event.origin == EventOrigin::Queue
}

/// The next entries that are stored at once, read; none after the last.
fn next_portion<'e>(
    entries: &mut impl ExactSizeIterator<Item = (&'e str, bool)>,
    mut read: impl FnMut(&str, bool) -> Entry,
) -> Vec<Entry> {
    let mut portion = Vec::with_capacity(entries.len().min(MAX_PORTION_ENTRIES));
    let mut bytes = 0;
    while portion.len() < MAX_PORTION_ENTRIES
        && bytes < MAX_PORTION_BYTES
        && let Some((text, replaced)) = entries.next()
    {
        bytes += text.len();
        portion.push(read(text, replaced));
    }
    portion
}
