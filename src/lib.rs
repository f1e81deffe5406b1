//! sprited: delivers Tencent Cloud VOD events from the reliable-callback queue to where they are
//! wanted, and confirms them.
//!
//! The modules in the order an event meets them:
//!
//! - [`poller`] asks [`pace`] whether it may pull, and pulls by [`vod`], the signed client.
//! - [`event`] reads what came: its type, its key, its image sprites. It cannot fail.
//! - [`journal`] has it on disk before anything else is done with it.
//! - [`delivery`] brings it to each of the [`sinks`] that wants it, by a loop for each of them.
//! - [`confirmer`] confirms the handle it came under, within the [`lease`], once it is safe.
//!
//! Around them:
//!
//! - [`cli`] is the command line, one file per command; [`config`] composes the settings that
//!   each module owns; [`daemon`] is the only place that wires.
//! - [`http`] tells [`metrics`], health and status; [`telemetry`] is the log; [`systemd`] hears
//!   that the daemon is ready and, by the [`pulse`] of its loops, that it lives.
//! - [`retry`] says how long to wait, [`outage`] when to log what goes on failing, [`secret`]
//!   where secrets are kept.
//! - [`emulator`] stands in for the cloud, in the demo and in tests.
//!
//! What holds between them, tested by `tests/it/structure.rs`: `event`, `retry`, `secret`,
//! `outage` and `pulse` know nothing of the crate. `sinks` know `event` and `secret` only.
//! `vod` knows neither journal nor sinks. `poller`, `delivery` and `confirmer` meet only
//! through the journal and their queues. Only `daemon` and `cli` know `config`.

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
