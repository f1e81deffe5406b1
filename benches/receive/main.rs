//! The receiver under load: posts of distinct sprite events, each answered after its commit.
//!
//! `cargo bench --bench receive -- --help` tells how to run it. The journal is below `target/tmp`,
//! which has to be on the kind of disk one wants to know about.
#![allow(clippy::print_stdout, reason = "the answer of a benchmark")]

#[path = "../drain/cloud.rs"]
#[allow(dead_code, reason = "shared with another benchmark")]
mod cloud;
mod daemon;
mod poster;
#[path = "../drain/process.rs"]
#[allow(dead_code, reason = "shared with another benchmark")]
mod process;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use cloud::{Cloud, Totals};
use daemon::Daemon;
use poster::{Posts, Slow};

const USAGE: &str = "usage: cargo bench --bench receive -- [--events COUNT]

  --events COUNT   events of each run, 20,000 by default

Three runs of one daemon each: events pulled, events posted by 16 clients that keep their
connections, and the same beside 256 slow connections.
";

/// Clients that post.
const CLIENTS: usize = 16;
/// Connections that hardly send anything.
const SLOW_CONNECTIONS: usize = 256;
/// What has to be met.
const MIN_RATE: f64 = 2000.0;
const MAX_P99: Duration = Duration::from_millis(100);
const MAX_CPU_RATIO: f64 = 2.0;
/// No run takes longer.
const LIMIT: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(50);

fn main() -> anyhow::Result<ExitCode> {
    // Fails only where there is one already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut events = 20_000;
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
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let met = runtime.block_on(async {
        let pulled = pulled(events).await?;
        println!("pulled                     {:>7.3} ms CPU an event", pulled * 1e3);
        let quiet = posted(events, 0).await?;
        println!("{}", quiet.line("posted"));
        let beside_slow = posted(events, SLOW_CONNECTIONS).await?;
        println!("{}", beside_slow.line("posted beside slow ones"));
        let bars = [
            (format!("at least {MIN_RATE} events/s"), quiet.rate >= MIN_RATE),
            (format!("p99 below {MAX_P99:?}"), quiet.p99 < MAX_P99),
            (
                format!("CPU at most {MAX_CPU_RATIO} times a pulled event's"),
                quiet.cpu <= pulled * MAX_CPU_RATIO,
            ),
            (format!("p99 below {MAX_P99:?} beside slow ones"), beside_slow.p99 < MAX_P99),
        ];
        for (bar, is_met) in &bars {
            println!("{} {bar}", if *is_met { "met:   " } else { "MISSED:" });
        }
        anyhow::Ok(bars.iter().all(|(_, is_met)| *is_met))
    })?;
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Seconds of CPU for each event that is pulled, delivered and confirmed.
async fn pulled(events: usize) -> anyhow::Result<f64> {
    let cloud = Cloud::start(&[])?;
    cloud.add(events).await?;
    let mut daemon = Daemon::start(&cloud.url)?;
    let cpu = daemon.process.cpu()?;
    let done = |totals: &Totals| totals.confirmed >= events as u64;
    cloud.until(LOOK, LIMIT, |_| daemon.process.check(), done).await?;
    let cpu = daemon.process.cpu()?.saturating_sub(cpu);
    daemon.process.stop()?;
    Ok(cpu.as_secs_f64() / events as f64)
}

/// What a run of posts came to.
struct Run {
    rate: f64,
    p50: Duration,
    p99: Duration,
    longest: Duration,
    /// Seconds for each event.
    cpu: f64,
    broken: usize,
}

impl Run {
    fn line(&self, what: &str) -> String {
        let Self { rate, p50, p99, longest, cpu, broken } = self;
        format!(
            "{what:26} {:>7.3} ms CPU an event, {rate:.0} events/s, p50 {p50:.1?}, p99 {p99:.1?}, \
             longest {longest:.1?}, {broken} connections broken",
            cpu * 1e3
        )
    }
}

/// Posts events and waits until each is delivered.
async fn posted(events: usize, slow: usize) -> anyhow::Result<Run> {
    let cloud = Cloud::start(&[])?;
    let mut daemon = Daemon::start(&cloud.url)?;
    let slow = Slow::start(daemon.address, slow).await;
    let (start, cpu) = (Instant::now(), daemon.process.cpu()?);
    let Posts { mut times, broken } = poster::post(daemon.address, CLIENTS, events).await?;
    let lasted = start.elapsed();
    while daemon.delivered()? < events {
        daemon.process.check()?;
        anyhow::ensure!(start.elapsed() < LIMIT, "{} are delivered", daemon.delivered()?);
        tokio::time::sleep(LOOK).await;
    }
    let cpu = daemon.process.cpu()?.saturating_sub(cpu);
    drop(slow);
    daemon.process.stop()?;
    times.sort_unstable();
    let at = |share: f64| {
        let place = ((times.len() - 1) as f64 * share).ceil() as usize;
        times.get(place).copied().unwrap_or_default()
    };
    Ok(Run {
        rate: events as f64 / lasted.as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
        longest: at(1.0),
        cpu: cpu.as_secs_f64() / events as f64,
        broken,
    })
}
