//! The sinks in use, each with its delivery loop: how they are opened, put in use and replaced by
//! those of another configuration.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::drain::Idle;
use super::running_sinks::RunningSinks;
use super::sink_commands::SinkCommands;
use super::tasks::{TaskName, Tasks};
use super::warnings::warn_of_orphans;
use crate::config::{self, AfterSink};
use crate::delivery::{Delivery, DeliveryStop, DeliveryTarget, SinkBoard, SinkControls};
use crate::event::AppId;
use crate::journal::{self, EventId, FeedReceiver, FeedSender, Journal, Route, RouteAfter, SinkId};
use crate::liveness::LivenessMonitor;
use crate::metrics::Metrics;
use crate::sinks::{OutputTarget, Sink};

/// How long opening a sink may take: it reads files and asks no target.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// A sink that waits longer for the deliveries of the one it replaced logs that.
const REPLACED_SINK_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Dependencies {
    pub(super) journal: Journal,
    pub(super) settled: mpsc::Sender<Vec<EventId>>,
    pub(super) changed: watch::Sender<u64>,
    pub(super) metrics: Metrics,
    pub(super) board: SinkBoard,
    pub(super) controls: SinkControls,
}

/// The sinks in use, in the order of the configuration.
#[derive(Debug)]
pub(super) struct SinkSet {
    all: Vec<RunningSink>,
    unspawned: Vec<UnspawnedSink>,
    locks: SinkLocks,
    dependencies: Dependencies,
    stop: DeliveryStop,
    running: RunningSinks,
}

#[derive(Debug)]
struct RunningSink {
    settings: config::SinkConfig,
    sink: Arc<dyn Sink>,
    feed: FeedSender,
    finish: CancellationToken,
    idle: watch::Receiver<bool>,
}

#[derive(Debug)]
struct UnspawnedSink {
    delivery: Delivery,
    finish: CancellationToken,
    locks: Vec<Arc<Semaphore>>,
}

/// A sink of a configuration, opened and not yet in use.
#[derive(Debug)]
pub(super) struct OpenedSink {
    settings: config::SinkConfig,
    feed: FeedSender,
    /// `None` if the one in use stays.
    new: Option<(Arc<dyn Sink>, FeedReceiver)>,
}

#[derive(Debug, Default)]
pub(super) struct SinkChanges {
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) changed: Vec<String>,
}

impl SinkSet {
    /// An empty set, whose loops end by `stop`.
    pub(super) fn new(dependencies: Dependencies, stop: DeliveryStop) -> Self {
        let (all, unspawned, locks) = Default::default();
        Self { all, unspawned, locks, dependencies, stop, running: RunningSinks::default() }
    }

    /// How commands reach the sinks, those of later configurations too.
    pub(super) fn commands(&self, config: &config::Config) -> SinkCommands {
        let app = config.vod.apps().first().copied().unwrap_or(AppId(0));
        let Dependencies { controls, journal, .. } = &self.dependencies;
        SinkCommands::new(controls.clone(), journal.clone(), config.journal.path.clone(), app)
    }

    pub(super) fn share(&mut self, running: RunningSinks) {
        self.running = running;
    }

    /// Opens the sinks of a configuration; one that is in use already is only asked to open its
    /// target again. Changes nothing else. Fails with a line for each sink that cannot be opened.
    pub(super) async fn open(
        &self,
        settings: &[config::SinkConfig],
        app: AppId,
    ) -> Result<Vec<OpenedSink>, Vec<String>> {
        let opening = settings.iter().map(|one| in_time(&one.name, self.open_one(one, app)));
        all_or_errors(join_all(opening).await)
    }

    /// Opens the sinks of a configuration where none is in use. Fails with a line for each sink
    /// that cannot be opened.
    pub(super) async fn open_all(
        settings: &[config::SinkConfig],
        app: AppId,
    ) -> Result<Vec<OpenedSink>, Vec<String>> {
        let opening = settings.iter().map(|one| in_time(&one.name, open_new(one, app)));
        all_or_errors(join_all(opening).await)
    }

    async fn open_one(
        &self,
        settings: &config::SinkConfig,
        app: AppId,
    ) -> anyhow::Result<OpenedSink> {
        if let Some(running) = self.named(&settings.name)
            && running.settings.opens_as(settings)
        {
            running.sink.reopen().await?;
            let (settings, feed) = (settings.clone(), running.feed.clone());
            return Ok(OpenedSink { settings, feed, new: None });
        }
        open_new(settings, app).await
    }

    /// Probes the sinks that would be put in use and are local to this machine. Fails with a line
    /// for each that fails.
    pub(super) async fn probe(opened: &[OpenedSink]) -> Result<(), Vec<String>> {
        let probes = opened.iter().map(async |OpenedSink { settings, new, .. }| {
            let (sink, _) = new.as_ref().filter(|(sink, _)| sink.is_local())?;
            let probed = timeout(OPEN_TIMEOUT, sink.probe()).await;
            let error = match probed {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => format!("no answer within {} s", OPEN_TIMEOUT.as_secs()),
            };
            Some(format!("the sink {:?}: {}: {error}", settings.name, settings.plan.kind()))
        });
        let errors: Vec<_> = join_all(probes).await.into_iter().flatten().collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    pub(super) async fn reopen(&self) {
        let reopening = self.all.iter().map(async |running| {
            let reopened = timeout(OPEN_TIMEOUT, running.sink.reopen()).await;
            if let Ok(Err(error)) = reopened {
                tracing::error!(
                    sink = %running.settings.name,
                    error = format!("{error:#}"),
                    "sink not reopened; continuing with its present target"
                );
            }
        });
        join_all(reopening).await;
    }

    /// Puts these sinks in use, and no others: an event goes by the old ones or by the new ones.
    /// Those that stay notice nothing. The loops of the others are told to end; the new ones start
    /// with [`SinkSet::launch`]. Fails when the journal cannot be written; nothing has changed
    /// then.
    pub(super) async fn replace(
        &mut self,
        opened: Vec<OpenedSink>,
    ) -> journal::Result<SinkChanges> {
        let stays = |(new, old): (&OpenedSink, &RunningSink)| {
            let (new, is_open) = (&new.settings, new.new.is_none());
            is_open && new.events == old.settings.events && new.after == old.settings.after
        };
        if opened.len() == self.all.len() && opened.iter().zip(&self.all).all(stays) {
            return Ok(SinkChanges::default());
        }
        let names = opened.iter().map(|new| new.settings.name.clone()).collect();
        let ids = self.dependencies.journal.register(names).await?;
        // Each names one of them: the configuration was checked.
        let in_use = || opened.iter().zip(&ids).map(|(new, id)| (new.settings.name.as_str(), *id));
        let route_after = |after: &AfterSink| RouteAfter::find(&after.sink, after.on, in_use());
        let route = |(new, id): (&OpenedSink, &SinkId)| Route {
            sink: *id,
            wanted: new.settings.events.clone(),
            feed: new.feed.clone(),
            after: new.settings.after.as_ref().and_then(route_after),
        };
        self.dependencies
            .journal
            .set_routes(opened.iter().zip(&ids).map(route).collect(), chrono::Utc::now())
            .await?;
        // From here on nothing can fail.
        let mut changes = SinkChanges::default();
        let mut before = std::mem::take(&mut self.all);
        for (OpenedSink { settings, feed, new }, id) in opened.into_iter().zip(ids) {
            let place = before.iter().position(|old| old.settings.name == settings.name);
            let old = place.map(|place| before.remove(place));
            let name = settings.name.clone();
            let (names, running) = match (old, new) {
                (Some(old), None) => {
                    let wants_others = old.settings.events != settings.events
                        || old.settings.after != settings.after;
                    (wants_others.then_some(&mut changes.changed), RunningSink { settings, ..old })
                }
                (old, Some((sink, fed))) => {
                    let is_new = old.map(|old| old.finish.cancel()).is_none();
                    let names = if is_new { &mut changes.added } else { &mut changes.changed };
                    (Some(names), self.register(settings, id, sink, feed, fed))
                }
                (None, None) => continue,
            };
            names.into_iter().for_each(|names| names.push(name.clone()));
            self.all.push(running);
        }
        for old in before {
            old.finish.cancel();
            self.dependencies.board.forget(&old.settings.name);
            self.dependencies.controls.forget(&old.settings.name);
            changes.removed.push(old.settings.name);
        }
        Ok(changes)
    }

    fn register(
        &mut self,
        settings: config::SinkConfig,
        id: SinkId,
        sink: Arc<dyn Sink>,
        feed: FeedSender,
        fed: FeedReceiver,
    ) -> RunningSink {
        let Dependencies { journal, settled, changed, metrics, board, controls } =
            &self.dependencies;
        let target = DeliveryTarget {
            name: settings.name.clone(),
            id,
            sink: sink.clone(),
            give_up_after: settings.give_up_after,
            max_rejects: settings.max_rejects,
        };
        let (journal, settled) = (journal.clone(), settled.clone());
        let delivery =
            Delivery::new(target, fed, journal, settled, changed.subscribe(), metrics, board);
        controls.set(delivery.name(), delivery.control());
        let (finish, idle) = (self.stop.finish.child_token(), delivery.idle());
        let locks = self.locks.of(&settings);
        self.unspawned.push(UnspawnedSink { delivery, finish: finish.clone(), locks });
        RunningSink { settings, sink, feed, finish, idle }
    }

    /// Starts the loops that do not run yet. One whose sink had another loop before starts its work
    /// when the deliveries in flight there have ended.
    pub(super) fn launch(&mut self, tasks: &mut Tasks, liveness: &LivenessMonitor) {
        for UnspawnedSink { delivery, finish, locks } in self.unspawned.drain(..) {
            self.running.add(delivery.sink());
            let sink = delivery.name().to_owned();
            let mut heartbeat = liveness.register(format!("delivery to {sink}"));
            let stop = DeliveryStop { finish: finish.clone(), ..self.stop.clone() };
            tasks.spawn(TaskName::Delivery { sink: sink.clone(), finish }, async move {
                let locked = tokio::select! {
                    locked = stop.finish.run_until_cancelled(lock(locks, &sink)) => locked,
                    never = heartbeat.beat_forever() => match never {},
                };
                // Held until the sink is dropped with its loop.
                if let Some(_locked) = locked {
                    delivery.run(heartbeat, stop).await;
                }
            });
        }
    }

    /// Has everybody see that events of removed sinks may be settled, and warns of those that are
    /// left.
    pub(super) async fn release_removed(&self) {
        self.dependencies.changed.send_modify(|count| *count += 1);
        if let Err(error) = warn_of_orphans(&self.dependencies.journal).await {
            tracing::debug!(%error, "cannot read the events of removed sinks");
        }
    }

    /// Waits until the target of the only sink in use is gone for good, and returns its name; for
    /// ever where there are others, which go on. Cancel safe.
    pub(super) async fn all_gone(&self) -> String {
        if let [running] = self.all.as_slice()
            && let Some(gone) = running.sink.gone()
        {
            gone.cancelled().await;
            return running.settings.name.clone();
        }
        std::future::pending().await
    }

    /// The loop of a sink has ended: removes the metrics of one that is not in use.
    pub(super) fn ended(&self, name: &str) {
        if self.named(name).is_none() {
            self.dependencies.metrics.forget_sink(name);
        }
    }

    /// Returns, for each sink in use, whether it has nothing in flight.
    pub(super) fn idles(&self) -> Vec<Idle> {
        let idle = |of: &RunningSink| Idle::of_sink(of.idle.clone(), of.feed.clone());
        self.all.iter().map(idle).collect()
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.all.iter().map(|running| running.settings.name.as_str()).collect()
    }

    fn named(&self, name: &str) -> Option<&RunningSink> {
        self.all.iter().find(|running| running.settings.name == name)
    }
}

async fn in_time(
    name: &str,
    opening: impl Future<Output = anyhow::Result<OpenedSink>>,
) -> Result<OpenedSink, String> {
    let opened = timeout(OPEN_TIMEOUT, opening).await.unwrap_or_else(|_| {
        Err(anyhow::anyhow!("does not open within {} s", OPEN_TIMEOUT.as_secs()))
    });
    opened.map_err(|error| format!("the sink {name:?}: {error:#}"))
}

fn all_or_errors(results: Vec<Result<OpenedSink, String>>) -> Result<Vec<OpenedSink>, Vec<String>> {
    let (mut opened, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => opened.push(one),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(opened) } else { Err(errors) }
}

async fn open_new(settings: &config::SinkConfig, app: AppId) -> anyhow::Result<OpenedSink> {
    let sink = settings.plan.open(&settings.context(app)).await?;
    let (feed, fed) = journal::feed();
    Ok(OpenedSink { settings: settings.clone(), feed, new: Some((sink, fed)) })
}

/// What only one loop at a time may hold. The next one waits until the one before has ended
/// altogether: an event is never in flight twice, and no file has two writers.
#[derive(Debug, Default)]
struct SinkLocks(HashMap<LockKey, Arc<Semaphore>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum LockKey {
    Name(String),
    Output(OutputTarget),
}

impl SinkLocks {
    fn of(&mut self, settings: &config::SinkConfig) -> Vec<Arc<Semaphore>> {
        // Those that no loop holds or waits for are dropped.
        self.0.retain(|_, lock| Arc::strong_count(lock) > 1);
        let name = LockKey::Name(settings.name.clone());
        let keys = [name]
            .into_iter()
            .chain(settings.plan.output().map(|output| LockKey::Output(output.target)));
        let lock = |key| self.0.entry(key).or_insert_with(|| Arc::new(Semaphore::new(1))).clone();
        keys.map(lock).collect()
    }
}

async fn lock(locks: Vec<Arc<Semaphore>>, sink: &str) -> Vec<OwnedSemaphorePermit> {
    let locking = async {
        let mut locked = Vec::new();
        for lock in locks {
            // None is ever closed.
            locked.extend(lock.acquire_owned().await);
        }
        locked
    };
    tokio::pin!(locking);
    if let Ok(locked) = timeout(REPLACED_SINK_WAIT, &mut locking).await {
        return locked;
    }
    tracing::info!(sink, "waiting for in-flight deliveries of the replaced sink");
    locking.await
}
