//! An application whose handles are confirmed: its calls to be made again, and its outage.

use tokio::time::Instant;

use super::batches::CallQueue;
use crate::event::AppId;
use crate::limits::{Outage, log_outage};
use crate::vod::{Client, MAX_HANDLES, VodError};

/// Of the loop's lines in the log.
const TARGET: &str = "sprited::confirmer";

#[derive(Debug)]
pub(super) struct ConfirmedApplication {
    pub(super) client: Client,
    /// What log lines call it; nothing where it is the only one.
    name: Option<AppId>,
    pub(super) calls: CallQueue,
    pub(super) in_flight: usize,
    outage: Outage,
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
            refused: 0,
        }
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

    pub(super) fn record_failed(&mut self, error: &VodError, now: Instant) {
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
