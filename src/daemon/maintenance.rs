//! What has to be done now and then: pruning, noticing what other processes wrote, feeding the
//! watchdog, telling the service manager, asking the cloud what waits there and how it reports.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::reporting::ReportingCheck;
use super::summary::Summary;
use crate::event::Wanted;
use crate::http::DaemonHealth;
use crate::journal::{Journal, PRUNE_PAUSE};
use crate::liveness;
use crate::metrics::{ByApp, Metrics};
use crate::systemd;
use crate::vod::Client;

/// How soon the daemon notices what the command line wrote.
const LOOK_OUTSIDE: Duration = Duration::from_millis(1500);
/// Between two looks at how much waits in the cloud, whose count is minutes old anyway.
const LOOK_AT_BACKLOG: Duration = Duration::from_secs(60);
/// Between two rounds of pruning.
const PRUNE: Duration = Duration::from_secs(60);
/// Between two beats where no service manager asks for them more often.
const BEAT: Duration = Duration::from_secs(30);

pub(super) struct Maintenance {
    pub(super) journal: Journal,
    /// One for each application.
    pub(super) clients: Vec<Client>,
    pub(super) metrics: Metrics,
    pub(super) changed: watch::Sender<u64>,
    pub(super) pulses: liveness::LivenessMonitor,
    pub(super) health: Arc<DaemonHealth>,
    /// The events that each sink wants.
    pub(super) wanted: watch::Receiver<Vec<Wanted>>,
}

impl Maintenance {
    /// Does all that until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let (summary, reporting) = (self.summary(), self.reporting());
        tokio::join!(
            stop.run_until_cancelled(reporting.run()),
            stop.run_until_cancelled(self.look_outside()),
            stop.run_until_cancelled(self.look_at_backlog()),
            stop.run_until_cancelled(self.prune()),
            stop.run_until_cancelled(self.beat()),
            stop.run_until_cancelled(summary.run()),
        );
    }

    fn summary(&self) -> Summary {
        Summary {
            journal: self.journal.clone(),
            metrics: self.metrics.clone(),
            health: self.health.clone(),
        }
    }

    fn reporting(&self) -> ReportingCheck<'_> {
        ReportingCheck {
            clients: &self.clients,
            wanted: self.wanted.clone(),
            metrics: &self.metrics,
            health: &self.health,
        }
    }

    async fn look_outside(&self) {
        let mut ticks = every(LOOK_OUTSIDE);
        loop {
            ticks.tick().await;
            match self.journal.changed_outside().await {
                Ok(true) => self.changed.send_modify(|count| *count += 1),
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, "cannot see what others wrote to the journal")
                }
            }
        }
    }

    async fn look_at_backlog(&self) {
        let mut ticks = every(LOOK_AT_BACKLOG);
        loop {
            // One after the other: the quota of this action is small.
            for client in &self.clients {
                let (labels, backlog) = (ByApp::of(client.app()), &self.metrics.cloud_backlog);
                match client.events_state().await {
                    Ok(count) => {
                        let count = i64::try_from(count).unwrap_or(i64::MAX);
                        backlog.get_or_create(&labels).set(count);
                    }
                    Err(error) => {
                        // Not every key may ask, not every site of the cloud answers; pulling
                        // needs neither.
                        let app = client.app();
                        tracing::debug!(%app, %error, "cannot see how much waits in the cloud");
                        backlog.remove(&labels);
                    }
                }
            }
            ticks.tick().await;
        }
    }

    async fn prune(&self) {
        let mut ticks = every(PRUNE);
        loop {
            // First at once: a run from a timer may end before the first tick.
            while match self.journal.prune(Utc::now()).await {
                Ok(has_more) => has_more,
                Err(error) => {
                    tracing::debug!(%error, "cannot prune the journal now");
                    false
                }
            } {
                tokio::time::sleep(PRUNE_PAUSE).await;
            }
            ticks.tick().await;
        }
    }

    async fn beat(&self) {
        let watchdog = systemd::watchdog_interval();
        let mut ticks = every(watchdog.unwrap_or(BEAT).min(BEAT));
        let mut were_stuck = Vec::new();
        loop {
            ticks.tick().await;
            // Loops that end in their turn no longer come round; the stop has its own limit.
            if self.health.is_draining() {
                self.health.set_stuck(Vec::new());
                systemd::alive().await;
                continue;
            }
            let stuck = self.pulses.stalled_tasks();
            if stuck.is_empty() {
                systemd::alive().await;
            } else if stuck != were_stuck {
                tracing::error!(loops = stuck.join(", "), "a loop does not come round");
            }
            self.health.set_stuck(stuck.clone());
            were_stuck = stuck;
        }
    }
}

/// Ticks that begin after one period; those missed are left out.
fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
