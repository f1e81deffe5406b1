//! What `systemctl status` shows: the daemon's work in one short line.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::http::DaemonHealth;
use crate::journal::{Journal, JournalError};
use crate::metrics::Metrics;
use crate::systemd;
use crate::vod::Advice;

/// Between two lines at least: the service manager is told of a change, not of each event.
const SHORTEST: Duration = Duration::from_secs(1);
/// Between two looks where nothing has changed for some time: an idle daemon should sleep.
const LONGEST: Duration = Duration::from_secs(8);
/// The pause after a look at the journal, as a multiple of the time it took.
const SHARE: u32 = 20;

/// How long the journal is waited for, of a disk that hangs say.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the figures come from.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) journal: Journal,
    pub(super) metrics: Metrics,
    pub(super) health: Arc<DaemonHealth>,
}

/// What is told.
#[derive(Debug, Default)]
struct Figures {
    is_draining: bool,
    stuck: Vec<String>,
    unwritable: Option<JournalError>,
    /// From where nothing is pulled, as a sentence goes on, and why.
    trouble: Option<(String, Advice)>,
    has_pulled: bool,
    pending: Option<u64>,
    down: Vec<String>,
    /// Whether the cloud keeps events away, by its own word.
    keeps_away: bool,
}

impl Summary {
    /// Tells the service manager whenever the line changes; never returns. Cancel safe.
    pub(super) async fn run(&self) {
        if !systemd::listens() {
            return;
        }
        let (mut told, mut pause) = (String::new(), SHORTEST);
        loop {
            let start = Instant::now();
            let line = self.figures().await.line();
            let least = start.elapsed() * SHARE;
            pause = if line == told { (pause * 2).min(LONGEST) } else { SHORTEST };
            if line != told {
                systemd::status(&line).await;
                told = line;
            }
            sleep(pause.max(least)).await;
        }
    }

    async fn figures(&self) -> Figures {
        let health = &self.health;
        let unwritable = health.journal().error();
        let pending = timeout(PATIENCE, self.journal.pending()).await;
        Figures {
            is_draining: health.is_draining(),
            stuck: health.stuck(),
            unwritable,
            trouble: self.trouble(),
            has_pulled: health.has_pulled(),
            pending: pending.ok().and_then(Result::ok),
            down: self.metrics.sinks_down(),
            keeps_away: health.apps().into_iter().any(|app| health.reporting_fault(app).is_some()),
        }
    }

    /// Those applications in trouble that have the same as the first.
    fn trouble(&self) -> Option<(String, Advice)> {
        let troubles = self.health.troubles();
        let (_, advice) = *troubles.first()?;
        let apps = troubles.iter().filter(|(_, other)| *other == advice).map(|(app, _)| *app);
        Some((self.health.from(&apps.collect::<Vec<_>>()), advice))
    }
}

impl Figures {
    fn line(&self) -> String {
        let mut parts = vec![self.doing()];
        parts.extend(self.pending.map(|pending| format!("{pending} pending")));
        if self.keeps_away {
            parts.push("the cloud keeps events away".to_owned());
        }
        if !self.stuck.is_empty() {
            parts.push(format!("stuck: {}", self.stuck.join(", ")));
        }
        if !self.down.is_empty() {
            parts.push(format!("down: {}", self.down.join(", ")));
        }
        parts.join("; ")
    }

    fn doing(&self) -> String {
        if let Some(end) = self.unwritable.as_ref().filter(|error| error.is_final()) {
            return format!("Ending: {end}");
        }
        if self.is_draining {
            return "Stopping".to_owned();
        }
        if let Some(error) = &self.unwritable {
            return format!("Not pulling: {error}");
        }
        let Some((from, advice)) = &self.trouble else {
            return if self.has_pulled { "Pulling" } else { "Starting" }.to_owned();
        };
        let why = match advice {
            Advice::Credentials => "the cloud refuses the credentials",
            Advice::Clock => "the cloud refuses this machine's clock",
            Advice::Refused | Advice::InvalidParameters => "the cloud refuses what is asked",
            Advice::Throttled => "the cloud wants fewer requests",
            Advice::Service | Advice::Answer => "the cloud does not answer as it should",
            Advice::Transport => "the cloud cannot be reached",
        };
        format!("Not pulling{from}: {why}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_matters() {
        let at_work = || Figures { has_pulled: true, pending: Some(12), ..Figures::default() };
        assert_eq!(Figures::default().line(), "Starting");
        assert_eq!(at_work().line(), "Pulling; 12 pending");
        let kept = Figures { keeps_away: true, ..at_work() };
        assert_eq!(kept.line(), "Pulling; 12 pending; the cloud keeps events away");
        let down = vec!["hook".to_owned(), "sprites".to_owned()];
        assert_eq!(
            Figures { down, ..at_work() }.line(),
            "Pulling; 12 pending; down: hook, sprites"
        );
        let refused = Figures { trouble: Some((String::new(), Advice::Credentials)), ..at_work() };
        assert_eq!(refused.line(), "Not pulling: the cloud refuses the credentials; 12 pending");
        let trouble = Some((" from application 7".to_owned(), Advice::Transport));
        assert_eq!(
            Figures { trouble, ..at_work() }.line(),
            "Not pulling from application 7: the cloud cannot be reached; 12 pending"
        );
        let stuck = vec!["puller".to_owned()];
        assert_eq!(Figures { stuck, ..at_work() }.line(), "Pulling; 12 pending; stuck: puller");
        assert_eq!(Figures { is_draining: true, ..at_work() }.line(), "Stopping; 12 pending");
        let unwritable = Some(JournalError::Gone("/j was deleted or moved".into()));
        assert_eq!(
            Figures { unwritable, is_draining: true, ..at_work() }.line(),
            "Ending: /j was deleted or moved; sprited copies what it has open, and ends; 12 pending"
        );
    }
}
