//! The health of a daemon: one state, which pages, probes, the service manager and the command line
//! render.
//!
//! Owns what the daemon's tasks report of themselves ([`DaemonHealth`]), whether events are pulled
//! and why not ([`PullState`]), and what readiness is made of ([`Readiness`]). Knows the journal's
//! health and the puller's progress; none of those who render it.

mod checks;
mod daemon_health;
mod pull_state;

pub use checks::{HealthCheck, Readiness};
pub use daemon_health::DaemonHealth;
pub use pull_state::PullState;
