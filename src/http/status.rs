//! What the daemon does now, for whoever looks: the one account that page, terminal and JSON show.

use chrono::{DateTime, Utc};
use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;

use super::format::{foreign, number};
use super::headline::{self, Mood};
use super::history::{HistoryPoint, Totals};
use super::snapshot::JournalView;
use super::{Readiness, Shared, Sources};
use crate::event::{AppId, Event, ImageSprite, SpriteStatus};
use crate::journal::{EventRow, EventState, SinkOverview, SinkState, StateCounts};
use crate::metrics::{ByApp, ByOutcome, BySink, Metrics, Unlabelled};

/// Sprites of one event that are shown.
const MAX_SPRITES: usize = 4;

/// All that is told.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) version: &'static str,
    pub(super) at: DateTime<Utc>,
    /// What the daemon does now.
    pub(super) sentence: String,
    pub(super) mood: Mood,
    #[serde(flatten)]
    pub(super) readiness: Readiness,
    pub(super) cloud: CloudStatus,
    /// What the journal says; absent if it cannot be read.
    pub(super) journal: Option<JournalStatus>,
    /// Why it cannot.
    pub(super) journal_error: Option<String>,
    pub(super) sinks: Vec<SinkStatus>,
    pub(super) handles: HandleCounts,
    /// Half minutes of the last hour, the newest last; null before the start.
    pub(super) last_hour: Vec<Option<HistoryPoint>>,
    pub(super) latest: Vec<EventLine>,
    pub(super) dead: Vec<DeadLetter>,
}

/// Where events come from.
#[derive(Debug, Serialize)]
pub(super) struct CloudStatus {
    /// Events that wait there, by its own count.
    pub(super) backlog: Option<i64>,
    /// From the application where it is longest ago.
    pub(super) last_good_pull_seconds: Option<f64>,
    pub(super) pull_concurrency: i64,
    pub(super) pull_rate: f64,
    pub(super) pull_max_rate: f64,
    /// Events that came again within the last lease though a sink still has to take them.
    pub(super) circulating: u64,
    pub(super) credentials_expire_seconds: Option<i64>,
    /// In the order of the configuration; what stands above is of all of them together.
    pub(super) applications: Vec<ApplicationStatus>,
}

impl CloudStatus {
    /// What comes again and again, if anything does, and how many requests may be made for it:
    /// `3,200 events circulate, 6.7 of 100 requests/s`.
    pub(super) fn circulation(&self) -> Option<String> {
        let figure = |of: f64| if of < 9.95 { format!("{of:.1}") } else { format!("{of:.0}") };
        let what = match self.circulating {
            0 => return None,
            1 => "1 event circulates".to_owned(),
            events => format!("{} events circulate", number(events)),
        };
        let (now, most) = (figure(self.pull_rate), figure(self.pull_max_rate));
        Some(format!("{what}, {now} of {most} requests/s"))
    }
}

/// An application that is pulled from.
#[derive(Debug, Serialize)]
pub(super) struct ApplicationStatus {
    /// Its number in the configuration; 0 for the primary one.
    pub(super) app: u64,
    pub(super) backlog: Option<i64>,
    pub(super) last_good_pull_seconds: Option<f64>,
    /// Why the last pull failed, in one word.
    pub(super) trouble: Option<&'static str>,
    /// What keeps its events away, by the cloud's own word.
    pub(super) event_config: Option<String>,
}

/// Where they are kept.
#[derive(Debug, Serialize)]
pub(super) struct JournalStatus {
    /// Events stored in its life, each once.
    pub(super) received: u64,
    pub(super) duplicates: u64,
    pub(super) confirmed: u64,
    pub(super) pending: u64,
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) unrouted: u64,
    pub(super) size_bytes: u64,
    pub(super) max_size_bytes: u64,
    /// The average time of a commit.
    pub(super) commit_seconds: Option<f64>,
    pub(super) oldest_unconfirmed_seconds: Option<f64>,
}

/// Where they go.
#[derive(Debug, Serialize)]
pub(super) struct SinkStatus {
    pub(super) name: String,
    /// `up`, `down`, or `removed` if the configuration no longer has it.
    pub(super) state: &'static str,
    pub(super) pending: u64,
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) oldest_pending_seconds: Option<f64>,
    /// From an event's first pull to its delivery, on average since the start.
    pub(super) lag_seconds: Option<f64>,
    pub(super) last_error: Option<String>,
    pub(super) last_error_seconds: Option<f64>,
}

/// Handles since the start, by what became of them.
#[derive(Debug, Serialize)]
pub(super) struct HandleCounts {
    pub(super) confirmed: u64,
    pub(super) expired: u64,
    pub(super) refused: u64,
    pub(super) confirmed_early: u64,
    /// What was left of a handle's time at its confirmation, on average.
    pub(super) margin_seconds: Option<f64>,
}

/// An event.
#[derive(Debug, Serialize)]
pub(super) struct EventLine {
    pub(super) key: String,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    /// The application that it was pulled from.
    pub(super) app: u64,
    pub(super) file_id: Option<String>,
    pub(super) state: EventState,
    pub(super) first_pulled: DateTime<Utc>,
    pub(super) sprites: Vec<SpriteSummary>,
    /// Further sprites that are not shown.
    pub(super) more_sprites: usize,
}

/// An image sprite of an event.
#[derive(Debug, Serialize)]
pub(super) struct SpriteSummary {
    pub(super) status: SpriteStatus,
    pub(super) tile_count: Option<i64>,
    pub(super) tile_width: Option<i64>,
    pub(super) tile_height: Option<i64>,
    pub(super) sheet_count: usize,
    /// The first sheet, if it is on the web.
    pub(super) sheet: Option<String>,
    pub(super) error: Option<String>,
}

/// A dead letter of a sink.
#[derive(Debug, Serialize)]
pub(super) struct DeadLetter {
    pub(super) key: String,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) sink: String,
    pub(super) attempts: u32,
    pub(super) at: Option<DateTime<Utc>>,
    pub(super) error: Option<String>,
}

impl Status {
    /// Looks.
    pub(super) async fn now(shared: &Shared) -> Self {
        let snapshot = shared.snapshots.latest().await;
        let metrics = &shared.sources.metrics;
        let now = Utc::now();
        let seen = snapshot.journal.as_ref();
        let sinks = seen.map(|seen| sinks(metrics, &seen.overview.sinks, now));
        let journal = seen.ok().map(|seen| journal(shared, seen, now));
        let overview = seen.ok().map(|seen| &seen.overview);
        let mut status = Self {
            version: env!("CARGO_PKG_VERSION"),
            at: now,
            sentence: String::new(),
            mood: Mood::Good,
            readiness: shared.sources.health.readiness(overview, &metrics.sinks_down(), now),
            cloud: cloud(shared, now),
            journal,
            journal_error: seen.err().map(|error| foreign(error)),
            sinks: sinks.unwrap_or_default(),
            handles: handles(metrics),
            last_hour: shared.history.points(),
            latest: seen.map(|seen| seen.latest.iter().map(line).collect()).unwrap_or_default(),
            dead: seen.map(|seen| seen.dead.iter().map(dead).collect()).unwrap_or_default(),
        };
        (status.mood, status.sentence) = headline::of(&status, &shared.sources.health);
        status
    }

    /// Whether it has to be told which application something is of.
    pub(super) fn has_several_apps(&self) -> bool {
        self.cloud.applications.len() > 1
    }

    /// What `last_hour` is made of.
    pub(super) fn totals(metrics: &Metrics, seen: &JournalView) -> Totals {
        let lags = seen.overview.sinks.iter().filter_map(|sink| {
            let lags = metrics.delivery_lag_seconds.get(&by(&sink.sink.name))?;
            Some((lags.count(), lags.sum()))
        });
        let (delivered, lag_seconds) =
            lags.fold((0, 0.0), |all, (count, sum)| (all.0 + count, all.1 + sum));
        Totals { received: seen.overview.received, delivered, lag_seconds }
    }
}

fn cloud(shared: &Shared, now: DateTime<Utc>) -> CloudStatus {
    let metrics = &shared.sources.metrics;
    let expiry = known(metrics.credentials_expiry.get(&Unlabelled {}).as_deref());
    let applications = applications(shared, now);
    let backlogs: Vec<i64> = applications.iter().filter_map(|of| of.backlog).collect();
    let ages: Option<Vec<f64>> = applications.iter().map(|of| of.last_good_pull_seconds).collect();
    CloudStatus {
        backlog: (!backlogs.is_empty()).then(|| backlogs.iter().sum()),
        last_good_pull_seconds: ages.and_then(|ages| ages.into_iter().reduce(f64::max)),
        pull_concurrency: metrics.pull_concurrency.get(),
        pull_rate: metrics.pull_rate.get(),
        pull_max_rate: metrics.pull_max_rate.get(),
        circulating: metrics.circulating_events.get().unsigned_abs(),
        credentials_expire_seconds: expiry.map(|at| at - now.timestamp()),
        applications,
    }
}

fn applications(shared: &Shared, now: DateTime<Utc>) -> Vec<ApplicationStatus> {
    let Sources { metrics, health, .. } = &shared.sources;
    let troubles = health.troubles();
    let one = |app: AppId| {
        let labels = ByApp::of(app);
        let last_good_pull = known(metrics.last_successful_pull.get(&labels).as_deref());
        ApplicationStatus {
            app: app.0,
            backlog: known(metrics.cloud_backlog.get(&labels).as_deref()),
            last_good_pull_seconds: last_good_pull
                .filter(|at| *at > 0)
                .map(|at| (now.timestamp() - at).max(0) as f64),
            trouble: troubles.iter().find(|(of, _)| *of == app).map(|(_, advice)| advice.name()),
            event_config: health.reporting_fault(app).as_deref().map(foreign),
        }
    };
    health.apps().into_iter().map(one).collect()
}

fn known(gauge: Option<&Gauge>) -> Option<i64> {
    gauge.map(|gauge| gauge.get())
}

fn journal(shared: &Shared, seen: &JournalView, now: DateTime<Utc>) -> JournalStatus {
    let overview = &seen.overview;
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
        max_size_bytes: shared.sources.metrics.journal_max_size.get().unsigned_abs(),
        commit_seconds: shared.sources.health.journal().commits().average(),
        oldest_unconfirmed_seconds: overview.oldest_unconfirmed.map(|at| age(at, now)),
    }
}

fn sinks(metrics: &Metrics, sinks: &[SinkOverview], now: DateTime<Utc>) -> Vec<SinkStatus> {
    let is_shown =
        |sink: &&SinkOverview| sink.sink.active || sink.events.pending > 0 || sink.events.dead > 0;
    let one = |overview: &SinkOverview| {
        let SinkOverview { sink, events, oldest_pending, .. } = overview;
        let is_up = metrics.sink_up.get(&by(&sink.name)).is_none_or(|up| up.get() > 0);
        let failure = metrics.sink_failures.of(&sink.name);
        let lags = metrics.delivery_lag_seconds.get(&by(&sink.name));
        SinkStatus {
            name: foreign(&sink.name),
            state: match (sink.active, is_up) {
                (false, _) => "removed",
                (true, true) => "up",
                (true, false) => "down",
            },
            pending: events.pending,
            delivered: events.delivered,
            dead: events.dead,
            oldest_pending_seconds: oldest_pending.map(|at| age(at, now)),
            lag_seconds: lags.and_then(|lags| lags.average()),
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
