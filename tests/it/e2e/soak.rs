//! Hours of bad luck in minutes: events all the time, faults of every kind, kills in between.
//!
//! `tests/run --soak` runs it. SPRITED_SOAK_MINUTES says how long (10), SPRITED_SOAK_SEED which
//! bad luck (another each time; it is printed).

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sprited::emulator::{Action, Fault, Kind};

use super::{Site, file};
use crate::support;

pub(super) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect(variable))
}

/// A fault that strikes some calls of some action. None that adds entries of its own.
fn fault(random: &mut StdRng) -> Fault {
    let kinds = [
        Kind::Status(502),
        Kind::Reset,
        Kind::Throttle,
        Kind::InternalError,
        Kind::Truncated,
        Kind::Cut,
        Kind::Delay(Duration::from_millis(700)),
        Kind::Slow(Duration::from_millis(20)),
    ];
    let kind = kinds[random.random_range(0..kinds.len())].clone();
    let on = if random.random() { Action::PullEvents } else { Action::ConfirmEvents };
    let fault = Fault::rate(random.random_range(0.02..0.5), kind).on(on);
    if random.random() { fault.after_effect() } else { fault }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; tests/run --soak"]
async fn whatever_happens_each_event_ends_at_the_sink_once() {
    let minutes = number("SPRITED_SOAK_MINUTES").unwrap_or(10);
    let seed = number("SPRITED_SOAK_SEED").unwrap_or_else(rand::random);
    println!("soak: {minutes} minutes, SPRITED_SOAK_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let control = &site.cloud.control;
    let mut daemon = site.start();
    let (mut events, mut faults, mut kills) = (0, 0, 0);
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    while Instant::now() < end {
        let count = random.random_range(0..60);
        site.add_sprites(count);
        events += count;
        if random.random_bool(0.3) {
            control.clear_faults();
            for _ in 0..random.random_range(1..4) {
                control.fault(fault(&mut random)).unwrap();
                faults += 1;
            }
        }
        if random.random_bool(0.05) {
            daemon.signal(Signal::SIGKILL);
            daemon.ended_within(Duration::from_secs(5)).await;
            daemon = site.start();
            kills += 1;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(10..600))).await;
    }
    control.clear_faults();
    let last = Instant::now() + Duration::from_secs(120);
    while control.totals().waiting > 0 {
        assert!(Instant::now() < last, "not drained two minutes after the last fault");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    support::until(|| site.lines("sprites.jsonl").len() >= events as usize).await;
    daemon.stop().await;
    let met: u64 = control.totals().faults.values().sum();
    println!("soak: {events} events, {faults} faults set, {met} met, {kills} kills");
    site.assert_once("sprites.jsonl", events as usize);
    assert_eq!(site.confirmed(), u64::from(events));
}
