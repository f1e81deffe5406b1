//! What the daemon's tasks report of themselves.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::event::AppId;
use crate::journal::JournalHealth;
use crate::puller::{ApplicationProgress, PollPacing};
use crate::reconcile::{ApplicationReconcile, ReconcileProgress};
use crate::sync::{read, write};
use crate::vod::Advice;

/// The health of a daemon.
#[derive(Debug)]
pub struct DaemonHealth {
    apps: Vec<AppId>,
    /// Of each application that is pulled from; none where `[vod] pull` is false.
    progress: Vec<ApplicationProgress>,
    journal: JournalHealth,
    /// Of each application.
    reconcile: Vec<ApplicationReconcile>,
    pacing: watch::Receiver<PollPacing>,
    stalled_tasks: RwLock<Vec<String>>,
    /// What keeps an application's events from arriving, by the cloud's own word.
    event_config_problems: RwLock<BTreeMap<AppId, String>>,
    is_draining: AtomicBool,
}

impl DaemonHealth {
    /// The health of a daemon that takes the events of `apps` and pulls with this progress and
    /// pacing into this journal.
    #[must_use]
    pub fn new(
        apps: Vec<AppId>,
        progress: Vec<ApplicationProgress>,
        journal: JournalHealth,
        pacing: watch::Receiver<PollPacing>,
    ) -> Self {
        let (stalled_tasks, event_config_problems, reconcile) = Default::default();
        let is_draining = AtomicBool::new(false);
        Self {
            apps,
            progress,
            journal,
            reconcile,
            pacing,
            stalled_tasks,
            event_config_problems,
            is_draining,
        }
    }

    /// The same, of a daemon that reconciles with this progress.
    #[must_use]
    pub fn with_reconcile(self, reconcile: Vec<ApplicationReconcile>) -> Self {
        Self { reconcile, ..self }
    }

    /// Returns how reconciling goes of each application of which it is on.
    #[must_use]
    pub fn reconcile(&self) -> Vec<(AppId, ReconcileProgress)> {
        let progress = |of: &ApplicationReconcile| (of.app, of.progress.borrow().clone());
        let all = self.reconcile.iter().map(progress);
        all.filter(|(_, progress)| progress.is_on).collect()
    }

    /// Returns the health of its journal.
    pub fn journal(&self) -> &JournalHealth {
        &self.journal
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
    pub fn event_config_problem(&self, app: AppId) -> Option<String> {
        let problems = read(&self.event_config_problems);
        problems.get(&app).cloned()
    }

    /// Records what keeps events of an application from arriving; `None` if nothing does, or nobody
    /// knows.
    pub fn set_event_config_problem(&self, app: AppId, problem: Option<String>) {
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

    /// Returns the applications whose last pull failed, and what to do about it.
    pub fn pull_failures(&self) -> Vec<(AppId, Advice)> {
        let failure = |of: &ApplicationProgress| Some((of.app, of.progress.borrow().trouble?));
        self.progress.iter().filter_map(failure).collect()
    }

    /// Returns the applications, in the order of the configuration.
    pub fn apps(&self) -> &[AppId] {
        &self.apps
    }

    pub(super) fn progress(&self) -> &[ApplicationProgress] {
        &self.progress
    }

    pub(super) fn pull_interval(&self) -> Duration {
        self.pacing.borrow().settings.interval
    }
}
