//! How delivering goes at each sink in use, for whoever watches. A delivery loop writes its own
//! entry, once for a batch of verdicts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::meters::{LagMeter, RateMeter};
use crate::sinks::SourceOutage;
use crate::sync::{lock, read, write};

/// How delivering goes at each sink in use. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SinkBoard(Arc<RwLock<BTreeMap<String, Arc<Mutex<Entry>>>>>);

/// How delivering goes at a sink now.
#[derive(Clone, Debug, Default)]
pub struct SinkProgress {
    /// While it is down: how, and since when.
    pub outage: Option<SinkOutage>,
    /// It was down, and not all that waited when it recovered had its turn yet: when it recovered.
    pub catching_up_since: Option<DateTime<Utc>>,
    /// Since when it is paused by hand: neither up nor down.
    pub paused_since: Option<DateTime<Utc>>,
    /// The places that it gets something from and that are down, while it is not: those that have
    /// been down for longest first.
    pub sources_down: Vec<SourceOutage>,
    /// The last failure or rejection since its loop began.
    pub last_failure: Option<SinkFailure>,
    /// Events that it takes per second, of the last seconds; 0 when nothing moves.
    pub deliveries_per_second: f64,
    /// From first pull to delivery, the average of about the last minute; `None` if nothing was
    /// delivered in it. Redelivered events do not count.
    pub lag_seconds: Option<f64>,
    /// Whether so many events become dead letters that they are counted, not logged one by one.
    pub is_dead_letter_storm: bool,
}

/// An outage of a sink that is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkOutage {
    /// When it went down.
    pub since: DateTime<Utc>,
    /// What the last delivery failed with.
    pub error: String,
    /// Failures since it went down.
    pub failures: u64,
    /// When it is tried next. What has passed: as soon as there is an event to try it with.
    pub next_probe: Option<DateTime<Utc>>,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// Whether it rejected so many events in a row that its rejections prove nothing.
    pub is_braked: bool,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkFailure {
    /// What the sink said.
    pub error: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl SinkBoard {
    /// Returns how delivering goes at a sink; `None` if it is not in use.
    pub fn of(&self, sink: &str) -> Option<SinkProgress> {
        let entry = read(&self.0).get(sink).cloned()?;
        let progress = lock(&entry).progress(Instant::now());
        Some(progress)
    }

    /// Returns how delivering goes at each sink in use.
    pub fn all(&self) -> BTreeMap<String, SinkProgress> {
        let now = Instant::now();
        let entries = read(&self.0);
        entries.iter().map(|(sink, entry)| (sink.clone(), lock(entry).progress(now))).collect()
    }

    /// Removes a sink that is not in use any more.
    pub fn forget(&self, sink: &str) {
        write(&self.0).remove(sink);
    }

    /// A fresh entry for a sink's loop to write. A loop that it replaces writes where nobody reads.
    pub(super) fn enter(&self, sink: &str) -> BoardEntry {
        let entry = Arc::new(Mutex::new(Entry::new(Instant::now())));
        write(&self.0).insert(sink.to_owned(), entry.clone());
        BoardEntry(entry)
    }
}

/// The entry of one sink, as its loop holds it.
#[derive(Debug)]
pub(super) struct BoardEntry(Arc<Mutex<Entry>>);

/// The events delivered since the last update.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) delivered: u64,
    /// Of those delivered the ones whose lag counts, and the sum of their lags.
    pub(super) lagging: u64,
    pub(super) lag: Duration,
}

/// What a loop says of its sink.
#[derive(Debug)]
pub(super) struct Update<'u> {
    pub(super) tally: Tally,
    /// The last one, if any delivery has failed since the last update.
    pub(super) error: Option<&'u str>,
    /// While it is down.
    pub(super) down: Option<Down>,
    pub(super) catching_up_since: Option<DateTime<Utc>>,
    pub(super) paused_since: Option<DateTime<Utc>>,
    pub(super) sources_down: Vec<SourceOutage>,
    pub(super) is_dead_letter_storm: bool,
}

#[derive(Debug)]
pub(super) struct Down {
    pub(super) since: DateTime<Utc>,
    pub(super) failures: u64,
    pub(super) next_probe: Option<DateTime<Utc>>,
    pub(super) hint: Option<String>,
    pub(super) is_braked: bool,
}

impl BoardEntry {
    /// Returns what failed last; nothing if nothing has.
    pub(super) fn last_error(&self) -> String {
        let failure = lock(&self.0).last_failure.clone();
        failure.map(|failure| failure.error).unwrap_or_default()
    }

    pub(super) fn update(&self, update: Update<'_>) {
        let mut entry = lock(&self.0);
        let Tally { delivered, lagging, lag, .. } = update.tally;
        if delivered > 0 {
            let now = Instant::now();
            entry.rate.add(delivered, now);
            entry.lag.add(lagging, lag.as_secs_f64(), now);
        }
        if let Some(error) = update.error {
            entry.last_failure = Some(SinkFailure { error: error.to_owned(), at: Utc::now() });
        }
        let error = || entry.last_failure.as_ref().map(|failure| failure.error.clone());
        entry.outage = update.down.map(|down| SinkOutage {
            since: down.since,
            error: error().unwrap_or_default(),
            failures: down.failures,
            next_probe: down.next_probe,
            hint: down.hint,
            is_braked: down.is_braked,
        });
        entry.catching_up_since = update.catching_up_since;
        entry.paused_since = update.paused_since;
        entry.sources_down = update.sources_down;
        entry.is_dead_letter_storm = update.is_dead_letter_storm;
    }
}

#[derive(Debug)]
struct Entry {
    outage: Option<SinkOutage>,
    catching_up_since: Option<DateTime<Utc>>,
    paused_since: Option<DateTime<Utc>>,
    sources_down: Vec<SourceOutage>,
    last_failure: Option<SinkFailure>,
    rate: RateMeter,
    lag: LagMeter,
    is_dead_letter_storm: bool,
}

impl Entry {
    fn new(now: Instant) -> Self {
        Self {
            outage: None,
            catching_up_since: None,
            paused_since: None,
            sources_down: Vec::new(),
            last_failure: None,
            rate: RateMeter::new(now),
            lag: LagMeter::new(now),
            is_dead_letter_storm: false,
        }
    }

    fn progress(&self, now: Instant) -> SinkProgress {
        SinkProgress {
            outage: self.outage.clone(),
            catching_up_since: self.catching_up_since,
            paused_since: self.paused_since,
            sources_down: self.sources_down.clone(),
            last_failure: self.last_failure.clone(),
            deliveries_per_second: self.rate.per_second(now),
            lag_seconds: self.lag.average(now),
            is_dead_letter_storm: self.is_dead_letter_storm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(sink: &BoardEntry) {
        let down = Down {
            since: DateTime::UNIX_EPOCH,
            failures: 3,
            next_probe: None,
            hint: None,
            is_braked: false,
        };
        sink.update(Update {
            tally: Tally::default(),
            error: Some("refused"),
            down: Some(down),
            catching_up_since: None,
            paused_since: None,
            sources_down: Vec::new(),
            is_dead_letter_storm: false,
        });
    }

    #[test]
    fn a_sink_that_is_replaced_starts_anew_and_one_that_is_removed_is_gone() {
        let board = SinkBoard::default();
        let old = board.enter("hook");
        down(&old);
        assert_eq!(board.of("hook").unwrap().outage.unwrap().error, "refused");
        let new = board.enter("hook");
        down(&old);
        let fresh = board.of("hook").unwrap();
        assert!(fresh.outage.is_none() && fresh.last_failure.is_none());
        down(&new);
        assert_eq!(board.all().len(), 1);
        assert!(board.all()["hook"].outage.is_some());
        board.forget("hook");
        down(&new);
        assert!(board.of("hook").is_none() && board.all().is_empty());
    }
}
