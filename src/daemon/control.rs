//! What the daemon does when a command asks it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::pulling_pause::PullingPause;
use super::reload_requests::ReloadRequests;
use super::sink_commands::SinkCommands;
use crate::config::{ConfigInForce, ShownConfig};
use crate::control::{
    ControlRefusal, RefusalKind, Request, SinkMood, SinkReport, SinkReports, SinkRetryReport,
};
use crate::delivery::{RetryOutcome, SinkProgress};
use crate::health::{DaemonHealth, Snapshots};

/// The parts of a daemon that commands reach. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct DaemonControl {
    pub(super) health: Arc<DaemonHealth>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) pulling: PullingPause,
    pub(super) sinks: SinkCommands,
    pub(super) reloads: ReloadRequests,
    /// The configuration in force.
    pub(super) shown: watch::Receiver<ShownConfig>,
}

impl DaemonControl {
    /// Does what is asked and returns the answer.
    pub(super) async fn answer(self, request: Request) -> Result<Value, ControlRefusal> {
        self.obey(request).await.map_err(|refusal| match refusal.kind {
            // A sink is not replaced then.
            RefusalKind::Stopping if self.health.is_draining() => ControlRefusal::stopping(),
            _ => refusal,
        })
    }

    async fn obey(&self, request: Request) -> Result<Value, ControlRefusal> {
        match request {
            Request::Sinks => json(&self.sink_reports().await),
            Request::SinkTest { sink, event } => json(&self.sinks.test(sink, event).await?),
            Request::SinkRetry { sink, accept_rejects } => {
                let outcome = self.sinks.retry(&sink, accept_rejects).await?;
                json(&self.retried(sink, outcome))
            }
            Request::SinkPause { sink } => json(&self.sinks.set_paused(&sink, true).await?),
            Request::SinkResume { sink } => json(&self.sinks.set_paused(&sink, false).await?),
            Request::Pause => self.set_pulling_paused(true).await,
            Request::Resume => self.set_pulling_paused(false).await,
            Request::Reload { file } => json(&self.reloads.reload(file).await?),
            Request::Config => json(&self.config().await),
            _ => Err(ControlRefusal::unknown_command()),
        }
    }

    async fn config(&self) -> ConfigInForce {
        let config = self.shown.borrow().clone();
        let asked = config.clone();
        let has_changed = spawn_blocking(move || asked.has_changed().ok()).await;
        ConfigInForce { config, has_changed: has_changed.ok().flatten() }
    }

    async fn set_pulling_paused(&self, pause: bool) -> Result<Value, ControlRefusal> {
        if pause && self.health.progress().is_empty() {
            let why = "[vod] pull is false: there is no pulling to pause";
            return Err(ControlRefusal::new(RefusalKind::Failed, why));
        }
        match self.pulling.set(pause).await {
            Ok(report) => json(&report),
            Err(error) => Err(ControlRefusal::new(RefusalKind::Failed, error.to_string())),
        }
    }

    /// How the sink is after that.
    fn retried(&self, sink: String, outcome: RetryOutcome) -> SinkRetryReport {
        let RetryOutcome { paused_since, delivered, dead, failed, error, pending, is_over } =
            outcome;
        let progress = self.health.sinks().of(&sink);
        let now = report(sink, progress.unwrap_or_default(), None);
        SinkRetryReport {
            sink: now.name,
            state: now.state,
            paused_since,
            delivered,
            dead,
            failed,
            error,
            pending,
            is_over,
            next_try: now.next_try,
            hint: now.hint,
        }
    }

    async fn sink_reports(&self) -> SinkReports {
        let snapshot = self.snapshots.latest().await;
        let overview = snapshot.journal.as_ref().ok().map(|journal| &journal.overview);
        let events = |name: &str| {
            let of = overview?.sinks.iter().find(|of| of.sink.name == name);
            Some(of.map_or((0, 0), |of| (of.events.pending, of.events.dead)))
        };
        let all = self.health.sinks().all().into_iter();
        SinkReports {
            sinks: all
                .map(|(name, of)| {
                    let events = events(&name);
                    report(name, of, events)
                })
                .collect(),
        }
    }
}

/// How a sink is for which so many events are pending, and at which so many are dead.
fn report(name: String, of: SinkProgress, events: Option<(u64, u64)>) -> SinkReport {
    let SinkProgress { outage, catching_up_since, paused_since, last_failure, .. } = of;
    let (pending, dead) = events.unzip();
    let mood = match (&outage, catching_up_since) {
        _ if paused_since.is_some() => SinkMood::Paused,
        (Some(_), _) => SinkMood::Down,
        (None, Some(_)) => SinkMood::CatchingUp,
        (None, None) => SinkMood::Up,
    };
    SinkReport {
        name,
        state: mood,
        since: paused_since.or(outage.as_ref().map(|outage| outage.since)).or(catching_up_since),
        pending,
        dead,
        last_error: last_failure.as_ref().map(|failure| failure.error.clone()),
        last_failed: last_failure.map(|failure| failure.at),
        next_try: outage.as_ref().and_then(|outage| outage.next_probe),
        hint: outage.and_then(|outage| outage.hint),
    }
}

fn json(answer: &impl Serialize) -> Result<Value, ControlRefusal> {
    serde_json::to_value(answer)
        .map_err(|error| ControlRefusal::new(RefusalKind::Failed, error.to_string()))
}
