//! The loops that run, each a task of its own.

use std::collections::HashMap;
use std::fmt;

use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::exit::DaemonError;

/// A loop of the daemon.
#[derive(Debug)]
pub(super) enum TaskName {
    Puller,
    Delivery {
        sink: String,
        /// Cancelled when it is told to end.
        finish: CancellationToken,
    },
    Confirmer,
    Upkeep,
    Http,
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Puller => f.write_str("puller"),
            Self::Delivery { sink, .. } => write!(f, "delivery to {sink}"),
            Self::Confirmer => f.write_str("confirmer"),
            Self::Upkeep => f.write_str("upkeep"),
            Self::Http => f.write_str("http"),
        }
    }
}

/// The loops that have not ended. Dropping it ends them where they stand.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    tasks: JoinSet<()>,
    loops: HashMap<Id, TaskName>,
}

impl Tasks {
    pub(super) fn spawn(&mut self, name: TaskName, run: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(run);
        self.loops.insert(task.id(), name);
    }

    /// Waits for a delivery loop that was told to end, and names its sink. Cancel safe.
    ///
    /// # Errors
    /// When a loop ends by itself, which none should.
    pub(super) async fn ended(&mut self) -> Result<String, DaemonError> {
        let (id, failure) = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => (id, None),
            Some(Err(error)) => (error.id(), Some(error)),
            None => return Err(DaemonError::LoopEnded("last".to_owned())),
        };
        match (self.loops.remove(&id), failure) {
            (Some(TaskName::Delivery { sink, finish }), None) if finish.is_cancelled() => Ok(sink),
            (Some(name), None) => Err(DaemonError::LoopEnded(name.to_string())),
            (_, failure) => Err(DaemonError::LoopEnded(
                failure.map_or_else(String::new, |error| error.to_string()),
            )),
        }
    }

    /// Waits until no loop is left for which `counts` holds; tells whether that came about by
    /// `deadline`.
    pub(super) async fn wait_for(
        &mut self,
        counts: impl Fn(&TaskName) -> bool,
        deadline: Instant,
    ) -> bool {
        while self.loops.values().any(&counts) {
            let next = self.tasks.join_next_with_id();
            let id = match tokio::time::timeout_at(deadline, next).await {
                Ok(Some(Ok((id, ())))) => id,
                Ok(Some(Err(error))) => {
                    tracing::error!(%error, "a loop failed while stopping");
                    error.id()
                }
                Ok(None) => return true,
                Err(_) => return false,
            };
            self.loops.remove(&id);
        }
        true
    }

    /// Ends what still runs where it stands.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}
