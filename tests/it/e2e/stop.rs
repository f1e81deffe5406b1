//! The end, in every phase.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use sprited::journal::EventState;
use vod_emulator::{ApiAction, EmulatorSettings, FaultKind, InjectedFault};

use super::receiver::{Answer, Receiver};
use super::{Site, file, settings};
use crate::support::until;

#[tokio::test]
async fn a_pull_in_flight_gets_five_seconds() {
    let cloud = EmulatorSettings { hold: Duration::from_secs(60), ..settings() };
    let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
    let mut daemon = site.start();
    until(|| site.cloud.control.pulls_waiting() == 1).await;
    let began = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended_within(Duration::from_millis(6500)).await, 0);
    assert!(began.elapsed() > Duration::from_secs(4));
}

#[tokio::test]
async fn what_a_last_pull_brings_is_kept() {
    let cloud = EmulatorSettings { hold: Duration::from_secs(2), ..settings() };
    let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
    let mut daemon = site.start();
    until(|| site.cloud.control.pulls_waiting() == 1).await;
    daemon.signal(Signal::SIGINT);
    daemon.has_logged("stopping").await;
    site.add_sprites(3);
    assert_eq!(daemon.ended_within(Duration::from_secs(6)).await, 0);
    assert_eq!(site.journaled(None).len(), 3);
    let daemon = site.start();
    site.drained().await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 3);
}

#[tokio::test]
async fn a_delivery_that_hangs_ends_by_its_timeout_and_is_made_after_the_next_start() {
    let hook = Receiver::start(Answer::Hang).await;
    let site = Site::new(&hook.sink("hook", "timeout = '2s'")).await;
    site.add_sprites(20);
    let mut daemon = site.start();
    until(|| hook.asked() == 8).await;
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.ended_within(Duration::from_secs(4)).await, 0);
    assert_eq!(hook.asked(), 8, "no delivery starts after the stop");
    assert_eq!(site.journaled(Some(EventState::Pending)).len(), 20);
    hook.set(Answer::Take);
    let daemon = site.start();
    site.drained().await;
    hook.assert_once(20);
    daemon.stop().await;
}

#[tokio::test]
async fn a_delivery_that_hangs_for_longer_is_given_up_after_fifteen_seconds() {
    let hook = Receiver::start(Answer::Hang).await;
    let site = Site::new(&hook.sink("hook", "timeout = '60s'")).await;
    site.add_sprites(2);
    let mut daemon = site.start();
    until(|| hook.asked() == 2).await;
    let began = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended_within(Duration::from_secs(18)).await, 0);
    assert!(began.elapsed() > Duration::from_secs(14));
    let given_up = "deliveries abandoned: too slow for the stop; they will be retried";
    assert_eq!(daemon.logged(given_up).len(), 1);
    assert_eq!(site.journaled(Some(EventState::Pending)).len(), 2);
}

#[tokio::test]
async fn confirms_go_out_before_the_end() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let hold = InjectedFault::rate(1.0, FaultKind::Hold).on(ApiAction::ConfirmEvents);
    site.cloud.control.fault(hold).unwrap();
    site.add_sprites(40);
    let mut daemon = site.start();
    until(|| site.lines("sprites.jsonl").len() == 40 && site.cloud.control.held() >= 3).await;
    daemon.signal(Signal::SIGTERM);
    daemon.has_logged("stopping").await;
    // Time for a daemon that would not wait to end: no condition shows that nothing happens.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(daemon.runs(), "it did not wait for its confirms");
    site.cloud.control.clear_faults();
    site.cloud.control.release();
    assert_eq!(daemon.ended_within(Duration::from_secs(6)).await, 0);
    assert_eq!(site.confirmed(), 40);
}

#[tokio::test]
async fn what_is_in_hand_is_not_lost() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.add_sprites(400);
    for written in [30, 150] {
        let mut daemon = site.start();
        until(|| site.lines("sprites.jsonl").len() >= written).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.ended_within(Duration::from_secs(8)).await, 0);
    }
    let daemon = site.start();
    site.drained().await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 400);
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    join_all([(Signal::SIGTERM, 143), (Signal::SIGINT, 130)].map(async |(second, code)| {
        let hook = Receiver::start(Answer::Hang).await;
        let site = Site::new(&hook.sink("hook", "timeout = '60s'")).await;
        site.add_sprites(1);
        let mut daemon = site.start();
        until(|| hook.asked() == 1).await;
        let began = Instant::now();
        daemon.signal(Signal::SIGTERM);
        daemon.has_logged("stopping").await;
        daemon.insist(second).await;
        assert!(began.elapsed() >= Duration::from_secs(1));
        assert_eq!(daemon.ended_within(Duration::from_secs(2)).await, code);
        // Nothing is lost by it.
        assert_eq!(site.journaled(Some(EventState::Pending)).len(), 1);
    }))
    .await;
}

/// A terminal and a supervisor, say, both send one.
#[tokio::test]
async fn signals_within_a_second_of_the_first_are_the_first() {
    join_all([Signal::SIGTERM, Signal::SIGINT].map(async |second| {
        let hook = Receiver::start(Answer::Hang).await;
        let site = Site::new(&hook.sink("hook", "timeout = '3s'")).await;
        site.add_sprites(1);
        let mut daemon = site.start();
        until(|| hook.asked() == 1).await;
        daemon.signal(Signal::SIGTERM);
        daemon.signal(second);
        daemon.has_logged("stopping").await;
        daemon.signal(second);
        // The delivery has its time, and the stop is a clean one.
        assert_eq!(daemon.ended_within(Duration::from_secs(10)).await, 0);
        assert_eq!(site.journaled(Some(EventState::Pending)).len(), 1);
    }))
    .await;
}
