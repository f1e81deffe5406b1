//! Collects the [`Status`] from metrics, health, history and the journal's snapshot.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use prometheus_client::metrics::gauge::Gauge;

use super::headline::Facts;
use super::history::{ActivityHistory, Totals};
use super::snapshot::{JournalView, Snapshots};
use super::status::{
    ApplicationStatus, CloudStatus, DeadLetter, EventLine, HandleCounts, JournalStatus, SinkStatus,
    SpriteSummary, Status,
};
use crate::delivery::SinkBoard;
use crate::event::{AppId, Event, ImageSprite};
use crate::format::foreign;
use crate::health::DaemonHealth;
use crate::journal::{EventRow, SinkOverview, SinkState, StateCounts};
use crate::metrics::{ByApp, ByOutcome, BySink, Metrics, Unlabelled};

/// The parts of a daemon that its pages show.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Its metrics.
    pub metrics: Metrics,
    /// How delivering goes at its sinks.
    pub board: SinkBoard,
    /// Its health.
    pub health: Arc<DaemonHealth>,
    /// Its journal's file, read beside the writer.
    pub journal: PathBuf,
}

/// Those, and what is kept between two requests.
#[derive(Clone, Debug)]
pub(super) struct StatusSource {
    pub(super) sources: Sources,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) history: Arc<ActivityHistory>,
}

/// Sprites of one event that are shown.
const MAX_SPRITES: usize = 4;

pub(super) async fn status(source: &StatusSource) -> Status {
    let snapshot = source.snapshots.latest().await;
    let Sources { metrics, board, health, .. } = &source.sources;
    let now = Utc::now();
    let seen = snapshot.journal.as_ref();
    let view = seen.ok();
    let readiness = health.readiness(view.map(|view| &view.overview), &board.down(), now);
    let cloud = cloud(source, now);
    let journal = view.map(|view| journal(source, view, now));
    let journal_error = seen.err().map(|error| foreign(error));
    let sinks = view.map(|view| sinks(board, &view.overview.sinks, now)).unwrap_or_default();
    let last_hour = source.history.points();
    let latest: Vec<_> = view.into_iter().flat_map(|view| &view.latest).map(line).collect();
    let dead = view.into_iter().flat_map(|view| &view.dead).map(dead).collect();
    let facts = Facts {
        pulling: &health.pull_state(),
        readiness: &readiness,
        journal: journal.as_ref(),
        journal_error: journal_error.as_deref(),
        sinks: &sinks,
        flow: last_hour.last().copied().flatten(),
        last_event_seconds: latest.first().map(|line| age(line.first_pulled, now)),
    };
    Status {
        version: env!("CARGO_PKG_VERSION"),
        at: now,
        headline: facts.headline(),
        readiness,
        cloud,
        journal,
        journal_error,
        sinks,
        handles: handles(metrics),
        last_hour,
        latest,
        dead,
    }
}

pub(super) fn totals(metrics: &Metrics, view: &JournalView) -> Totals {
    let lags = view.overview.sinks.iter().filter_map(|sink| {
        let lags = metrics.delivery_lag_seconds.get(&by(&sink.sink.name))?;
        Some((lags.count(), lags.sum()))
    });
    let (delivered, lag_seconds) =
        lags.fold((0, 0.0), |all, (count, sum)| (all.0 + count, all.1 + sum));
    Totals { received: view.overview.received, delivered, lag_seconds }
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
    let failures = health.pull_failures();
    let one = |app: AppId| {
        let labels = ByApp::of(app);
        let last_successful_pull = known(metrics.last_successful_pull.get(&labels).as_deref());
        ApplicationStatus {
            app: app.0,
            backlog: known(metrics.cloud_backlog.get(&labels).as_deref()).map(i64::unsigned_abs),
            last_successful_pull_seconds: last_successful_pull
                .filter(|at| *at > 0)
                .map(|at| (now.timestamp() - at).max(0) as f64),
            trouble: failures.iter().find(|(of, _)| *of == app).map(|(_, advice)| advice.name()),
            event_config: health.event_config_problem(app).as_deref().map(foreign),
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

fn sinks(board: &SinkBoard, sinks: &[SinkOverview], now: DateTime<Utc>) -> Vec<SinkStatus> {
    let is_shown =
        |sink: &&SinkOverview| sink.sink.active || sink.events.pending > 0 || sink.events.dead > 0;
    let one = |overview: &SinkOverview| {
        let SinkOverview { sink, events, oldest_pending, .. } = overview;
        let progress = board.of(&sink.name).unwrap_or_default();
        let failure = progress.last_failure;
        SinkStatus {
            name: foreign(&sink.name),
            state: match (sink.active, progress.outage.is_none()) {
                (false, _) => "removed",
                (true, true) => "up",
                (true, false) => "down",
            },
            pending: events.pending,
            delivered: events.delivered,
            dead: events.dead,
            oldest_pending_seconds: oldest_pending.map(|at| age(at, now)),
            lag_seconds: progress.lag_seconds,
            last_error: failure.as_ref().map(|failure| foreign(&failure.error)),
            last_error_seconds: failure.map(|failure| age(failure.at, now)),
        }
    };
    sinks.iter().filter(is_shown).map(one).collect()
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
    let Event { key, app, event_type, file_id, sprites, first_pulled, .. } = &found.event;
    EventLine {
        key: key.to_string(),
        event_type: foreign(event_type),
        app: app.0,
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
    (now - at).to_std().unwrap_or_default().as_secs_f64()
}
