//! The lifecycle of the daemon: opens its resources, starts its tasks and handles its signals.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::bind::bind;
use super::control::DaemonControl;
use super::drain::Idle;
use super::exit::{DaemonError, ExitReason};
use super::live_settings::LiveSettings;
use super::maintenance::Maintenance;
use super::prepared::Prepared;
use super::pulling_pause::PullingPause;
use super::receiving::{PreparedReceiver, ReceiverSocket};
use super::reload::ActiveConfig;
use super::reload_requests::ReloadRequests;
use super::running_sinks::RunningSinks;
use super::sink_set::{Dependencies, SinkSet};
use super::stop::StagedStop;
use super::tasks::{TaskName, Tasks};
use super::unfinished::Unfinished;
use super::warnings::{warn_of_orphans, warn_of_rescued};
use super::{drain, systemd};
use crate::config::Loaded;
use crate::confirmer::{Confirmer, Inbox};
use crate::control;
use crate::delivery::{SinkBoard, SinkControls};
use crate::health::{DaemonHealth, HealthParts, Snapshots};
use crate::http;
use crate::ingest::Ingest;
use crate::journal::{self, Journal};
use crate::liveness::LivenessMonitor;
use crate::logging::LogHandle;
use crate::metrics::Metrics;
use crate::puller::Puller;
use crate::receiver::{PostLosses, Receiver};
use crate::reconcile::{Reconciler, ReconcilerParts};
use crate::vod::Client;
use crate::vod::credentials::Provider;

/// Batches of leases, and of settled events, on their way to the confirmer at most.
const CONFIRMER_QUEUE: usize = 256;
/// How long the migration of an earlier version's journal may take.
const MIGRATION_TIME: Duration = Duration::from_secs(3600);

/// The control of a running daemon.
#[derive(Clone, Debug, Default)]
pub struct DaemonSignals {
    /// Stops it.
    pub stop: CancellationToken,
    /// Has it reload its configuration, each time it is notified.
    pub reload: Arc<Notify>,
    /// The log whose level the configuration has; `None` where there is none.
    pub log: Option<LogHandle>,
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
    pulling_pause: PullingPause,
    receiver: Option<(Receiver, ReceiverSocket)>,
    reconciler: Reconciler,
    confirmer: Confirmer,
    changed: watch::Sender<u64>,
    stop: StagedStop,
    health: Arc<DaemonHealth>,
    active: ActiveConfig,
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
        let Prepared { file, config, shown, client, sinks, listener, receiver } = prepared;
        let apps = config.vod.apps();
        let clients: Vec<_> = apps.iter().map(|app| client.with_app(*app)).collect();
        // First, since its lock shows best that another daemon runs with this configuration.
        if journal::is_older(&config.journal.path) {
            systemd::extend_timeout(MIGRATION_TIME).await;
        }
        let (journal, closing) = Journal::open(&config.journal)?;
        journal.set_begun(apps.clone(), Utc::now()).await?;
        warn_of_rescued(&config.journal.path);
        let metrics = Metrics::new(journal.health().commits());
        let listener = match (listener, config.http.address()) {
            (None, Some(address)) => Some(bind("http", address)?),
            (listener, _) => listener,
        };
        let (rules, socket) = receiver.map(PreparedReceiver::open).transpose()?.unzip();
        let (settled, settled_queue) = mpsc::channel(CONFIRMER_QUEUE);
        let (leases, lease_queue) = mpsc::channel(CONFIRMER_QUEUE);
        let (changed, stop) = (watch::Sender::new(0), StagedStop::default());
        let board = SinkBoard::default();
        let dependencies = Dependencies {
            journal: journal.clone(),
            settled,
            changed: changed.clone(),
            metrics: metrics.clone(),
            board: board.clone(),
            controls: SinkControls::default(),
        };
        let opened = sinks;
        let mut sinks = SinkSet::new(dependencies, stop.deliveries.clone());
        sinks.replace(opened).await?;
        warn_of_orphans(&journal).await?;

        let settings = LiveSettings::new(&config, rules, journal.clone(), metrics.clone());
        let ingest = Ingest::new(journal.clone(), leases, metrics.clone());
        let receiver = settings.receiving.as_ref().map(|rules| Receiver {
            apps,
            ingest: ingest.clone(),
            journal: journal.clone(),
            metrics: metrics.clone(),
            rules: rules.subscribe(),
            losses: PostLosses::new(metrics.clone()),
        });
        let pulled = if config.vod.pull { clients.clone() } else { Vec::new() };
        let pulling_pause = PullingPause::open(journal.clone(), metrics.clone()).await?;
        let puller = Puller::new(
            pulled,
            settings.pulling.subscribe(),
            pulling_pause.watch(),
            journal.clone(),
            ingest.clone(),
            metrics.clone(),
        );
        let reconciler = Reconciler::new(ReconcilerParts {
            clients: clients.clone(),
            found_empty: puller.found_empty(),
            settings: settings.reconciling.subscribe(),
            wanted: settings.wanted.subscribe(),
            path: config.journal.path.clone(),
            journal: journal.clone(),
            ingest,
            metrics: metrics.clone(),
        });
        let inbox =
            Inbox { leases: lease_queue, settled: settled_queue, changed: changed.subscribe() };
        let confirmer = Confirmer::new(
            clients.clone(),
            settings.confirming.subscribe(),
            journal.clone(),
            inbox,
            metrics.clone(),
        );
        let retry_now = puller.retry_now();
        let last_reload = watch::Sender::new(None);
        let health = DaemonHealth::new(HealthParts {
            apps: config.vod.apps(),
            endpoint: config.vod.endpoint.to_string(),
            progress: puller.pulling(),
            confirming: confirmer.confirming(),
            receiving: receiver.as_ref().map(|receiver| receiver.losses.watch()),
            reconcile: reconciler.progress(),
            journal: journal.health(),
            sinks: board,
            metrics: metrics.clone(),
            pacing: settings.pulling.subscribe(),
            ready_rule: settings.ready_rule.subscribe(),
            last_reload: last_reload.subscribe(),
        });
        let active = ActiveConfig {
            file,
            config,
            shown: watch::Sender::new(shown),
            log: None,
            client,
            settings,
            sinks,
            retry_now,
            last_reload,
        };
        Ok(Self {
            clients,
            journal,
            closing,
            listener,
            puller,
            pulling_pause,
            receiver: receiver.zip(socket),
            reconciler,
            confirmer,
            changed,
            stop,
            health: Arc::new(health),
            active,
        })
    }

    /// Returns the address of its pages, where it has them.
    #[must_use]
    pub fn http_address(&self) -> Option<std::net::SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Returns the address that posted events arrive at, where it receives them.
    #[must_use]
    pub fn callback_address(&self) -> Option<std::net::SocketAddr> {
        self.receiver_address().map(|(address, _)| address)
    }

    /// Returns the address that posted events arrive at, and whether it is of a socket that the
    /// service manager holds.
    fn receiver_address(&self) -> Option<(std::net::SocketAddr, bool)> {
        let (_, socket) = self.receiver.as_ref()?;
        Some((socket.listener.local_addr().ok()?, socket.is_passed))
    }

    /// Logs what was opened.
    pub fn announce(&self) {
        let ActiveConfig { config, client, sinks, .. } = &self.active;
        let receive = self.receiver_address();
        let apps: Vec<_> = self.clients.iter().map(|client| client.app().to_string()).collect();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            endpoint = %config.vod.endpoint,
            app = apps.join(", "),
            credentials = %client.credentials_source(),
            journal = %config.journal.path.display(),
            http = self.http_address().map(tracing::field::display),
            receive = receive.map(|(address, _)| tracing::field::display(address)),
            sinks = sinks.names().join(", "),
            "started"
        );
        if let Some((address, true)) = receive {
            tracing::info!(%address, "receiving on the socket that the service manager passed; \
                                      [receive] listen is not used");
        }
    }

    /// Runs until it is told to stop, or with `once` until the queue is empty and nothing is
    /// pending. It stops by itself where nothing can be delivered any more, since the only sink is
    /// gone, and where the journal's files are gone: pulls and confirms end at once then, and what
    /// is left of the time is the copy's, however long that takes.
    ///
    /// # Errors
    /// When a task ends by itself.
    pub async fn run(self, signals: DaemonSignals, once: bool) -> Result<ExitReason, DaemonError> {
        let Self { clients, journal, closing, listener, changed, stop, health, .. } = self;
        let Self { puller, pulling_pause, receiver, reconciler, confirmer, .. } = self;
        let mut active = ActiveConfig { log: signals.log.clone(), ..self.active };
        let (liveness, mut tasks) = (LivenessMonitor::default(), Tasks::default());
        let metrics = active.settings.metrics.clone();
        let (progress, confirmer_idle) = (puller.pulling(), confirmer.idle());
        let snapshots = Snapshots::new(active.config.journal.path.clone(), journal.health());
        let snapshots = Arc::new(snapshots);

        active.sinks.share(signals.sinks.clone());
        active.sinks.launch(&mut tasks, &liveness);
        let gone = journal.health().gone();
        let confirming = confirmer.run(liveness.register("confirmer"), stop.confirming.clone());
        tasks.spawn(TaskName::Confirmer, until(&gone, confirming));
        let pulling = puller.run(liveness.register("puller"), stop.pulling.clone());
        tasks.spawn(TaskName::Puller, until(&gone, pulling));
        // What is drained and left takes nothing new.
        if let Some((receiver, ReceiverSocket { listener, .. })) = receiver.filter(|_| !once) {
            let receiving = receiver.serve(listener, stop.receiving.clone());
            tasks.spawn(TaskName::Receiver, until(&gone, receiving));
        }
        if let Some(reconciler) = Some(reconciler).filter(|_| !once) {
            let reconciling = reconciler.run(liveness.register("reconciler"), stop.pulling.clone());
            tasks.spawn(TaskName::Reconciler, until(&gone, reconciling));
        }
        if let Some(listener) = listener {
            let (metrics, health) = (metrics.clone(), health.clone());
            let sources = http::Sources {
                metrics,
                health,
                snapshots: snapshots.clone(),
                journal: active.config.journal.path.clone(),
                sprites: active.settings.sprites.subscribe(),
                config: active.file.clone(),
                host: host_name(),
            };
            tasks.spawn(TaskName::Http, http::serve(listener, sources, stop.rest.clone()));
        }
        let (reloads, mut asked_reloads) = ReloadRequests::new();
        let control = DaemonControl {
            health: health.clone(),
            snapshots: snapshots.clone(),
            pulling: pulling_pause,
            sinks: active.sinks.commands(&active.config),
            reloads,
            shown: active.shown.subscribe(),
        };
        let socket = journal::control_socket(&active.config.journal.path);
        let socket_tried = CancellationToken::new();
        let answering = control::serve(
            socket,
            move |request| control.clone().answer(request),
            socket_tried.clone(),
            stop.rest.clone(),
        );
        tasks.spawn(TaskName::Control, answering);
        let maintenance = Maintenance {
            journal: journal.clone(),
            clients,
            calls_the_cloud: active.settings.calls_the_cloud.subscribe(),
            metrics,
            changed,
            liveness: liveness.clone(),
            health: health.clone(),
            snapshots,
            wanted: active.settings.wanted.subscribe(),
            sources: active.config.sources(),
        };
        tasks.spawn(TaskName::Maintenance, maintenance.run(stop.rest.clone()));
        // Whoever waits for the start may ask at once. A stop waits neither for a disk nor for a
        // manager that is busy.
        signals.stop.run_until_cancelled(socket_tried.cancelled()).await;
        signals.stop.run_until_cancelled(systemd::ready()).await;

        let reason = loop {
            let mut idles = active.sinks.idles();
            idles.push(Idle::of_task(confirmer_idle.clone()));
            tokio::select! {
                biased;
                () = signals.stop.cancelled() => {
                    break if once { ExitReason::SomethingStays } else { ExitReason::Clean };
                }
                // Before the tasks that end by it.
                () = gone.cancelled() => break ExitReason::JournalGone,
                sink = tasks.ended() => active.sinks.ended(&sink?),
                sink = active.sinks.all_gone() => {
                    tracing::error!(
                        sink,
                        "the reader of standard output is gone, and there is no other sink: \
                         stopping; pending events stay in the journal"
                    );
                    break ExitReason::SinkGone;
                }
                () = signals.reload.notified() => {
                    let reloading = active.reload(&mut tasks, &liveness);
                    // A stop does not wait for a disk that hangs.
                    signals.stop.run_until_cancelled(reloading).await;
                }
                Some(asked) = asked_reloads.recv() => {
                    let answering = active.answer(asked, &mut tasks, &liveness);
                    signals.stop.run_until_cancelled(answering).await;
                }
                reason = drain::until_done(&journal, progress.clone(), idles), if once => break reason,
            }
        };
        drop((active, asked_reloads));
        health.drain();
        let unfinished = match once && reason != ExitReason::Clean {
            true => Some(Unfinished::find(reason, &journal, &progress, &signals.stop).await),
            false => None,
        };
        let ended = stop.run(reason, tasks, journal, closing, &signals.stop).await;
        unfinished.iter().for_each(|unfinished| unfinished.log(ended));
        Ok(ended)
    }
}

impl Prepared {
    /// Opens the rest.
    ///
    /// # Errors
    /// When something cannot be opened; nothing runs then.
    pub async fn open(self) -> Result<Daemon, DaemonError> {
        Daemon::assemble(self).await
    }
}

/// The name of this machine; nothing where it has none.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map(|name| name.trim_end().to_owned()).unwrap_or_default()
}

/// Returns what `work` is until `gone`: it ends where it is then.
fn until(
    gone: &CancellationToken,
    work: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let gone = gone.clone();
    async move {
        gone.run_until_cancelled(work).await;
    }
}
