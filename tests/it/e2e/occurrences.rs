//! Events that happen again, word for word: each time they do they are another event, and each
//! time the cloud hands the same one out once more they are not.

use std::time::Duration;

use chrono::TimeDelta;
use vod_emulator::{ApiAction, EmulatorSettings, FaultKind, InjectedFault, Leniency};

use super::clocks::Clock;
use super::receiver::{Answer, Receiver};
use super::{Site, file, ids, settings};
use crate::support::until;

const STARTS: &str = r#"{"EventType":"MediaCastStatusChanged","MediaCastStatusChangedEvent":{"CastId":"c","Status":"started"}}"#;
const STOPS: &str = r#"{"EventType":"MediaCastStatusChanged","MediaCastStatusChangedEvent":{"CastId":"c","Status":"stopped"}}"#;
const DELETED: &str =
    r#"{"EventType":"FileDeleted","FileDeleteEvent":{"FileIdSet":["5285890784273533167"]}}"#;
const RESTORED: &str = r#"{"EventType":"RestoreMediaComplete","RestoreMediaCompleteEvent":{"FileId":"5285890784273533167","Status":"SUCCESS"}}"#;
const UPLOADED: &str =
    r#"{"EventType":"NewFileUpload","FileUploadEvent":{"FileId":"5285890784273533167"}}"#;
const TASK: &str = r#"{"EventType":"TranscodeComplete","TranscodeCompleteEvent":{"TaskId":"t","FileId":"5285890784273533167"}}"#;

/// Adds an event and waits for its confirmation, and for the record of that.
async fn happens(site: &Site, event: &str) {
    let confirmed = site.confirmed() + 1;
    site.cloud.control.add(event).unwrap();
    until(|| site.confirmed() == confirmed).await;
}

#[tokio::test]
async fn a_cast_that_starts_and_stops_twice_is_four_events() {
    let site = Site::new(&file("all", "*")).await;
    let daemon = site.start();
    for event in [STARTS, STOPS, STARTS, STOPS] {
        happens(&site, event).await;
    }
    // Of these nothing happens again: the cloud hands out the same.
    for event in [UPLOADED, UPLOADED, TASK, TASK] {
        happens(&site, event).await;
    }
    let repeats = daemon.metric("sprited_possible_duplicates_total").await;
    assert!(repeats < 0.1, "{repeats} possible repeats");
    daemon.stop().await;
    site.assert_once("all.jsonl", 6);
    let lines = site.lines("all.jsonl");
    assert_eq!(lines[0]["data"], lines[2]["data"]);
}

#[tokio::test]
async fn equal_events_in_one_answer_are_as_many_as_there_are() {
    for same_handle in [false, true] {
        let lenient = Leniency { same_handle, ..Leniency::default() };
        let site =
            Site::with(EmulatorSettings { lenient, ..settings() }, "", &file("all", "*")).await;
        site.cloud.control.add_copies(DELETED, 5, Duration::ZERO).unwrap();
        let daemon = site.start();
        site.drained().await;
        daemon.stop().await;
        site.assert_once("all.jsonl", 5);
    }
}

/// The pull that brings the second is waiting before the first is confirmed.
#[tokio::test]
async fn an_equal_event_that_a_waiting_pull_brings_is_another_one() {
    let hold = Duration::from_secs(5);
    let site = Site::with(EmulatorSettings { hold, ..settings() }, "", &file("all", "*")).await;
    let daemon = site.start();
    for confirmed in [1, 2] {
        until(|| site.cloud.control.pulls_waiting() > 0).await;
        site.cloud.control.add(RESTORED).unwrap();
        until(|| site.confirmed() == confirmed).await;
    }
    daemon.stop().await;
    site.assert_once("all.jsonl", 2);
}

/// No clock decides: neither minutes apart, nor with one that was a year ahead, nor one set back.
#[tokio::test]
async fn what_happens_again_is_another_event_whatever_the_clock_says() {
    let site = Site::new(&file("all", "*")).await;
    let clock = Clock::in_folder(site.folder.path());
    let daemon = clock.start(&site);
    let minutes = [0, 8, 16, 24, 365 * 24 * 60, 30, 31, -60 * 24];
    for minutes in minutes {
        clock.set(TimeDelta::minutes(minutes));
        happens(&site, DELETED).await;
    }
    daemon.stop().await;
    site.assert_once("all.jsonl", minutes.len());
}

/// While a sink is down the same event comes again, each time under another handle or each time
/// under the same: it is one event. Of two that are equal both arrive.
#[tokio::test]
async fn an_event_that_waits_for_its_sink_is_one_however_often_it_comes() {
    for same_handle in [false, true] {
        let hook = Receiver::start(Answer::Refuse(503)).await;
        let lenient = Leniency { same_handle, ..Leniency::default() };
        let cloud = EmulatorSettings { lenient, ..settings() };
        let site = Site::with(cloud, "", &hook.sink("hook", "events = ['*']")).await;
        let control = &site.cloud.control;
        control.add(DELETED).unwrap();
        let daemon = site.start();
        until(|| control.totals().handed_out_again == 2).await;
        control.add(DELETED).unwrap();
        until(|| control.totals().handed_out_again >= 5).await;
        assert_eq!(site.confirmed(), 0);
        hook.set(Answer::Take);
        site.drained().await;
        daemon.stop().await;
        hook.assert_once(2);
    }
}

/// Two starts within seconds wait for a sink that is down for longer than the cloud keeps them.
#[tokio::test]
async fn two_equal_events_arrive_though_the_cloud_forgets_them_before_the_sink_is_up() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let cloud = EmulatorSettings { retention: Duration::from_secs(6), ..settings() };
    let site = Site::with(cloud, "", &hook.sink("hook", "events = ['*']")).await;
    let control = &site.cloud.control;
    let daemon = site.start();
    control.add(STARTS).unwrap();
    until(|| control.totals().handed_out == 1).await;
    control.add(STARTS).unwrap();
    until(|| control.totals().handed_out + control.totals().handed_out_again >= 5).await;
    until(|| control.totals().waiting == 0).await;
    hook.set(Answer::Take);
    until(|| hook.count() == 2).await;
    daemon.stop().await;
    assert_eq!(site.confirmed(), 0);
    hook.assert_once(2);
}

/// The cloud has taken an event back, and the daemon is killed before it knows. An equal event is
/// another one all the same.
#[tokio::test]
async fn a_kill_before_a_confirmation_is_recorded_swallows_no_later_event() {
    let site = Site::new(&file("all", "*")).await;
    let control = &site.cloud.control;
    let daemon = site.start();
    let fault = InjectedFault::next(1, FaultKind::Hold).on(ApiAction::ConfirmEvents).after_effect();
    control.fault(fault).unwrap();
    control.add(DELETED).unwrap();
    until(|| control.held() == 1).await;
    assert_eq!(site.confirmed(), 1);
    drop(daemon);
    assert!(site.journaled(None)[0].confirmed.is_none(), "the answer was held");
    control.release();

    let daemon = site.start();
    happens(&site, DELETED).await;
    // Whether it is the first one once more, nobody can tell, and that is counted.
    let repeats = daemon.metric("sprited_possible_duplicates_total").await;
    assert!((repeats - 1.0).abs() < 0.1, "{repeats} possible repeats");
    happens(&site, DELETED).await;
    let repeats = daemon.metric("sprited_possible_duplicates_total").await;
    assert!((repeats - 1.0).abs() < 0.1, "{repeats} possible repeats");
    daemon.stop().await;
    site.assert_once("all.jsonl", 3);
}

/// Certainly not taken: for the rate, for the policy, for the key. It is the same event still.
#[tokio::test]
async fn a_confirmation_that_is_turned_down_makes_no_new_event() {
    for code in ["UnauthorizedOperation", "RequestLimitExceeded", "AuthFailure.SignatureFailure"] {
        let site = Site::with(settings(), "", &file("all", "*")).await;
        let control = &site.cloud.control;
        let refused = FaultKind::Error(code.to_owned());
        control.fault(InjectedFault::rate(1.0, refused).on(ApiAction::ConfirmEvents)).unwrap();
        control.add(DELETED).unwrap();
        let daemon = site.start();
        until(|| control.totals().handed_out_again >= 2).await;
        daemon.stop().await;
        control.clear_faults();
        let daemon = site.start();
        site.drained().await;
        daemon.stop().await;
        site.assert_once("all.jsonl", 1);
    }
}

/// A call that is refused for one dead handle may have taken the others.
#[tokio::test]
async fn a_call_that_is_refused_for_another_handle_swallows_no_later_event() {
    let lenient = Leniency { confirm_partly: true, any_sub_app_id: true, ..Leniency::default() };
    // In one lease.
    let lease = Duration::from_secs(60);
    let site =
        Site::with(EmulatorSettings { lease, lenient, ..settings() }, "", &file("all", "*")).await;
    site.set_lease(lease);
    let control = &site.cloud.control;
    let held =
        InjectedFault::rate(1.0, FaultKind::Hold).on(ApiAction::ConfirmEvents).of(1_500_012_345);
    control.fault(held).unwrap();
    control.add(&format!("[{TASK},{DELETED}]")).unwrap();
    let daemon = site.start();
    until(|| site.lines("all.jsonl").len() == 2 && control.held() >= 1).await;
    let dead = control.ledger().events[0].hand_outs[0].handle();
    let body = serde_json::json!({ "EventHandles": [dead] }).to_string();
    site.cloud.caller().send("ConfirmEvents", &body).await.unwrap();
    control.clear_faults();
    control.release();
    until(|| site.confirmed() == 2).await;
    happens(&site, DELETED).await;
    daemon.stop().await;
    site.assert_once("all.jsonl", 3);
}

#[tokio::test]
async fn two_applications_share_no_occurrence() {
    let apps = vec![1_500_012_345, 1_500_012_346];
    let site =
        Site::with(EmulatorSettings { apps: apps.clone(), ..settings() }, "", &file("all", "*"))
            .await;
    site.edit("sub_app_id = 1500012345", "sub_app_id = [1500012345, 1500012346]");
    for app in apps {
        site.cloud.control.add_to(Some(app), DELETED, 2, Duration::ZERO).unwrap();
    }
    let daemon = site.start();
    site.drained().await;
    daemon.stop().await;
    site.assert_once("all.jsonl", 4);
}

/// A message comes from one daemon to another under other handles, or the same: none is lost, and
/// no two events have one id.
#[tokio::test]
async fn two_daemons_on_a_queue_deliver_each_of_several_equal_events() {
    let (first, second) = (Site::new(&file("all", "*")).await, tempfile::tempdir().unwrap());
    let text = std::fs::read_to_string(first.path("sprited.toml")).unwrap();
    let folder = first.folder.path().to_str().unwrap();
    let other = text.replace(folder, second.path().to_str().unwrap());
    std::fs::copy(first.path("key"), second.path().join("key")).unwrap();
    std::fs::write(second.path().join("sprited.toml"), other).unwrap();
    first.cloud.control.add_copies(DELETED, 60, Duration::ZERO).unwrap();
    let daemons = [first.start(), super::Daemon::start(second.path(), &["run"], &[])];
    for _ in 0..20 {
        first.cloud.control.add(DELETED).unwrap();
    }
    first.drained().await;
    for daemon in daemons {
        daemon.stop().await;
    }
    let text = std::fs::read_to_string(second.path().join("all.jsonl")).unwrap_or_default();
    let mut lines = first.lines("all.jsonl");
    lines.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
    assert_eq!((lines.len(), ids(&lines).len()), (80, 80));
}
