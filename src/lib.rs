//! sprited: takes Tencent Cloud VOD events, pulled from their queue or posted, delivers them to the
//! configured sinks, and confirms them.
//!
//! The code map, in the order in which an event meets the modules:
//!
//! - [`puller`] pulls at the rate that [`limits`] allows; [`receiver`] takes what is posted.
//! - [`reconcile`] asks the cloud which tasks have finished, and adds the events that never arrived.
//! - [`vod`] is the signed client of the cloud's event API.
//! - [`event`] says what arrived: the body, its key, the image sprites in it.
//! - [`ingest`] is the single entry point for events of every source: it stores and counts them and
//!   passes their leases to the confirmer.
//! - [`journal`] stores the event on disk first and then offers it to the deliveries.
//! - [`delivery`] runs one task per sink, which delivers its events and retries those that fail.
//! - [`sinks`] are the destinations.
//! - [`sprite`] reads, verifies and rewrites the sprites that an event names: pure, without network
//!   and files.
//! - [`fetch`] gets the files of a sprite from where an event says they are.
//! - [`lease`] is what the confirmer gets: a handle, and how long it is good.
//! - [`confirmer`] gives the handle back once its events are safe.
//!
//! Tasks and queues: the puller's task appends through the journal's queue (256 jobs) and sends
//! leases to the confirmer's task (256 batches). The journal's writer thread publishes new events
//! to a feed for each sink (1,024 events, 8 MiB); what does not fit is read from the journal. A
//! delivery task for each sink records verdicts through the same queue and reports settled events
//! to the confirmer (256 batches). `docs/architecture.md` has all of them, with what each owns and
//! waits on.
//!
//! Around that:
//!
//! - [`daemon`] connects the modules: it opens the daemon's resources, starts its tasks and stops
//!   them.
//! - [`config`] composes the settings that each module owns; only `daemon` and `cli` know it.
//! - [`cli`] has one file or folder per command.
//! - [`control`] is the socket by which commands ask the running daemon.
//! - [`metrics`], [`logging`] and [`health`] report the daemon's work; [`http`] serves metrics and
//!   health; [`listener`] accepts connections, for `http` and `receiver`.
//! - The crate `vod-emulator`, in `crates/`, is a strict emulator of the cloud's event API, for
//!   tests, the demo and `sprited emulator`; it knows nothing of this one.
//! - [`identity`] has root become the user whose folder it works in, and keeps the memory to
//!   itself.
//! - [`settings`] is what the settings of all modules have in common, [`secret`] keeps secrets,
//!   [`folder`] syncs the names in a folder, [`net`] makes HTTP clients and knows this machine's
//!   addresses, [`sync`] locks, [`liveness`] detects stalled tasks.
//! - [`limits`], [`sanitize`], [`format`](mod@format) and [`units`] are small and pure: how fast
//!   and how often, how foreign text is shown, how figures are written for people and values with a
//!   unit in the configuration.
//!
//! What holds between them, and is tested: `event`, `folder`, `identity`, `limits`, `net`,
//! `sanitize`, `secret`, `settings`, `sync` and `units` use no other module; `sinks` uses only
//! `event`, `fetch`, `folder`, `limits`, `net`, `sanitize`, `secret`, `settings`, `sprite`, `sync` and
//! `units`; `vod` knows neither journal nor sinks; `sprite` uses only `event` and `sanitize`; `fetch` knows no
//! event; `puller`, `reconcile`, `delivery` and `confirmer` meet only through the journal and their
//! queues.

pub mod cli;
pub mod config;
pub mod confirmer;
pub mod control;
pub mod daemon;
pub mod delivery;
pub mod event;
pub mod fetch;
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
pub mod receiver;
pub mod reconcile;
pub mod sanitize;
pub mod secret;
pub mod settings;
pub mod sinks;
pub mod sprite;
pub mod sync;
pub mod units;
pub mod vod;
