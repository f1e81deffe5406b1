//! What a delivery loop has in flight: deliveries, tests, and verdicts that are being written.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::control::SinkTest;
use super::retrying::Tried;
use crate::event::MirrorResult;
use crate::journal::{EventId, PendingEvent, Recorded};
use crate::sinks::Verdict;

#[derive(Default)]
pub(super) struct InFlight {
    pub(super) deliveries: FuturesUnordered<BoxFuture<'static, Delivered>>,
    pub(super) tests: FuturesUnordered<BoxFuture<'static, Tested>>,
    pub(super) writes: FuturesUnordered<BoxFuture<'static, Written>>,
}

pub(super) struct Delivered {
    pub(super) began: Instant,
    pub(super) events: Vec<PendingEvent>,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) checkpoint: Option<String>,
    /// For each event, or for none.
    pub(super) mirrored: Vec<Vec<MirrorResult>>,
}

pub(super) struct Tested {
    pub(super) test: SinkTest,
    pub(super) verdict: Verdict,
    pub(super) took: Duration,
    pub(super) checkpoint: Option<String>,
}

pub(super) struct Written {
    pub(super) events: Vec<EventId>,
    /// `None` where another daemon has the journal: its events are no longer ours.
    pub(super) recorded: Option<Recorded>,
    /// What became of the events, where somebody waits for that.
    pub(super) tried: Option<Tried>,
}

impl InFlight {
    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.tests.is_empty() && self.writes.is_empty()
    }

    /// Calls of `deliver`.
    pub(super) fn calls(&self) -> usize {
        self.deliveries.len() + self.tests.len()
    }
}
