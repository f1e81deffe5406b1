//! The only place that wires: opens, binds, spawns, watches, reloads and stops.
//!
//! Signals are not handled here: whoever runs the daemon tells it what to do by [`DaemonSignals`].

mod astray;
mod drain;
mod exit;
mod leftovers;
mod maintenance;
mod prepared;
mod reload;
mod reporting;
mod rescue;
mod running_sinks;
mod sink_set;
mod summary;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Loaded};
use crate::confirmer::{self, Confirmer, Inbox};
use crate::delivery::DeliveryStop;
use crate::event::Wanted;
use crate::http::{self, DaemonHealth};
use crate::ingest::Ingest;
use crate::journal::{self, Journal};
use crate::liveness;
use crate::metrics::Metrics;
use crate::puller::{self, Puller};
use crate::vod::Client;
use crate::vod::credentials::Provider;
use crate::{logging, systemd};
pub use astray::warn_astray;
pub use exit::{DaemonError, ExitReason};
use leftovers::{warn_of_orphans, warn_of_rescued};
use maintenance::Maintenance;
pub use prepared::Prepared;
use reload::Reload;
pub use running_sinks::RunningSinks;
use sink_set::{Dependencies, SinkSet};
use tasks::{TaskName, Tasks};

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

/// Tells a running daemon what to do.
#[derive(Clone, Debug, Default)]
pub struct DaemonSignals {
    /// Ends it.
    pub stop: CancellationToken,
    /// Has it read its configuration again, each time it is notified.
    pub reload: Arc<Notify>,
    /// The log whose level the configuration has; `None` where there is none.
    pub log: Option<logging::LogHandle>,
    /// The sinks that it has in use.
    pub sinks: RunningSinks,
}

/// A daemon: all is open and bound, nothing runs yet.
#[derive(Debug)]
pub struct Daemon {
    /// One for each application.
    clients: Vec<Client>,
    journal: Journal,
    closing: journal::Closing,
    listener: Option<TcpListener>,
    puller: Puller,
    confirmer: Confirmer,
    changed: watch::Sender<u64>,
    stop_deliveries: DeliveryStop,
    reload: Reload,
}

impl Daemon {
    /// Opens all that the configuration names and binds its address, but asks the cloud nothing.
    ///
    /// # Errors
    /// When something cannot be opened; nothing runs then.
    pub async fn open(loaded: Loaded, provider: Arc<dyn Provider>) -> Result<Self, DaemonError> {
        Prepared::new(loaded, provider).await?.open().await
    }

    async fn assemble(prepared: Prepared) -> Result<Self, DaemonError> {
        let Prepared { file, config, client, sinks, listener } = prepared;
        let apps = config.vod.apps();
        let clients: Vec<_> = apps.iter().map(|app| client.with_app(*app)).collect();
        // First, since its lock tells best that another daemon runs with this configuration.
        if journal::is_older(&config.journal.path) {
            systemd::goes_on(CONVERSION).await;
        }
        let (journal, closing) = Journal::open(&config.journal)?;
        warn_of_rescued(&config.journal.path);
        let metrics = Metrics::new(journal.health().commits());
        let listener = match listener {
            Some(listener) => Some(listener),
            None => bind(&config.http)?,
        };
        let (settled, settled_queue) = mpsc::channel(QUEUE);
        let (leases, lease_queue) = mpsc::channel(QUEUE);
        let changed = watch::Sender::new(0);
        let stop_deliveries = DeliveryStop::default();
        let tools = Dependencies {
            journal: journal.clone(),
            settled,
            changed: changed.clone(),
            metrics: metrics.clone(),
        };
        let mut outlets = SinkSet::new(tools, stop_deliveries.clone());
        outlets.replace(sinks).await?;
        warn_of_orphans(&journal).await?;
        tell_max_size(&metrics, &config.journal);

        let (pulling, confirming) =
            (watch::Sender::new(pulling(&config)), watch::Sender::new(confirming(&config)));
        let wanted = watch::Sender::new(wanted(&config));
        let puller = Puller::new(
            clients.clone(),
            pulling.subscribe(),
            journal.clone(),
            Ingest::new(journal.clone(), leases, metrics.clone()),
            metrics.clone(),
        );
        let news =
            Inbox { leases: lease_queue, settled: settled_queue, changed: changed.subscribe() };
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
            retry_now: puller.retry_now(),
        };
        Ok(Self {
            clients,
            journal,
            closing,
            listener,
            puller,
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
    pub async fn run(self, control: DaemonSignals, once: bool) -> Result<ExitReason, DaemonError> {
        let Self { journal, closing, listener, puller, confirmer, stop_deliveries, .. } = self;
        let mut reload = Reload { log: control.log.clone(), ..self.reload };
        // Not children of the one token: each is cancelled when its turn in the stop has come.
        let (stop_pulling, finish_confirming) =
            (CancellationToken::new(), CancellationToken::new());
        let stop_rest = CancellationToken::new();
        let pulses = liveness::LivenessMonitor::default();
        let mut running = Tasks::default();
        let pulling = puller.pulling();
        let health = Arc::new(DaemonHealth::new(
            pulling.clone(),
            journal.health(),
            reload.pulling.subscribe(),
        ));

        let confirmer_idle = confirmer.idle();
        reload.outlets.share(control.sinks.clone());
        reload.outlets.launch(&mut running, &pulses);
        let gone = journal.health().gone();
        let confirming = confirmer.run(pulses.register("confirmer"), finish_confirming.clone());
        running.spawn(TaskName::Confirmer, until(&gone, confirming));
        let polling = puller.run(pulses.register("puller"), stop_pulling.clone());
        running.spawn(TaskName::Puller, until(&gone, polling));
        if let Some(listener) = listener {
            let sources = http::Sources {
                metrics: reload.metrics.clone(),
                health: health.clone(),
                journal: reload.config.journal.path.clone(),
            };
            running.spawn(TaskName::Http, http::serve(listener, sources, stop_rest.clone()));
        }
        let upkeep = Maintenance {
            journal: journal.clone(),
            clients: self.clients,
            metrics: reload.metrics.clone(),
            changed: self.changed,
            pulses: pulses.clone(),
            health: health.clone(),
            wanted: reload.wanted.subscribe(),
        };
        running.spawn(TaskName::Upkeep, upkeep.run(stop_rest.clone()));
        // Whoever stops it does not wait for a manager that is busy.
        control.stop.run_until_cancelled(systemd::ready()).await;

        let end = loop {
            let mut idles = reload.outlets.idles();
            idles.push(confirmer_idle.clone());
            tokio::select! {
                biased;
                () = control.stop.cancelled() => {
                    break if once { ExitReason::SomethingStays } else { ExitReason::Clean };
                }
                // Before the loops that end by it.
                () = gone.cancelled() => break ExitReason::JournalGone,
                sink = running.ended() => reload.outlets.ended(&sink?),
                sink = reload.outlets.all_gone() => {
                    tracing::error!(
                        sink,
                        "the reader of standard output is gone, and there is no other sink; stops: \
                         what is pending stays in the journal"
                    );
                    break ExitReason::SinkGone;
                }
                () = control.reload.notified() => {
                    let reloading = reload.run(&mut running, &pulses);
                    // Whoever stops it does not wait for a disk that hangs.
                    control.stop.run_until_cancelled(reloading).await;
                }
                end = drain::until_done(&journal, pulling.clone(), idles), if once => break end,
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
        let delivers =
            |task: &TaskName| matches!(task, TaskName::Delivery { .. } | TaskName::Puller);
        if !running.wait_for(delivers, deliveries_end).await {
            stop_deliveries.abandon.cancel();
        }
        running.wait_for(delivers, deadline - CLOSE_TIME * 4).await;
        finish_confirming.cancel();
        running
            .wait_for(|task| matches!(task, TaskName::Confirmer), deadline - CLOSE_TIME * 2)
            .await;
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
            _ if is_gone => ExitReason::JournalGone,
            _ if !(all_ended && closed) => ExitReason::Forced,
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

fn tell_max_size(metrics: &Metrics, journal: &journal::JournalSettings) {
    metrics.journal_max_size.set(i64::try_from(journal.max_size.as_u64()).unwrap_or(i64::MAX));
}

fn pulling(config: &Config) -> puller::PollPacing {
    puller::PollPacing {
        settings: config.poll.clone(),
        good_for: config.confirm.good_for(),
        lease: config.confirm.lease,
        max_circulating: config.confirm.max_unconfirmed.limit(),
    }
}

fn confirming(config: &Config) -> confirmer::ConfirmPacing {
    confirmer::ConfirmPacing {
        settings: config.confirm.clone(),
        max_requests_per_second: config.poll.max_requests_per_second,
        max_concurrency: config.poll.max_concurrency,
    }
}

fn wanted(config: &Config) -> Vec<Wanted> {
    config.sinks.iter().map(|sink| sink.events.clone()).collect()
}

fn bind(settings: &http::HttpSettings) -> Result<Option<TcpListener>, DaemonError> {
    let Some(address) = settings.address() else { return Ok(None) };
    http::listen(address).map(Some).map_err(|source| DaemonError::Address { address, source })
}
