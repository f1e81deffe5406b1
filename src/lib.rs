//! sprited: delivers Tencent Cloud VOD events from the reliable-callback queue to where they are
//! wanted, and confirms them.
//!
//! - [`cli`]: one file per command; with `daemon` all that knows [`config`].
//! - [`config`]: composes the settings that each module owns; finds every problem of a file.
//! - [`event`]: what an event is, which one it is, and how it leaves.
//! - [`sinks`]: where events go.
//! - [`secret`]: secrets and where they are kept.
//! - [`systemd`]: what the service manager is told.
//! - [`telemetry`]: the log.

pub mod cli;
pub mod config;
pub mod confirmer;
pub mod daemon;
pub mod delivery;
pub mod emulator;
pub mod event;
pub mod http;
pub mod journal;
pub mod lease;
pub mod metrics;
pub mod outage;
pub mod pace;
pub mod poller;
pub mod pulse;
pub mod retry;
pub mod secret;
pub mod sinks;
pub mod systemd;
pub mod telemetry;
pub mod vod;
