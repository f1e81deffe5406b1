//! The only place that wires: opens, binds, spawns, watches and stops.
//!
//! Signals are not handled here: whoever runs the daemon tells it what to do by [`Control`].

mod once;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::confirmer::{Confirmer, News};
use crate::delivery::{Delivery, Stop, Target};
use crate::http::{self, Health};
use crate::journal::{self, Backlog, Journal, OpenError, Route};
use crate::metrics::Metrics;
use crate::poller::{Poller, Progress};
use crate::pulse;
use crate::sinks::Sink;
use crate::systemd;
use crate::vod::Client;
use crate::vod::credentials::{Provider, ProviderError};
use upkeep::Upkeep;

/// Leases, and parcels of news that events are settled, on their way to the confirmer at most.
const QUEUE: usize = 1024;
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
    /// The time for the stop was up; what was not done stays due.
    Forced,
}

/// Tells a running daemon what to do.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Ends it.
    pub stop: CancellationToken,
    /// Has it open its files and read its secrets again, each time it is notified.
    pub reopen: Arc<tokio::sync::Notify>,
}

/// A daemon: all is open and bound, nothing runs yet.
#[derive(Debug)]
pub struct Daemon {
    journal: Journal,
    closing: journal::Closing,
    client: Client,
    metrics: Metrics,
    listener: Option<TcpListener>,
    poller: Poller,
    confirmer: Confirmer,
    deliveries: Vec<Delivery>,
    sinks: Vec<(String, Arc<dyn Sink>)>,
    changed: watch::Sender<u64>,
    progress: watch::Receiver<Progress>,
    config: Config,
}

/// A loop of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Loop {
    Poller,
    Delivery(String),
    Confirmer,
    Upkeep,
    Http,
}

impl Daemon {
    /// Opens all that `config` names and binds its address, but asks the cloud nothing.
    ///
    /// # Errors
    /// When something cannot be opened; nothing runs then.
    pub async fn open(config: Config, provider: Arc<dyn Provider>) -> Result<Self, Error> {
        let client = Client::new(&config.vod, provider).map_err(Error::Setup)?;
        // First, since its lock tells best that another daemon runs with this configuration.
        let (journal, closing) = Journal::open(&config.journal)?;
        let metrics = Metrics::new(journal.condition().commits());
        let listener = bind(&config.http).await?;
        let mut sinks = Vec::new();
        for sink in &config.sinks {
            let opened = sink.plan.open(&sink.context(client.app())).await;
            let opened = opened
                .map_err(|error| Error::Setup(format!("the sink {:?}: {error:#}", sink.name)))?;
            sinks.push((sink.name.clone(), opened));
        }
        let names = sinks.iter().map(|(name, _)| name.clone()).collect();
        let ids = journal.register(names).await?;
        for Backlog { sink, pending, dead } in journal.orphans().await? {
            tracing::warn!(
                sink,
                pending,
                dead,
                "the journal keeps events for a sink that is not in the configuration; name one so \
                 to have them delivered, or discard them"
            );
        }

        let (settled, settled_queue) = mpsc::channel(QUEUE);
        let (leases, lease_queue) = mpsc::channel(QUEUE);
        let changed = watch::Sender::new(0);
        let (mut routes, mut deliveries) = (Vec::new(), Vec::new());
        for ((sink, id), (name, opened)) in config.sinks.iter().zip(ids).zip(&sinks) {
            let (feed, fed) = journal::feed();
            routes.push(Route { sink: id, wanted: sink.events.clone(), feed });
            let target = Target {
                name: name.clone(),
                id,
                sink: opened.clone(),
                give_up_after: sink.give_up_after,
            };
            deliveries.push(Delivery::new(
                target,
                fed,
                journal.clone(),
                settled.clone(),
                changed.subscribe(),
                metrics.clone(),
            ));
        }
        journal.set_routes(routes).await?;
        let poller = Poller::new(
            client.clone(),
            &config.poll,
            config.confirm.good_for(),
            journal.clone(),
            leases,
            metrics.clone(),
        );
        let news =
            News { leases: lease_queue, settled: settled_queue, changed: changed.subscribe() };
        let confirmer = Confirmer::new(
            client.clone(),
            &config.confirm,
            config.poll.max_requests_per_second,
            journal.clone(),
            news,
            metrics.clone(),
        );
        let progress = poller.progress();
        Ok(Self {
            journal,
            closing,
            client,
            metrics,
            listener,
            poller,
            confirmer,
            deliveries,
            sinks,
            changed,
            progress,
            config,
        })
    }

    /// The address of its pages, where it has them.
    #[must_use]
    pub fn http_address(&self) -> Option<std::net::SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Logs what was opened.
    pub fn announce(&self) {
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            endpoint = %self.config.vod.endpoint,
            app = %self.client.app(),
            credentials = %self.client.credentials_source(),
            journal = %self.config.journal.path.display(),
            http = self.http_address().map(tracing::field::display),
            sinks = self.sinks.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
            "started"
        );
    }

    /// Runs until it is told to stop, or with `once` until the queue is empty and nothing is
    /// pending. A stop takes 25 s at the most: pulls end within 5 s, deliveries within 15 s, and
    /// what they delivered is confirmed.
    ///
    /// # Errors
    /// When a loop ends by itself.
    pub async fn run(self, control: Control, once: bool) -> Result<End, Error> {
        let Self { journal, closing, client, metrics, listener, poller, .. } = self;
        // Not children of the one token: each is cancelled when its turn in the stop has come.
        let (stop_pulling, stop_deliveries) = (CancellationToken::new(), Stop::default());
        let (finish_confirming, stop_rest) = (CancellationToken::new(), CancellationToken::new());
        let mut pulses = pulse::Watch::default();
        let mut running = Running::default();
        let health = Arc::new(Health::new(
            self.progress.clone(),
            journal.condition(),
            self.config.poll.interval,
        ));

        let mended = poller.mended();
        let idles = self.deliveries.iter().map(Delivery::idle);
        let idles = idles.chain([self.confirmer.idle()]).collect();
        for delivery in self.deliveries {
            let name = delivery.name().to_owned();
            let run =
                delivery.run(pulses.add(format!("delivery to {name}")), stop_deliveries.clone());
            running.spawn(Loop::Delivery(name), run);
        }
        let confirmer = self.confirmer.run(pulses.add("confirmer"), finish_confirming.clone());
        running.spawn(Loop::Confirmer, confirmer);
        running.spawn(Loop::Poller, poller.run(pulses.add("poller"), stop_pulling.clone()));
        if let Some(listener) = listener {
            let sources = http::Sources {
                metrics: metrics.clone(),
                health: health.clone(),
                journal: self.config.journal.path.clone(),
                max_size: self.config.journal.max_size,
            };
            running.spawn(Loop::Http, http::serve(listener, sources, stop_rest.clone()));
        }
        let upkeep = Upkeep {
            journal: journal.clone(),
            client,
            metrics: metrics.clone(),
            credentials: self.config.credentials.clone(),
            sinks: self.sinks,
            changed: self.changed,
            reopen: control.reopen.clone(),
            mended,
            pulses,
            health: health.clone(),
        };
        running.spawn(Loop::Upkeep, upkeep.run(stop_rest.clone()));
        systemd::ready();

        let end = tokio::select! {
            biased;
            () = control.stop.cancelled() => if once { End::SomethingStays } else { End::Clean },
            end = once::until_done(&journal, self.progress, idles), if once => end,
            error = running.ended_early() => return Err(error),
        };

        let deadline = Instant::now() + STOP_TIME;
        tracing::info!("stopping");
        systemd::stopping();
        health.drain();
        stop_pulling.cancel();
        stop_deliveries.finish.cancel();
        let deliveries_end = Instant::now() + DELIVERY_TIME;
        let delivers = |task: &Loop| matches!(task, Loop::Delivery(_) | Loop::Poller);
        if !running.wait_for(delivers, deliveries_end).await {
            stop_deliveries.abandon.cancel();
        }
        running.wait_for(delivers, deadline - CLOSE_TIME * 4).await;
        finish_confirming.cancel();
        running.wait_for(|task| *task == Loop::Confirmer, deadline - CLOSE_TIME * 2).await;
        stop_rest.cancel();
        let all_ended = running.wait_for(|_| true, deadline - CLOSE_TIME).await;
        running.tasks.shutdown().await;
        drop(journal);
        let closed = tokio::time::timeout_at(deadline, closing.wait()).await.is_ok();
        if !(all_ended && closed) {
            tracing::warn!("the time for the stop is up; what was not done stays due");
            return Ok(End::Forced);
        }
        tracing::info!("stopped");
        Ok(end)
    }
}

/// The loops that have not ended.
#[derive(Default)]
struct Running {
    tasks: JoinSet<Loop>,
    names: Vec<Loop>,
}

impl Running {
    fn spawn(&mut self, name: Loop, run: impl Future<Output = ()> + Send + 'static) {
        self.names.push(name.clone());
        self.tasks.spawn(async move {
            run.await;
            name
        });
    }

    /// Waits for a loop to end by itself, which none should.
    async fn ended_early(&mut self) -> Error {
        Error::LoopEnded(match self.tasks.join_next().await {
            Some(Ok(name)) => format!("{name:?}"),
            Some(Err(error)) => error.to_string(),
            None => "last".to_owned(),
        })
    }

    /// Waits until no task is left for which `counts` holds; tells whether that came about by
    /// `deadline`.
    async fn wait_for(&mut self, counts: impl Fn(&Loop) -> bool, deadline: Instant) -> bool {
        while self.names.iter().any(&counts) {
            match tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
                Ok(Some(Ok(ended))) => self.names.retain(|name| *name != ended),
                Ok(Some(Err(error))) => tracing::error!(%error, "a loop failed while stopping"),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
        true
    }
}

async fn bind(settings: &http::Settings) -> Result<Option<TcpListener>, Error> {
    let Some(address) = settings.address() else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|source| Error::Address { address, source })
}
