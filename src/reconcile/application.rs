//! One application that is reconciled: its runs, and what is told of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::comparison::{Comparison, MissingEvents, ReconcileError, TaskOutcome};
use super::known::KnownTasks;
use super::requests::TaskRequests;
use super::settings::ReconcileSettings;
use super::window::{JournalSpan, Skipped, Window};
use crate::event::{AppId, Wanted};
use crate::ingest::Ingest;
use crate::journal::{Journal, JournalError, JournalReader};
use crate::limits::{Backoff, Outage, log_outage};
use crate::metrics::{ByApp, ByOutcome, Metrics, set_known};
use crate::sync::lock;
use crate::vod::{Client, VodError};

/// After a run that failed.
const AFTER_FAILURE: Backoff =
    Backoff { base: Duration::from_secs(5), max: Duration::from_secs(300) };
/// A queue that was not found empty for so long is waited for, in log and status. Then the window
/// ends later, too.
const TELL_WAITING_AFTER: Duration = Duration::from_secs(10);

/// When the last pull started that found an application's queue empty, no other being in flight.
pub type FoundEmpty = watch::Receiver<Option<Instant>>;

/// How reconciling goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReconcileProgress {
    /// Whether it is on.
    pub is_on: bool,
    /// The end of the last completed window.
    pub until: Option<DateTime<Utc>>,
    /// Whether it waits until the queue was found empty.
    pub is_waiting: bool,
    /// Why the last run failed; `None` after a good one.
    pub failure: Option<String>,
    /// The last time that no run looks at.
    pub skipped: Option<Skipped>,
}

#[derive(Debug)]
pub(super) struct ReconcileShared {
    pub(super) settings: watch::Receiver<ReconcileSettings>,
    pub(super) wanted: watch::Receiver<Vec<Wanted>>,
    pub(super) path: PathBuf,
    pub(super) journal: Journal,
    pub(super) ingest: Ingest,
    pub(super) requests: TaskRequests,
    pub(super) metrics: Metrics,
}

#[derive(Debug)]
pub(super) struct ReconciledApplication {
    pub(super) client: Client,
    /// What log lines call it; nothing where it is the only one.
    pub(super) name: Option<AppId>,
    pub(super) found_empty: Option<FoundEmpty>,
    pub(super) progress: watch::Sender<ReconcileProgress>,
    pub(super) outage: Mutex<Outage>,
}

impl ReconciledApplication {
    /// Runs for ever; to be dropped.
    pub(super) async fn run(&self, shared: &ReconcileShared, stop: &CancellationToken) {
        let mut settings = shared.settings.clone();
        let mut due = Instant::now();
        let mut failures = 0;
        loop {
            let current = settings.borrow_and_update().clone();
            let interval = current.every.interval();
            shared.requests.set_rate(current.max_requests_per_second);
            set_known(&shared.metrics.reconcile_interval, interval.map(|of| of.as_secs_f64()));
            let work = async {
                let Some(interval) = interval else {
                    self.turn_off(shared);
                    due = Instant::now();
                    return std::future::pending().await;
                };
                self.turn_on(shared);
                tokio::time::sleep_until(due).await;
                let started = Instant::now();
                let result = self.reconcile(shared, &current, stop).await;
                self.record(&result, shared);
                due = match result {
                    // The others were compared; the service may fail for these for good.
                    Ok(()) | Err(ReconcileError::Undecided { .. }) => {
                        failures = 0;
                        started + interval
                    }
                    Err(_) => {
                        failures += 1;
                        Instant::now() + AFTER_FAILURE.wait(failures)
                    }
                };
            };
            tokio::select! {
                () = work => {}
                changed = settings.changed() => {
                    if changed.is_err() {
                        // Nothing can change any more: the daemon ends.
                        return std::future::pending().await;
                    }
                }
            }
        }
    }

    /// One run.
    async fn reconcile(
        &self,
        shared: &ReconcileShared,
        settings: &ReconcileSettings,
        stop: &CancellationToken,
    ) -> Result<(), ReconcileError> {
        let start = self.wait_for_empty_queue(settings.settle).await;
        let app = self.client.app();
        let (reader, mut span) = shared.open(app).await?;
        // The cloud says by its clock when a task finished, the journal by this machine's when it
        // was made. Where nothing is pulled, this may be the first call.
        let difference = self.client.ask_clock_difference().await;
        span.begun += difference.min(TimeDelta::zero());
        let now = start + difference;
        let labels = ByApp::of(app);
        let last = &shared.metrics.last_reconciled;
        if last.get(&labels).is_none() {
            // The age of the last one counts over a restart as well.
            let at = span.reconciled_until.unwrap_or_else(Utc::now);
            last.get_or_create(&labels).set(at.timestamp());
        }
        let Some(window) = Window::next(settings, now, span) else {
            tracing::debug!(
                app = self.name.map(tracing::field::display),
                "nothing to reconcile yet"
            );
            last.get_or_create(&labels).set(Utc::now().timestamp());
            return Ok(());
        };
        self.tell_skipped(&window, shared);
        let pulled_from = window.from - difference.abs();
        let read = spawn_blocking(move || KnownTasks::read(reader, app, pulled_from)).await;
        let known = read.map_err(|_| ReconcileError::Stopped)??;
        let mut counts: BTreeMap<TaskOutcome, u64> = BTreeMap::new();
        let wanted = shared.wanted.borrow().clone();
        let comparison = Comparison {
            client: &self.client,
            requests: &shared.requests,
            wanted: &wanted,
            missing: MissingEvents::Add { ingest: &shared.ingest, app_name: self.name, stop },
        };
        let compared = comparison
            .run(&window, known, |finding| {
                let outcome = finding.outcome;
                *counts.entry(outcome).or_default() += 1;
                let by = ByOutcome { outcome: outcome.name() };
                shared.metrics.reconciled_tasks.get_or_create(&by).inc();
                if outcome == TaskOutcome::Added {
                    tracing::debug!(
                        app = self.name.map(tracing::field::display),
                        task_id = finding.task.task_id,
                        file_id = finding.file_id,
                        "event of a finished task added"
                    );
                }
            })
            .await;
        self.tell_counts(&window, &counts);
        compared?;
        // The clock may have been set meanwhile.
        let difference = self.client.clock_difference().unwrap_or_default();
        if let Some(until) = window.completed(settings, start + difference) {
            shared.journal.set_reconciled(app, until).await?;
            self.progress.send_modify(|progress| progress.until = Some(until));
        }
        last.get_or_create(&labels).set(Utc::now().timestamp());
        Ok(())
    }

    /// Waits until a pull has found the queue empty that started after the end of the window that
    /// follows, since the queue may have events of tasks that finished days ago: what it has is not
    /// missing. Returns what counts as now for that window.
    async fn wait_for_empty_queue(&self, settle: Duration) -> DateTime<Utc> {
        let Some(mut found_empty) = self.found_empty.clone() else { return Utc::now() };
        let app = self.name.map(tracing::field::display);
        let mut is_told = false;
        loop {
            let (start, now) = (Instant::now(), Utc::now());
            // This machine may have started since.
            let end = start.checked_sub(settle);
            let is_later =
                |at: &Option<Instant>| at.is_some_and(|at| end.is_none_or(|end| at > end));
            let found = async { found_empty.wait_for(is_later).await.is_ok() };
            tokio::select! {
                biased;
                is_found = found => match is_found {
                    true => {
                        self.progress.send_modify(|progress| progress.is_waiting = false);
                        if is_told {
                            tracing::info!(app, "queue found empty; reconciling");
                        }
                        return now;
                    }
                    // The puller has ended.
                    false => std::future::pending().await,
                },
                () = tokio::time::sleep(TELL_WAITING_AFTER) => {
                    self.progress.send_modify(|progress| progress.is_waiting = true);
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::info!(app, "reconciliation waits until the queue was found empty");
                    }
                }
            }
        }
    }

    fn tell_skipped(&self, window: &Window, shared: &ReconcileShared) {
        let Some(skipped) = window.skipped else { return };
        // Each run that fails would tell the same again, and a little more.
        let told = self.progress.borrow().skipped;
        self.progress.send_modify(|progress| progress.skipped = Some(skipped));
        let begins = told.filter(|told| told.from == skipped.from).map(|told| told.until);
        let new = skipped.until - begins.unwrap_or(skipped.from);
        let labels = ByApp::of(self.client.app());
        let seconds = u64::try_from(new.num_seconds()).unwrap_or_default();
        shared.metrics.reconcile_skipped.get_or_create(&labels).inc_by(seconds);
        if begins.is_none() {
            tracing::warn!(
                app = self.name.map(tracing::field::display),
                from = shown(skipped.from),
                until = shown(skipped.until),
                "tasks that finished in this time are not compared: beyond the reach"
            );
        }
    }

    fn tell_counts(&self, window: &Window, counts: &BTreeMap<TaskOutcome, u64>) {
        let count = |outcome| counts.get(&outcome).copied().unwrap_or_default();
        let app = self.name.map(tracing::field::display);
        let (from, until) = (shown(window.from), shown(window.until));
        let [known, added, unwanted, silent, aborted, gone] = [
            TaskOutcome::Known,
            TaskOutcome::Added,
            TaskOutcome::Unwanted,
            TaskOutcome::Silent,
            TaskOutcome::Aborted,
            TaskOutcome::Gone,
        ]
        .map(count);
        macro_rules! tell {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    app, from, until, known, added, unwanted, silent, aborted, gone, $message
                )
            };
        }
        match added {
            0 => tell!(debug, "finished tasks compared"),
            _ => tell!(warn, "events of finished tasks never arrived and were added"),
        }
    }

    fn record(&self, result: &Result<(), ReconcileError>, shared: &ReconcileShared) {
        let app = self.name.map(tracing::field::display);
        let failure = result.as_ref().err().map(ToString::to_string);
        self.progress.send_modify(|progress| progress.failure = failure);
        match result {
            Ok(()) => {
                if let Some(report) = lock(&self.outage).recovered(Instant::now()) {
                    tracing::info!(
                        app,
                        failures = report.failures,
                        lasted_seconds = report.lasted.as_secs(),
                        "reconciliation works again"
                    );
                }
            }
            Err(ReconcileError::Stopped) => {}
            Err(error) => {
                shared.metrics.reconcile_failures.inc();
                if let Some(report) = lock(&self.outage).failed(Instant::now()) {
                    let cloud = error.of_the_cloud();
                    log_outage!(
                        report,
                        app,
                        code = cloud.and_then(VodError::code),
                        request_id = cloud.and_then(VodError::request_id),
                        hint = cloud.and_then(VodError::hint),
                        failures = report.failures,
                        lasted_seconds = report.lasted.as_secs(),
                        error = %error.summary(),
                        "reconciliation fails"
                    );
                }
            }
        }
    }

    fn turn_on(&self, shared: &ReconcileShared) {
        self.progress.send_modify(|progress| progress.is_on = true);
        // From the start, so that its first count shows.
        drop(shared.metrics.reconcile_skipped.get_or_create(&ByApp::of(self.client.app())));
    }

    fn turn_off(&self, shared: &ReconcileShared) {
        shared.metrics.last_reconciled.remove(&ByApp::of(self.client.app()));
        self.progress.send_replace(ReconcileProgress::default());
        lock(&self.outage).recovered(Instant::now());
    }
}

impl ReconcileShared {
    /// Opens the journal for reading beside its writer.
    async fn open(&self, app: AppId) -> Result<(JournalReader, JournalSpan), ReconcileError> {
        let (path, health) = (self.path.clone(), self.journal.health());
        let open = move || {
            // Another file at that path would be read with the index of the one that is open.
            health.check_in_place()?;
            let unreadable =
                |error: crate::journal::OpenError| JournalError::Sqlite(error.to_string().into());
            let reader = JournalReader::open(&path).map_err(unreadable)?;
            let span = JournalSpan {
                // Each was begun when the daemon started.
                begun: reader.begun(app)?.unwrap_or_else(Utc::now),
                reconciled_until: reader.reconciled_until(app)?,
            };
            Ok((reader, span))
        };
        spawn_blocking(open).await.map_err(|_| ReconcileError::Stopped)?
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
