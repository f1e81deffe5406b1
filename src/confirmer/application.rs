//! An application whose handles are confirmed: its calls to be made again, and its outage.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::watch;
use tokio::time::Instant;

use super::batches::CallQueue;
use crate::event::AppId;
use crate::limits::{Outage, log_outage};
use crate::vod::{CallFailure, Client, MAX_HANDLES, VodError};

/// A failure that did not come again for so long, which is three leases of the cloud, is over.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(90);
/// Of the loop's lines in the log.
const TARGET: &str = "sprited::confirmer";

/// How confirming of one application goes, for whoever watches.
#[derive(Clone, Debug)]
pub struct ApplicationConfirms {
    /// The application.
    pub app: AppId,
    /// Why it fails; `None` while it does not.
    pub failure: watch::Receiver<Option<Arc<CallFailure>>>,
}

#[derive(Debug)]
pub(super) struct ConfirmedApplication {
    pub(super) client: Client,
    /// What log lines call it; nothing where it is the only one.
    name: Option<AppId>,
    pub(super) calls: CallQueue,
    pub(super) in_flight: usize,
    outage: Outage,
    /// The last failure, until it is over.
    failed_at: Option<Instant>,
    /// Why confirming fails.
    failure: watch::Sender<Option<Arc<CallFailure>>>,
    /// Handles that were refused since one was confirmed.
    refused: usize,
}

impl ConfirmedApplication {
    pub(super) fn new(client: Client, name: Option<AppId>) -> Self {
        Self {
            client,
            name,
            calls: CallQueue::default(),
            in_flight: 0,
            outage: Outage::default(),
            failed_at: None,
            failure: watch::Sender::new(None),
            refused: 0,
        }
    }

    pub(super) fn confirming(&self) -> ApplicationConfirms {
        ApplicationConfirms { app: self.client.app(), failure: self.failure.subscribe() }
    }

    /// A handle may be stale; when so many are, and none is good, it is not the handles.
    pub(super) fn record_refused(&mut self, error: &VodError, now: Instant) {
        self.refused += 1;
        if self.refused >= MAX_HANDLES {
            self.record_failed(error, now);
        } else {
            self.record_recovered(now);
        }
    }

    pub(super) fn record_good(&mut self, now: Instant) {
        self.refused = 0;
        self.record_recovered(now);
    }

    pub(super) fn record_recovered(&mut self, now: Instant) {
        self.failed_at = None;
        self.failure.send_if_modified(|failure| failure.take().is_some());
        if let Some(report) = self.outage.recovered(now) {
            tracing::info!(
                target: TARGET,
                app = self.name.map(tracing::field::display),
                failures = report.failures,
                lasted_seconds = report.lasted.as_secs(),
                "confirming works again"
            );
        }
    }

    /// Nothing is left to confirm. What failed comes again within a lease, and shows whether it still
    /// does; if it does not come, an answer was lost and nothing is known to be wrong.
    pub(super) fn record_idle(&mut self, now: Instant) {
        if self.failed_at.is_some_and(|at| now.duration_since(at) > FORGOTTEN_AFTER) {
            self.failed_at = None;
            self.outage = Outage::default();
            self.failure.send_replace(None);
        }
    }

    pub(super) fn record_failed(&mut self, error: &VodError, now: Instant) {
        self.failed_at = Some(now);
        self.failure.send_modify(|failure| {
            *failure = Some(Arc::new(CallFailure::after(failure.as_deref(), error, Utc::now())));
        });
        if let Some(report) = self.outage.failed(now) {
            log_outage!(
                report,
                target: TARGET,
                app = self.name.map(tracing::field::display),
                code = error.code(),
                request_id = error.request_id(),
                advice = error.advice().name(),
                hint = error.hint(),
                failures = report.failures,
                lasted_seconds = report.lasted.as_secs(),
                error = %error.summary(),
                "confirming fails; unconfirmed events are pulled again"
            );
        }
    }
}
