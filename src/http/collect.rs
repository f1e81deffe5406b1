//! Collects the [`Status`] from metrics, health, history and the journal's snapshot.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;

use super::history::{ActivityHistory, Totals};
use super::sprites::ServedSprites;
use super::status::{
    ApplicationStatus, CloudStatus, DaemonFacts, DeadLetter, DeadLetterGroup, EventLine,
    HandleCounts, JournalStatus, MAX_SPRITES, ReloadStatus, SinkStatus, SpriteSummary, Status,
};
use crate::event::{AppId, Event, ImageSprite};
use crate::format::{foreign, seconds};
use crate::health::{DaemonHealth, JournalView, Snapshot, Snapshots};
use crate::journal::{DeadGroup, EventRow, SinkOverview, SinkState, StateCounts};
use crate::metrics::{ByApp, ByOutcome, BySink, BySinkAndOutcome, Metrics, Unlabelled};

/// The parts of a daemon that its pages show.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Its metrics.
    pub metrics: Metrics,
    /// Its health.
    pub health: Arc<DaemonHealth>,
    /// Snapshots of its journal, which is read beside the writer.
    pub snapshots: Arc<Snapshots>,
    /// The journal's file.
    pub journal: PathBuf,
    /// Its mirrors, and whether what they hold is shown.
    pub sprites: watch::Receiver<ServedSprites>,
    /// Its configuration's file.
    pub config: PathBuf,
    /// The machine that it runs on.
    pub host: String,
}

/// Those, and what is kept between two requests.
#[derive(Clone, Debug)]
pub(super) struct StatusSource {
    pub(super) sources: Sources,
    pub(super) history: Arc<ActivityHistory>,
}

/// The status, by this snapshot of the journal.
pub(super) fn status(source: &StatusSource, snapshot: &Snapshot) -> Status {
    let Sources { metrics, health, .. } = &source.sources;
    let now = Utc::now();
    let seen = snapshot.journal.as_ref();
    let view = seen.ok();
    let sinks = view.map(|view| sinks(health, &view.overview.sinks, now));
    Status {
        version: env!("CARGO_PKG_VERSION"),
        at: now,
        state: health.state(snapshot.facts(), now),
        daemon: daemon(&source.sources, now),
        cloud: cloud(source, now),
        journal: view.map(|view| journal(source, view, now)),
        journal_error: seen.err().map(|error| foreign(error)),
        sinks: sinks.unwrap_or_default(),
        handles: handles(metrics),
        last_hour: source.history.points(),
        latest: view.into_iter().flat_map(|view| &view.latest).map(line).collect(),
        dead: view.into_iter().flat_map(|view| &view.dead).map(dead).collect(),
    }
}

fn daemon(sources: &Sources, now: DateTime<Utc>) -> DaemonFacts {
    let started = sources.health.started_at();
    DaemonFacts {
        host: foreign(&sources.host),
        config: foreign(&sources.config.display().to_string()),
        started,
        uptime_seconds: age(started, now),
        last_reload: sources.health.last_reload().map(|reload| ReloadStatus {
            at: reload.at,
            mistakes: reload.mistakes.iter().map(|mistake| foreign(mistake)).collect(),
        }),
    }
}

pub(super) fn totals(metrics: &Metrics, view: &JournalView) -> Totals {
    let lags = view.overview.sinks.iter().filter_map(|sink| {
        let lags = metrics.delivery_lag_seconds.get(&by(&sink.sink.name))?;
        Some((lags.count(), lags.sum()))
    });
    let (with_lag, lag_seconds) =
        lags.fold((0, 0.0), |all, (count, sum)| (all.0 + count, all.1 + sum));
    let delivered = |sink: &SinkOverview| {
        let labels = BySinkAndOutcome { sink: sink.sink.name.clone(), outcome: "delivered" };
        metrics.deliveries.get(&labels).map_or(0, |count| count.get())
    };
    let delivered = view.overview.sinks.iter().map(delivered).sum();
    Totals { received: view.overview.received, delivered, with_lag, lag_seconds }
}

fn cloud(source: &StatusSource, now: DateTime<Utc>) -> CloudStatus {
    let metrics = &source.sources.metrics;
    let expiry = known(metrics.credentials_expiry.get(&Unlabelled {}).as_deref());
    let applications = applications(source, now);
    let backlogs: Vec<u64> = applications.iter().filter_map(|of| of.backlog).collect();
    let ages: Option<Vec<f64>> =
        applications.iter().map(|of| of.last_successful_pull_seconds).collect();
    CloudStatus {
        backlog: (!backlogs.is_empty()).then(|| backlogs.iter().sum()),
        last_successful_pull_seconds: ages.and_then(|ages| ages.into_iter().reduce(f64::max)),
        is_pulled: !source.sources.health.progress().is_empty(),
        paused_since: source.sources.health.pulling_paused(),
        pull_concurrency: metrics.pull_concurrency.get(),
        pull_rate: metrics.pull_rate.get(),
        pull_max_rate: metrics.pull_max_rate.get(),
        circulating: metrics.circulating_events.get().unsigned_abs(),
        reconcile: source.sources.health.reconcile_state(),
        credentials_expire_seconds: expiry.map(|at| at - now.timestamp()),
        applications,
    }
}

fn applications(source: &StatusSource, now: DateTime<Utc>) -> Vec<ApplicationStatus> {
    let Sources { metrics, health, .. } = &source.sources;
    let one = |app: AppId| {
        let pulled = health.progress().iter().find(|of| of.app == app);
        let failure = pulled.and_then(|of| of.progress.borrow().failure.clone());
        let labels = ByApp::of(app);
        let last_successful_pull = known(metrics.last_successful_pull.get(&labels).as_deref());
        ApplicationStatus {
            app: app.0,
            backlog: known(metrics.cloud_backlog.get(&labels).as_deref()).map(i64::unsigned_abs),
            last_successful_pull_seconds: last_successful_pull
                .filter(|at| *at > 0)
                .map(|at| (now.timestamp() - at).max(0) as f64),
            trouble: failure.map(|failure| failure.advice.name()),
            is_pulled: pulled.is_some(),
            event_config: health.event_config_problem(app).map(|problem| foreign(&problem.what)),
        }
    };
    health.apps().iter().copied().map(one).collect()
}

fn known(gauge: Option<&Gauge>) -> Option<i64> {
    gauge.map(|gauge| gauge.get())
}

fn journal(source: &StatusSource, view: &JournalView, now: DateTime<Utc>) -> JournalStatus {
    let overview = &view.overview;
    let StateCounts { pending, delivered, dead } = overview.events;
    JournalStatus {
        received: overview.received,
        duplicates: overview.duplicates,
        confirmed: overview.confirmed,
        pending,
        delivered,
        dead,
        unrouted: overview.unrouted,
        size_bytes: overview.size.as_u64(),
        max_size_bytes: source.sources.metrics.journal_max_size.get().unsigned_abs(),
        commit_seconds: source.sources.health.journal().commits().average(),
        oldest_unconfirmed_seconds: overview.oldest_unconfirmed.map(|at| age(at, now)),
    }
}

fn sinks(health: &DaemonHealth, sinks: &[SinkOverview], now: DateTime<Utc>) -> Vec<SinkStatus> {
    let is_shown =
        |sink: &&SinkOverview| sink.sink.active || sink.events.pending > 0 || sink.events.dead > 0;
    let one = |overview: &SinkOverview| {
        let SinkOverview { sink, events, oldest_pending, dead_letters, .. } = overview;
        let progress = health.sinks().of(&sink.name).unwrap_or_default();
        let failure = progress.last_failure;
        SinkStatus {
            name: foreign(&sink.name),
            state: match (&progress.outage, progress.catching_up_since) {
                _ if !sink.active => "removed",
                _ if progress.paused_since.is_some() => "paused",
                (Some(_), _) => "down",
                (None, Some(_)) => "catching up",
                (None, None) => "up",
            },
            pending: events.pending,
            delivered: events.delivered,
            dead: events.dead,
            oldest_pending_seconds: oldest_pending.map(|at| age(at, now)),
            deliveries_per_second: progress.deliveries_per_second,
            lag_seconds: progress.lag_seconds,
            last_error: failure.as_ref().map(|failure| foreign(&failure.error)),
            last_error_seconds: failure.map(|failure| age(failure.at, now)),
            paused_since: progress.paused_since,
            down_since: progress.outage.as_ref().map(|outage| outage.since),
            next_try: progress.outage.and_then(|outage| outage.next_probe),
            dead_letters: dead_letters.by_error.iter().map(group).collect(),
        }
    };
    sinks.iter().filter(is_shown).map(one).collect()
}

fn group(DeadGroup { error, count, newest }: &DeadGroup) -> DeadLetterGroup {
    DeadLetterGroup { error: foreign(error), count: *count, newest: *newest }
}

fn handles(metrics: &Metrics) -> HandleCounts {
    let of = |outcome| metrics.handles.get(&ByOutcome { outcome }).map_or(0, |count| count.get());
    HandleCounts {
        confirmed: of("confirmed"),
        expired: of("expired"),
        refused: of("refused"),
        confirmed_early: metrics.confirmed_early.get(),
        margin_seconds: metrics.confirm_margin_seconds.average(),
    }
}

fn line(found: &EventRow) -> EventLine {
    let Event { key, app, origin, event_type, file_id, sprites, first_pulled, .. } = &found.event;
    EventLine {
        key: key.to_string(),
        event_type: foreign(event_type),
        app: app.0,
        origin: origin.as_str(),
        file_id: file_id.as_deref().map(foreign),
        state: found.state,
        first_pulled: *first_pulled,
        sprites: sprites.iter().take(MAX_SPRITES).map(sprite).collect(),
        more_sprites: sprites.len().saturating_sub(MAX_SPRITES),
    }
}

fn sprite(sprite: &ImageSprite) -> SpriteSummary {
    // As it stands, or not at all.
    let is_on_the_web = |url: &&String| {
        (url.starts_with("http://") || url.starts_with("https://")) && foreign(url) == **url
    };
    SpriteSummary {
        status: sprite.status,
        tile_count: sprite.tile_count,
        tile_width: sprite.tile_width,
        tile_height: sprite.tile_height,
        sheet_count: sprite.sheets.len(),
        sheet: sprite.sheets.first().filter(is_on_the_web).cloned(),
        error: sprite.error.as_ref().map(|error| {
            let separator = if error.message.is_empty() { "" } else { ": " };
            foreign(&format!("{}{separator}{}", error.code, error.message))
        }),
        mirrored: None,
    }
}

fn dead((found, at_sink): &(EventRow, SinkState)) -> DeadLetter {
    DeadLetter {
        key: found.event.key.to_string(),
        event_type: foreign(&found.event.event_type),
        sink: foreign(&at_sink.sink),
        attempts: at_sink.attempts,
        at: at_sink.last_failed,
        error: at_sink.last_error.as_deref().map(foreign),
    }
}

fn by(sink: &str) -> BySink {
    BySink { sink: sink.to_owned() }
}

fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    seconds(now - at)
}
