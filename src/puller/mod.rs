//! Pulls events and hands the answers to [`Ingest`]: one loop for all applications, so that they
//! share the rate and the journal's pauses. Knows neither the deliveries nor the confirmer.

mod application;
mod circulation;
mod large;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event::AppId;
use crate::ingest::{Ingest, IngestSource, LeasedEntries};
use crate::journal::{Journal, PullReceipt, Receipt};
use crate::limits::{JOURNAL_RETRIES, NextPull, PullLimits, PullOutcome, PullScheduler};
use crate::liveness::Heartbeat;
use crate::metrics::{Metrics, set_known};
use crate::vod::{Client, Pulled};
use application::PulledApplication;

pub use application::{ApplicationProgress, PullProgress};
pub use settings::{PollPacing, PollSettings};

/// Half of what an answer can hold: as many mean that there may be more. vod-api: "at most 16";
/// that it holds 16 whenever as many wait, nobody says.
const MANY_ENTRIES: usize = 8;
/// How long a pull in flight may go on after the stop.
const LAST_PULL_TIMEOUT: Duration = Duration::from_secs(5);

/// The loop that pulls.
#[derive(Debug)]
pub struct Puller {
    applications: Vec<PulledApplication>,
    journal: Journal,
    ingest: Ingest,
    pacing: watch::Receiver<PollPacing>,
    /// Since when pulling is paused by hand.
    paused: watch::Receiver<Option<DateTime<Utc>>>,
    metrics: Metrics,
    retry_now: Arc<Notify>,
}

impl Puller {
    /// A puller that pulls by `clients`, one for each application, at the pace that `pacing` holds
    /// last, unless it is `paused`, and hands the answers to `ingest`, behind which is `journal`.
    #[must_use]
    pub fn new(
        clients: Vec<Client>,
        pacing: watch::Receiver<PollPacing>,
        paused: watch::Receiver<Option<DateTime<Utc>>>,
        journal: Journal,
        ingest: Ingest,
        metrics: Metrics,
    ) -> Self {
        let is_one = clients.len() == 1;
        let lease = pacing.borrow().lease;
        let since = *paused.borrow();
        let application = |client: Client| {
            let name = (!is_one).then_some(client.app());
            let application = PulledApplication::new(client, name, lease, metrics.clone());
            if since.is_some() {
                application.set_paused(since);
            }
            application
        };
        Self {
            applications: clients.into_iter().map(application).collect(),
            journal,
            ingest,
            pacing,
            paused,
            metrics,
            retry_now: Arc::default(),
        }
    }

    /// Returns how pulling from each application goes.
    pub fn pulling(&self) -> Vec<ApplicationProgress> {
        self.applications.iter().map(PulledApplication::pulling).collect()
    }

    /// Returns of each application when the last pull started that found its queue empty, no other
    /// being in flight.
    #[must_use]
    pub fn found_empty(&self) -> BTreeMap<AppId, watch::Receiver<Option<Instant>>> {
        let found = |of: &PulledApplication| (of.client.app(), of.watch_found_empty());
        self.applications.iter().map(found).collect()
    }

    /// Returns what is to be notified when the cause of failed pulls may be gone: the next pull
    /// then waits no longer.
    pub fn retry_now(&self) -> Arc<Notify> {
        self.retry_now.clone()
    }

    /// Pulls until `stop`, answering `heartbeat` on the way; pulls in flight then have five seconds to
    /// end. While it is paused, no pull starts. What was pulled and not stored is pulled again.
    pub async fn run(self, mut heartbeat: Heartbeat, stop: CancellationToken) {
        let (mut pacing, mut paused) = (self.pacing.clone(), self.paused.clone());
        let limits = limits(&pacing.borrow_and_update().settings);
        let mut scheduler = PullScheduler::new(limits, self.applications.len(), Instant::now());
        let mut pulls = FuturesUnordered::new();
        while !stop.is_cancelled() {
            self.report(&scheduler);
            let now = Instant::now();
            let is_paused = paused.borrow().is_some();
            let next = match !is_paused && self.ingest.accepts(pulls.len()) {
                true => scheduler.next(now),
                false => NextPull::AfterAnother,
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
                () = heartbeat.beat() => {}
                () = self.retry_now.notified() => scheduler.retry_now(),
                Ok(()) = paused.changed() => {
                    self.apply_pause(*paused.borrow_and_update(), &mut scheduler);
                }
                Ok(()) = pacing.changed() => self.apply_pacing(&pacing.borrow_and_update(), &mut scheduler),
                Some((place, started, outcome)) = pulls.next(), if !pulls.is_empty() => {
                    scheduler.finished(place, started, Instant::now(), outcome);
                    let application = &self.applications[place];
                    if let Some(until) = application.large_until() {
                        scheduler.go_alone(place, until);
                    }
                    scheduler.set_pause(place, application.pause(Instant::now()));
                    if outcome == PullOutcome::Empty && scheduler.in_flight(place) == 0 {
                        application.record_empty(started);
                    }
                }
                () = tokio::time::sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
        let rest = async { while pulls.next().await.is_some() {} };
        if tokio::time::timeout(LAST_PULL_TIMEOUT, rest).await.is_err() {
            tracing::debug!("pull in flight dropped at the stop; its events are pulled again");
        }
    }

    fn report(&self, scheduler: &PullScheduler) {
        let concurrency = i64::try_from(scheduler.concurrency()).unwrap_or(i64::MAX);
        self.metrics.pull_concurrency.set(concurrency);
        self.metrics.pull_rate.set(scheduler.rate());
        self.metrics.pull_max_rate.set(scheduler.max_rate());
        let now = Instant::now();
        let circulating = self.applications.iter().map(|of| of.circulating(now)).sum();
        self.metrics.circulating_events.set(circulating);
    }

    fn apply_pause(&self, paused: Option<DateTime<Utc>>, scheduler: &mut PullScheduler) {
        self.applications.iter().for_each(|of| of.set_paused(paused));
        if paused.is_none() {
            scheduler.retry_now();
        }
    }

    fn apply_pacing(&self, pacing: &PollPacing, scheduler: &mut PullScheduler) {
        scheduler.set_limits(limits(&pacing.settings));
        self.applications.iter().for_each(|of| of.set_lease(pacing.lease));
    }

    /// Pulls once from the application at `place`, `alone` or beside others, and has the answer
    /// stored.
    async fn pull(
        &self,
        place: usize,
        started: Instant,
        alone: bool,
        stop: &CancellationToken,
    ) -> (usize, Instant, PullOutcome) {
        let application = &self.applications[place];
        let client = &application.client;
        application.record_start(started);
        let pulled = if alone { client.pull_alone().await } else { client.pull().await };
        let received = Instant::now();
        let offset = client.clock_difference().unwrap_or_default().num_seconds();
        self.metrics.clock_offset_seconds.set(offset);
        let expiry = client.credentials_expiry().map(|at| at.timestamp());
        set_known(&self.metrics.credentials_expiry, expiry);
        let lease = self.pacing.borrow().lease;
        let outcome = match pulled {
            Ok(pulled) => {
                application.record_good(started, pulled.is_empty());
                let outcome = match pulled.len() {
                    0 => PullOutcome::Empty,
                    MANY_ENTRIES.. => PullOutcome::Many,
                    _ => PullOutcome::Few,
                };
                let (size, entries) = (pulled.size(), pulled.len());
                let repeats = self.ingest(application, pulled, received, stop).await;
                let most = self.pacing.borrow().max_circulating;
                application.record_entries(entries, repeats, &self.journal, most).await;
                // Only now: the next pull starts from here, however long that has taken.
                application.record_size(size, lease);
                outcome
            }
            Err(error) if error.is_too_large() => {
                application.record_too_large(started, alone, lease, &error)
            }
            Err(error) => application.record_failed(started, &error),
        };
        (place, started, outcome)
    }

    /// Has an answer stored. Returns how many of its events were known though a sink still has to
    /// take them.
    async fn ingest(
        &self,
        application: &PulledApplication,
        pulled: Pulled,
        received: Instant,
        stop: &CancellationToken,
    ) -> usize {
        let PollPacing { lease, good_for, .. } = *self.pacing.borrow();
        let sent = pulled.sent;
        let receipt = Receipt { sent, received, lease, empty: application.found_empty() };
        let answer = LeasedEntries {
            app: application.client.app(),
            entries: pulled.entries(),
            receipt: PullReceipt { receipt: Some(receipt), ..Utc::now().into() },
            deadline: sent + good_for,
        };
        let source = IngestSource {
            app_name: application.name,
            request_id: Some(&pulled.request_id),
            retries: JOURNAL_RETRIES,
            on_append: &|is_stored| application.record_append(is_stored),
        };
        self.ingest.take_answer(answer, source, stop).await
    }
}

fn limits(settings: &PollSettings) -> PullLimits {
    PullLimits {
        interval: settings.interval,
        max_concurrency: settings.max_concurrency as usize,
        max_rate: f64::from(settings.max_requests_per_second),
    }
}
