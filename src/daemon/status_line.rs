//! The line of `systemctl status`: the daemon's work in a few words.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::systemd;
use crate::delivery::SinkBoard;
use crate::health::DaemonHealth;
use crate::journal::Journal;

/// Between two lines at least: the service manager is told of a change, not of each event.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Between two lines where nothing has changed for some time: an idle daemon should sleep.
const MAX_INTERVAL: Duration = Duration::from_secs(8);
/// The pause after reading the journal, as a multiple of the time it took.
const PAUSE_FACTOR: u32 = 20;
/// How long the journal is waited for, of a disk that hangs say.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct StatusReporter {
    pub(super) journal: Journal,
    pub(super) board: SinkBoard,
    pub(super) health: Arc<DaemonHealth>,
}

#[derive(Debug, Default)]
struct Figures {
    /// Whether events are pulled, and why not.
    pulling: String,
    stalled: Vec<String>,
    pending: Option<u64>,
    down: Vec<String>,
    /// Whether an application's settings keep events away, by the cloud's own word.
    are_kept: bool,
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
            let line = self.figures().await.line();
            let least = start.elapsed() * PAUSE_FACTOR;
            pause = if line == sent { (pause * 2).min(MAX_INTERVAL) } else { MIN_INTERVAL };
            if line != sent {
                systemd::status(&line).await;
                sent = line;
            }
            sleep(pause.max(least)).await;
        }
    }

    async fn figures(&self) -> Figures {
        let health = &self.health;
        let pending = timeout(JOURNAL_TIMEOUT, self.journal.pending()).await;
        let mut apps = health.apps().iter();
        Figures {
            pulling: health.pull_state().to_string(),
            stalled: health.stalled_tasks(),
            pending: pending.ok().and_then(Result::ok),
            down: self.board.down(),
            are_kept: apps.any(|app| health.event_config_problem(*app).is_some()),
        }
    }
}

impl Figures {
    fn line(self) -> String {
        let mut parts = vec![self.pulling];
        parts.extend(self.pending.map(|pending| format!("{pending} pending")));
        if self.are_kept {
            parts.push("application settings keep events away".to_owned());
        }
        if !self.stalled.is_empty() {
            parts.push(format!("stalled: {}", self.stalled.join(", ")));
        }
        if !self.down.is_empty() {
            parts.push(format!("down: {}", self.down.join(", ")));
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_matters() {
        let pulling =
            || Figures { pulling: "Pulling".into(), pending: Some(12), ..Figures::default() };
        assert_eq!(pulling().line(), "Pulling; 12 pending");
        let starting = Figures { pulling: "Starting".into(), ..Figures::default() };
        assert_eq!(starting.line(), "Starting");
        let kept = Figures { are_kept: true, ..pulling() };
        assert_eq!(kept.line(), "Pulling; 12 pending; application settings keep events away");
        let down = vec!["hook".to_owned(), "sprites".to_owned()];
        let down = Figures { down, ..pulling() };
        assert_eq!(down.line(), "Pulling; 12 pending; down: hook, sprites");
        let stalled = Figures { stalled: vec!["puller".to_owned()], ..pulling() };
        assert_eq!(stalled.line(), "Pulling; 12 pending; stalled: puller");
    }
}
