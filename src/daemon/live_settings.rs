//! The settings that tasks take over while they run.

use tokio::sync::watch;

use crate::config::{Config, SinkConfig};
use crate::confirmer::ConfirmPacing;
use crate::event::Wanted;
use crate::health::ReadyRule;
use crate::http::{MirrorFolder, ServedSprites};
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::puller::PollPacing;
use crate::receiver::ReceiveRules;
use crate::reconcile::ReconcileSettings;
use crate::sinks::Plan;
use crate::sinks::mirror::StoreKind;

/// Where each task reads its settings from, and the parts that are told them.
#[derive(Debug)]
pub(super) struct LiveSettings {
    pub(super) pulling: watch::Sender<PollPacing>,
    pub(super) confirming: watch::Sender<ConfirmPacing>,
    /// `None` where nothing is received.
    pub(super) receiving: Option<watch::Sender<ReceiveRules>>,
    pub(super) reconciling: watch::Sender<ReconcileSettings>,
    /// `[http] ready`.
    pub(super) ready_rule: watch::Sender<ReadyRule>,
    /// Whether there is a reason to call the cloud.
    pub(super) calls_the_cloud: watch::Sender<bool>,
    /// The mirrors, and whether their sprites are shown.
    pub(super) sprites: watch::Sender<ServedSprites>,
    /// The events that each sink wants.
    pub(super) wanted: watch::Sender<Vec<Wanted>>,
    pub(super) journal: Journal,
    pub(super) metrics: Metrics,
}

impl LiveSettings {
    pub(super) fn new(
        config: &Config,
        receiving: Option<ReceiveRules>,
        journal: Journal,
        metrics: Metrics,
    ) -> Self {
        let this = Self {
            pulling: watch::Sender::new(pulling(config)),
            confirming: watch::Sender::new(confirming(config)),
            receiving: receiving.map(watch::Sender::new),
            reconciling: watch::Sender::new(config.reconcile.clone()),
            ready_rule: watch::Sender::new(config.http.ready),
            calls_the_cloud: watch::Sender::new(config.calls_the_cloud()),
            sprites: watch::Sender::new(sprites(config)),
            wanted: watch::Sender::new(wanted(config)),
            journal,
            metrics,
        };
        this.set_max_size(config);
        this
    }

    pub(super) async fn replace(&self, config: &Config) {
        self.pulling.send_if_modified(|pacing| replace(pacing, pulling(config)));
        self.confirming.send_if_modified(|pacing| replace(pacing, confirming(config)));
        self.reconciling.send_if_modified(|now| replace(now, config.reconcile.clone()));
        self.ready_rule.send_replace(config.http.ready);
        self.calls_the_cloud.send_if_modified(|calls| replace(calls, config.calls_the_cloud()));
        self.sprites.send_replace(sprites(config));
        self.wanted.send_replace(wanted(config));
        self.set_max_size(config);
        if let Err(error) = self.journal.set_limits(config.journal.clone()).await {
            tracing::debug!(%error, "journal limits not changed: its writer has ended");
        }
    }

    /// Takes over other rules of the receiver; returns whether they differ.
    pub(super) fn replace_rules(&self, rules: Option<ReceiveRules>) -> bool {
        let both = self.receiving.as_ref().zip(rules);
        both.is_some_and(|(receiving, rules)| {
            receiving.send_if_modified(|in_use| replace(in_use, rules))
        })
    }

    fn set_max_size(&self, config: &Config) {
        let max_size = i64::try_from(config.journal.max_size.as_u64()).unwrap_or(i64::MAX);
        self.metrics.journal_max_size.set(max_size);
    }
}

fn replace<T: PartialEq>(value: &mut T, new: T) -> bool {
    std::mem::replace(value, new) != *value
}

fn pulling(config: &Config) -> PollPacing {
    PollPacing {
        settings: config.poll.clone(),
        good_for: config.confirm.good_for(),
        lease: config.confirm.lease,
        max_circulating: config.confirm.max_unconfirmed.limit(),
    }
}

fn confirming(config: &Config) -> ConfirmPacing {
    ConfirmPacing {
        settings: config.confirm.clone(),
        max_requests_per_second: config.poll.max_requests_per_second,
        max_concurrency: config.poll.max_concurrency,
    }
}

fn wanted(config: &Config) -> Vec<Wanted> {
    config.sinks.iter().map(|sink| sink.events.clone()).collect()
}

fn sprites(config: &Config) -> ServedSprites {
    let mirrors = config.sinks.iter().filter_map(mirror).collect();
    ServedSprites { pages: config.http.sprites, mirrors }
}

/// The folder of a sink that mirrors sprites into one.
fn mirror(sink: &SinkConfig) -> Option<MirrorFolder> {
    let Plan::Mirror(settings) = &sink.plan else { return None };
    let StoreKind::Folder = settings.store;
    Some(MirrorFolder {
        name: sink.name.clone(),
        path: settings.path.clone(),
        prefix: settings.prefix.as_ref().map_or_else(String::new, |it| it.as_str().to_owned()),
        public_url: settings.public_url.of("").trim_end_matches('/').to_owned(),
    })
}
