//! Hours of bad luck in minutes: events all the time, every kind of fault, clocks that are wrong,
//! kills in between.
//!
//! `tests/run --soak` runs it. SPRITED_SOAK_MINUTES says how long (10), SPRITED_SOAK_SEED which
//! bad luck (another each time; it is printed).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use sprited::journal::{self, EventState, Filter, JournalReader};
use vod_emulator::{ApiAction, EmptyAnswer, EmulatorSettings, InjectedFault, LeaseFrom, Leniency};

use super::faults::CASES;
use super::receiver::{Answer, Receiver};
use super::{Site, file, settings};

/// How often the journal is audited beside the daemon.
const AUDITS: Duration = Duration::from_secs(20);

pub(super) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect(variable))
}

/// A cloud that is as strict, as kind and as odd as chance has it.
fn cloud(random: &mut StdRng) -> EmulatorSettings {
    let empties = [EmptyAnswer::Error, EmptyAnswer::Null, EmptyAnswer::Absent, EmptyAnswer::List];
    let (confirm_partly, pass_over) = (random.random(), random.random_bool(0.2));
    EmulatorSettings {
        lease_from: if random.random() { LeaseFrom::Answer } else { LeaseFrom::Request },
        empty: *empties.choose(random).unwrap(),
        rate_limit: [None, Some(20), Some(100)].choose(random).copied().unwrap(),
        lenient: Leniency {
            same_handle: random.random(),
            confirm_partly,
            pass_over,
            ..Leniency::default()
        },
        seed: Some(random.random()),
        ..settings()
    }
}

/// A fault that strikes some calls of some action.
fn fault(random: &mut StdRng) -> InjectedFault {
    let (kind, _, actions, _) = CASES.choose(random).unwrap();
    // A call that hangs costs what hundreds of others do.
    let most = if kind.contains("hang") { 0.05 } else { 0.5 };
    let fault = json!({
        "kind": serde_json::from_str::<Value>(kind).unwrap(),
        "action": actions.choose(random).unwrap().name(),
        "takes_effect": random.random::<bool>(),
        "rate": random.random_range(0.02..most),
    });
    serde_json::from_value(fault).unwrap()
}

/// Events that the hook has and that the journal has as pending there, after a kill: each may come
/// once more.
fn exposed(site: &Site, hook: &Receiver) -> Vec<String> {
    let Ok(reader) = JournalReader::open(&site.path("journal.db")) else { return Vec::new() };
    let filter = Filter {
        state: Some(EventState::Pending),
        sink: Some("hook".to_owned()),
        ..Filter::default()
    };
    let taken = hook.counts();
    let pending = reader.list(&filter, 1_000_000).unwrap();
    let keys = pending.iter().map(|found| found.event.key.to_string());
    keys.filter(|key| taken.contains_key(key)).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; tests/run --soak"]
async fn whatever_happens_each_event_ends_at_each_sink() {
    let minutes = number("SPRITED_SOAK_MINUTES").unwrap_or(10);
    let seed = number("SPRITED_SOAK_SEED").unwrap_or_else(rand::random);
    let mut random = StdRng::seed_from_u64(seed);
    let after = *["delivery", "journal"].choose(&mut random).unwrap();
    println!("soak: {minutes} minutes, SPRITED_SOAK_SEED={seed}, confirm.after = {after}");
    let hook = Receiver::start(Answer::Take).await;
    let sinks = [file("all", "*"), hook.sink("hook", "events = ['*']")].concat();
    let confirm = format!("after = '{after}'");
    let site = Site::with(cloud(&mut random), &confirm, &sinks).await;
    let control = &site.cloud.control;
    let mut daemon = site.start();
    let (mut made, mut faults, mut kills, mut audits) = (Vec::new(), 0, 0, 0);
    // How often a kill left an event at the hook and not recorded.
    let mut may_repeat: HashMap<String, u32> = HashMap::new();
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    let mut next_audit = Instant::now() + AUDITS;
    while Instant::now() < end {
        made.extend(site.make_sprites(random.random_range(0..60)));
        if random.random_bool(0.3) {
            control.clear_faults();
            for _ in 0..random.random_range(1..4) {
                control.fault(fault(&mut random)).unwrap();
                faults += 1;
            }
        }
        if random.random_bool(0.1) {
            hook.set(match random.random_range(0..4) {
                0 => Answer::Take,
                // What a kill finds unanswered comes once more.
                1 | 2 => Answer::TakeAfter(Duration::from_millis(random.random_range(20..300))),
                _ => Answer::Refuse(*[429, 500, 503].choose(&mut random).unwrap()),
            });
        }
        if random.random_bool(0.02) {
            control.set_clock_offset(TimeDelta::minutes(random.random_range(-60..=60)));
        }
        if random.random_bool(0.03) {
            daemon.signal(Signal::SIGKILL);
            daemon.ended_within(Duration::from_secs(5)).await;
            hook.is_left().await;
            exposed(&site, &hook)
                .into_iter()
                .for_each(|key| *may_repeat.entry(key).or_default() += 1);
            daemon = site.start();
            kills += 1;
        }
        control.release();
        if Instant::now() >= next_audit {
            daemon.has_logged("started").await;
            let path = site.path("journal.db");
            let found = tokio::task::spawn_blocking(move || journal::audit(&path)).await.unwrap();
            let found = found.unwrap().unwrap();
            assert!(found.ok(), "beside the daemon: {found:#?}");
            audits += 1;
            next_audit = Instant::now() + AUDITS;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(10..600))).await;
    }
    control.clear_faults();
    hook.set(Answer::Take);
    // A failure that somebody has to mend is waited for a minute, and a lease once more.
    let last = Instant::now() + Duration::from_secs(180);
    while control.totals().waiting > 0 {
        assert!(Instant::now() < last, "not drained: {:?}", control.totals());
        control.release();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A sink that is down is asked once a minute.
    while !site.journaled(Some(EventState::Pending)).is_empty() {
        assert!(Instant::now() < last, "not delivered: {:?}", control.totals());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    daemon.stop().await;

    let totals = control.totals();
    let met: u64 = totals.faults.values().sum();
    println!(
        "soak: {} events, handed out again {}, {faults} faults set, {met} met, {kills} kills, \
         {audits} audits beside the daemon",
        made.len(),
        totals.handed_out_again,
    );
    println!("soak: met {:?}", totals.faults);
    let calls = totals.calls.get(ApiAction::ConfirmEvents.name());
    println!("soak: confirms {calls:?}");
    // What stands in an answer besides the events, once however often it stood there.
    let known: BTreeSet<String> =
        ["null", "17", "\"text\"", "\"\u{fffd}\u{fffd}\""].map(str::to_owned).into();
    let is_stray = |line: &Value| line["data"]["sprites"].as_array().is_none_or(Vec::is_empty);
    let lines = site.lines("all.jsonl");
    let strays: Vec<_> = lines.iter().filter(|line| is_stray(line)).collect();
    for stray in &strays {
        assert!(known.contains(&stray["data"]["event"].to_string()), "{stray}");
    }
    site.assert_equal_ledgers("all.jsonl", &made, strays.len());
    let taken = hook.counts();
    let repeats: u32 = taken.values().map(|times| times - 1).sum();
    println!(
        "soak: the hook was asked {} times and took {} events, {repeats} of them once more; \
         kills explain {}",
        hook.asked(),
        taken.len(),
        may_repeat.values().sum::<u32>(),
    );
    assert_eq!(taken.keys().cloned().collect::<BTreeSet<_>>(), super::ids(&lines));
    let unexplained = |(key, times): &(&String, &u32)| {
        **times - 1 > may_repeat.get(*key).copied().unwrap_or_default()
    };
    let repeated: Vec<_> = taken.iter().filter(unexplained).collect();
    assert!(repeated.is_empty(), "repeated, and no kill explains it: {repeated:?}");
}
