//! A journal that has held a million events, against an empty one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use nix::time::{ClockId, clock_gettime};
use sprited::event::{self, AppId, Event, Wanted};
use sprited::journal::{
    Appended, Closing, DeliveryOutcome, DeliveryRecord, FeedReceiver, Journal, JournalSettings,
    PRUNE_PAUSE, Route, SinkId, feed,
};

/// As many as one pull brings.
const BATCH: usize = 16;
/// Batches in flight while a journal is filled: they share commits.
const FILLING: usize = 64;

pub(crate) struct Opened {
    pub(crate) journal: Journal,
    closing: Closing,
    sink: SinkId,
    _fed: FeedReceiver,
}

impl Opened {
    pub(crate) async fn at(folder: &Path) -> anyhow::Result<Self> {
        let settings =
            JournalSettings { path: folder.join("journal.db"), ..JournalSettings::default() };
        let (journal, closing) = Journal::open(&settings)?;
        let sink = journal.register(vec!["sink".to_owned()]).await?[0];
        let (feed, fed) = feed();
        let wanted = Wanted::from(vec!["*".to_owned()]);
        journal.set_routes(vec![Route { sink, wanted, feed, after: None }], Utc::now()).await?;
        Ok(Self { journal, closing, sink, _fed: fed })
    }

    pub(crate) async fn close(self) {
        drop(self.journal);
        self.closing.wait().await;
    }

    /// Stores events pulled at `pulled` and, if so wanted, has them delivered.
    pub(crate) async fn fill(
        &self,
        numbers: std::ops::Range<usize>,
        pulled: DateTime<Utc>,
        deliver: bool,
    ) -> anyhow::Result<()> {
        let numbers: Vec<usize> = numbers.collect();
        for part in numbers.chunks(BATCH * FILLING) {
            let batches = part.chunks(BATCH).map(|batch| self.take(batch, pulled, deliver));
            futures_util::future::try_join_all(batches).await?;
        }
        Ok(())
    }

    async fn take(
        &self,
        numbers: &[usize],
        pulled: DateTime<Utc>,
        deliver: bool,
    ) -> anyhow::Result<()> {
        let events: Vec<_> = numbers.iter().map(|number| numbered(*number, pulled)).collect();
        let appended =
            self.journal.append(events.into_iter().map(Into::into).collect(), pulled).await?;
        if deliver {
            self.deliver(appended).await?;
        }
        Ok(())
    }

    async fn deliver(&self, appended: Vec<Appended>) -> anyhow::Result<()> {
        let ids: Vec<_> = appended.iter().map(|appended| appended.id).collect();
        let delivered = |id: &_| DeliveryRecord {
            event: *id,
            outcome: DeliveryOutcome::Delivered,
            mirrored: Vec::new(),
        };
        let records = ids.iter().map(delivered).collect();
        self.journal.record(self.sink, records, None, Utc::now()).await?;
        Ok(self.journal.confirmed(ids, Utc::now()).await?)
    }
}

/// An event with a task of its own and a small body.
fn numbered(number: usize, pulled: DateTime<Utc>) -> Arc<Event> {
    let text = format!(
        r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{{"TaskId":"1500012345-Procedure-{number}","FileId":"{number}","Status":"FINISH","Filler":"{:0>200}"}}}}"#,
        number
    );
    event::read(AppId(1_500_012_345), &text, false, pulled).event
}

/// Microseconds of CPU that an event costs.
pub(crate) struct Cost {
    /// How long the first append took, which reads the newest keys.
    pub(crate) first: Duration,
    /// To be stored, with the commit, which is also that of the verdicts before it.
    pub(crate) append: f64,
    /// To be stored, delivered and confirmed.
    pub(crate) all: f64,
}

/// What events cost one batch after the other, the first of which is not counted: it reads the
/// newest keys, which is part of the start and told by itself.
pub(crate) async fn cost(opened: &Opened, numbers: std::ops::Range<usize>) -> anyhow::Result<Cost> {
    // Made before: only the journal is to be measured.
    let now = Utc::now();
    let numbers: Vec<usize> = numbers.collect();
    let batch = |batch: &[usize]| batch.iter().map(|number| numbered(*number, now)).collect();
    let mut batches: Vec<Vec<_>> = numbers.chunks(BATCH).map(batch).collect();
    let batch = batches.pop().unwrap_or_default();
    let start = Instant::now();
    let appended = opened.journal.append(batch.into_iter().map(Into::into).collect(), now).await?;
    let first = start.elapsed();
    opened.deliver(appended).await?;
    let events = batches.iter().map(Vec::len).sum::<usize>() as f64;
    let mut appending = Duration::ZERO;
    let start = cpu()?;
    for batch in batches {
        let before = cpu()?;
        let appended =
            opened.journal.append(batch.into_iter().map(Into::into).collect(), now).await?;
        appending += cpu()? - before;
        opened.deliver(appended).await?;
    }
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / events;
    Ok(Cost { first, append: each(appending), all: each(cpu()? - start) })
}

/// Sorted milliseconds that appends take, one each 10 ms, while the journal is pruned or not; and
/// how many steps of pruning there were.
pub(crate) async fn append_times(
    opened: &Opened,
    first: usize,
    batches: usize,
    prune: bool,
) -> anyhow::Result<(Vec<f64>, u64)> {
    let steps = Arc::new(AtomicU64::new(0));
    let pruning = tokio::spawn({
        let (journal, steps) = (opened.journal.clone(), steps.clone());
        async move {
            while prune && journal.prune(Utc::now()).await? {
                steps.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(PRUNE_PAUSE).await;
            }
            anyhow::Ok(())
        }
    });
    let mut times = Vec::with_capacity(batches);
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for batch in 0..batches {
        ticks.tick().await;
        let from = first + batch * BATCH;
        let events: Vec<_> =
            (from..from + BATCH).map(|number| numbered(number, Utc::now())).collect();
        let start = Instant::now();
        let appended =
            opened.journal.append(events.into_iter().map(Into::into).collect(), Utc::now()).await?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        opened.deliver(appended).await?;
    }
    if prune {
        anyhow::ensure!(!pruning.is_finished(), "the pruning ended before the appends did");
    }
    pruning.abort();
    times.sort_by(f64::total_cmp);
    Ok((times, steps.load(Ordering::Relaxed)))
}

/// A time long enough ago that what was pulled then is pruned.
pub(crate) fn long_ago() -> DateTime<Utc> {
    Utc::now() - TimeDelta::days(30)
}

fn cpu() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}
