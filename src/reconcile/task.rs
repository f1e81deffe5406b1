//! The daemon's task: compares each application again and again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::application::{FoundEmpty, ReconcileProgress, ReconcileShared, ReconciledApplication};
use super::requests::TaskRequests;
use super::settings::ReconcileSettings;
use crate::event::{AppId, Wanted};
use crate::ingest::Ingest;
use crate::journal::Journal;
use crate::liveness::Heartbeat;
use crate::metrics::Metrics;
use crate::vod::Client;

/// What a reconciler works with.
#[derive(Debug)]
pub struct ReconcilerParts {
    /// One for each application.
    pub clients: Vec<Client>,
    /// Of each application that is pulled from.
    pub found_empty: BTreeMap<AppId, FoundEmpty>,
    /// The `[reconcile]` table.
    pub settings: watch::Receiver<ReconcileSettings>,
    /// The events that each sink wants.
    pub wanted: watch::Receiver<Vec<Wanted>>,
    /// Where the journal is.
    pub path: PathBuf,
    /// The journal.
    pub journal: Journal,
    /// Stores the events that are missing.
    pub ingest: Ingest,
    /// Where tasks are counted.
    pub metrics: Metrics,
}

/// The loop that compares the finished tasks of the applications with the journal.
#[derive(Debug)]
pub struct Reconciler {
    applications: Vec<ReconciledApplication>,
    shared: ReconcileShared,
}

/// How reconciling one application goes, for whoever watches.
#[derive(Clone, Debug)]
pub struct ApplicationReconcile {
    /// The application.
    pub app: AppId,
    /// How it goes.
    pub progress: watch::Receiver<ReconcileProgress>,
}

impl Reconciler {
    /// A reconciler that is off or on as its settings say.
    #[must_use]
    pub fn new(parts: ReconcilerParts) -> Self {
        let ReconcilerParts {
            clients,
            mut found_empty,
            settings,
            wanted,
            path,
            journal,
            ingest,
            metrics,
        } = parts;
        let is_one = clients.len() == 1;
        let application = |client: Client| ReconciledApplication {
            name: (!is_one).then_some(client.app()),
            found_empty: found_empty.remove(&client.app()),
            client,
            progress: watch::Sender::default(),
            outage: Mutex::default(),
        };
        let applications = clients.into_iter().map(application).collect();
        let requests = TaskRequests::new(settings.borrow().max_requests_per_second);
        let shared = ReconcileShared { settings, wanted, path, journal, ingest, requests, metrics };
        Self { applications, shared }
    }

    /// Returns how reconciling each application goes.
    #[must_use]
    pub fn progress(&self) -> Vec<ApplicationReconcile> {
        let progress = |of: &ReconciledApplication| ApplicationReconcile {
            app: of.client.app(),
            progress: of.progress.subscribe(),
        };
        self.applications.iter().map(progress).collect()
    }

    /// Runs until `stop`, answering `heartbeat` on the way. A run that is under way then is dropped:
    /// the next one begins where it began, and finds what it has added.
    pub async fn run(self, mut heartbeat: Heartbeat, stop: CancellationToken) {
        let Self { applications, shared } = &self;
        let loops = join_all(applications.iter().map(|of| of.run(shared, &stop)));
        tokio::select! {
            () = stop.cancelled() => {}
            never = heartbeat.beat_forever() => match never {},
            _ = loops => {}
        }
    }
}
