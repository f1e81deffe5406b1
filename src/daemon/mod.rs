//! The daemon: the only place that opens, binds, spawns, watches, reloads and stops.
//!
//! Signals are not handled here: whoever runs the daemon controls it by [`DaemonSignals`].
//!
//! [`Prepared`] is what needs the rights of the process's start, [`Daemon`] what is open, and its
//! `run` starts the tasks, obeys the signals and hands over to the staged stop. A reload replaces
//! what goes by the configuration: the sinks in use, the settings that tasks take over while they
//! run, the credentials.

mod drain;
mod event_config;
mod exit;
mod lifecycle;
mod live_settings;
mod maintenance;
mod prepared;
mod reload;
mod rescue;
mod running_sinks;
mod sink_set;
mod status_line;
mod stop;
mod systemd;
mod tasks;
mod warnings;

pub use exit::{DaemonError, ExitReason};
pub use lifecycle::{Daemon, DaemonSignals};
pub use prepared::Prepared;
pub use running_sinks::RunningSinks;
pub use warnings::warn_of_foreign_folders;
