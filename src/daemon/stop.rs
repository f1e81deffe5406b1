//! The stop of a daemon, stage by stage, within a time limit.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::exit::ExitReason;
use super::tasks::{TaskName, Tasks};
use super::{rescue, systemd};
use crate::delivery::DeliveryStop;
use crate::journal::{Closing, Journal};

/// How long deliveries may go on after the stop.
const DELIVERY_TIME: Duration = Duration::from_secs(15);
/// The whole time of a stop.
const STOP_TIME: Duration = Duration::from_secs(25);
/// The part of it that is kept for the last commit.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// What ends each task: not children of one token, since each is cancelled at its own stage.
#[derive(Debug, Default)]
pub(super) struct StagedStop {
    pub(super) pulling: CancellationToken,
    pub(super) receiving: CancellationToken,
    pub(super) deliveries: DeliveryStop,
    pub(super) confirming: CancellationToken,
    pub(super) rest: CancellationToken,
}

impl StagedStop {
    /// Ends all tasks and closes the journal, within 25 s: pulls and posts end within 5 s,
    /// deliveries within 15 s, and what they delivered is confirmed. Returns how the daemon ends, `reason` if nothing
    /// comes between. `signal` cuts short the rescue of a journal that is gone.
    pub(super) async fn run(
        self,
        reason: ExitReason,
        mut tasks: Tasks,
        journal: Journal,
        closing: Closing,
        signal: &CancellationToken,
    ) -> ExitReason {
        let mut deadline = Instant::now() + STOP_TIME;
        tracing::info!("stopping");
        self.pulling.cancel();
        self.receiving.cancel();
        self.deliveries.finish.cancel();
        let deliveries_end = Instant::now() + DELIVERY_TIME;
        systemd::stopping().await;
        let delivers = |task: &TaskName| {
            matches!(
                task,
                TaskName::Delivery { .. }
                    | TaskName::Puller
                    | TaskName::Receiver
                    | TaskName::Reconciler
            )
        };
        if !tasks.wait_for(delivers, deliveries_end).await {
            self.deliveries.abandon.cancel();
        }
        tasks.wait_for(delivers, deadline - CLOSE_TIME * 4).await;
        self.confirming.cancel();
        let confirms = |task: &TaskName| matches!(task, TaskName::Confirmer);
        tasks.wait_for(confirms, deadline - CLOSE_TIME * 2).await;
        let is_gone = rescue::rescue_if_gone(&journal, signal).await;
        if is_gone {
            deadline = Instant::now() + CLOSE_TIME * 4;
        }
        self.rest.cancel();
        let all_ended = tasks.wait_for(|_| true, deadline - CLOSE_TIME).await;
        tasks.shutdown().await;
        drop(journal);
        let is_closed = tokio::time::timeout_at(deadline, closing.wait()).await.is_ok();
        let is_complete = all_ended && is_closed;
        if is_complete {
            tracing::info!("stopped");
        } else {
            tracing::warn!("stop timed out; unfinished deliveries will be retried");
        }
        match reason {
            _ if is_gone => ExitReason::JournalGone,
            _ if !is_complete => ExitReason::Forced,
            reason => reason,
        }
    }
}
