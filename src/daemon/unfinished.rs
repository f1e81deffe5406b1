//! What `run --once` has left undone, as the last thing that it says.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::exit::ExitReason;
use crate::event::AppId;
use crate::journal::{self, Journal, Leftover};
use crate::puller::ApplicationProgress;
use crate::sanitize::{KeptEnd, truncate};
use crate::vod::CallFailure;

/// Characters of an error that are logged.
const MAX_ERROR: usize = 300;

/// What a run that ends with `reason` leaves undone.
#[derive(Debug)]
pub(super) struct Unfinished {
    reason: ExitReason,
    /// What sinks still have to take; `None` if the run was told to stop.
    leftovers: Option<journal::Result<Vec<Leftover>>>,
    /// Why pulls fail, with the application where there are several.
    failing: Vec<(Option<AppId>, Arc<CallFailure>)>,
}

impl Unfinished {
    /// Asks the journal where that is the reason: another may be that it does not answer.
    pub(super) async fn find(
        reason: ExitReason,
        journal: &Journal,
        pulling: &[ApplicationProgress],
        stop: &CancellationToken,
    ) -> Self {
        let leftovers = match reason {
            ExitReason::SomethingStays => stop.run_until_cancelled(journal.leftovers()).await,
            _ => None,
        };
        let has_several = pulling.len() > 1;
        let failing = |of: &ApplicationProgress| {
            Some((has_several.then_some(of.app), of.progress.borrow().failure.clone()?))
        };
        Self { reason, leftovers, failing: pulling.iter().filter_map(failing).collect() }
    }

    /// Logs why the run did not do all, unless it has ended for another reason: that has been
    /// logged then.
    pub(super) fn log(&self, ended: ExitReason) {
        match self.reason {
            reason if reason != ended => {}
            ExitReason::SomethingStays => self.log_leftovers(),
            ExitReason::Unreachable => self.log_failing("the queue was not emptied: pulling fails"),
            ExitReason::Credentials => {
                self.log_failing("the queue was not emptied: the cloud refuses the credentials");
            }
            ExitReason::Paused => {
                tracing::error!(
                    "the queue was not emptied: pulling is paused by hand; resume it with `sprited resume`"
                );
            }
            ExitReason::Unwritable => {
                tracing::error!("the queue was not emptied: the journal accepts no events");
            }
            _ => {}
        }
    }

    fn log_leftovers(&self) {
        match &self.leftovers {
            None => tracing::warn!("stopped before everything was pulled and delivered"),
            Some(Ok(leftovers)) => {
                let (paused, others): (Vec<_>, Vec<_>) =
                    leftovers.iter().partition(|left| left.paused.is_some());
                if !others.is_empty() {
                    tracing::warn!(
                        pending = pending(&others),
                        sinks = listed(&others),
                        "deliveries stay pending; they are retried by the next run"
                    );
                }
                if !paused.is_empty() {
                    tracing::warn!(
                        pending = pending(&paused),
                        sinks = listed(&paused),
                        "deliveries stay pending until their sinks are resumed"
                    );
                }
            }
            Some(Err(error)) => {
                tracing::error!(%error, "deliveries stay pending; they cannot be counted")
            }
        }
    }

    fn log_failing(&self, message: &'static str) {
        for (app, failure) in &self.failing {
            tracing::error!(
                app = app.map(tracing::field::display),
                code = failure.code,
                request_id = failure.request_id,
                hint = failure.remedy,
                error = failure.message,
                "{message}"
            );
        }
    }
}

fn pending(leftovers: &[&Leftover]) -> u64 {
    leftovers.iter().map(|left| left.pending).sum()
}

fn listed(leftovers: &[&Leftover]) -> String {
    leftovers.iter().map(|left| told(left)).collect::<Vec<_>>().join("; ")
}

fn told(Leftover { sink, pending, last_error, paused }: &Leftover) -> String {
    if paused.is_some() {
        return format!("{sink}: {pending} pending, paused by hand (sprited sinks resume {sink})");
    }
    let error = last_error.as_deref().map_or_else(String::new, |error| {
        format!(", last error: {}", truncate(error, MAX_ERROR, KeptEnd::First))
    });
    format!("{sink}: {pending} pending{error}")
}
