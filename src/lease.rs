//! A handle that the cloud has lent out, and for how long it is good.

use std::sync::Arc;

use tokio::time::Instant;

use crate::event::AppId;
use crate::journal::EventId;

/// A handle as the confirmer gets it: all its events are on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The application that it is of: only there it means something.
    pub app: AppId,
    /// The handle.
    pub handle: Arc<str>,
    /// The events under it. Mostly one; nothing promises so.
    pub events: Vec<EventId>,
    /// Those of them that a sink still had to take when they were stored.
    pub pending: Vec<EventId>,
    /// Whether one of them may repeat: the journal then decides whether this handle is confirmed.
    pub is_repeatable: bool,
    /// Nothing is sent for it from this moment on.
    pub deadline: Instant,
}
