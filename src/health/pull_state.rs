//! Whether events are pulled and, if not, why: one vocabulary for every view.

use std::fmt;

use super::daemon_health::DaemonHealth;
use crate::event::AppId;
use crate::journal::JournalError;
use crate::puller::ApplicationProgress;
use crate::vod::Advice;

/// Whether events are pulled. A new reason why not is a variant here.
#[derive(Debug)]
pub enum PullState {
    /// The last pull of each application was good.
    Pulling,
    /// No queue is asked, by the configuration.
    Off,
    /// Not every application was pulled from yet.
    Starting,
    /// The last pull failed.
    CloudFailed {
        /// The applications that it failed for in this way.
        apps: Vec<AppId>,
        /// In which way.
        advice: Advice,
        /// Whether there are others that it did not fail for in this way.
        has_others: bool,
        /// Whether there are others that it did not fail for at all.
        pulls_others: bool,
    },
    /// The journal cannot be written.
    JournalFailed(JournalError),
    /// The daemon was told to stop.
    Stopping,
    /// The journal is gone, and the daemon ends.
    Ending(JournalError),
}

impl DaemonHealth {
    /// Returns whether events are pulled now: what matters most, first.
    pub fn pull_state(&self) -> PullState {
        match self.journal().error() {
            Some(error) if error.is_final() => return PullState::Ending(error),
            _ if self.is_draining() => return PullState::Stopping,
            Some(error) => return PullState::JournalFailed(error),
            None => {}
        }
        if self.progress().is_empty() {
            return PullState::Off;
        }
        let failures = self.pull_failures();
        let Some((_, advice)) = failures.first().copied() else {
            let has_pulled = |of: &ApplicationProgress| of.progress.borrow().last_good.is_some();
            let has_pulled = self.progress().iter().all(has_pulled);
            return if has_pulled { PullState::Pulling } else { PullState::Starting };
        };
        let alike = failures.iter().filter(|(_, other)| other.reason() == advice.reason());
        let apps: Vec<_> = alike.map(|(app, _)| *app).collect();
        let all = self.progress().len();
        let (has_others, pulls_others) = (apps.len() < all, failures.len() < all);
        PullState::CloudFailed { apps, advice, has_others, pulls_others }
    }
}

impl fmt::Display for PullState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pulling => f.write_str("Pulling"),
            Self::Off => f.write_str("Not pulling, as configured"),
            Self::Starting => f.write_str("Starting"),
            Self::CloudFailed { apps, advice, has_others, .. } => {
                f.write_str("Not pulling")?;
                if *has_others {
                    let noun = if apps.len() == 1 { "application" } else { "applications" };
                    let apps: Vec<_> = apps.iter().map(AppId::to_string).collect();
                    write!(f, " from {noun} {}", apps.join(", "))?;
                }
                write!(f, ": {}", advice.reason())
            }
            Self::JournalFailed(error) => write!(f, "Not pulling: {error}"),
            Self::Stopping => f.write_str("Stopping"),
            Self::Ending(error) => write!(f, "Ending: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::journal::JournalHealth;
    use crate::puller::{PollPacing, PullProgress};

    /// A daemon whose last pulls from the applications 7, 8 and so on failed so, if they did.
    fn health(failures: &[Option<Advice>]) -> DaemonHealth {
        let progress = (7..).zip(failures).map(|(app, failure)| {
            let now = Some(tokio::time::Instant::now());
            let progress =
                PullProgress { last_good: now, trouble: *failure, ..PullProgress::default() };
            ApplicationProgress { app: AppId(app), progress: watch::channel(progress).1 }
        });
        let (_, pacing) = watch::channel(PollPacing {
            settings: Default::default(),
            good_for: std::time::Duration::from_secs(28),
            lease: std::time::Duration::from_secs(30),
            max_circulating: None,
        });
        let apps = (7..).map(AppId).take(failures.len().max(1)).collect();
        DaemonHealth::new(apps, progress.collect(), JournalHealth::default(), pacing)
    }

    #[test]
    fn the_reason_names_the_applications_where_others_are_pulled_from() {
        let (refused, lost) = (Some(Advice::Credentials), Some(Advice::Transport));
        let state = |failures: &[_]| health(failures).pull_state().to_string();
        assert_eq!(state(&[]), "Not pulling, as configured");
        assert_eq!(state(&[None]), "Pulling");
        assert_eq!(state(&[refused]), "Not pulling: the cloud refuses the credentials");
        assert_eq!(state(&[refused; 2]), "Not pulling: the cloud refuses the credentials");
        assert_eq!(
            state(&[None, lost]),
            "Not pulling from application 8: the cloud cannot be reached"
        );
        assert_eq!(
            state(&[lost, refused, lost]),
            "Not pulling from applications 7, 9: the cloud cannot be reached"
        );
        let stopping = health(&[refused]);
        stopping.drain();
        assert_eq!(stopping.pull_state().to_string(), "Stopping");
    }

    #[test]
    fn what_is_wrong_with_the_journal_is_in_its_own_words() {
        let gone = || JournalError::Gone("/j was deleted or moved".into());
        assert_eq!(
            PullState::Ending(gone()).to_string(),
            "Ending: /j was deleted or moved; sprited copies what it has open, and ends"
        );
        assert!(PullState::JournalFailed(gone()).to_string().starts_with("Not pulling: /j was"));
    }
}
