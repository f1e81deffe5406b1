//! The tasks that run.

use std::collections::HashMap;
use std::fmt;

use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::exit::DaemonError;

/// A task of the daemon.
#[derive(Debug)]
pub(super) enum TaskName {
    Puller,
    Receiver,
    Reconciler,
    Delivery {
        sink: String,
        /// Ends it.
        finish: CancellationToken,
    },
    Confirmer,
    Maintenance,
    Http,
    Control,
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Puller => f.write_str("puller"),
            Self::Receiver => f.write_str("receiver"),
            Self::Reconciler => f.write_str("reconciler"),
            Self::Delivery { sink, .. } => write!(f, "delivery to {sink}"),
            Self::Confirmer => f.write_str("confirmer"),
            Self::Maintenance => f.write_str("maintenance"),
            Self::Http => f.write_str("http"),
            Self::Control => f.write_str("control"),
        }
    }
}

/// The tasks that have not ended. Dropping it ends them where they are.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    tasks: JoinSet<()>,
    names: HashMap<Id, TaskName>,
}

impl Tasks {
    pub(super) fn spawn(&mut self, name: TaskName, run: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(run);
        self.names.insert(task.id(), name);
    }

    /// Waits until a delivery task that was told to end has, and returns its sink. Cancel safe.
    ///
    /// # Errors
    /// When a task ends by itself, which none should.
    pub(super) async fn ended(&mut self) -> Result<String, DaemonError> {
        let (id, failure) = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => (id, None),
            Some(Err(error)) => (error.id(), Some(error)),
            None => return Err(DaemonError::TaskEnded("last".to_owned())),
        };
        match (self.names.remove(&id), failure) {
            (Some(TaskName::Delivery { sink, finish }), None) if finish.is_cancelled() => Ok(sink),
            (Some(name), None) => Err(DaemonError::TaskEnded(name.to_string())),
            (_, failure) => Err(DaemonError::TaskEnded(
                failure.map_or_else(String::new, |error| error.to_string()),
            )),
        }
    }

    /// Waits until no task is left for which `counts` holds; returns whether that was before
    /// `deadline`.
    pub(super) async fn wait_for(
        &mut self,
        counts: impl Fn(&TaskName) -> bool,
        deadline: Instant,
    ) -> bool {
        while self.names.values().any(&counts) {
            let next = self.tasks.join_next_with_id();
            let id = match tokio::time::timeout_at(deadline, next).await {
                Ok(Some(Ok((id, ())))) => id,
                Ok(Some(Err(error))) => {
                    tracing::error!(%error, "task failed while stopping");
                    error.id()
                }
                Ok(None) => return true,
                Err(_) => return false,
            };
            self.names.remove(&id);
        }
        true
    }

    /// Ends what still runs where it is.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}
