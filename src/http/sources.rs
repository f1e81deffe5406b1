//! Where the pages come from.

use std::path::PathBuf;
use std::sync::Arc;

use super::history::ActivityHistory;
use super::snapshot::Snapshots;
use crate::health::DaemonHealth;
use crate::metrics::Metrics;

/// The parts of a daemon that its pages show.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Its metrics.
    pub metrics: Metrics,
    /// Its health.
    pub health: Arc<DaemonHealth>,
    /// Its journal's file, read beside the writer.
    pub journal: PathBuf,
}

/// Those, and what is kept between two requests.
#[derive(Clone, Debug)]
pub(super) struct StatusSource {
    pub(super) sources: Sources,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) history: Arc<ActivityHistory>,
}
