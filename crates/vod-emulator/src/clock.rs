//! The emulator's clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

/// Follows the machine's monotonic clock, so that no lease ends early because somebody set the
/// time of day. The time that clients see can have an offset from it.
#[derive(Debug)]
pub(super) struct EmulatorClock {
    started: Instant,
    wall: DateTime<Utc>,
    offset_millis: AtomicI64,
}

impl EmulatorClock {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), wall: Utc::now(), offset_millis: AtomicI64::new(0) }
    }

    /// The time by which leases, retention and rates are counted, and which the ledger shows.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.wall + TimeDelta::from_std(self.started.elapsed()).unwrap_or(TimeDelta::MAX)
    }

    /// The time by which signatures are judged and answers dated.
    pub(super) fn shown(&self) -> DateTime<Utc> {
        self.now() + TimeDelta::milliseconds(self.offset_millis.load(Ordering::Relaxed))
    }

    pub(super) fn set_offset(&self, offset: TimeDelta) {
        self.offset_millis.store(offset.num_milliseconds(), Ordering::Relaxed);
    }
}
