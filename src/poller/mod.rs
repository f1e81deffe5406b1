//! Pulls events, has them stored, and hands their leases on.
//!
//! The journal offers the fresh ones to the sinks by itself; nothing here waits for a sink.
//! Knows neither the deliveries nor the confirmer.

mod settings;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event::{self, Entry, UNKNOWN_TYPE};
use crate::journal::{Appended, Journal};
use crate::lease::Lease;
use crate::metrics::{ByOutcome, ByTypeAndOutcome, Metrics, set_known};
use crate::outage::Outage;
use crate::pace::{Bounds, Next, Outcome, Pace};
use crate::pulse::Pulse;
use crate::retry::Backoff;
use crate::vod::{Advice, Client, Error, Pulled};

pub use settings::{Pacing, Settings};

/// Events in one answer at most: as many mean that there are more. vod-api: "at most 16".
const FULL: usize = 16;
/// Between tries to store what was pulled.
const JOURNAL: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(5) };
/// After failures that pass by themselves: the network, the service.
const PASSING: Backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(30) };
/// After failures that somebody has to mend: credentials, permissions, parameters.
const LASTING: Backoff = Backoff { base: Duration::from_secs(5), max: Duration::from_secs(60) };
/// After being told to slow down; limits are told by the second.
const THROTTLED: Backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_secs(1) };
/// How long a pull in flight may go on after the stop.
const LAST_PULL: Duration = Duration::from_secs(5);

/// How pulling goes, for whoever watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How often the queue was found empty with no other pull in flight.
    pub empty: u64,
    /// Pulls that failed one after the other since the last good one.
    pub failures: u32,
    /// The end of the last pull that was counted as failed; `None` after a good pull.
    pub last_failure: Option<Instant>,
    /// What to do about the last failure; `None` after a good pull.
    pub trouble: Option<Advice>,
    /// How often in a row the journal did not take what was pulled.
    pub failed_appends: u64,
    /// The end of the last good pull, an empty one included.
    pub last_good: Option<Instant>,
}

/// The loop that pulls.
#[derive(Debug)]
pub struct Poller {
    client: Client,
    journal: Journal,
    leases: mpsc::Sender<Lease>,
    pacing: watch::Receiver<Pacing>,
    metrics: Metrics,
    progress: watch::Sender<Progress>,
    /// Answers that the journal did not take: as long as there are any, nothing more is pulled.
    unstored: AtomicUsize,
    /// Of the cloud.
    outage: Mutex<Outage>,
    /// Of the journal.
    unwritable: Mutex<Outage>,
    mended: Arc<Notify>,
}

impl Poller {
    /// A poller that stores what it pulls in `journal` and hands the leases to `leases`. It goes
    /// by what `pacing` holds last.
    #[must_use]
    pub fn new(
        client: Client,
        pacing: watch::Receiver<Pacing>,
        journal: Journal,
        leases: mpsc::Sender<Lease>,
        metrics: Metrics,
    ) -> Self {
        Self {
            client,
            journal,
            leases,
            pacing,
            metrics,
            progress: watch::Sender::new(Progress::default()),
            unstored: AtomicUsize::new(0),
            outage: Mutex::default(),
            unwritable: Mutex::default(),
            mended: Arc::default(),
        }
    }

    /// How pulling goes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// To be notified when what made pulls fail may have been mended: the next one then need not
    /// wait any longer.
    #[must_use]
    pub fn mended(&self) -> Arc<Notify> {
        self.mended.clone()
    }

    /// Pulls until `stop`, answering `pulse` on the way; pulls in flight then have five seconds to end. What was pulled and
    /// could not be stored is let go and comes again.
    pub async fn run(self, mut pulse: Pulse, stop: CancellationToken) {
        let mut pacing = self.pacing.clone();
        let bounds = bounds(&pacing.borrow_and_update().settings);
        let mut pace = Pace::new(bounds, Instant::now());
        let mut pulls = FuturesUnordered::new();
        while !stop.is_cancelled() {
            let now = Instant::now();
            let next = if self.unstored.load(Ordering::Relaxed) > 0 {
                Next::AfterAnother
            } else {
                pace.next(now)
            };
            let wake = match next {
                Next::Now => {
                    pace.started(now);
                    pulls.push(self.pull(now, &stop));
                    continue;
                }
                Next::At(at) => Some(at),
                Next::AfterAnother => None,
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = pulse.answer() => {}
                () = self.mended.notified() => pace.retry_now(),
                Ok(()) = pacing.changed() => {
                    pace.set_bounds(self::bounds(&pacing.borrow_and_update().settings));
                }
                Some((started, outcome)) = pulls.next(), if !pulls.is_empty() => {
                    pace.finished(started, Instant::now(), outcome);
                    if outcome == Outcome::Empty && pace.in_flight() == 0 {
                        self.progress.send_modify(|progress| progress.empty += 1);
                    }
                    let concurrency = i64::try_from(pace.concurrency()).unwrap_or(i64::MAX);
                    self.metrics.pull_concurrency.set(concurrency);
                    self.metrics.pull_rate.set(pace.rate());
                }
                () = tokio::time::sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
        let rest = async { while pulls.next().await.is_some() {} };
        if tokio::time::timeout(LAST_PULL, rest).await.is_err() {
            tracing::debug!("dropped the last pull; what it was given comes again");
        }
    }

    /// One pull with all that follows from it.
    async fn pull(&self, started: Instant, stop: &CancellationToken) -> (Instant, Outcome) {
        let pulled = self.client.pull().await;
        let offset = self.client.clock_difference().unwrap_or_default().num_seconds();
        self.metrics.clock_offset_seconds.set(offset);
        let expiry = self.client.credentials_expiry().map(|at| at.timestamp());
        set_known(&self.metrics.credentials_expiry, expiry);
        let outcome = match pulled {
            Ok(pulled) => {
                self.note_good(started, pulled.is_empty());
                let outcome = match pulled.len() {
                    0 => Outcome::Empty,
                    FULL.. => Outcome::Full,
                    _ => Outcome::Some,
                };
                self.store(pulled, stop).await;
                outcome
            }
            Err(error) => self.note_failed(started, &error),
        };
        (started, outcome)
    }

    /// Stores the events of an answer, however often that has to be tried, then hands on their
    /// leases.
    async fn store(&self, pulled: Pulled, stop: &CancellationToken) {
        if pulled.is_empty() {
            return;
        }
        let now = Utc::now();
        let read = |(text, replaced)| event::read(self.client.app(), text, replaced, now);
        let entries: Vec<Entry> = pulled.entries().map(read).collect();
        let events: Vec<_> = entries.iter().map(|entry| entry.event.clone()).collect();
        let mut failures = 0;
        let appended = loop {
            let error = match self.journal.append(events.clone(), now).await {
                Ok(appended) => break Some(appended),
                Err(error) => error,
            };
            failures += 1;
            if failures == 1 {
                self.unstored.fetch_add(1, Ordering::Relaxed);
            }
            self.metrics.append_failures.inc();
            self.note_unwritable(&error);
            let pause = tokio::time::sleep(JOURNAL.wait(failures));
            if stop.run_until_cancelled(pause).await.is_none() {
                break None;
            }
        };
        if failures > 0 {
            self.unstored.fetch_sub(1, Ordering::Relaxed);
        }
        let Some(appended) = appended else { return };
        if failures > 0 {
            self.note_writable();
        }
        self.note_entries(&entries, &appended, &pulled.request_id);
        let good_for = self.pacing.borrow().good_for;
        for lease in leases(entries, &appended, pulled.sent + good_for) {
            if self.leases.send(lease).await.is_err() {
                tracing::debug!("nobody confirms any more");
            }
        }
    }

    fn note_entries(&self, entries: &[Entry], appended: &[Appended], request_id: &str) {
        for (entry, appended) in entries.iter().zip(appended) {
            let event = &entry.event;
            let outcome = if appended.fresh { "fresh" } else { "seen_again" };
            let labels = ByTypeAndOutcome { r#type: event::known_type(&event.event_type), outcome };
            self.metrics.events.get_or_create(&labels).inc();
            tracing::debug!(
                event = %event.key,
                event_type = %event.event_type,
                fresh = appended.fresh,
                request_id,
                "pulled"
            );
            if entry.handle.is_none() {
                self.metrics.events_without_handle.inc();
            }
            if appended.fresh && entry.handle.is_none() {
                tracing::warn!(event = %event.key, request_id, "an entry has no handle and cannot be confirmed");
            }
            if appended.fresh && event.event_type == UNKNOWN_TYPE {
                tracing::warn!(event = %event.key, request_id, "an entry has no EventType; it was kept as it is");
            }
            if appended.fresh && event.replaced {
                tracing::warn!(event = %event.key, request_id, "an entry was not UTF-8; the bytes at fault were replaced");
            }
        }
    }

    fn note_good(&self, started: Instant, is_empty: bool) {
        self.count_pull(started, if is_empty { "empty" } else { "events" });
        self.metrics.last_good_pull.set(Utc::now().timestamp());
        self.progress.send_modify(|progress| {
            progress.failures = 0;
            progress.last_failure = None;
            progress.trouble = None;
            progress.last_good = Some(Instant::now());
        });
        if let Some(report) = locked(&self.outage).recovered(Instant::now()) {
            tracing::info!(
                failures = report.failures,
                lasted_seconds = report.lasted.as_secs(),
                "pulling works again"
            );
        }
    }

    fn note_failed(&self, started: Instant, error: &Error) -> Outcome {
        let advice = error.advice();
        self.progress.send_modify(|progress| {
            // Pulls that were in flight together fail together: that is one failure.
            if progress.last_failure.is_none_or(|last| started >= last) {
                progress.failures = progress.failures.saturating_add(1);
                progress.last_failure = Some(Instant::now());
            }
            progress.trouble = Some(advice);
        });
        let failures = self.progress.borrow().failures;
        let (label, outcome) = match advice {
            Advice::Throttled => ("throttled", Outcome::Throttled(THROTTLED.wait(failures))),
            Advice::Service | Advice::Transport | Advice::Answer => {
                ("failed", Outcome::Failed(PASSING.wait(failures)))
            }
            Advice::Clock | Advice::Credentials | Advice::Refused | Advice::InvalidParameters => {
                ("failed", Outcome::Failed(LASTING.wait(failures)))
            }
        };
        self.count_pull(started, label);
        if let Some(report) = locked(&self.outage).failed(Instant::now()) {
            tracing::warn!(
                code = error.code(),
                request_id = error.request_id(),
                advice = advice.name(),
                hint = error.hint(),
                failures = report.failures,
                error = %error,
                "pulling fails"
            );
        }
        outcome
    }

    fn count_pull(&self, started: Instant, outcome: &'static str) {
        let labels = ByOutcome { outcome };
        self.metrics.pulls.get_or_create(&labels).inc();
        self.metrics.pull_seconds.get_or_create(&labels).observe(started.elapsed());
    }

    fn note_unwritable(&self, error: &crate::journal::Error) {
        self.progress.send_modify(|progress| progress.failed_appends += 1);
        if let Some(report) = locked(&self.unwritable).failed(Instant::now()) {
            tracing::error!(
                %error,
                failures = report.failures,
                "the journal does not take events; pulling stops until it does"
            );
        }
    }

    fn note_writable(&self) {
        self.progress.send_modify(|progress| progress.failed_appends = 0);
        if let Some(report) = locked(&self.unwritable).recovered(Instant::now()) {
            tracing::info!(
                lasted_seconds = report.lasted.as_secs(),
                "the journal takes events again"
            );
        }
    }
}

fn bounds(settings: &Settings) -> Bounds {
    Bounds {
        interval: settings.interval,
        max_concurrency: settings.max_concurrency as usize,
        max_rate: f64::from(settings.max_requests_per_second),
    }
}

/// For a few instructions only, never over an await.
fn locked(outage: &Mutex<Outage>) -> MutexGuard<'_, Outage> {
    outage.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The leases of an answer: one for each handle, with all events under it.
fn leases(entries: Vec<Entry>, appended: &[Appended], deadline: Instant) -> Vec<Lease> {
    let mut leases: Vec<Lease> = Vec::with_capacity(entries.len());
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    for (entry, appended) in entries.into_iter().zip(appended) {
        let Some(handle) = entry.handle else { continue };
        let place = *places.entry(handle.as_str().into()).or_insert_with(|| {
            let (events, pending) = (Vec::new(), Vec::new());
            leases.push(Lease { handle, events, pending, recurs: false, deadline });
            leases.len() - 1
        });
        let Some(lease) = leases.get_mut(place) else { continue };
        lease.events.push(appended.id);
        lease.recurs |= appended.recurs;
        if appended.pending {
            lease.pending.push(appended.id);
        }
    }
    leases
}
