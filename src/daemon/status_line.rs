//! The line of `systemctl status`: the state of the daemon in one sentence.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep};

use super::systemd;
use crate::health::{DaemonHealth, Snapshots};

/// Between two lines at least: the service manager is told of a change, not of each event.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Between two lines where nothing has changed for some time: an idle daemon should sleep.
const MAX_INTERVAL: Duration = Duration::from_secs(8);
/// The pause after reading the journal, as a multiple of the time it took.
const PAUSE_FACTOR: u32 = 20;

#[derive(Debug)]
pub(super) struct StatusReporter {
    pub(super) health: Arc<DaemonHealth>,
    pub(super) snapshots: Arc<Snapshots>,
}

impl StatusReporter {
    /// Sends the line whenever it changes; never returns. Cancel safe.
    pub(super) async fn run(&self) {
        if !systemd::is_supervised() {
            return;
        }
        let (mut sent, mut pause) = (String::new(), MIN_INTERVAL);
        loop {
            let start = Instant::now();
            let snapshot = self.snapshots.latest().await;
            let line = self.health.state(snapshot.facts(), Utc::now()).line;
            let least = start.elapsed() * PAUSE_FACTOR;
            pause = if line == sent { (pause * 2).min(MAX_INTERVAL) } else { MIN_INTERVAL };
            if line != sent {
                systemd::status(&line).await;
                sent = line;
            }
            sleep(pause.max(least)).await;
        }
    }
}
