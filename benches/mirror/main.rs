//! The mirror: how fast, in how much memory, and what a sink beside it notices.
//!
//! `cargo bench --bench mirror -- --help` tells how to run it. The mirror is below `target/tmp`, which
//! has to be on the kind of disk one wants to know about.
#![allow(clippy::print_stdout, reason = "the answer of a benchmark")]

#[path = "../drain/arrivals.rs"]
#[allow(dead_code, reason = "shared with another benchmark")]
mod arrivals;
mod bare;
#[path = "../drain/cloud.rs"]
#[allow(dead_code, reason = "shared with other benchmarks")]
mod cloud;
mod daemon;
#[path = "../drain/process.rs"]
#[allow(dead_code, reason = "shared with other benchmarks")]
mod process;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use arrivals::Arrivals;
use cloud::{Cloud, Totals};
use daemon::{Daemon, Sinks};
use serde_json::{Value, json};

const USAGE: &str = "usage: cargo bench --bench mirror -- [--events COUNT]

  --events COUNT   events of the first run, 2,000 by default

Each event has a sprite of two sheets of 400 kB; a request takes 40 ms. Runs:

  speed    the mirror, 8 deliveries in flight, against the same requests, as many at once, by 8
           bare clients
  memory   32 events with a sheet of 32 MiB each; to see, 8 with four each, all 32 at once
  beside   events one after another to a file, alone and beside the mirror: an eighth of the
           events, 20 a second
";

/// The mirror's deliveries in flight, and the bare clients.
const IN_FLIGHT: usize = 8;
const ROUND_TRIP: &str = "40ms";
const TILES: usize = 106;
const SHEETS: u64 = 2;
/// The large sheets, of 32 MiB each.
const LARGE: usize = 32;
/// Tiles on a sheet.
const PER_SHEET: usize = 100;
/// Events that arrive one after another.
const PER_SECOND: f64 = 20.0;

/// What has to be met.
const MIN_SHARE: f64 = 0.8;
const MAX_MEMORY: u64 = 64 << 20;
/// How much later than alone half of the events may come into the file, beside the mirror, and 99 of
/// 100: within what two runs alone differ.
const MAX_LATER: InFile = InFile { p50: Duration::from_millis(2), p99: Duration::from_millis(20) };

/// No run takes longer.
const LIMIT: Duration = Duration::from_secs(1800);
const LOOK: Duration = Duration::from_millis(20);

/// Within what time events are in the file.
#[derive(Clone, Copy, Debug)]
struct InFile {
    p50: Duration,
    p99: Duration,
}

fn main() -> anyhow::Result<ExitCode> {
    // Fails only where there is one already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut events = 2_000;
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--events" => events = arguments.next().context(USAGE)?.parse().context(USAGE)?,
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(ExitCode::SUCCESS);
            }
            other => anyhow::bail!("there is no option {other}\n\n{USAGE}"),
        }
    }
    anyhow::ensure!(events > 0, "--events: 1 at the least");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let met = runtime.block_on(async {
        let share = speed(events).await?;
        let memory_of_one = memory(1).await?;
        // Four times the streams: shown, and no bar.
        memory(4).await?;
        let (alone, beside) = (beside(events / 8, false).await?, beside(events / 8, true).await?);
        let bars = [
            (format!("at least {MIN_SHARE} of the bare requests"), share >= MIN_SHARE),
            (
                format!("less than {} MiB of memory with one sheet of each", MAX_MEMORY >> 20),
                memory_of_one < MAX_MEMORY,
            ),
            (
                format!("half at most {:?} later into a file beside it", MAX_LATER.p50),
                beside.p50 <= alone.p50 + MAX_LATER.p50,
            ),
            (
                format!("99 of 100 at most {:?} later into a file beside it", MAX_LATER.p99),
                beside.p99 <= alone.p99 + MAX_LATER.p99,
            ),
        ];
        for (bar, is_met) in &bars {
            println!("{} {bar}", if *is_met { "met:   " } else { "MISSED:" });
        }
        anyhow::Ok(bars.iter().all(|(_, is_met)| *is_met))
    })?;
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn order(quirks: &str) -> Value {
    json!({ "tiles": TILES, "quirks": quirks })
}

/// A cloud with a round trip.
fn cloud() -> anyhow::Result<Cloud> {
    Cloud::start(&["--round-trip".to_owned(), ROUND_TRIP.to_owned()])
}

/// What the mirror reaches of the rate of bare requests.
async fn speed(events: usize) -> anyhow::Result<f64> {
    let cloud = cloud()?;
    let sprites = cloud.order(events, &order("size=400kB")).await?;
    let bare = bare::fetch(&sprites, IN_FLIGHT).await?;
    let before = cloud.totals().await?;
    let sinks = Sinks { file: false, mirror: Some(IN_FLIGHT) };
    let mut daemon = Daemon::start(Daemon::folder()?, &cloud.url, sinks)?;
    let begun = |totals: &Totals| totals.handed_out > 0;
    cloud.until(LOOK, LIMIT, |_| daemon.process.check(), begun).await?;
    let (start, cpu) = (Instant::now(), daemon.process.cpu()?);
    let totals = mirrored(&cloud, &mut daemon, events).await?;
    let lasted = start.elapsed();
    let cpu = daemon.process.cpu()?.saturating_sub(cpu);
    let memory = daemon.process.peak_rss()?;
    let sheets = totals.downloads("sheet") - before.downloads("sheet");
    let (_, bytes) = daemon.mirrored()?;
    daemon.process.stop()?;
    let rate = |time: Duration| events as f64 / time.as_secs_f64();
    let share = rate(lasted) / rate(bare);
    println!(
        "speed    bare {:.1} events/s, mirror {:.1} events/s: {:.1} %; {:.1} MB/s, {:.2} ms CPU an \
         event, {} of memory, {sheets} requests for {} sheets",
        rate(bare),
        rate(lasted),
        share * 100.0,
        bytes as f64 / 1e6 / lasted.as_secs_f64(),
        cpu.as_secs_f64() * 1e3 / events as f64,
        mebibytes(memory),
        events as u64 * SHEETS,
    );
    Ok(share)
}

/// Waits until all events are mirrored.
async fn mirrored(cloud: &Cloud, daemon: &mut Daemon, events: usize) -> anyhow::Result<Totals> {
    let done = |totals: &Totals| totals.confirmed >= events as u64;
    let totals = cloud.until(LOOK, LIMIT, |_| daemon.process.check(), done).await?;
    let (manifests, _) = daemon.mirrored()?;
    anyhow::ensure!(manifests == events, "{manifests} of {events} sprites are in the mirror");
    Ok(totals)
}

/// The most memory that the daemon takes with large sheets, so many of each sprite, in bytes.
async fn memory(sheets: usize) -> anyhow::Result<u64> {
    let cloud = cloud()?;
    let large = json!({ "tiles": sheets * PER_SHEET, "quirks": "size=32MiB" });
    let events = LARGE / sheets;
    cloud.order(events, &large).await?;
    let sinks = Sinks { file: false, mirror: Some(IN_FLIGHT) };
    let mut daemon = Daemon::start(Daemon::folder()?, &cloud.url, sinks)?;
    let idle = daemon.process.rss()?;
    mirrored(&cloud, &mut daemon, events).await?;
    let peak = daemon.process.peak_rss()?;
    daemon.process.stop()?;
    println!(
        "memory   {} of memory with {LARGE} sheets of 32 MiB, {sheets} of each sprite, {IN_FLIGHT} \
         sprites in flight; {} when it started",
        mebibytes(peak),
        mebibytes(idle)
    );
    Ok(peak)
}

/// Within what time events that arrive one after another are in the file.
async fn beside(events: usize, with_mirror: bool) -> anyhow::Result<InFile> {
    let events = events.max(20);
    let cloud = cloud()?;
    let folder = Daemon::folder()?;
    let arrivals = Arrivals::in_file(&Daemon::file(folder.path()))?;
    let sinks = Sinks { file: true, mirror: with_mirror.then_some(IN_FLIGHT) };
    let mut daemon = Daemon::start(folder, &cloud.url, sinks)?;
    let start = Instant::now();
    let mut made = Vec::with_capacity(events);
    for number in 0..events {
        let due = start + Duration::from_secs_f64(number as f64 / PER_SECOND);
        tokio::time::sleep_until(due.into()).await;
        made.extend(cloud.order(1, &order("size=400kB")).await?);
    }
    let done = |totals: &Totals| totals.confirmed >= events as u64;
    cloud.until(LOOK, LIMIT, |_| daemon.process.check(), done).await?;
    let (arrived, records) = (arrivals.first(), cloud.records().await?);
    daemon.process.stop()?;
    let mut times = Vec::with_capacity(events);
    for sprite in &made {
        let record = records.iter().find(|record| record.id == sprite.event);
        let added = record.context("an event that the cloud does not know")?.added;
        let arrived = arrived.get(&sprite.task_id).context("an event that is not in the file")?;
        times.push((*arrived - added).to_std().unwrap_or_default());
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).ceil() as usize];
    println!(
        "{}   {events} events to a file, p50 {:.1?}, p99 {:.1?}, longest {:.1?}",
        if with_mirror { "beside the mirror" } else { "beside   nothing " },
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(InFile { p50: at(0.5), p99: at(0.99) })
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
