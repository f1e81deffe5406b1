//! Whether pulling is paused by hand: kept in the journal, and told to the puller.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use tokio::sync::{Semaphore, watch};

use crate::control::PauseReport;
use crate::journal::{self, Journal, JournalError};
use crate::metrics::Metrics;

/// The one place that pauses pulling and resumes it. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct PullingPause {
    journal: Journal,
    since: watch::Sender<Option<DateTime<Utc>>>,
    metrics: Metrics,
    /// One change at a time: journal and puller end with the same one.
    changes: Arc<Semaphore>,
}

impl PullingPause {
    /// Goes on as the last daemon ended.
    pub(super) async fn open(journal: Journal, metrics: Metrics) -> journal::Result<Self> {
        let since = journal.pulling_paused().await?;
        if let Some(since) = since {
            tracing::warn!(
                since = %told(since),
                "pulling is paused by hand: events wait in the cloud, for 4 days at most; resume it \
                 with `sprited resume`"
            );
        }
        metrics.pulling_paused.set(i64::from(since.is_some()));
        let (since, changes) = (watch::Sender::new(since), Arc::new(Semaphore::new(1)));
        Ok(Self { journal, since, metrics, changes })
    }

    /// Returns since when pulling is paused.
    pub(super) fn watch(&self) -> watch::Receiver<Option<DateTime<Utc>>> {
        self.since.subscribe()
    }

    /// Pauses pulling or resumes it. Pulls in flight end as they would.
    ///
    /// # Errors
    /// When the journal cannot keep it; nothing has changed then.
    ///
    /// Dropped half-way, journal and puller may differ: for a stop only.
    pub(super) async fn set(&self, pause: bool) -> journal::Result<PauseReport> {
        let _one = self.changes.acquire().await.map_err(|_| JournalError::Closed)?;
        // As exact as the journal keeps it.
        let wanted = pause.then(|| Utc::now().trunc_subsecs(3));
        let before = self.journal.set_pulling_paused(wanted).await?;
        let report = PauseReport::of(wanted, before);
        if report.changed {
            self.metrics.pulling_paused.set(i64::from(pause));
            self.since.send_replace(wanted);
            match before {
                None => tracing::info!("pulling paused by hand"),
                Some(since) => tracing::info!(since = %told(since), "pulling resumed by hand"),
            }
        }
        Ok(report)
    }
}

fn told(time: DateTime<Utc>) -> impl std::fmt::Display {
    time.format("%Y-%m-%dT%H:%M:%SZ")
}
