//! The health of a daemon: one state, which pages, probes, the service manager and the command line
//! render.
//!
//! Owns the reports of the daemon's tasks ([`DaemonHealth`]), whether events are pulled and why not
//! ([`PullState`]), and the readiness checks ([`Readiness`]). Knows the journal's health and the
//! puller's progress, and none of the views.

mod checks;
mod daemon_health;
mod pull_state;

pub use checks::{HealthCheck, Readiness};
pub use daemon_health::DaemonHealth;
pub use pull_state::PullState;
