//! What is measured, and what is asked of it.

use std::time::Duration;

use crate::arrivals::Arrivals;
use crate::client::{Setup, Who};
use crate::idle;
use crate::old_journal::{self, Opened};
use crate::report::Bar;
use crate::run::{self, Point, Run, quantile};
use crate::starts::{self, STARTS};

/// Events a second that the cloud's limit allows: 100 pulls of 16.
const MOST: f64 = 1600.0;
/// Events a second that docs/performance.md reckons with.
const RECKONED: f64 = 1550.0;

/// What an idle daemon has to wake for in a minute: 12 long polls that end, 40 looks for what the
/// command line wrote (noticed within two seconds), 8 at what the service manager is to be told,
/// 6 for the charts, and 4 for pruning, the cloud's backlog and the watchdog.
const OCCASIONS: f64 = 70.0;
/// Threads that wait and are woken for each: the runtime's, the journal's that it asks, the
/// runtime's for the answer, and perhaps another one of the runtime, which hands work over.
const WAKE_UPS: f64 = 4.0;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) of: Of,
}

/// Which clients a scenario is run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    All,
    Sprited,
}

pub(crate) const SCENARIOS: [Scenario; 11] = [
    Scenario {
        name: "limit-40ms",
        about: "96,000 waiting, 100 requests/s, round trip 40 ms",
        of: Of::All,
    },
    Scenario { name: "limit-150ms", about: "the same at 150 ms", of: Of::All },
    Scenario {
        name: "jitter",
        about: "the same at 40 ms, each way up to 20 ms longer",
        of: Of::All,
    },
    Scenario {
        name: "throttled",
        about: "the same at 40 ms, all refused for 2 s of every 20 s",
        of: Of::All,
    },
    Scenario {
        name: "catching-up",
        about: "48,000 waiting and 500 events/s arriving, at 40 ms",
        of: Of::Sprited,
    },
    Scenario {
        name: "unlimited",
        about: "100,000 waiting, 1,000 requests/s, no round trip",
        of: Of::All,
    },
    Scenario { name: "trickle", about: "20 events/s for 60 s", of: Of::All },
    Scenario {
        name: "webhook",
        about: "100 events/s for 60 s, an endpoint that takes 200 ms",
        of: Of::Sprited,
    },
    Scenario { name: "idle", about: "nothing to do for 10 minutes", of: Of::Sprited },
    Scenario {
        name: "million",
        about: "1,000,000 waiting, 1,000 requests/s, no round trip",
        of: Of::Sprited,
    },
    Scenario {
        name: "old-journal",
        about: "a journal of 1,000,000 delivered and 10,000 pending",
        of: Of::Sprited,
    },
];

/// How a scenario is run.
pub(crate) struct Plan {
    /// Of the full size.
    pub(crate) scale: f64,
    pub(crate) clients: Vec<Who>,
}

impl Plan {
    fn events(&self, full: usize) -> usize {
        ((full as f64 * self.scale) as usize).max(64)
    }

    fn seconds(&self, full: u64) -> Duration {
        Duration::from_secs_f64((full as f64 * self.scale).max(2.0))
    }

    /// Runs `run` for each client with as many events, but for the SDK loop, which gets `for_sdk`.
    async fn each(
        &self,
        events: usize,
        for_sdk: usize,
        run: impl AsyncFn(Who, usize) -> anyhow::Result<Run>,
    ) -> anyhow::Result<Vec<Run>> {
        let mut runs = Vec::new();
        for who in &self.clients {
            let events = if *who == Who::Sdk { for_sdk } else { events };
            runs.push(run(*who, events).await?);
        }
        Ok(runs)
    }
}

/// Runs a scenario.
pub(crate) async fn play(name: &str, plan: &Plan) -> anyhow::Result<(Vec<Run>, Vec<Bar>)> {
    match name {
        "limit-40ms" => limited(plan, 40, 0, None).await,
        "limit-150ms" => limited(plan, 150, 0, None).await,
        "jitter" => limited(plan, 40, 20, None).await,
        "throttled" => limited(plan, 40, 0, Some((2.0, 20.0))).await,
        "catching-up" => catching_up(plan).await,
        "unlimited" => unlimited(plan).await,
        "trickle" => trickle(plan).await,
        "webhook" => webhook(plan).await,
        "idle" => idle(plan).await,
        "million" => million(plan).await,
        "old-journal" => old_journal(plan).await,
        _ => anyhow::bail!("there is no scenario {name}"),
    }
}

fn of(runs: &[Run], who: Who) -> Option<&Run> {
    runs.iter().find(|run| run.who == who.name())
}

/// A bar on the quotient of two runs.
fn ratio(what: &str, sprited: Option<f64>, other: Option<f64>, most: f64) -> Bar {
    match (sprited, other) {
        (Some(sprited), Some(other)) => Bar::at_most(what, sprited / other, most, "×"),
        _ => Bar::unknown(what),
    }
}

async fn limited(
    plan: &Plan,
    round_trip: u64,
    jitter: u64,
    bursts: Option<(f64, f64)>,
) -> anyhow::Result<(Vec<Run>, Vec<Bar>)> {
    let mut options = vec!["--round-trip".to_owned(), format!("{round_trip}ms")];
    options.extend(["--jitter".to_owned(), format!("{jitter}ms")]);
    let longest = round_trip + 2 * jitter;
    if let Some((length, every)) = bursts {
        options.extend(["--throttle".to_owned(), format!("{length}s/{every}s")]);
    }
    // A pull and a confirm for each of 100 a second, half as many again for syncs, and a few.
    let workers = (longest * 3 / 10 + 8) as usize;
    let setup = Setup { workers, rate: 100, webhook: None };
    // The SDK loop would take half an hour for all, and no bar compares it here.
    let (events, for_sdk) = (plan.events(96_000), plan.events(6_000));
    let drain = async |who, events| run::drain(who, &options, &setup, events).await;
    let runs = plan.each(events, for_sdk, drain).await?;
    let mut bars = Vec::new();
    if let Some(run) = of(&runs, Who::Sprited) {
        let allowed = match bursts {
            None => MOST,
            Some(bursts) => {
                let share = open_share(run, bursts);
                anyhow::ensure!(share < 1.0, "the run ended before the first burst");
                MOST * share
            }
        };
        let least = match (bursts, longest) {
            (Some(_), _) => 0.90,
            (None, 40) => 0.97,
            (None, _) => 0.95,
        };
        let share = run.rate() / allowed * 100.0;
        let what = format!("of {allowed:.0} events/s");
        bars.push(Bar::at_least(&what, share, least * 100.0, " %"));
        if bursts.is_none() {
            bars.push(Bar::at_most("refused", run.refused_share() * 100.0, 0.5, " %"));
            bars.push(Bar::at_most("requests per event", run.requests_per_event(), 0.13, ""));
        }
    }
    Ok((runs, bars))
}

/// The arithmetic of docs/performance.md: what waits, by what is left of the limit.
async fn catching_up(plan: &Plan) -> anyhow::Result<(Vec<Run>, Vec<Bar>)> {
    let setup = Setup { workers: 1, rate: 100, webhook: None };
    let (waiting, arriving) = (plan.events(48_000), 500);
    let options = ["--round-trip".to_owned(), "40ms".to_owned()];
    let run = run::catch_up(&options, &setup, waiting, arriving).await?;
    // The run ends when what arrived in half a second is left.
    let pulled = waiting.saturating_sub(arriving / 2);
    let foreseen = pulled as f64 / (RECKONED - arriving as f64);
    let what = format!("seconds, of the {foreseen:.1} foreseen");
    // What is foreseen is to be kept, and not by foreseeing too much.
    let bars = vec![
        Bar::at_most(&what, run.seconds / foreseen, 1.0, "×"),
        Bar::at_least(&what, run.seconds / foreseen, 0.9, "×"),
    ];
    Ok((vec![run], bars))
}

/// Of the run's time, the share in which the cloud did not refuse all.
fn open_share(run: &Run, (length, every): (f64, f64)) -> f64 {
    let refused_until =
        |time: f64| (time / every).floor() * length + (time % every - (every - length)).max(0.0);
    let start = run.began.as_secs_f64();
    1.0 - (refused_until(start + run.seconds) - refused_until(start)) / run.seconds
}

/// The cloud allows anything, and sprited asks as often as it can be told to.
fn flood() -> (Vec<String>, Setup) {
    let options = vec!["--rate-limit".to_owned(), "off".to_owned()];
    (options, Setup { workers: 1, rate: 1000, webhook: None })
}

async fn unlimited(plan: &Plan) -> anyhow::Result<(Vec<Run>, Vec<Bar>)> {
    let (options, setup) = flood();
    let events = plan.events(100_000);
    let drain = async |who, events| run::drain(who, &options, &setup, events).await;
    let runs = plan.each(events, events, drain).await?;
    let cpu = |who| of(&runs, who).map(Run::cpu_per_1000);
    let rate = |who| of(&runs, who).map(Run::rate);
    let bars = vec![
        ratio(
            "CPU per event, of the durable floor's",
            cpu(Who::Sprited),
            cpu(Who::DurableFloor),
            2.5,
        ),
        ratio("CPU per event, of the SDK loop's", cpu(Who::Sprited), cpu(Who::Sdk), 0.2),
        match (rate(Who::Sprited), rate(Who::Sdk)) {
            (Some(sprited), Some(sdk)) => {
                Bar::at_least("events/s, of the SDK loop's", sprited / sdk, 3.0, "×")
            }
            _ => Bar::unknown("events/s, of the SDK loop's"),
        },
    ];
    Ok((runs, bars))
}

async fn trickle(plan: &Plan) -> anyhow::Result<(Vec<Run>, Vec<Bar>)> {
    let setup = Setup { workers: 1, rate: 100, webhook: None };
    let events = plan.events(1200);
    let trickle =
        async |who, events| run::trickle(who, &setup, events, 20.0, None, Duration::ZERO).await;
    let runs = plan.each(events, events, trickle).await?;
    let mut bars = Vec::new();
    // What was run and not measured is a number that meets no bar.
    let measured = |times: &[f64], share| quantile(times, share).unwrap_or(f64::NAN);
    let to_sink = |who, share| Some(measured(&of(&runs, who)?.to_sink, share));
    for (share, name, more) in [(0.5, "p50", 3.0), (0.99, "p99", 15.0)] {
        let what = format!("to the sink, {name}, over the durable floor");
        bars.push(match (to_sink(Who::Sprited, share), to_sink(Who::DurableFloor, share)) {
            (Some(sprited), Some(floor)) => Bar::at_most(&what, sprited - floor, more, " ms"),
            _ => Bar::unknown(&what),
        });
    }
    bars.push(match of(&runs, Who::Sprited) {
        Some(run) => Bar::at_most("confirmed, p99", measured(&run.to_confirm, 0.99), 100.0, " ms"),
        None => Bar::unknown("confirmed, p99"),
    });
    Ok((runs, bars))
}

async fn webhook(plan: &Plan) -> anyhow::Result<(Vec<Run>, Vec<Bar>)> {
    let (arrivals, url) = Arrivals::at_receiver(Duration::from_millis(200)).await?;
    let setup = Setup { workers: 1, rate: 100, webhook: Some(url) };
    let events = plan.events(6000).max(1500);
    let skip = Duration::from_secs(10);
    let run =
        run::trickle(Who::Sprited, &setup, events, 100.0, Some(arrivals.clone()), skip).await?;
    let attempts = arrivals.deliveries() as f64 / (1 + events) as f64;
    let p99 = quantile(&run.to_sink, 0.99).unwrap_or(f64::NAN);
    let bars = vec![
        Bar::at_most("attempts per event", attempts, 1.02, ""),
        Bar::at_most("taken, p99 after 10 s", p99, 1000.0, " ms"),
    ];
    Ok((vec![run], bars))
}

async fn idle(plan: &Plan) -> anyhow::Result<(Vec<Run>, Vec<Bar>)> {
    let setup = Setup { workers: 1, rate: 100, webhook: None };
    let idle = idle::leave(&setup, plan.seconds(600)).await?;
    let a_minute = |count: u64| count as f64 / idle.minutes;
    let bars = vec![
        Bar::at_least("one pull in flight, of the time", idle.one_in_flight * 100.0, 99.0, " %"),
        Bar::at_most("pulls in flight", idle.most_in_flight as f64, 1.0, ""),
        Bar::at_most("pulls a minute", a_minute(idle.pulls), 13.0, ""),
        Bar::at_most("wake-ups a minute", a_minute(idle.wake_ups), OCCASIONS * WAKE_UPS, ""),
        Bar::at_most("CPU s a minute", idle.cpu / idle.minutes, 0.03, ""),
        Bar::at_most("peak memory", idle.peak_rss as f64 / (1 << 20) as f64, 16.0, " MiB"),
    ];
    Ok((Vec::new(), bars))
}

async fn million(plan: &Plan) -> anyhow::Result<(Vec<Run>, Vec<Bar>)> {
    let (options, setup) = flood();
    let events = plan.events(1_000_000);
    let run = run::drain(Who::Sprited, &options, &setup, events).await?;
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    println!(
        "  the journal has {:.0} MiB, the sink's file {:.0} MiB",
        mib(run.journal_bytes),
        mib(run.sink_bytes)
    );
    let done = |share: f64| {
        let reached = |point: &&Point| point.confirmed as f64 >= events as f64 * share;
        run.course.iter().find(reached).copied().unwrap_or_default()
    };
    // The mean of a tenth: a heap breathes by a MiB or two.
    let rss_in_tenth = |number: u32| {
        let share = f64::from(number) / 10.0;
        let within = |point: &&Point| (share - 0.1..share).contains(&(point.seconds / run.seconds));
        let seen: Vec<f64> = run.course.iter().filter(within).map(|point| mib(point.rss)).collect();
        seen.iter().sum::<f64>() / seen.len() as f64
    };
    let tenth = |number: u32| {
        let (from, to) = (done(f64::from(number - 1) / 10.0), done(f64::from(number) / 10.0));
        let events = (to.confirmed - from.confirmed) as f64;
        (events / (to.seconds - from.seconds), (to.cpu - from.cpu) / events * 1e6)
    };
    let ((first, cpu_first), (last, cpu_last)) = (tenth(1), tenth(10));
    println!("  the first tenth: {first:.0} events/s, {cpu_first:.1} µs of CPU an event");
    println!("  the last tenth:  {last:.0} events/s, {cpu_last:.1} µs of CPU an event");
    let last = last / first * 100.0;
    let bars = vec![
        Bar::at_most("peak memory", mib(run.peak_rss), 40.0, " MiB"),
        Bar::at_most(
            "memory in the last tenth, of that in the third",
            rss_in_tenth(10) / rss_in_tenth(3),
            1.1,
            "×",
        ),
        Bar::at_least("last tenth, of the first's speed", last, 90.0, " %"),
    ];
    Ok((vec![run], bars))
}

async fn old_journal(plan: &Plan) -> anyhow::Result<(Vec<Run>, Vec<Bar>)> {
    let delivered = plan.events(1_000_000);
    let pending = plan.events(10_000);
    let measured = plan.events(20_000);
    let (empty, old, killed) = (folder()?, folder()?, folder()?);
    let opened = Opened::at(old.path()).await?;
    opened.fill(0..delivered, old_journal::long_ago(), true).await?;
    opened.fill(delivered..delivered + pending, chrono::Utc::now(), false).await?;
    opened.close().await;
    // What is pulled before the kills is not to be in the journal that is measured after.
    std::fs::copy(old.path().join("journal.db"), killed.path().join("journal.db"))?;

    let ready = |after: &str, took: Duration| {
        let what = format!("ready after {after}, the worst of {STARTS}");
        Bar::at_most(&what, took.as_secs_f64() * 1e3, 150.0, " ms")
    };
    let after_stop = starts::ready_after_stop(old.path()).await?;
    let (after_kill, log) = starts::ready_after_kill(killed.path()).await?;
    let what = format!("a kill with a log of {:.0} MiB", log as f64 / (1 << 20) as f64);
    let mut bars = vec![ready("a stop", after_stop), ready(&what, after_kill)];

    let new = Opened::at(empty.path()).await?;
    let opened = Opened::at(old.path()).await?;
    let first = delivered + pending;
    let in_new = old_journal::cost(&new, first..first + measured).await?;
    let in_old = old_journal::cost(&opened, first..first + measured).await?;
    println!(
        "  the first append after a start: {:.0} ms in a new journal, {:.0} ms in the old one",
        in_new.first.as_secs_f64() * 1e3,
        in_old.first.as_secs_f64() * 1e3,
    );
    for (what, new, old) in [
        ("appended", in_new.append, in_old.append),
        ("appended, delivered and confirmed", in_new.all, in_old.all),
    ] {
        println!("  CPU µs of an event {what}: {new:.1} in a new journal, {old:.1} in the old one");
        let what = format!("CPU of an event {what}, of a new journal's");
        bars.push(Bar::at_most(&what, old / new, 2.5, "×"));
    }

    let first = first + measured;
    let batches = plan.events(10_000) / 2;
    let (quiet, _) = old_journal::append_times(&opened, first, batches, false).await?;
    let first = first + batches * 16;
    let (pruned, steps) = old_journal::append_times(&opened, first, batches, true).await?;
    let p999 = |times: &[f64]| quantile(times, 0.999).unwrap_or_default();
    let (quiet, pruned) = (p999(&quiet), p999(&pruned));
    anyhow::ensure!(steps as usize > batches / 10, "{steps} steps of pruning are none");
    println!("  p99.9 of an append: {quiet:.1} ms, {pruned:.1} ms while pruning ({steps} steps)");
    bars.push(Bar::at_most("pruning adds to p99.9", pruned - quiet, 20.0, " ms"));
    opened.close().await;
    new.close().await;
    Ok((Vec::new(), bars))
}

fn folder() -> anyhow::Result<tempfile::TempDir> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}
