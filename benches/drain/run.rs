//! One client at one cloud: what it did and what that cost.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::arrivals::Arrivals;
use crate::client::{self, Setup, Who};
use crate::cloud::{Cloud, Record, Totals};
use crate::process::Process;

/// Between two looks at what the cloud has counted.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// The same while nothing has begun.
const FIRST_LOOK: Duration = Duration::from_millis(4);
/// No run takes longer.
const LIMIT: Duration = Duration::from_secs(1800);

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) who: &'static str,
    pub(crate) events: usize,
    pub(crate) seconds: f64,
    pub(crate) cpu: f64,
    pub(crate) peak_rss: u64,
    pub(crate) pulls: u64,
    pub(crate) confirms: u64,
    pub(crate) refused: u64,
    pub(crate) repeated: u64,
    /// Milliseconds from an event's arrival in the queue to its arrival in the sink, sorted. Not
    /// told of what waited when the run began: that is the time of the run.
    pub(crate) to_sink: Vec<f64>,
    /// The same, to its confirmation.
    pub(crate) to_confirm: Vec<f64>,
    /// Milliseconds in which the client had an event in hand, sorted: from the time it was first
    /// handed out to its confirmation.
    pub(crate) in_hand: Vec<f64>,
    /// How it went, look by look.
    pub(crate) course: Vec<Point>,
    /// How large the journal was at the end, its log included, and the sink's file.
    pub(crate) journal_bytes: u64,
    pub(crate) sink_bytes: u64,
    /// When the first event was handed out, since the cloud's start.
    pub(crate) began: Duration,
}

/// Where a run was at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Point {
    /// Since the first event was handed out.
    pub(crate) seconds: f64,
    pub(crate) confirmed: u64,
    pub(crate) rss: u64,
    /// Seconds of CPU.
    pub(crate) cpu: f64,
}

impl Run {
    pub(crate) fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    /// CPU seconds for 1,000 events, which is also milliseconds for one.
    pub(crate) fn cpu_per_1000(&self) -> f64 {
        self.cpu / self.events as f64 * 1000.0
    }

    pub(crate) fn requests_per_event(&self) -> f64 {
        (self.pulls + self.confirms) as f64 / self.events as f64
    }

    pub(crate) fn refused_share(&self) -> f64 {
        self.refused as f64 / (self.pulls + self.confirms) as f64
    }

    fn count(&mut self, totals: &Totals) {
        self.pulls = totals.calls("PullEvents");
        self.confirms = totals.calls("ConfirmEvents");
        self.refused = totals.refused();
        self.repeated = totals.handed_out_again;
    }
}

/// The value below which this share of sorted ones lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).ceil() as usize).copied()
}

/// Has `who` empty a queue in which all events wait.
pub(crate) async fn drain(
    who: Who,
    options: &[String],
    setup: &Setup,
    events: usize,
) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let cloud = Cloud::start(options)?;
    cloud.add(events).await?;
    let mut process = client::start(who, &cloud.url, folder.path(), setup)?;
    let begun = |totals: &Totals| totals.handed_out > 0;
    cloud.until(FIRST_LOOK, Duration::from_secs(30), |_| process.check(), begun).await?;
    let (start, cpu) = (Instant::now(), process.cpu()?);
    let began = start - cloud.started;
    let mut course = Vec::new();
    let point = |process: &Process, totals: &Totals| {
        anyhow::Ok(Point {
            seconds: start.elapsed().as_secs_f64(),
            confirmed: totals.confirmed,
            rss: process.rss()?,
            cpu: process.cpu()?.saturating_sub(cpu).as_secs_f64(),
        })
    };
    let look = |totals: &Totals| {
        process.check()?;
        course.push(point(&process, totals)?);
        Ok(())
    };
    let done = |totals: &Totals| totals.confirmed >= events as u64;
    let totals = cloud.until(LOOK, LIMIT, look, done).await?;
    let end = point(&process, &totals)?;
    course.push(end);
    let mut run = Run {
        who: who.name(),
        events,
        seconds: end.seconds,
        cpu: end.cpu,
        peak_rss: process.peak_rss()?,
        course,
        began,
        ..Run::default()
    };
    run.count(&totals);
    process.stop()?;
    run.in_hand = in_hand(&cloud.records().await?);
    let size = |name| std::fs::metadata(folder.path().join(name)).map_or(0, |file| file.len());
    run.journal_bytes = size("journal.db") + size("journal.db-wal");
    run.sink_bytes = size("sink.jsonl");
    // The floor has no file.
    if who != Who::Floor {
        let written = events_in(folder.path(), who)?;
        anyhow::ensure!(written >= events, "{written} of {events} events came into the file");
    }
    Ok(run)
}

/// Events in the file that `who` writes: what is confirmed and not there would be measured for
/// nothing. sprited writes each once; others write what they are handed out, again if it is again.
fn events_in(folder: &Path, who: Who) -> anyhow::Result<usize> {
    let mark = if who == Who::Sprited { "\"id\":\"" } else { "\"EventHandle\":" };
    let mut different = HashSet::new();
    for line in BufReader::with_capacity(1 << 20, File::open(client::sink(folder))?).lines() {
        let line = line?;
        let found = line.match_indices(mark).filter_map(|(at, mark)| {
            line[at + mark.len()..].trim_start_matches([' ', '"']).split('"').next()
        });
        // The first is the envelope's own; what it holds has others.
        let most = if who == Who::Sprited { 1 } else { usize::MAX };
        for found in found.take(most) {
            anyhow::ensure!(different.insert(found.to_owned()), "{found} stands there twice");
        }
    }
    Ok(different.len())
}

/// Has sprited empty a queue in which `waiting` events wait and `per_second` arrive meanwhile,
/// until what is there arrived within the last half second.
pub(crate) async fn catch_up(
    options: &[String],
    setup: &Setup,
    waiting: usize,
    per_second: usize,
) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let cloud = Cloud::start(options)?;
    cloud.add(waiting).await?;
    let mut process = client::start(Who::Sprited, &cloud.url, folder.path(), setup)?;
    let begun = |totals: &Totals| totals.handed_out > 0;
    cloud.until(FIRST_LOOK, Duration::from_secs(30), |_| process.check(), begun).await?;
    let (start, cpu) = (Instant::now(), process.cpu()?);
    let added = Cell::new(waiting);
    let arrive = async {
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            let due = (start.elapsed().as_secs_f64() * per_second as f64) as usize;
            let due = (waiting + due).saturating_sub(added.get());
            if let Err(error) = cloud.add(due).await {
                return error;
            }
            added.set(added.get() + due);
        }
    };
    let done = |totals: &Totals| totals.confirmed as usize + per_second / 2 >= added.get();
    let totals = tokio::select! {
        totals = cloud.until(LOOK, LIMIT, |_| process.check(), done) => totals?,
        error = arrive => return Err(error),
    };
    let mut run = Run {
        who: Who::Sprited.name(),
        events: totals.confirmed as usize,
        seconds: start.elapsed().as_secs_f64(),
        cpu: process.cpu()?.saturating_sub(cpu).as_secs_f64(),
        peak_rss: process.peak_rss()?,
        ..Run::default()
    };
    run.count(&totals);
    process.stop()?;
    run.in_hand = in_hand(&cloud.records().await?);
    let written = events_in(folder.path(), Who::Sprited)?;
    anyhow::ensure!(written >= run.events, "{written} of {} events came into the file", run.events);
    Ok(run)
}

/// Adds `events` one after the other, `per_second`, and has `who` bring them to a file, or to the
/// receiver whose arrivals these are. Times are told of those added after `skip`.
pub(crate) async fn trickle(
    who: Who,
    setup: &Setup,
    events: usize,
    per_second: f64,
    received: Option<Arrivals>,
    skip: Duration,
) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let cloud = Cloud::start(&[])?;
    let arrivals = match received {
        Some(arrivals) => Some(arrivals),
        // The floor has no sink.
        None if who == Who::Floor => None,
        None => Some(Arrivals::in_file(&client::sink(folder.path()))?),
    };
    let mut process = client::start(who, &cloud.url, folder.path(), setup)?;
    // It is there once it has emptied the queue.
    cloud.add(1).await?;
    let one = |totals: &Totals| totals.confirmed >= 1;
    let before = cloud.until(LOOK, Duration::from_secs(30), |_| process.check(), one).await?;
    let (start, cpu) = (Instant::now(), process.cpu()?);
    let mut made = HashMap::new();
    for number in 0..events {
        let due = start + Duration::from_secs_f64(number as f64 / per_second);
        tokio::time::sleep_until(due.into()).await;
        made.extend(cloud.add(1).await?);
    }
    let done = |totals: &Totals| totals.confirmed > events as u64;
    let totals = cloud.until(LOOK, LIMIT, |_| process.check(), done).await?;
    let cpu = process.cpu()?.saturating_sub(cpu).as_secs_f64();
    let seconds = start.elapsed().as_secs_f64();
    let mut records = cloud.records().await?;
    records.retain(|record| made.contains_key(&record.id));
    let first = records.iter().map(|record| record.added).min().unwrap_or_default();
    records.retain(|record| (record.added - first).to_std().is_ok_and(|after| after >= skip));
    let mut run = Run {
        who: who.name(),
        events,
        seconds,
        cpu,
        peak_rss: process.peak_rss()?,
        to_confirm: lags(&records, |record| Some((record.added, record.confirmed()?))),
        in_hand: in_hand(&records),
        ..Run::default()
    };
    if let Some(arrivals) = arrivals {
        let arrived = arrivals.first();
        let at = |record: &Record| arrived.get(made.get(&record.id)?).copied();
        run.to_sink = lags(&records, |record| Some((record.added, at(record)?)));
        anyhow::ensure!(run.to_sink.len() == records.len(), "not every event came into the sink");
    }
    run.count(&totals);
    run.pulls -= before.calls("PullEvents");
    run.confirms -= before.calls("ConfirmEvents");
    process.stop()?;
    Ok(run)
}

fn in_hand(records: &[Record]) -> Vec<f64> {
    lags(records, |record| Some((record.handed_out()?, record.confirmed()?)))
}

/// Sorted milliseconds between two moments of each event that has had both.
fn lags(
    records: &[Record],
    moments: impl Fn(&Record) -> Option<(DateTime<Utc>, DateTime<Utc>)>,
) -> Vec<f64> {
    let lag = |(start, end): (DateTime<Utc>, DateTime<Utc>)| {
        Some((end - start).num_microseconds()? as f64 / 1000.0)
    };
    let mut lags: Vec<f64> = records.iter().filter_map(moments).filter_map(lag).collect();
    lags.sort_by(f64::total_cmp);
    lags
}
