//! Drain mode: when `run --once` is done.

use futures_util::future::select_all;
use tokio::sync::watch;

use super::exit::ExitReason;
use crate::journal::{FeedSender, Journal};
use crate::puller::{ApplicationProgress, PullProgress};
use crate::vod::{Advice, CallFailure};

/// Failed pulls in a row after which it gives up.
const MAX_FAILED_PULLS: u32 = 3;

/// Failed appends in a row after which it gives up: some seconds, in which room may be made.
const MAX_FAILED_APPENDS: u64 = 10;

/// Whether a task behind the puller has nothing in flight.
pub(super) struct Idle {
    task: watch::Receiver<bool>,
    /// Of a sink: it may have been given events that its task does not know of.
    feed: Option<FeedSender>,
}

impl Idle {
    /// Of a task that is given nothing but by its own doing.
    pub(super) fn of_task(task: watch::Receiver<bool>) -> Self {
        Self { task, feed: None }
    }

    /// Of the delivery loop of a sink.
    pub(super) fn of_sink(task: watch::Receiver<bool>, feed: FeedSender) -> Self {
        Self { task, feed: Some(feed) }
    }

    fn look(&mut self) -> bool {
        // In this order: a loop says that it is busy before it takes note of what it was given.
        let is_given = self.feed.as_ref().is_some_and(FeedSender::has_released);
        *self.task.borrow_and_update() && !is_given
    }
}

/// Waits until each queue was found empty or cannot be pulled from now, and nothing is left to do,
/// or nothing can be done now. `idles` has, for each task behind the puller, whether it has nothing
/// in flight.
pub(super) async fn until_done(
    journal: &Journal,
    mut pulling: Vec<ApplicationProgress>,
    mut idles: Vec<Idle>,
) -> ExitReason {
    let mut found_empty = vec![0; pulling.len()];
    loop {
        let progress: Vec<PullProgress> =
            pulling.iter_mut().map(|of| of.progress.borrow_and_update().clone()).collect();
        if progress.iter().any(|of| of.paused.is_some()) {
            return ExitReason::Paused;
        }
        let given_up: Vec<ExitReason> = progress.iter().filter_map(given_up).collect();
        // What is pending has nobody to confirm to.
        if given_up.len() == progress.len()
            && let Some(end) = given_up.first()
        {
            return *end;
        }
        if progress.iter().any(|of| of.failed_appends >= MAX_FAILED_APPENDS) {
            return ExitReason::Unwritable;
        }
        let is_done = |(of, before): (&PullProgress, &u64)| {
            self::given_up(of).is_some() || of.empty > *before
        };
        let all_done = progress.iter().zip(&found_empty).all(is_done);
        // Each is looked at: a change that was not seen would wake this at once.
        let all_idle = idles.iter_mut().map(Idle::look).fold(true, |all, one| all & one);
        if all_done && all_idle {
            match (given_up.first(), journal.pending().await) {
                (Some(end), _) => return *end,
                (None, Ok(0)) => return ExitReason::Clean,
                // All of it was tried: what is left waits for its next try.
                (None, Ok(_)) => return ExitReason::SomethingStays,
                // The pull that follows finds out whether the journal works again.
                (None, Err(_)) => found_empty = progress.iter().map(|of| of.empty).collect(),
            }
        }
        let progress_changed =
            select_all(pulling.iter_mut().map(|of| Box::pin(of.progress.changed())));
        let idle_changed = select_all(idles.iter_mut().map(|idle| Box::pin(idle.task.changed())));
        tokio::select! {
            (changed, _, _) = progress_changed => if changed.is_err() { return ExitReason::Unreachable },
            (changed, _, _) = idle_changed => if changed.is_err() { return ExitReason::SomethingStays },
        }
    }
}

/// Returns how a run ends after such pulls from an application; `None` if it goes on.
fn given_up(progress: &PullProgress) -> Option<ExitReason> {
    (progress.failures >= MAX_FAILED_PULLS).then_some(match progress.failure.as_deref() {
        Some(CallFailure { advice: Advice::Credentials, .. }) => ExitReason::Credentials,
        _ => ExitReason::Unreachable,
    })
}
