//! The whole daemon against the emulator, each in a process of its own, and beside it the least
//! that any client has to do.
//!
//! `cargo bench --bench drain -- --help` tells how to run it. What it writes is below
//! `target/tmp`, which has to be on the kind of disk one wants to know about.
#![allow(clippy::print_stdout, reason = "the answer of a benchmark")]

mod arrivals;
mod client;
#[allow(dead_code, reason = "shared with other benchmarks")]
mod cloud;
mod floor;
mod idle;
mod old_journal;
mod process;
mod report;
mod run;
mod scenarios;
mod starts;

use std::process::ExitCode;

use anyhow::Context;
use client::Who;
use scenarios::{Of, Plan, SCENARIOS};

const USAGE: &str =
    "usage: cargo bench --bench drain -- [--scale SHARE] [--only CLIENT] [SCENARIO…]

Runs all scenarios, or those named. All of them at full size take about 40 minutes.
  --scale SHARE   a share of the full size, such as 0.1, for a quick look
  --only CLIENT   sprited, floor, durable or sdk alone; may be given several times

In the table, an event is in hand from the time it is first handed out to its confirmation, both as
the cloud sees it. Times since it came into the queue are told of events that arrive during the run:
for what waited before, they are the time of the run.
";

/// In less, runs are shorter than a look at them.
const LEAST_SCALE: f64 = 0.02;

fn main() -> anyhow::Result<ExitCode> {
    // Fails only where there is one already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo says so to every benchmark.
    arguments.retain(|argument| argument != "--bench");
    if arguments.first().is_some_and(|first| first == "--as-floor") {
        return as_floor(&arguments[1..]);
    }
    let mut plan = Plan { scale: 1.0, clients: Vec::new() };
    let mut names: Vec<String> = Vec::new();
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--scale" => plan.scale = rest.next().context(USAGE)?.parse().context(USAGE)?,
            "--only" => plan.clients.push(match rest.next().as_deref() {
                Some("sprited") => Who::Sprited,
                Some("floor") => Who::Floor,
                Some("durable") => Who::DurableFloor,
                Some("sdk") => Who::Sdk,
                _ => anyhow::bail!("{USAGE}"),
            }),
            "-h" | "--help" => return help(),
            name if SCENARIOS.iter().any(|scenario| scenario.name == name) => {
                names.push(argument);
            }
            other => anyhow::bail!("there is no scenario {other}\n\n{USAGE}"),
        }
    }
    let mut clients_left_out = !plan.clients.is_empty();
    if !clients_left_out {
        plan.clients.extend(Who::ALL);
    }
    if plan.clients.contains(&Who::Sdk) && !client::has_sdk() {
        println!("without the Python SDK loop: tests/run installs the SDK into target/test-python");
        plan.clients.retain(|who| *who != Who::Sdk);
        anyhow::ensure!(!plan.clients.is_empty(), "there is nothing else to run");
        clients_left_out = true;
    }
    anyhow::ensure!(plan.scale >= LEAST_SCALE, "--scale: {LEAST_SCALE} at the least");
    if plan.scale != 1.0 {
        println!("at {} of the full size", plan.scale);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut all_met = true;
    for scenario in &SCENARIOS {
        if !names.is_empty() && !names.iter().any(|name| name == scenario.name) {
            continue;
        }
        println!("\n{}: {}", scenario.name, scenario.about);
        if scenario.of == Of::Sprited && !plan.clients.contains(&Who::Sprited) {
            println!("  (of sprited alone)");
            continue;
        }
        let (runs, bars) = runtime.block_on(scenarios::play(scenario.name, &plan))?;
        report::print_runs(&runs);
        all_met &= report::print_bars(&bars, clients_left_out);
    }
    Ok(if all_met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn help() -> anyhow::Result<ExitCode> {
    println!("{USAGE}");
    for scenario in &SCENARIOS {
        println!("  {:12} {}", scenario.name, scenario.about);
    }
    Ok(ExitCode::SUCCESS)
}

fn as_floor(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let [url, workers, rate, file @ ..] = arguments else { anyhow::bail!("{USAGE}") };
    floor::run(url, workers.parse()?, rate.parse()?, file.first().map(String::as_str))?;
    Ok(ExitCode::SUCCESS)
}
