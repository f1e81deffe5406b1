//! sprited: delivers Tencent Cloud VOD events from the reliable-callback queue to where they are
//! wanted, and confirms them.
//!
//! The code map, in the order in which an event meets the modules:
//!
//! - [`puller`] pulls at the pace that the [`limits`] allow, by
//! - [`vod`], the signed client of the cloud's event API.
//! - [`event`] says what was pulled: the body, its key, the image sprites in it.
//! - [`ingest`] is the one door for events of every source: stored, counted, their leases handed on.
//! - [`journal`] has it on disk before anything else happens, and offers it to the sinks.
//! - [`delivery`], one loop per sink, brings it there, again and again if need be, through
//! - [`sinks`], where events go.
//! - [`lease`] is what the confirmer gets: a handle, and how long it is good.
//! - [`confirmer`] gives the handle back once its events are safe.
//!
//! Around that:
//!
//! - [`daemon`] wires it all: the only place that opens, spawns and stops.
//! - [`config`] composes the settings that each module owns; only `daemon` and `cli` know it.
//! - [`cli`] has one file per command.
//! - [`metrics`], [`logging`] and [`health`] have what is known of its work, [`http`] shows it;
//!   [`listener`] accepts connections, for `http` and for whatever else is served.
//! - The crate `vod-emulator`, in `crates/`, is a strict stand-in of the cloud's event API, for tests,
//!   the demo and `sprited emulator`; it knows nothing of this one.
//! - [`identity`] has root become the user whose folder it works in, and keeps the memory to itself.
//! - [`settings`] is what the settings of all modules have in common, [`secret`] keeps secrets, [`folder`] has the names in a folder on disk, [`net`] makes HTTP clients
//!   and knows what is this machine, [`sync`] locks.
//! - [`limits`], [`liveness`], [`sanitize`], [`format`](mod@format) and [`units`] are small and pure: how fast and how
//!   often, whether a task stalls, how foreign text is shown, how figures are written for people and
//!   values with a unit in the configuration.
//!
//! What holds between them, and is tested: `event`, `folder`, `identity`, `net`, `limits`,
//! `secret`, `settings`, `units` and `sanitize` know nothing of the crate; `sinks` know `event`, `folder`, `net`,
//! `secret`, `settings`, `units` and `sanitize`; `vod` knows neither journal nor sinks; `puller`,
//! `delivery` and `confirmer` meet only through the journal and their queues.

pub mod cli;
pub mod config;
pub mod confirmer;
pub mod daemon;
pub mod delivery;
pub mod event;
pub mod folder;
pub mod format;
pub mod health;
pub mod http;
pub mod identity;
pub mod ingest;
pub mod journal;
pub mod lease;
pub mod limits;
pub mod listener;
pub mod liveness;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod puller;
pub mod sanitize;
pub mod secret;
pub mod settings;
pub mod sinks;
pub mod sync;
pub mod units;
pub mod vod;
