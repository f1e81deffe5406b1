//! The status of the daemon, as page, terminal and JSON show it. Types alone: they know neither
//! where they come from nor how they are rendered.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::history::HistoryPoint;
use super::tile::SheetTile;
use crate::event::SpriteStatus;
use crate::format::{ago, number};
use crate::health::DaemonState;
use crate::journal::EventState;

/// Sprites of one event that are shown.
pub(super) const MAX_SPRITES: usize = 4;

#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) version: &'static str,
    pub(super) at: DateTime<Utc>,
    #[serde(flatten)]
    pub(super) state: DaemonState,
    pub(super) daemon: DaemonFacts,
    pub(super) cloud: CloudStatus,
    /// Absent if the journal cannot be read.
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

/// Which daemon that is.
#[derive(Debug, Serialize)]
pub(super) struct DaemonFacts {
    pub(super) host: String,
    /// Its configuration's file.
    pub(super) config: String,
    pub(super) started: DateTime<Utc>,
    pub(super) uptime_seconds: f64,
    pub(super) last_reload: Option<ReloadStatus>,
}

/// A reload.
#[derive(Debug, Serialize)]
pub(super) struct ReloadStatus {
    pub(super) at: DateTime<Utc>,
    /// Why it was rejected; none if it was not.
    pub(super) mistakes: Vec<String>,
}

impl Status {
    /// Whether it matters which application something belongs to.
    pub(super) fn has_several_apps(&self) -> bool {
        self.cloud.applications.len() > 1
    }
}

#[derive(Debug, Serialize)]
pub(super) struct CloudStatus {
    /// Events waiting there, by its own count.
    pub(super) backlog: Option<u64>,
    /// From the application where it is longest ago.
    pub(super) last_successful_pull_seconds: Option<f64>,
    /// Whether a queue is asked at all.
    pub(super) is_pulled: bool,
    /// Since when pulling is paused by hand.
    pub(super) paused_since: Option<DateTime<Utc>>,
    pub(super) pull_concurrency: i64,
    pub(super) pull_rate: f64,
    pub(super) pull_max_rate: f64,
    /// Pending events received again within the last lease.
    pub(super) circulating: u64,
    pub(super) credentials_expire_seconds: Option<i64>,
    /// How reconciling goes; absent while it is off.
    pub(super) reconcile: Option<String>,
    /// In the order of the configuration; the members above are totals.
    pub(super) applications: Vec<ApplicationStatus>,
}

impl CloudStatus {
    /// Returns how long ago the last pull was that succeeded; of several applications, where that
    /// is longest ago; or that pulling is paused. `None` if no queue is pulled from.
    pub(super) fn last_pull(&self) -> Option<String> {
        let pulled = self.applications.iter().filter(|of| of.is_pulled);
        let all = pulled.clone().count();
        let never = pulled.filter(|of| of.last_successful_pull_seconds.is_none()).count();
        let last = match self.last_successful_pull_seconds {
            _ if all == 0 => return None,
            _ if self.paused_since.is_some() => "paused by hand".to_owned(),
            Some(age) => format!("last successful pull {}", ago(age)),
            None if never == all => "no successful pull yet".to_owned(),
            None => format!("no successful pull yet from {never} of {all} applications"),
        };
        Some(last)
    }

    /// Returns the events that circulate, if any do, and the rate of requests for them:
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

#[derive(Debug, Serialize)]
pub(super) struct ApplicationStatus {
    /// Its number in the configuration; 0 for the primary one.
    pub(super) app: u64,
    pub(super) backlog: Option<u64>,
    pub(super) last_successful_pull_seconds: Option<f64>,
    /// Why the last pull failed, in one word.
    pub(super) trouble: Option<&'static str>,
    /// Whether it is pulled from.
    pub(super) is_pulled: bool,
    /// Why the cloud does not report its events to the queue.
    pub(super) event_config: Option<String>,
}

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

#[derive(Debug, Serialize)]
pub(super) struct SinkStatus {
    pub(super) name: String,
    /// `up`, `down`, `catching up`, `paused`, or `removed` if the configuration no longer has it.
    pub(super) state: &'static str,
    pub(super) pending: u64,
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) oldest_pending_seconds: Option<f64>,
    /// Deliveries now.
    pub(super) deliveries_per_second: f64,
    /// From an event's first pull to its delivery, on average over the last minute.
    pub(super) lag_seconds: Option<f64>,
    pub(super) last_error: Option<String>,
    pub(super) last_error_seconds: Option<f64>,
    /// Since when it is paused by hand.
    pub(super) paused_since: Option<DateTime<Utc>>,
    pub(super) down_since: Option<DateTime<Utc>>,
    pub(super) next_try: Option<DateTime<Utc>>,
    /// The errors of its dead letters, the most frequent first.
    pub(super) dead_letters: Vec<DeadLetterGroup>,
}

/// Dead letters of one sink and one error.
#[derive(Debug, Serialize)]
pub(super) struct DeadLetterGroup {
    pub(super) error: String,
    pub(super) count: u64,
    /// When the newest was given up.
    pub(super) newest: DateTime<Utc>,
}

impl SinkStatus {
    /// The command that delivers its dead letters again, to another sink where it is gone.
    pub(super) fn redeliver(&self) -> String {
        match self.state {
            "removed" => {
                format!("sprited events redeliver --from {} --sink NAME", self.name)
            }
            _ => format!("sprited events redeliver --state dead --sink {}", self.name),
        }
    }
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

#[derive(Debug, Serialize)]
pub(super) struct EventLine {
    pub(super) key: String,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    /// The application that it was pulled from.
    pub(super) app: u64,
    /// How it came: `queue`, `callback` or `reconcile`.
    pub(super) origin: &'static str,
    pub(super) file_id: Option<String>,
    pub(super) state: EventState,
    pub(super) first_pulled: DateTime<Utc>,
    pub(super) sprites: Vec<SpriteSummary>,
    /// Further sprites that are not shown.
    pub(super) more_sprites: usize,
}

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
    /// Where a mirror has it and its page is served: for the page alone.
    #[serde(skip)]
    pub(super) mirrored: Option<MirroredView>,
}

/// What is shown of a mirrored sprite.
#[derive(Debug)]
pub(super) struct MirroredView {
    /// The path of its page.
    pub(super) page: String,
    /// A tile of it, where its sheets have tiles of one size.
    pub(super) tile: Option<SheetTile>,
}

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
