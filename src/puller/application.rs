//! An application that is pulled from: its failures, what is known of its queue, its metrics.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytesize::ByteSize;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

use super::circulation::Circulation;
use super::large::LargeAnswers;
use crate::event::AppId;
use crate::journal::Journal;
use crate::limits::{Backoff, Outage, PullOutcome, log_outage};
use crate::metrics::{ByApp, ByOutcome, Metrics};
use crate::sync::lock;
use crate::vod::{Advice, CallFailure, Client, VodError};

/// After failures that pass by themselves: the network, the service.
const TRANSIENT: Backoff =
    Backoff { base: Duration::from_millis(500), max: Duration::from_secs(30) };
/// After failures that somebody has to correct: credentials, permissions, parameters.
const UNTIL_CORRECTED: Backoff =
    Backoff { base: Duration::from_secs(5), max: Duration::from_secs(60) };
/// After being throttled; limits are counted by the second.
const THROTTLED: Backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_secs(1) };

/// After an answer that is too large. Its events are back a lease later: longer waits than this,
/// and of many such answers the first would be back before what stands behind the last was ever
/// reached.
const TOO_LARGE: Backoff =
    Backoff { base: Duration::from_millis(500), max: Duration::from_secs(1) };

/// Of the loop's lines in the log.
const TARGET: &str = "sprited::puller";

/// How pulling from one application goes, for whoever watches.
#[derive(Clone, Debug)]
pub struct ApplicationProgress {
    /// The application.
    pub app: AppId,
    /// How it goes.
    pub progress: watch::Receiver<PullProgress>,
}

/// How pulling goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullProgress {
    /// How often the queue was found empty with no other pull in flight.
    pub empty: u64,
    /// Pulls that failed one after the other since the last good one.
    pub failures: u32,
    /// The end of the last pull that was counted as failed; `None` after a good pull.
    pub last_failure: Option<Instant>,
    /// Why pulls fail; `None` after a good pull.
    pub failure: Option<Arc<CallFailure>>,
    /// How often in a row the journal did not take what was pulled.
    pub failed_appends: u64,
    /// The end of the last good pull, an empty one included.
    pub last_good: Option<Instant>,
    /// The start of the last pull.
    pub started: Option<Instant>,
    /// Since when pulling is paused by hand.
    pub paused: Option<DateTime<Utc>>,
    /// When pulling was resumed, if it was since the start.
    pub resumed: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct PulledApplication {
    pub(super) client: Client,
    /// What log lines call it; nothing where it is the only one.
    pub(super) name: Option<AppId>,
    progress: watch::Sender<PullProgress>,
    /// Of its queue in the cloud.
    outage: Mutex<Outage>,
    large: Mutex<LargeAnswers>,
    circulation: Mutex<Circulation>,
    /// When the last pull started that found the queue empty.
    found_empty: watch::Sender<Option<Instant>>,
    metrics: Metrics,
}

impl PulledApplication {
    pub(super) fn new(
        client: Client,
        name: Option<AppId>,
        lease: Duration,
        metrics: Metrics,
    ) -> Self {
        metrics.last_successful_pull.get_or_create(&ByApp::of(client.app())).set(0);
        let progress = watch::Sender::new(PullProgress::default());
        let (outage, large) = Default::default();
        let circulation = Mutex::new(Circulation::new(lease));
        let found_empty = watch::Sender::default();
        Self { client, name, progress, outage, large, circulation, found_empty, metrics }
    }

    pub(super) fn pulling(&self) -> ApplicationProgress {
        ApplicationProgress { app: self.client.app(), progress: self.progress.subscribe() }
    }

    /// Records since when pulling is paused; `None`: it is resumed now. What failed before says
    /// nothing of the pulls that follow.
    pub(super) fn set_paused(&self, paused: Option<DateTime<Utc>>) {
        self.progress.send_modify(|progress| {
            (progress.failures, progress.failure) = (0, None);
            progress.resumed = paused.is_none().then(Instant::now);
            progress.paused = paused;
        });
    }

    /// Records that the queue was found empty by a pull that started at `started`, and no other was
    /// in flight.
    pub(super) fn record_empty(&self, started: Instant) {
        if !lock(&self.large).hides(started) {
            self.progress.send_modify(|progress| progress.empty += 1);
            self.found_empty.send_replace(Some(started));
        }
    }

    /// When the last pull started that found its queue empty, no other being in flight.
    pub(super) fn found_empty(&self) -> Option<Instant> {
        *self.found_empty.borrow()
    }

    /// The same, for whoever waits for it.
    pub(super) fn watch_found_empty(&self) -> watch::Receiver<Option<Instant>> {
        self.found_empty.subscribe()
    }

    pub(super) fn record_size(&self, size: usize, lease: Duration) {
        if size > self.client.max_answer_sizes().0 {
            lock(&self.large).expect(Instant::now(), lease);
        }
    }

    /// Until when pulls are to go alone, as they may bring large answers.
    pub(super) fn large_until(&self) -> Option<Instant> {
        let mut large = lock(&self.large);
        if large.is_over(Instant::now()) {
            tracing::info!(
                target: TARGET,
                app = self.name.map(tracing::field::display),
                "no more answers exceed vod.max_answer_size; pulling side by side again"
            );
        }
        large.expected_until()
    }

    /// A pull that started at `started` was answered with more than is read of an answer. One that
    /// went alone failed; what another was answered with is read when it comes again.
    pub(super) fn record_too_large(
        &self,
        started: Instant,
        was_alone: bool,
        lease: Duration,
        error: &VodError,
    ) -> PullOutcome {
        if was_alone {
            lock(&self.large).expect(Instant::now(), lease);
            self.record_failed(started, error);
            return PullOutcome::Failed(TOO_LARGE.wait(self.progress.borrow().failures));
        }
        self.count_pull(started, "failed");
        if let Some(answers) = lock(&self.large).refused(Instant::now(), lease) {
            let (usual, alone) = self.client.max_answer_sizes();
            tracing::warn!(
                target: TARGET,
                app = self.name.map(tracing::field::display),
                answers,
                max_answer_size = %ByteSize(usual as u64),
                limit = %ByteSize(alone as u64),
                error = %error,
                "answer exceeds vod.max_answer_size; pulling one at a time with a larger limit"
            );
        }
        PullOutcome::Failed(TOO_LARGE.wait(1))
    }

    /// Records that a pull brought so many entries, of them so many repeats of events that sinks
    /// still have to take. Of the events that `journal` has pending the cloud hands out `most`
    /// again; `None`: all.
    pub(super) async fn record_entries(
        &self,
        entries: usize,
        repeats: usize,
        journal: &Journal,
        most: Option<usize>,
    ) {
        let wants_pending = {
            let (mut circulation, now) = (lock(&self.circulation), Instant::now());
            circulation.pulled(entries as u64, repeats as u64, now);
            circulation.wants_pending(now)
        };
        // Without an answer it stays at what was known.
        if wants_pending && let Ok(pending) = journal.pending().await {
            let most = most.map_or(u64::MAX, |most| most as u64);
            lock(&self.circulation).set_pending(pending.min(most), Instant::now());
        }
    }

    /// The least time between the starts of two pulls, if repeats are the rule.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        lock(&self.circulation).pause(now)
    }

    /// Events that came again within the last lease though a sink still has to take them.
    pub(super) fn circulating(&self, now: Instant) -> i64 {
        lock(&self.circulation).events(now).cast_signed()
    }

    pub(super) fn set_lease(&self, lease: Duration) {
        lock(&self.circulation).set_lease(lease);
    }

    /// Records that a pull starts.
    pub(super) fn record_start(&self, started: Instant) {
        // Nobody waits for it: whoever looks reads it.
        self.progress.send_if_modified(|progress| {
            progress.started = Some(started);
            false
        });
    }

    /// Records that a pull that started at `started` was good.
    pub(super) fn record_good(&self, started: Instant, is_empty: bool) {
        self.count_pull(started, if is_empty { "empty" } else { "events" });
        let labels = ByApp::of(self.client.app());
        self.metrics.last_successful_pull.get_or_create(&labels).set(Utc::now().timestamp());
        self.progress.send_modify(|progress| {
            progress.failures = 0;
            progress.last_failure = None;
            progress.failure = None;
            progress.last_good = Some(Instant::now());
        });
        if let Some(report) = lock(&self.outage).recovered(Instant::now()) {
            tracing::info!(
                target: TARGET,
                app = self.name.map(tracing::field::display),
                failures = report.failures,
                lasted_seconds = report.lasted.as_secs(),
                "pulling works again"
            );
        }
    }

    /// Records that a pull that started at `started` failed. Returns what the scheduler is told.
    pub(super) fn record_failed(&self, started: Instant, error: &VodError) -> PullOutcome {
        let advice = error.advice();
        self.progress.send_modify(|progress| {
            // Pulls that were in flight together fail together: that is one failure.
            if progress.last_failure.is_none_or(|last| started >= last) {
                progress.failures = progress.failures.saturating_add(1);
                progress.last_failure = Some(Instant::now());
            }
        });
        let failures = self.progress.borrow().failures;
        let (label, outcome) = match advice {
            Advice::Throttled => ("throttled", PullOutcome::Throttled(THROTTLED.wait(failures))),
            Advice::Service | Advice::Transport | Advice::Answer => {
                ("failed", PullOutcome::Failed(TRANSIENT.wait(failures)))
            }
            Advice::Clock | Advice::Credentials | Advice::Refused | Advice::InvalidParameters => {
                ("failed", PullOutcome::Failed(UNTIL_CORRECTED.wait(failures)))
            }
        };
        self.set_failure(error, outcome);
        self.count_pull(started, label);
        if let Some(report) = lock(&self.outage).failed(Instant::now()) {
            log_outage!(
                report,
                target: TARGET,
                app = self.name.map(tracing::field::display),
                code = error.code(),
                request_id = error.request_id(),
                advice = advice.name(),
                hint = error.hint(),
                failures = report.failures,
                lasted_seconds = report.lasted.as_secs(),
                error = %error.summary(),
                "pulling fails"
            );
        }
        outcome
    }

    fn set_failure(&self, error: &VodError, outcome: PullOutcome) {
        let now = Utc::now();
        let next_try = match outcome {
            PullOutcome::Failed(wait) | PullOutcome::Throttled(wait) => {
                Some(now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX))
            }
            PullOutcome::Empty | PullOutcome::Few | PullOutcome::Many => None,
        };
        self.progress.send_modify(|progress| {
            let failure = CallFailure::after(progress.failure.as_deref(), error, now);
            progress.failure = Some(Arc::new(CallFailure { next_try, ..failure }));
        });
    }

    pub(super) fn record_append(&self, is_stored: bool) {
        self.progress.send_modify(|progress| match is_stored {
            true => progress.failed_appends = 0,
            false => progress.failed_appends += 1,
        });
    }

    fn count_pull(&self, started: Instant, outcome: &'static str) {
        let labels = ByOutcome { outcome };
        self.metrics.pulls.get_or_create(&labels).inc();
        self.metrics.pull_seconds.get_or_create(&labels).observe(started.elapsed());
    }
}
