//! The daemon: the only place that opens, binds, spawns, watches, reloads and stops.
//!
//! Signals are not handled here: whoever runs the daemon controls it by [`DaemonSignals`].
//!
//! [`Prepared`] holds what needs the privileges of the process's start, [`Daemon`] the open
//! resources. `Daemon::run` starts the tasks, handles the signals and begins the staged stop. A
//! reload replaces the sinks, the credentials and the settings that tasks can change while they run.

mod bind;
mod control;
mod drain;
mod event_config;
mod exit;
mod lifecycle;
mod live_settings;
mod maintenance;
mod prepared;
mod pulling_pause;
mod receiving;
mod reload;
mod reload_requests;
mod rescue;
mod running_sinks;
mod sink_commands;
mod sink_set;
mod status_line;
mod stop;
mod systemd;
mod tasks;
mod unfinished;
mod warnings;

pub use exit::{DaemonError, ExitReason};
pub use lifecycle::{Daemon, DaemonSignals};
pub use prepared::Prepared;
pub use running_sinks::RunningSinks;
pub use warnings::warn_of_foreign_folders;
