//! Periodic work: pruning, noticing what other processes wrote, the watchdog, the status line of
//! the service manager, asking the cloud for its backlog and for how it reports events.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::event_config::EventConfigCheck;
use super::status_line::StatusReporter;
use super::systemd;
use crate::event::Wanted;
use crate::health::{DaemonHealth, Snapshots};
use crate::journal::{Journal, PRUNE_PAUSE};
use crate::liveness::LivenessMonitor;
use crate::metrics::{ByApp, Metrics};
use crate::vod::{Client, EventSources};

/// How soon the daemon notices what the command line wrote.
const OUTSIDE_WRITES_INTERVAL: Duration = Duration::from_millis(1500);
/// Between two requests for the cloud's backlog, whose count is minutes old anyway.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(60);
/// Between two rounds of pruning.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Between two heartbeats where no service manager asks for them more often.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct Maintenance {
    pub(super) journal: Journal,
    /// One for each application.
    pub(super) clients: Vec<Client>,
    /// Whether there is a reason to call the cloud.
    pub(super) calls_the_cloud: watch::Receiver<bool>,
    pub(super) metrics: Metrics,
    pub(super) changed: watch::Sender<u64>,
    pub(super) liveness: LivenessMonitor,
    pub(super) health: Arc<DaemonHealth>,
    /// Of the journal, for whoever shows it.
    pub(super) snapshots: Arc<Snapshots>,
    /// The events that each sink wants.
    pub(super) wanted: watch::Receiver<Vec<Wanted>>,
    /// By which ways events can arrive.
    pub(super) sources: EventSources,
}

impl Maintenance {
    pub(super) async fn run(self, stop: CancellationToken) {
        let (status, event_config) = (self.status_reporter(), self.event_config_check());
        tokio::join!(
            stop.run_until_cancelled(event_config.run()),
            stop.run_until_cancelled(self.notice_outside_writes()),
            stop.run_until_cancelled(self.poll_backlog()),
            stop.run_until_cancelled(self.prune()),
            stop.run_until_cancelled(self.watch_liveness()),
            stop.run_until_cancelled(status.run()),
            self.snapshots.run(stop.clone()),
        );
    }

    fn status_reporter(&self) -> StatusReporter {
        StatusReporter { health: self.health.clone(), snapshots: self.snapshots.clone() }
    }

    fn event_config_check(&self) -> EventConfigCheck<'_> {
        EventConfigCheck {
            clients: &self.clients,
            calls_the_cloud: self.calls_the_cloud.clone(),
            wanted: self.wanted.clone(),
            sources: self.sources,
            metrics: &self.metrics,
            health: &self.health,
        }
    }

    async fn notice_outside_writes(&self) {
        let mut ticks = every(OUTSIDE_WRITES_INTERVAL);
        loop {
            ticks.tick().await;
            match self.journal.changed_outside().await {
                Ok(true) => self.changed.send_modify(|count| *count += 1),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, "cannot detect outside writes to the journal")
                }
            }
        }
    }

    async fn poll_backlog(&self) {
        let mut ticks = every(BACKLOG_INTERVAL);
        let mut calls_the_cloud = self.calls_the_cloud.clone();
        loop {
            let is_called = *calls_the_cloud.borrow_and_update();
            // One after the other: the quota of this action is small.
            for client in &self.clients {
                let backlog = match is_called {
                    true => cloud_backlog(client).await,
                    false => None,
                };
                // Where nothing is pulled, nothing else tells.
                if let Some(ahead) = client.clock_difference() {
                    self.metrics.clock_offset_seconds.set(ahead.num_seconds());
                }
                let (labels, of_app) = (ByApp::of(client.app()), &self.metrics.cloud_backlog);
                match backlog {
                    Some(count) => drop(of_app.get_or_create(&labels).set(count)),
                    None => drop(of_app.remove(&labels)),
                }
            }
            tokio::select! {
                _ = ticks.tick() => {}
                Ok(()) = calls_the_cloud.changed() => {}
            }
        }
    }

    async fn prune(&self) {
        let mut ticks = every(PRUNE_INTERVAL);
        loop {
            // First at once: a run from a timer may end before the first tick.
            while match self.journal.prune(Utc::now()).await {
                Ok(has_more) => has_more,
                Err(error) => {
                    tracing::debug!(%error, "journal not pruned");
                    false
                }
            } {
                tokio::time::sleep(PRUNE_PAUSE).await;
            }
            ticks.tick().await;
        }
    }

    async fn watch_liveness(&self) {
        let watchdog = systemd::watchdog_interval();
        let mut ticks = every(watchdog.unwrap_or(HEARTBEAT_INTERVAL).min(HEARTBEAT_INTERVAL));
        let mut were_stalled = Vec::new();
        loop {
            ticks.tick().await;
            // Tasks that end at their stage answer no more; the stop has its own limit.
            if self.health.is_draining() {
                self.health.set_stalled_tasks(Vec::new());
                systemd::feed_watchdog().await;
                continue;
            }
            let stalled = self.liveness.stalled_tasks();
            if stalled.is_empty() {
                systemd::feed_watchdog().await;
            } else if stalled != were_stalled {
                tracing::error!(tasks = stalled.join(", "), "task stalled");
            }
            self.health.set_stalled_tasks(stalled.clone());
            were_stalled = stalled;
        }
    }
}

/// How many events wait; `None` if that is unknown: not every key may ask, not every site of the
/// cloud answers, and pulling needs neither.
async fn cloud_backlog(client: &Client) -> Option<i64> {
    match client.events_state().await {
        Ok(count) => Some(i64::try_from(count).unwrap_or(i64::MAX)),
        Err(error) => {
            tracing::debug!(app = %client.app(), %error, "cloud backlog unknown");
            None
        }
    }
}

/// Returns ticks that begin after one period; those missed are skipped.
fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
