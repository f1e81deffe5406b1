//! The health of the daemon: what its tasks report of themselves, and the one state that is made of
//! it.

mod check;
mod checks;
mod daemon_health;
mod snapshot;
mod state;

#[cfg(test)]
mod tests;

pub use check::HealthCheck;
pub use checks::MAX_CLOCK_OFFSET;
pub use daemon_health::{DaemonHealth, EventConfigProblem, HealthParts, LastReload, ReadyRule};
pub use snapshot::{JournalView, Snapshot, Snapshots};
pub use state::{DaemonState, JournalFacts, Mood};
