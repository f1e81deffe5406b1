//! The cloud's faults, one by one: whatever happens on the way, each event ends at the sink, once,
//! and is confirmed.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use sprited::emulator::{Action, Empty, Fault, Kind, Malformed, Settings};

use super::{Site, file, settings};
use crate::support::until;

const EVENTS: u32 = 20;

/// Runs a daemon through the faults. `strays` entries of no event of the queue reach the sink
/// besides.
async fn gets_through(cloud: Settings, faults: Vec<Fault>, strays: usize) {
    let site = Site::with(cloud, "", &file("all", "*")).await;
    let set = faults.len();
    for fault in faults {
        site.cloud.control.fault(fault).unwrap();
    }
    site.add_sprites(EVENTS);
    let daemon = site.start();
    site.drained().await;
    let met = site.cloud.control.totals().faults.values().sum::<u64>();
    assert!(met >= set as u64, "met {met} of {set} faults");
    daemon.stop().await;
    site.assert_once("all.jsonl", EVENTS as usize + strays);
    assert_eq!(site.confirmed(), u64::from(EVENTS));
}

/// The next call of each of the two actions meets the fault.
fn both(kind: Kind) -> Vec<Fault> {
    let on = |action| Fault::next(1, kind.clone()).on(action);
    vec![on(Action::PullEvents), on(Action::ConfirmEvents)]
}

/// As [`both`], after the calls took effect.
fn both_after(kind: Kind) -> Vec<Fault> {
    both(kind).into_iter().map(Fault::after_effect).collect()
}

/// Runs a daemon of its own through each of the lists, all beside each other.
async fn get_through(each: Vec<Vec<Fault>>, strays: usize) {
    join_all(each.into_iter().map(|faults| gets_through(settings(), faults, strays))).await;
}

/// The next pull meets the fault.
fn pull(kind: Kind) -> Vec<Fault> {
    vec![Fault::next(1, kind).on(Action::PullEvents)]
}

#[tokio::test]
async fn pages_of_a_gateway() {
    let statuses = [500, 502, 404].map(|status| both(Kind::Status(status)));
    let late = both_after(Kind::Status(504));
    get_through(statuses.into_iter().chain([late]).collect(), 0).await;
}

#[tokio::test]
async fn connections_that_are_reset() {
    get_through(vec![both(Kind::Reset), both_after(Kind::Reset)], 0).await;
}

#[tokio::test]
async fn answers_that_end_in_the_middle() {
    get_through(vec![both(Kind::Truncated), both(Kind::Cut)], 0).await;
}

#[tokio::test]
async fn answers_that_take_their_time() {
    let second = Duration::from_secs(1);
    get_through(vec![both(Kind::Slow(second)), both(Kind::Delay(second))], 0).await;
}

#[tokio::test]
async fn refusals_that_pass() {
    let late = both_after(Kind::InternalError);
    get_through(vec![both(Kind::Throttle), both(Kind::InternalError), late], 0).await;
}

#[tokio::test]
async fn a_rate_that_is_lower_than_configured() {
    let strict = Settings { rate_limit: Some(5), ..settings() };
    gets_through(strict, Vec::new(), 0).await;
}

#[tokio::test]
async fn an_answer_larger_than_is_read() {
    gets_through(settings(), both(Kind::Oversized(bytesize::ByteSize::mib(17))), 0).await;
}

#[tokio::test]
async fn a_clock_that_is_off_by_an_hour() {
    join_all([1, -1].map(async |hours| {
        let site = Site::new(&file("sprites", "image-sprite")).await;
        site.cloud.control.set_clock_offset(TimeDelta::hours(hours));
        site.add_sprites(EVENTS);
        let daemon = site.start();
        site.drained().await;
        let seconds = daemon.metric("sprited_clock_offset_seconds").await;
        assert!((seconds - 3600.0 * hours as f64).abs() < 5.0, "{seconds}");
        // The clock is set right: what was learned is unlearned.
        site.cloud.control.set_clock_offset(TimeDelta::zero());
        site.add_sprites(EVENTS);
        site.drained().await;
        daemon.stop().await;
        site.assert_once("sprites.jsonl", 2 * EVENTS as usize);
    }))
    .await;
}

#[tokio::test]
async fn batches_out_of_shape() {
    let kinds = [Kind::Duplicate, Kind::SharedHandle, Kind::Reversed];
    get_through(kinds.map(pull).into(), 0).await;
}

#[tokio::test]
async fn entries_out_of_shape() {
    let kinds = [Malformed::Null, Malformed::Number, Malformed::String, Malformed::InvalidUtf8];
    get_through(kinds.map(|kind| pull(Kind::Malformed(kind))).into(), 1).await;
}

#[tokio::test]
async fn entries_without_a_handle_come_again_with_one() {
    let kinds = [Malformed::NoHandle, Malformed::NullHandle, Malformed::NumberHandle];
    get_through(kinds.map(|kind| pull(Kind::Malformed(kind))).into(), 0).await;
}

#[tokio::test]
async fn every_way_to_say_that_there_is_nothing() {
    join_all([Empty::Error, Empty::Null, Empty::Absent, Empty::List].map(async |empty| {
        let site = Site::with(Settings { empty, ..settings() }, "", &file("all", "*")).await;
        let daemon = site.start();
        let empty_pulls = || site.cloud.control.totals().calls_of(Action::PullEvents, "empty");
        until(|| empty_pulls() >= 2).await;
        site.add_sprites(EVENTS);
        site.drained().await;
        assert_eq!(daemon.get("/readyz").await.0, 200);
        // Nothing is said of an empty queue, at any level; the first line is that of the start.
        let lines = daemon.log().lines().count();
        let pulls = empty_pulls();
        until(|| empty_pulls() >= pulls + 3).await;
        assert_eq!(daemon.log().lines().count(), lines);
        daemon.stop().await;
        site.assert_once("all.jsonl", EVENTS as usize);
    }))
    .await;
}
