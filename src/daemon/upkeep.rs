//! What has to be done now and then: pruning, noticing what other processes wrote, feeding the
//! watchdog, opening files again.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::http::Health;
use crate::journal::Journal;
use crate::metrics::{ByOutcome, Metrics, set_known};
use crate::pulse;
use crate::sinks::Sink;
use crate::systemd;
use crate::vod::{Client, credentials};

/// How soon the daemon notices what the command line wrote.
const LOOK_OUTSIDE: Duration = Duration::from_millis(1500);
/// Between two looks at how much waits in the cloud, whose count is minutes old anyway.
const LOOK_AT_BACKLOG: Duration = Duration::from_secs(60);
/// Between two rounds of pruning.
const PRUNE: Duration = Duration::from_secs(60);
/// Between two steps of one round, so that appends come between them.
const PRUNE_STEP: Duration = Duration::from_millis(50);
/// Between two beats where no service manager asks for them more often.
const BEAT: Duration = Duration::from_secs(30);

pub(super) struct Upkeep {
    pub(super) journal: Journal,
    pub(super) client: Client,
    pub(super) metrics: Metrics,
    pub(super) credentials: Option<credentials::Settings>,
    pub(super) sinks: Vec<(String, Arc<dyn Sink>)>,
    pub(super) changed: watch::Sender<u64>,
    pub(super) reopen: Arc<Notify>,
    pub(super) mended: Arc<Notify>,
    pub(super) pulses: pulse::Watch,
    pub(super) health: Arc<Health>,
}

impl Upkeep {
    /// Does all that until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        tokio::join!(
            stop.run_until_cancelled(self.look_outside()),
            stop.run_until_cancelled(self.look_at_backlog()),
            stop.run_until_cancelled(self.prune()),
            stop.run_until_cancelled(self.beat()),
            stop.run_until_cancelled(self.reopen()),
        );
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
            let count = self.client.events_state().await;
            if let Err(error) = &count {
                // Not every key may ask, not every site of the cloud answers; pulling needs neither.
                tracing::debug!(%error, "cannot see how much waits in the cloud");
            }
            let count = count.ok().map(|count| i64::try_from(count).unwrap_or(i64::MAX));
            set_known(&self.metrics.cloud_backlog, count);
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
                tokio::time::sleep(PRUNE_STEP).await;
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
                systemd::alive();
                continue;
            }
            let stuck: Vec<String> = self.pulses.beat().into_iter().map(str::to_owned).collect();
            if stuck.is_empty() {
                systemd::alive();
            } else if stuck != were_stuck {
                tracing::error!(loops = stuck.join(", "), "a loop does not come round");
            }
            self.health.set_stuck(stuck.clone());
            were_stuck = stuck;
        }
    }

    async fn reopen(&self) {
        loop {
            self.reopen.notified().await;
            systemd::reloading();
            for (name, sink) in &self.sinks {
                match sink.reopen().await {
                    Ok(()) => tracing::debug!(sink = %name, "opened again"),
                    Err(error) => tracing::error!(
                        sink = %name,
                        error = format!("{error:#}"),
                        "cannot open the sink again; goes on with what it had"
                    ),
                }
            }
            self.reload_credentials().await;
            systemd::ready();
        }
    }

    async fn reload_credentials(&self) {
        let settings = self.credentials.clone();
        let read = tokio::task::spawn_blocking(move || credentials::provider(settings.as_ref()));
        let result = match read.await {
            Ok(Ok(provider)) => self.client.reload_credentials(provider).await,
            Ok(Err(error)) => Err(error),
            Err(error) => return tracing::error!(%error, "reading the credentials again failed"),
        };
        let outcome = if result.is_ok() { "ok" } else { "failed" };
        self.metrics.reloads.get_or_create(&ByOutcome { outcome }).inc();
        match result {
            Ok(()) => {
                self.mended.notify_one();
                tracing::info!("opened the sinks and read the credentials again");
            }
            Err(error) => {
                tracing::error!(%error, "cannot read the credentials again; goes on with the old ones");
            }
        }
    }
}

/// Ticks that begin after one period; those missed are left out.
fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
