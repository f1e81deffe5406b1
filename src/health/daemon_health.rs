//! What the daemon's tasks report of themselves.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::confirmer::ApplicationConfirms;
use crate::delivery::{SinkBoard, SinkProgress};
use crate::event::AppId;
use crate::journal::JournalHealth;
use crate::metrics::{BySink, Metrics};
use crate::puller::{ApplicationProgress, PollPacing};
use crate::receiver::ReceiveProgress;
use crate::reconcile::{ApplicationReconcile, ReconcileProgress};
use crate::sync::{read, write};

/// How delivering goes at each sink in use.
pub(super) type Sinks = BTreeMap<String, SinkProgress>;

/// How many of several applications have to be pulled from for the daemon to be ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReadyRule {
    /// One; others that fail make it degraded.
    #[default]
    Any,
    /// Every one.
    All,
}

/// Why an application's events do not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventConfigProblem {
    /// What is wrong, by the cloud's own word.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// The last time that another configuration was to be taken over.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// When.
    pub at: DateTime<Utc>,
    /// Why it was not; none if it was.
    pub mistakes: Vec<String>,
}

/// The parts of a daemon that its health is made of.
#[derive(Debug)]
pub struct HealthParts {
    /// Its applications, in the order of the configuration.
    pub apps: Vec<AppId>,
    /// Where the cloud is asked.
    pub endpoint: String,
    /// Of each application that is pulled from; none where `[vod] pull` is false.
    pub progress: Vec<ApplicationProgress>,
    /// Where events are received.
    pub receiving: Option<watch::Receiver<ReceiveProgress>>,
    /// Of each application.
    pub confirming: Vec<ApplicationConfirms>,
    /// Of each application.
    pub reconcile: Vec<ApplicationReconcile>,
    /// The health of its journal.
    pub journal: JournalHealth,
    /// How its sinks are.
    pub sinks: SinkBoard,
    /// Its metrics.
    pub metrics: Metrics,
    /// How often it pulls.
    pub pacing: watch::Receiver<PollPacing>,
    /// `[http] ready`.
    pub ready_rule: watch::Receiver<ReadyRule>,
    /// Its last reload, if there was one.
    pub last_reload: watch::Receiver<Option<LastReload>>,
}

/// The health of a daemon.
#[derive(Debug)]
pub struct DaemonHealth {
    parts: HealthParts,
    started: Instant,
    started_at: DateTime<Utc>,
    stalled_tasks: RwLock<Vec<String>>,
    /// What keeps an application's events from arriving, by the cloud's own word.
    event_config_problems: RwLock<BTreeMap<AppId, EventConfigProblem>>,
    is_draining: AtomicBool,
}

impl DaemonHealth {
    /// The health of a daemon of these parts that starts now.
    #[must_use]
    pub fn new(parts: HealthParts) -> Self {
        Self {
            parts,
            started: Instant::now(),
            started_at: Utc::now(),
            stalled_tasks: RwLock::default(),
            event_config_problems: RwLock::default(),
            is_draining: AtomicBool::new(false),
        }
    }

    /// Returns when it started.
    #[must_use]
    pub fn started_at(&self) -> DateTime<Utc> {
        self.started_at
    }

    /// Returns its last reload, if there was one.
    #[must_use]
    pub fn last_reload(&self) -> Option<LastReload> {
        self.parts.last_reload.borrow().clone()
    }

    /// Returns how its sinks are.
    pub fn sinks(&self) -> &SinkBoard {
        &self.parts.sinks
    }

    /// Returns how reconciling goes of each application of which it is on.
    #[must_use]
    pub fn reconcile(&self) -> Vec<(AppId, ReconcileProgress)> {
        let progress = |of: &ApplicationReconcile| (of.app, of.progress.borrow().clone());
        let all = self.parts.reconcile.iter().map(progress);
        all.filter(|(_, progress)| progress.is_on).collect()
    }

    /// Returns the health of its journal.
    pub fn journal(&self) -> &JournalHealth {
        &self.parts.journal
    }

    /// Returns the tasks that did not answer the last heartbeat.
    pub fn stalled_tasks(&self) -> Vec<String> {
        read(&self.stalled_tasks).clone()
    }

    /// Records which tasks did not answer the last heartbeat.
    pub fn set_stalled_tasks(&self, tasks: Vec<String>) {
        *write(&self.stalled_tasks) = tasks;
    }

    /// Returns what keeps events of an application from arriving.
    pub fn event_config_problem(&self, app: AppId) -> Option<EventConfigProblem> {
        let problems = read(&self.event_config_problems);
        problems.get(&app).cloned()
    }

    /// Records what keeps events of an application from arriving; `None` if nothing does, or nobody
    /// knows.
    pub fn set_event_config_problem(&self, app: AppId, problem: Option<EventConfigProblem>) {
        let mut problems = write(&self.event_config_problems);
        match problem {
            Some(problem) => drop(problems.insert(app, problem)),
            None => drop(problems.remove(&app)),
        }
    }

    /// Records that the daemon is stopping.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Whether the daemon is stopping.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Returns the applications, in the order of the configuration.
    pub fn apps(&self) -> &[AppId] {
        &self.parts.apps
    }

    /// Returns how pulling from each application goes; none where nothing is pulled.
    pub fn progress(&self) -> &[ApplicationProgress] {
        &self.parts.progress
    }

    /// Since when pulling is paused by hand.
    #[must_use]
    pub fn pulling_paused(&self) -> Option<DateTime<Utc>> {
        self.progress().iter().find_map(|of| of.progress.borrow().paused)
    }

    pub(super) fn confirming(&self) -> &[ApplicationConfirms] {
        &self.parts.confirming
    }

    /// Whether each application was pulled from, once at least.
    pub(super) fn has_pulled(&self) -> bool {
        self.progress().iter().all(|of| of.progress.borrow().last_good.is_some())
    }

    /// What became of posted events, where they are received.
    pub(super) fn receiving(&self) -> Option<ReceiveProgress> {
        self.parts.receiving.as_ref().map(|progress| *progress.borrow())
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.parts.endpoint
    }

    pub(super) fn pull_interval(&self) -> Duration {
        self.parts.pacing.borrow().settings.interval
    }

    pub(super) fn ready_rule(&self) -> ReadyRule {
        *self.parts.ready_rule.borrow()
    }

    /// How far the cloud's clock is ahead of this machine's, in seconds.
    pub(super) fn clock_offset(&self) -> i64 {
        self.parts.metrics.clock_offset_seconds.get()
    }

    /// Events that are on their way to a sink.
    pub(super) fn in_flight(&self, sink: &str) -> u64 {
        let labels = BySink { sink: sink.to_owned() };
        let gauge = self.parts.metrics.sink_in_flight.get(&labels);
        gauge.map_or(0, |gauge| gauge.get().unsigned_abs())
    }
}
