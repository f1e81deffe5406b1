//! The sinks in use, each with the loop that brings events to it: how they are opened, put in
//! use and replaced by those of another configuration.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::running_sinks::RunningSinks;
use super::tasks::{TaskName, Tasks};
use crate::config;
use crate::delivery::{Delivery, DeliveryStop, DeliveryTarget};
use crate::event::AppId;
use crate::journal::{self, EventId, FeedReceiver, FeedSender, Journal, Route, SinkId};
use crate::liveness;
use crate::metrics::Metrics;
use crate::sinks::{OutputTarget, Sink};

/// The longest that opening a sink may take: it reads files and asks no target.
const OPEN_TIME: Duration = Duration::from_secs(20);
/// A sink that has waited so long for its predecessor's last deliveries says so.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// What every delivery loop is made with.
#[derive(Debug)]
pub(super) struct Dependencies {
    pub(super) journal: Journal,
    pub(super) settled: mpsc::Sender<Vec<EventId>>,
    pub(super) changed: watch::Sender<u64>,
    pub(super) metrics: Metrics,
}

/// The sinks in use, in the order of the configuration.
#[derive(Debug)]
pub(super) struct SinkSet {
    all: Vec<RunningSink>,
    /// Delivery loops that do not run yet.
    ready: Vec<UnspawnedSink>,
    turns: SinkLocks,
    tools: Dependencies,
    stop: DeliveryStop,
    running: RunningSinks,
}

/// A sink in use.
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
    turns: Vec<Arc<Semaphore>>,
}

/// A sink of a configuration, opened and not yet in use.
#[derive(Debug)]
pub(super) struct OpenedSink {
    settings: config::SinkConfig,
    feed: FeedSender,
    /// `None` if the one in use stays.
    fresh: Option<(Arc<dyn Sink>, FeedReceiver)>,
}

/// The names of sinks by what became of them.
#[derive(Debug, Default)]
pub(super) struct SinkChanges {
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) changed: Vec<String>,
}

impl SinkSet {
    /// None yet; their loops end by `stop`.
    pub(super) fn new(tools: Dependencies, stop: DeliveryStop) -> Self {
        Self {
            all: Vec::new(),
            ready: Vec::new(),
            turns: SinkLocks::default(),
            tools,
            stop,
            running: RunningSinks::default(),
        }
    }

    /// Has `running` know the sinks whose loops start from now on.
    pub(super) fn share(&mut self, running: RunningSinks) {
        self.running = running;
    }

    /// Opens the sinks of a configuration; one that is in use already is only asked to open its
    /// target again. Changes nothing else.
    ///
    /// # Errors
    /// What cannot be opened, a line for each.
    pub(super) async fn open(
        &self,
        settings: &[config::SinkConfig],
        app: AppId,
    ) -> Result<Vec<OpenedSink>, Vec<String>> {
        let opening = settings.iter().map(|one| in_time(&one.name, self.open_one(one, app)));
        all_or_faults(join_all(opening).await)
    }

    /// Opens the sinks of a configuration where none is in use.
    ///
    /// # Errors
    /// What cannot be opened, a line for each.
    pub(super) async fn open_anew(
        settings: &[config::SinkConfig],
        app: AppId,
    ) -> Result<Vec<OpenedSink>, Vec<String>> {
        let opening = settings.iter().map(|one| in_time(&one.name, open_fresh(one, app)));
        all_or_faults(join_all(opening).await)
    }

    async fn open_one(
        &self,
        settings: &config::SinkConfig,
        app: AppId,
    ) -> anyhow::Result<OpenedSink> {
        if let Some(outlet) = self.named(&settings.name)
            && outlet.settings.opens_as(settings)
        {
            outlet.sink.reopen().await?;
            let (settings, feed) = (settings.clone(), outlet.feed.clone());
            return Ok(OpenedSink { settings, feed, fresh: None });
        }
        open_fresh(settings, app).await
    }

    /// Asks the sinks that would be put in use whether this machine lets them work.
    ///
    /// # Errors
    /// What is wrong, a line for each.
    pub(super) async fn probe(opened: &[OpenedSink]) -> Result<(), Vec<String>> {
        let probes = opened.iter().map(async |OpenedSink { settings, fresh, .. }| {
            let (sink, _) = fresh.as_ref().filter(|(sink, _)| sink.is_local())?;
            let probed = timeout(OPEN_TIME, sink.probe()).await;
            let error = match probed {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => format!("no answer within {} s", OPEN_TIME.as_secs()),
            };
            Some(format!("the sink {:?}: {}: {error}", settings.name, settings.plan.kind()))
        });
        let faults: Vec<_> = join_all(probes).await.into_iter().flatten().collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Has every sink in use open its target again.
    pub(super) async fn reopen(&self) {
        let reopening = self.all.iter().map(async |outlet| {
            let reopened = timeout(OPEN_TIME, outlet.sink.reopen()).await;
            if let Ok(Err(error)) = reopened {
                tracing::error!(
                    sink = %outlet.settings.name,
                    error = format!("{error:#}"),
                    "cannot open the sink again; goes on with what it had"
                );
            }
        });
        join_all(reopening).await;
    }

    /// Puts these sinks in use, and no others: an event goes by the old ones or by the new ones.
    /// Those that stay notice nothing. The loops of the others are told to end; the new ones start
    /// with [`Outlets::launch`].
    ///
    /// # Errors
    /// When the journal cannot be written; nothing has changed then.
    pub(super) async fn replace(
        &mut self,
        opened: Vec<OpenedSink>,
    ) -> journal::Result<SinkChanges> {
        let stays = |(new, old): (&OpenedSink, &RunningSink)| {
            new.fresh.is_none() && new.settings.events == old.settings.events
        };
        if opened.len() == self.all.len() && opened.iter().zip(&self.all).all(stays) {
            return Ok(SinkChanges::default());
        }
        let names = opened.iter().map(|new| new.settings.name.clone()).collect();
        let ids = self.tools.journal.register(names).await?;
        let route = |(new, id): (&OpenedSink, &SinkId)| Route {
            sink: *id,
            wanted: new.settings.events.clone(),
            feed: new.feed.clone(),
        };
        self.tools.journal.set_routes(opened.iter().zip(&ids).map(route).collect()).await?;
        // From here on nothing can fail.
        let mut changes = SinkChanges::default();
        let mut before = std::mem::take(&mut self.all);
        for (OpenedSink { settings, feed, fresh }, id) in opened.into_iter().zip(ids) {
            let place = before.iter().position(|old| old.settings.name == settings.name);
            let old = place.map(|place| before.remove(place));
            let name = settings.name.clone();
            let (names, outlet) = match (old, fresh) {
                (Some(old), None) => {
                    let wants_others = old.settings.events != settings.events;
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
            self.all.push(outlet);
        }
        for old in before {
            old.finish.cancel();
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
        let Dependencies { journal, settled, changed, metrics } = &self.tools;
        let target = DeliveryTarget {
            name: settings.name.clone(),
            id,
            sink: sink.clone(),
            give_up_after: settings.give_up_after,
            max_rejects: settings.max_rejects,
        };
        let (journal, settled) = (journal.clone(), settled.clone());
        let delivery =
            Delivery::new(target, fed, journal, settled, changed.subscribe(), metrics.clone());
        let (finish, idle) = (self.stop.finish.child_token(), delivery.idle());
        let turns = self.turns.of(&settings);
        self.ready.push(UnspawnedSink { delivery, finish: finish.clone(), turns });
        RunningSink { settings, sink, feed, finish, idle }
    }

    /// Starts the loops that do not run yet. One whose sink had another loop before starts its work
    /// when what is under way there has ended.
    pub(super) fn launch(&mut self, running: &mut Tasks, pulses: &liveness::LivenessMonitor) {
        for UnspawnedSink { delivery, finish, turns } in self.ready.drain(..) {
            self.running.add(delivery.sink());
            let sink = delivery.name().to_owned();
            let mut pulse = pulses.register(format!("delivery to {sink}"));
            let stop = DeliveryStop { finish: finish.clone(), ..self.stop.clone() };
            running.spawn(TaskName::Delivery { sink: sink.clone(), finish }, async move {
                let turns = tokio::select! {
                    turns = stop.finish.run_until_cancelled(take(turns, &sink)) => turns,
                    never = pulse.beat_forever() => match never {},
                };
                // Held until the sink is dropped with its loop.
                if let Some(_turns) = turns {
                    delivery.run(pulse, stop).await;
                }
            });
        }
    }

    /// Waits until the target of the only sink in use is gone for good; for ever where there are
    /// others, which go on. Tells the sink's name. Cancel safe.
    pub(super) async fn all_gone(&self) -> String {
        if let [outlet] = self.all.as_slice()
            && let Some(gone) = outlet.sink.gone()
        {
            gone.cancelled().await;
            return outlet.settings.name.clone();
        }
        std::future::pending().await
    }

    /// The loop of a sink has ended: nothing is told any more of one that is not in use.
    pub(super) fn ended(&self, name: &str) {
        if self.named(name).is_none() {
            self.tools.metrics.forget_sink(name);
        }
    }

    /// Of each sink in use, whether it has nothing under way.
    pub(super) fn idles(&self) -> Vec<watch::Receiver<bool>> {
        self.all.iter().map(|outlet| outlet.idle.clone()).collect()
    }

    /// The sinks in use.
    pub(super) fn names(&self) -> Vec<&str> {
        self.all.iter().map(|outlet| outlet.settings.name.as_str()).collect()
    }

    fn named(&self, name: &str) -> Option<&RunningSink> {
        self.all.iter().find(|outlet| outlet.settings.name == name)
    }
}

async fn in_time(
    name: &str,
    opening: impl Future<Output = anyhow::Result<OpenedSink>>,
) -> Result<OpenedSink, String> {
    let opened = timeout(OPEN_TIME, opening)
        .await
        .unwrap_or_else(|_| Err(anyhow::anyhow!("does not open within {} s", OPEN_TIME.as_secs())));
    opened.map_err(|error| format!("the sink {name:?}: {error:#}"))
}

fn all_or_faults(results: Vec<Result<OpenedSink, String>>) -> Result<Vec<OpenedSink>, Vec<String>> {
    let (mut opened, mut faults) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => opened.push(one),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(opened) } else { Err(faults) }
}

async fn open_fresh(settings: &config::SinkConfig, app: AppId) -> anyhow::Result<OpenedSink> {
    let sink = settings.plan.open(&settings.context(app)).await?;
    let (feed, fed) = journal::feed();
    Ok(OpenedSink { settings: settings.clone(), feed, fresh: Some((sink, fed)) })
}

/// What only one loop at a time may do. Whoever comes next waits until the one before has ended
/// altogether: an event is never under way twice, and no file has two writers.
#[derive(Debug, Default)]
struct SinkLocks(HashMap<Duty, Arc<Semaphore>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Duty {
    /// Bring events to the sink of this name.
    Deliver(String),
    /// Write to this output.
    Write(OutputTarget),
}

impl SinkLocks {
    /// The turns that a loop of this sink has to wait for.
    fn of(&mut self, settings: &config::SinkConfig) -> Vec<Arc<Semaphore>> {
        // Those that nobody has and nobody waits for begin anew.
        self.0.retain(|_, turn| Arc::strong_count(turn) > 1);
        let deliver = Duty::Deliver(settings.name.clone());
        let duties = [deliver]
            .into_iter()
            .chain(settings.plan.output().map(|output| Duty::Write(output.target)));
        let turn = |duty| self.0.entry(duty).or_insert_with(|| Arc::new(Semaphore::new(1))).clone();
        duties.map(turn).collect()
    }
}

async fn take(turns: Vec<Arc<Semaphore>>, sink: &str) -> Vec<OwnedSemaphorePermit> {
    let taking = async {
        let mut taken = Vec::new();
        for turn in turns {
            // None is ever closed.
            taken.extend(turn.acquire_owned().await);
        }
        taken
    };
    tokio::pin!(taking);
    if let Ok(taken) = timeout(LONG_WAIT, &mut taking).await {
        return taken;
    }
    tracing::info!(sink, "waits until what is under way at the sink as it was has ended");
    taking.await
}
