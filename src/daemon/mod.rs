//! The only place that wires: opens, binds, spawns, watches, reloads and stops.
//!
//! Signals are not handled here: whoever runs the daemon tells it what to do by [`Control`].

mod astray;
mod left;
mod once;
mod outlets;
mod prepared;
mod reload;
mod reporting;
mod rescue;
mod running;
mod summary;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Loaded};
use crate::confirmer::{self, Confirmer, News};
use crate::delivery::Stop;
use crate::event::Wanted;
use crate::http::{self, Health};
use crate::journal::{self, Journal, OpenError};
use crate::metrics::Metrics;
use crate::poller::{self, Poller};
use crate::pulse;
use crate::vod::Client;
use crate::vod::credentials::{Provider, ProviderError};
use crate::{identity, systemd, telemetry};
pub use astray::warn_astray;
use left::{warn_of_orphans, warn_of_rescued};
use outlets::{Outlets, Tools};
pub use prepared::Prepared;
use reload::Reload;
use running::{Loop, Running};
use upkeep::Upkeep;

/// Parcels of leases, and of news that events are settled, on their way to the confirmer at most.
const QUEUE: usize = 256;
/// How long the conversion of an earlier version's journal may take.
const CONVERSION: Duration = Duration::from_secs(3600);
/// How long deliveries may go on after the stop.
const DELIVERY_TIME: Duration = Duration::from_secs(15);
/// The whole time of a stop.
const STOP_TIME: Duration = Duration::from_secs(25);
/// Kept of it for the last commit.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Why the daemon did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal was not opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The journal was opened and does not work.
    #[error("{0}")]
    JournalFailed(#[from] journal::Error),
    /// The credentials in the configuration cannot be used.
    #[error("[credentials]: {0}")]
    Credentials(ProviderError),
    /// Something in the configuration does not work on this machine.
    #[error("{0}")]
    Setup(String),
    /// The daemon is started as root and may not become the journal's owner.
    #[error(transparent)]
    Refused(#[from] identity::Refused),
    /// The address of `[http]` cannot be listened on.
    #[error("[http] listen: cannot listen on {address}: {source}")]
    Address {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A loop ended though nobody stopped it: a fault of the program.
    #[error("the {0} loop ended by itself; this is a fault of sprited, please report it")]
    LoopEnded(String),
}

/// How a daemon ended that was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All is done.
    Clean,
    /// With `once`: something stays pending.
    SomethingStays,
    /// With `once`: the cloud does not take the credentials.
    Credentials,
    /// With `once`: the cloud cannot be reached or refuses.
    Unreachable,
    /// With `once`: the journal does not take what was pulled.
    Unwritable,
    /// By itself: the journal's files were deleted, moved or replaced, or another daemon has them.
    JournalGone,
    /// By itself: the target of the only sink is gone for as long as the process lives.
    SinkGone,
    /// The time for the stop was up; what was not done stays due.
    Forced,
}

/// Tells a running daemon what to do.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Ends it.
    pub stop: CancellationToken,
    /// Has it read its configuration again, each time it is notified.
    pub reload: Arc<Notify>,
    /// The log whose level the configuration has; `None` where there is none.
    pub log: Option<telemetry::Handle>,
}

/// A daemon: all is open and bound, nothing runs yet.
#[derive(Debug)]
pub struct Daemon {
    /// One for each application.
    clients: Vec<Client>,
    journal: Journal,
    closing: journal::Closing,
    listener: Option<TcpListener>,
    poller: Poller,
    confirmer: Confirmer,
    changed: watch::Sender<u64>,
    stop_deliveries: Stop,
    reload: Reload,
}

impl Daemon {
    /// Opens all that the configuration names and binds its address, but asks the cloud nothing.
    ///
    /// # Errors
    /// When something cannot be opened; nothing runs then.
    pub async fn open(loaded: Loaded, provider: Arc<dyn Provider>) -> Result<Self, Error> {
        Prepared::new(loaded, provider).await?.open().await
    }

    async fn assemble(prepared: Prepared) -> Result<Self, Error> {
        let Prepared { file, config, client, sinks, listener } = prepared;
        let apps = config.vod.apps();
        let clients: Vec<_> = apps.iter().map(|app| client.with_app(*app)).collect();
        // First, since its lock tells best that another daemon runs with this configuration.
        if journal::is_older(&config.journal.path) {
            systemd::goes_on(CONVERSION).await;
        }
        let (journal, closing) = Journal::open(&config.journal)?;
        warn_of_rescued(&config.journal.path);
        let metrics = Metrics::new(journal.condition().commits());
        let listener = match listener {
            Some(listener) => Some(listener),
            None => bind(&config.http)?,
        };
        let (settled, settled_queue) = mpsc::channel(QUEUE);
        let (leases, lease_queue) = mpsc::channel(QUEUE);
        let changed = watch::Sender::new(0);
        let stop_deliveries = Stop::default();
        let tools = Tools {
            journal: journal.clone(),
            settled,
            changed: changed.clone(),
            metrics: metrics.clone(),
        };
        let mut outlets = Outlets::new(tools, stop_deliveries.clone());
        outlets.replace(sinks).await?;
        warn_of_orphans(&journal).await?;
        tell_max_size(&metrics, &config.journal);

        let (pulling, confirming) =
            (watch::Sender::new(pulling(&config)), watch::Sender::new(confirming(&config)));
        let wanted = watch::Sender::new(wanted(&config));
        let poller = Poller::new(
            clients.clone(),
            pulling.subscribe(),
            journal.clone(),
            leases,
            metrics.clone(),
        );
        let news =
            News { leases: lease_queue, settled: settled_queue, changed: changed.subscribe() };
        let confirmer = Confirmer::new(
            clients.clone(),
            confirming.subscribe(),
            journal.clone(),
            news,
            metrics.clone(),
        );
        let reload = Reload {
            file,
            config,
            log: None,
            client,
            journal: journal.clone(),
            metrics,
            pulling,
            confirming,
            wanted,
            outlets,
            changed: changed.clone(),
            mended: poller.mended(),
        };
        Ok(Self {
            clients,
            journal,
            closing,
            listener,
            poller,
            confirmer,
            changed,
            stop_deliveries,
            reload,
        })
    }

    /// The address of its pages, where it has them.
    #[must_use]
    pub fn http_address(&self) -> Option<std::net::SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Logs what was opened.
    pub fn announce(&self) {
        let Reload { config, client, outlets, .. } = &self.reload;
        let apps: Vec<_> = self.clients.iter().map(|client| client.app().to_string()).collect();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            endpoint = %config.vod.endpoint,
            app = apps.join(", "),
            credentials = %client.credentials_source(),
            journal = %config.journal.path.display(),
            http = self.http_address().map(tracing::field::display),
            sinks = outlets.names().join(", "),
            "started"
        );
    }

    /// Runs until it is told to stop, or with `once` until the queue is empty and nothing is
    /// pending. A stop takes 25 s at the most: pulls end within 5 s, deliveries within 15 s, and
    /// what they delivered is confirmed. It stops by itself where nothing can be delivered any more,
    /// since the only sink is gone. Where the journal's files are gone it stops by itself:
    /// pulls and confirms end at once, and what is left of the time is the copy's, however long that
    /// takes.
    ///
    /// # Errors
    /// When a loop ends by itself.
    pub async fn run(self, control: Control, once: bool) -> Result<End, Error> {
        let Self { journal, closing, listener, poller, confirmer, stop_deliveries, .. } = self;
        let mut reload = Reload { log: control.log.clone(), ..self.reload };
        // Not children of the one token: each is cancelled when its turn in the stop has come.
        let (stop_pulling, finish_confirming) =
            (CancellationToken::new(), CancellationToken::new());
        let stop_rest = CancellationToken::new();
        let pulses = pulse::Watch::default();
        let mut running = Running::default();
        let pulling = poller.pulling();
        let health =
            Arc::new(Health::new(pulling.clone(), journal.condition(), reload.pulling.subscribe()));

        let confirmer_idle = confirmer.idle();
        reload.outlets.launch(&mut running, &pulses);
        let gone = journal.condition().gone();
        let confirming = confirmer.run(pulses.add("confirmer"), finish_confirming.clone());
        running.spawn(Loop::Confirmer, until(&gone, confirming));
        let polling = poller.run(pulses.add("poller"), stop_pulling.clone());
        running.spawn(Loop::Poller, until(&gone, polling));
        if let Some(listener) = listener {
            let sources = http::Sources {
                metrics: reload.metrics.clone(),
                health: health.clone(),
                journal: reload.config.journal.path.clone(),
            };
            running.spawn(Loop::Http, http::serve(listener, sources, stop_rest.clone()));
        }
        let upkeep = Upkeep {
            journal: journal.clone(),
            clients: self.clients,
            metrics: reload.metrics.clone(),
            changed: self.changed,
            pulses: pulses.clone(),
            health: health.clone(),
            wanted: reload.wanted.subscribe(),
        };
        running.spawn(Loop::Upkeep, upkeep.run(stop_rest.clone()));
        // Whoever stops it does not wait for a manager that is busy.
        control.stop.run_until_cancelled(systemd::ready()).await;

        let end = loop {
            let mut idles = reload.outlets.idles();
            idles.push(confirmer_idle.clone());
            tokio::select! {
                biased;
                () = control.stop.cancelled() => {
                    break if once { End::SomethingStays } else { End::Clean };
                }
                // Before the loops that end by it.
                () = gone.cancelled() => break End::JournalGone,
                sink = running.ended() => reload.outlets.ended(&sink?),
                sink = reload.outlets.all_gone() => {
                    tracing::error!(
                        sink,
                        "the reader of standard output is gone, and there is no other sink; stops: \
                         what is pending stays in the journal"
                    );
                    break End::SinkGone;
                }
                () = control.reload.notified() => {
                    let reloading = reload.run(&mut running, &pulses);
                    // Whoever stops it does not wait for a disk that hangs.
                    control.stop.run_until_cancelled(reloading).await;
                }
                end = once::until_done(&journal, pulling.clone(), idles), if once => break end,
            }
        };
        drop(reload);

        let mut deadline = Instant::now() + STOP_TIME;
        tracing::info!("stopping");
        health.drain();
        stop_pulling.cancel();
        stop_deliveries.finish.cancel();
        let deliveries_end = Instant::now() + DELIVERY_TIME;
        systemd::stopping().await;
        let delivers = |task: &Loop| matches!(task, Loop::Delivery { .. } | Loop::Poller);
        if !running.wait_for(delivers, deliveries_end).await {
            stop_deliveries.abandon.cancel();
        }
        running.wait_for(delivers, deadline - CLOSE_TIME * 4).await;
        finish_confirming.cancel();
        running.wait_for(|task| matches!(task, Loop::Confirmer), deadline - CLOSE_TIME * 2).await;
        let is_gone = rescue::rescue_if_gone(&journal, &control.stop).await;
        if is_gone {
            deadline = Instant::now() + CLOSE_TIME * 4;
        }
        stop_rest.cancel();
        let all_ended = running.wait_for(|_| true, deadline - CLOSE_TIME).await;
        running.shutdown().await;
        drop(journal);
        let closed = tokio::time::timeout_at(deadline, closing.wait()).await.is_ok();
        if !(all_ended && closed) {
            tracing::warn!("the time for the stop is up; what was not done stays due");
        } else {
            tracing::info!("stopped");
        }
        Ok(match end {
            _ if is_gone => End::JournalGone,
            _ if !(all_ended && closed) => End::Forced,
            end => end,
        })
    }
}

/// What `work` is until `gone`: it ends where it stands then.
fn until(
    gone: &CancellationToken,
    work: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let gone = gone.clone();
    async move {
        gone.run_until_cancelled(work).await;
    }
}

fn tell_max_size(metrics: &Metrics, journal: &journal::Settings) {
    metrics.journal_max_size.set(i64::try_from(journal.max_size.as_u64()).unwrap_or(i64::MAX));
}

fn pulling(config: &Config) -> poller::Pacing {
    poller::Pacing {
        settings: config.poll.clone(),
        good_for: config.confirm.good_for(),
        lease: config.confirm.lease,
        max_circulating: config.confirm.max_unconfirmed.limit(),
    }
}

fn confirming(config: &Config) -> confirmer::Pacing {
    confirmer::Pacing {
        settings: config.confirm.clone(),
        max_requests_per_second: config.poll.max_requests_per_second,
        max_concurrency: config.poll.max_concurrency,
    }
}

fn wanted(config: &Config) -> Vec<Wanted> {
    config.sinks.iter().map(|sink| sink.events.clone()).collect()
}

fn bind(settings: &http::Settings) -> Result<Option<TcpListener>, Error> {
    let Some(address) = settings.address() else { return Ok(None) };
    http::listen(address).map(Some).map_err(|source| Error::Address { address, source })
}
