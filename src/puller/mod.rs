//! Pulls events, has them stored, and hands their leases on: one loop for all applications, so that
//! they share the rate and the journal's pauses.
//!
//! The journal offers the fresh ones to the sinks by itself; nothing here waits for a sink.
//! Knows neither the deliveries nor the confirmer.

mod application;
mod circulation;
mod large;
mod leases;
mod settings;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event::{self, AppId, Entry, UNKNOWN_TYPE};
use crate::journal::{Appended, Journal, JournalHealth, PullReceipt, Receipt, Taken};
use crate::lease::Lease;
use crate::limits::{Backoff, NextPull, Outage, PullLimits, PullOutcome, PullScheduler};
use crate::liveness::Heartbeat;
use crate::metrics::{ByTypeAndOutcome, Metrics, set_known};
use crate::vod::{Client, Entries, Pulled};
use application::{PolledApplication, locked};
use leases::LeaseBuilder;

pub use application::{ApplicationProgress, PullProgress};
pub use settings::{PollPacing, PollSettings};

/// Half of what an answer can hold: as many mean that there may be more. vod-api: "at most 16"; that
/// it holds 16 whenever as many wait, nobody says.
const MANY: usize = 8;
/// Between tries to store what was pulled.
const JOURNAL: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(5) };
/// Entries that are stored at once at most; a usual answer has fewer.
const PORTION: usize = 256;
/// Bytes of entries after which no more are added to those that are stored at once.
const PORTION_BYTES: usize = 4 * 1024 * 1024;
/// How long a pull in flight may go on after the stop.
const LAST_PULL: Duration = Duration::from_secs(5);

/// The loop that pulls.
#[derive(Debug)]
pub struct Puller {
    applications: Vec<PolledApplication>,
    journal: Journal,
    leases: mpsc::Sender<Vec<Lease>>,
    pacing: watch::Receiver<PollPacing>,
    metrics: Metrics,
    /// Answers that the journal did not take: as long as there are any, nothing more is pulled.
    unstored: AtomicUsize,
    /// Of the journal.
    unwritable: Mutex<Outage>,
    condition: JournalHealth,
    mended: Arc<Notify>,
}

impl Puller {
    /// A puller that pulls by `clients`, one for each application, stores what it gets in
    /// `journal` and hands the leases to `leases`. It goes by what `pacing` holds last.
    #[must_use]
    pub fn new(
        clients: Vec<Client>,
        pacing: watch::Receiver<PollPacing>,
        journal: Journal,
        leases: mpsc::Sender<Vec<Lease>>,
        metrics: Metrics,
    ) -> Self {
        let is_one = clients.len() == 1;
        let lease = pacing.borrow().lease;
        let application = |client: Client| {
            let name = (!is_one).then_some(client.app());
            PolledApplication::new(client, name, lease, metrics.clone())
        };
        Self {
            applications: clients.into_iter().map(application).collect(),
            condition: journal.health(),
            journal,
            leases,
            pacing,
            metrics,
            unstored: AtomicUsize::new(0),
            unwritable: Mutex::default(),
            mended: Arc::default(),
        }
    }

    /// How pulling from each application goes.
    #[must_use]
    pub fn pulling(&self) -> Vec<ApplicationProgress> {
        self.applications.iter().map(PolledApplication::pulling).collect()
    }

    /// To be notified when what made pulls fail may have been mended: the next one then need not
    /// wait any longer.
    #[must_use]
    pub fn mended(&self) -> Arc<Notify> {
        self.mended.clone()
    }

    /// Pulls until `stop`, answering `pulse` on the way; pulls in flight then have five seconds to
    /// end. What was pulled and could not be stored is let go and comes again.
    pub async fn run(self, mut pulse: Heartbeat, stop: CancellationToken) {
        let mut pacing = self.pacing.clone();
        let limits = limits(&pacing.borrow_and_update().settings);
        let mut scheduler = PullScheduler::new(limits, self.applications.len(), Instant::now());
        let mut pulls = FuturesUnordered::new();
        while !stop.is_cancelled() {
            self.tell(&scheduler);
            self.review_unwritable();
            let now = Instant::now();
            // A journal that was not written a moment ago is tried with one answer at a time.
            let is_tried = self.condition.is_unwritable() && !pulls.is_empty();
            let next = if is_tried || self.unstored.load(Ordering::Relaxed) > 0 {
                NextPull::AfterAnother
            } else {
                scheduler.next(now)
            };
            let wake = match next {
                NextPull::Now(place) => {
                    let alone = scheduler.started(place, now);
                    pulls.push(self.pull(place, now, alone, &stop));
                    continue;
                }
                NextPull::At(at) => Some(at),
                NextPull::AfterAnother => None,
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = pulse.beat() => {}
                () = self.mended.notified() => scheduler.retry_now(),
                Ok(()) = pacing.changed() => self.take_pacing(&pacing.borrow_and_update(), &mut scheduler),
                Some((place, started, outcome)) = pulls.next(), if !pulls.is_empty() => {
                    scheduler.finished(place, started, Instant::now(), outcome);
                    let application = &self.applications[place];
                    if let Some(until) = application.large_until() {
                        scheduler.go_alone(place, until);
                    }
                    scheduler.set_pause(place, application.pause(Instant::now()));
                    if outcome == PullOutcome::Empty && scheduler.in_flight(place) == 0 {
                        application.note_empty(started);
                    }
                }
                () = tokio::time::sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
        let rest = async { while pulls.next().await.is_some() {} };
        if tokio::time::timeout(LAST_PULL, rest).await.is_err() {
            tracing::debug!("dropped the last pull; what it was given comes again");
        }
    }

    fn tell(&self, scheduler: &PullScheduler) {
        let concurrency = i64::try_from(scheduler.concurrency()).unwrap_or(i64::MAX);
        self.metrics.pull_concurrency.set(concurrency);
        self.metrics.pull_rate.set(scheduler.rate());
        self.metrics.pull_max_rate.set(scheduler.max_rate());
        let now = Instant::now();
        let circulating = self.applications.iter().map(|of| of.circulating(now)).sum();
        self.metrics.circulating_events.set(circulating);
    }

    fn take_pacing(&self, pacing: &PollPacing, scheduler: &mut PullScheduler) {
        scheduler.set_limits(limits(&pacing.settings));
        self.applications.iter().for_each(|of| of.set_lease(pacing.lease));
    }

    /// One pull from the application at `place`, `alone` or beside others, with all that follows
    /// from it.
    async fn pull(
        &self,
        place: usize,
        started: Instant,
        alone: bool,
        stop: &CancellationToken,
    ) -> (usize, Instant, PullOutcome) {
        let application = &self.applications[place];
        let client = &application.client;
        let pulled = if alone { client.pull_alone().await } else { client.pull().await };
        let received = Instant::now();
        let offset = client.clock_difference().unwrap_or_default().num_seconds();
        self.metrics.clock_offset_seconds.set(offset);
        let expiry = client.credentials_expiry().map(|at| at.timestamp());
        set_known(&self.metrics.credentials_expiry, expiry);
        let lease = self.pacing.borrow().lease;
        let outcome = match pulled {
            Ok(pulled) => {
                application.note_good(started, pulled.is_empty());
                let outcome = match pulled.len() {
                    0 => PullOutcome::Empty,
                    MANY.. => PullOutcome::Many,
                    _ => PullOutcome::Few,
                };
                let (size, entries) = (pulled.size(), pulled.len());
                let repeats = self.store(application, pulled, received, stop).await;
                let most = self.pacing.borrow().max_circulating;
                application.note_entries(entries, repeats, &self.journal, most).await;
                // Only now: the next pull starts from here, however long that has taken.
                application.note_size(size, lease);
                outcome
            }
            Err(error) if error.is_too_large() => {
                application.note_too_large(started, alone, lease, &error)
            }
            Err(error) => application.note_failed(started, &error),
        };
        (place, started, outcome)
    }

    /// Stores the events of an answer in portions, so that few are in memory at once however many
    /// there are, then hands on their leases. Tells how many were known, and sinks still have to
    /// take them.
    async fn store(
        &self,
        application: &PolledApplication,
        pulled: Pulled,
        received: Instant,
        stop: &CancellationToken,
    ) -> usize {
        let now = Utc::now();
        let (sent, lease) = (pulled.sent, self.pacing.borrow().lease);
        let receipt = Receipt { sent, received, lease, empty: application.found_empty() };
        let mut answer =
            PullReceipt { pulled: now, receipt: Some(receipt), taken: Arc::new(Taken::default()) };
        let app = application.client.app();
        let mut reader = event::EntryReader::default();
        let mut entries = pulled.entries();
        let mut repeats = 0;
        let mut leases = LeaseBuilder::new(app, pulled.sent + self.pacing.borrow().good_for);
        loop {
            let read = |text: &str, replaced| reader.read(app, text, replaced, now);
            let portion = next_portion(&mut entries, read);
            if portion.is_empty() {
                break;
            }
            let stored = self.store_portion(application, &portion, &answer, stop).await;
            // What is stored by then comes again, and is known.
            let Some(appended) = stored else { return repeats };
            self.note_entries(application.name, &portion, &appended, &pulled.request_id);
            repeats += appended.iter().filter(|of| !of.is_new && of.pending).count();
            Arc::make_mut(&mut answer.taken).add(&portion, &appended);
            leases.add(portion, &appended);
        }
        let leases = leases.into_leases();
        if !leases.is_empty() && self.leases.send(leases).await.is_err() {
            tracing::debug!("nobody confirms any more");
        }
        repeats
    }

    /// Stores entries, however often that has to be tried; `None` if `stop` came first.
    async fn store_portion(
        &self,
        application: &PolledApplication,
        entries: &[Entry],
        answer: &PullReceipt,
        stop: &CancellationToken,
    ) -> Option<Vec<Appended>> {
        let mut failures = 0;
        let appended = loop {
            let error = match self.journal.append(entries.to_vec(), answer.clone()).await {
                Ok(appended) => break Some(appended),
                Err(error) => error,
            };
            failures += 1;
            if failures == 1 {
                self.unstored.fetch_add(1, Ordering::Relaxed);
            }
            self.metrics.append_failures.inc();
            application.note_unwritable();
            self.note_unwritable(&error);
            let pause = tokio::time::sleep(JOURNAL.wait(failures));
            if stop.run_until_cancelled(pause).await.is_none() {
                break None;
            }
        };
        if failures > 0 {
            self.unstored.fetch_sub(1, Ordering::Relaxed);
        }
        if failures > 0 && appended.is_some() {
            application.note_writable();
            self.review_unwritable();
        }
        appended
    }

    fn note_entries(
        &self,
        app: Option<AppId>,
        entries: &[Entry],
        appended: &[Appended],
        request_id: &str,
    ) {
        let app = app.map(tracing::field::display);
        // Those of an answer are mostly of one type: looked up once, not for each event.
        let mut counts: Vec<(ByTypeAndOutcome, u64)> = Vec::new();
        for (entry, appended) in entries.iter().zip(appended) {
            let event = &entry.event;
            let outcome = if appended.is_new { "new" } else { "duplicate" };
            let labels = ByTypeAndOutcome { r#type: event::known_type(&event.event_type), outcome };
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
                "pulled"
            );
            if entry.handle.is_none() {
                self.metrics.events_without_handle.inc();
            }
            if appended.may_be_duplicate {
                self.metrics.possible_duplicates.inc();
                tracing::debug!(app, event = %appended.key, "this event may have been stored before: no answer said that its confirmation was taken");
            }
        }
        let fresh = || entries.iter().zip(appended).filter(|(_, appended)| appended.is_new);
        // Of an answer that is nonsense throughout, not one line for each entry.
        let warn = |is_odd: fn(&Entry) -> bool, message| {
            let mut odd = fresh().filter(|(entry, _)| is_odd(entry));
            let Some((_, first)) = odd.next() else { return };
            let entries = 1 + odd.count();
            tracing::warn!(app, event = %first.key, entries, request_id, "{message}");
        };
        warn(|entry| entry.handle.is_none(), "an entry has no handle and cannot be confirmed");
        let unknown = "an entry has no EventType; it was kept as it is";
        warn(|entry| entry.event.event_type == UNKNOWN_TYPE, unknown);
        let replaced = "an entry was not UTF-8; the bytes at fault were replaced";
        warn(|entry| entry.event.replaced, replaced);
        for (labels, count) in &counts {
            self.metrics.events.get_or_create(labels).inc_by(*count);
        }
    }

    fn note_unwritable(&self, error: &crate::journal::JournalError) {
        // That is told of by the journal, and the loop ends.
        if error.is_final() {
            return;
        }
        if let Some(report) = locked(&self.unwritable).failed(Instant::now()) {
            tracing::error!(
                %error,
                failures = report.failures,
                "the journal does not take events; pulling stops until it does"
            );
        }
    }

    /// Tells when the journal takes events again: all that was pulled, and as it says itself.
    fn review_unwritable(&self) {
        if self.unstored.load(Ordering::Relaxed) > 0 || self.condition.is_unwritable() {
            return;
        }
        if let Some(report) = locked(&self.unwritable).recovered(Instant::now()) {
            tracing::info!(
                lasted_seconds = report.lasted.as_secs(),
                "the journal takes events again"
            );
        }
    }
}

/// The next entries of an answer that are stored at once, read; none after the last.
fn next_portion(
    entries: &mut Entries<'_>,
    mut read: impl FnMut(&str, bool) -> Entry,
) -> Vec<Entry> {
    let mut portion = Vec::with_capacity(entries.len().min(PORTION));
    let mut bytes = 0;
    while portion.len() < PORTION
        && bytes < PORTION_BYTES
        && let Some((text, replaced)) = entries.next()
    {
        bytes += text.len();
        portion.push(read(text, replaced));
    }
    portion
}

fn limits(settings: &PollSettings) -> PullLimits {
    PullLimits {
        interval: settings.interval,
        max_concurrency: settings.max_concurrency as usize,
        max_rate: f64::from(settings.max_requests_per_second),
    }
}
