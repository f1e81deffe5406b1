//! When an event is confirmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use sprited::journal::EventState;
use tokio_util::sync::CancellationToken;
use vod_emulator::{ApiAction, EmulatorSettings, FaultKind, InjectedFault, Leniency};

use super::receiver::{Answer, Receiver};
use super::{Site, file, settings};
use crate::local_server::{LocalServer, Reply};
use crate::support::{data, until};

#[tokio::test]
async fn after_delivery_nothing_is_confirmed_that_a_sink_refuses() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let sinks = [file("sprites", "image-sprite"), hook.sink("hook", "")].concat();
    let site = Site::with(settings(), "after = 'delivery'", &sinks).await;
    let daemon = site.start();
    site.add_sprites(3);
    // A whole lease has gone by, and one more has begun.
    until(|| site.cloud.control.totals().handed_out_again == 3).await;
    site.assert_once("sprites.jsonl", 3);
    assert!(hook.asked() >= 3);
    let totals = site.cloud.control.totals();
    assert!(!totals.calls.contains_key("ConfirmEvents"), "{totals:?}");
    hook.set(Answer::Take);
    site.drained().await;
    hook.assert_once(3);
    site.assert_once("sprites.jsonl", 3);
    daemon.stop().await;
}

#[tokio::test]
async fn after_the_journal_an_event_is_confirmed_before_it_is_delivered() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let lease = Duration::from_secs(60);
    let cloud = EmulatorSettings { lease, ..settings() };
    let site = Site::with(cloud, "after = 'journal'", &hook.sink("hook", "")).await;
    site.set_lease(lease);
    let daemon = site.start();
    site.add_sprites(3);
    site.drained().await;
    assert_eq!(hook.taken().len(), 0);
    assert_eq!(site.cloud.control.totals().handed_out_again, 0);
    hook.set(Answer::Take);
    until(|| hook.taken().len() >= 3).await;
    daemon.stop().await;
    hook.assert_once(3);
}

#[tokio::test]
async fn past_the_limit_the_oldest_are_confirmed_on_the_journals_word() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let site = Site::with(settings(), "max_unconfirmed = 3", &hook.sink("hook", "")).await;
    let daemon = site.start();
    site.add_sprites(10);
    until(|| site.confirmed() == 7).await;
    assert!((daemon.metric("sprited_confirmed_early_total").await - 7.0).abs() < 0.1);
    // The three that are left come again as well, and stay.
    until(|| site.cloud.control.totals().handed_out_again >= 10).await;
    let ledger = site.cloud.control.ledger();
    let kept: Vec<u64> = ledger
        .events
        .iter()
        .filter(|event| event.confirmed.is_none())
        .map(|event| event.id)
        .collect();
    assert_eq!(kept, [8, 9, 10], "the oldest go first");
    assert_eq!(hook.taken().len(), 0);
    hook.set(Answer::Take);
    site.drained().await;
    until(|| hook.taken().len() >= 10).await;
    daemon.stop().await;
    hook.assert_once(10);
}

/// A sink that is down for leases, and then the machine with its disk is lost.
#[tokio::test]
async fn without_a_limit_a_lost_disk_loses_nothing_that_a_sink_wants() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let confirm = "max_unconfirmed = 'never'";
    let site = Site::with(settings(), confirm, &hook.sink("hook", "")).await;
    let mut daemon = site.start();
    site.add_sprites(48);
    until(|| site.cloud.control.totals().handed_out_again >= 3 * 48).await;
    let unsettled = daemon.metric("sprited_confirmed_early_total").await;
    let totals = site.cloud.control.totals();
    assert!(unsettled < 0.1 && !totals.calls.contains_key("ConfirmEvents"), "{totals:?}");
    assert_eq!(site.journaled(Some(EventState::Pending)).len(), 48);

    daemon.signal(Signal::SIGKILL);
    daemon.ended_within(Duration::from_secs(5)).await;
    for entry in std::fs::read_dir(site.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("journal.db") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let daemon = site.start();
    hook.set(Answer::Take);
    site.drained().await;
    until(|| hook.taken().len() >= 48).await;
    daemon.stop().await;
    hook.assert_once(48);
    assert_eq!((site.confirmed(), site.cloud.control.totals().expired), (48, 0));
}

#[tokio::test]
async fn a_limit_can_be_taken_away_and_set_again_while_the_daemon_runs() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let confirm = "max_unconfirmed = 'never'";
    let site = Site::with(settings(), confirm, &hook.sink("hook", "")).await;
    let daemon = site.start();
    site.add_sprites(10);
    until(|| site.cloud.control.totals().handed_out_again >= 20).await;
    assert_eq!(site.confirmed(), 0);
    site.edit("max_unconfirmed = 'never'", "max_unconfirmed = 4");
    daemon.reloaded().await;
    until(|| site.confirmed() == 6).await;
    site.edit("max_unconfirmed = 4", "max_unconfirmed = 'never'");
    daemon.reloaded().await;
    site.add_sprites(10);
    let again = site.cloud.control.totals().handed_out_again;
    until(|| site.cloud.control.totals().handed_out_again >= again + 28).await;
    assert_eq!(site.confirmed(), 6);
    hook.set(Answer::Take);
    site.drained().await;
    until(|| hook.taken().len() >= 20).await;
    daemon.stop().await;
    hook.assert_once(20);
}

/// Events that no sink takes are pulled once a lease, by few requests; when the sink is back, all is
/// as before.
#[tokio::test]
async fn what_circulates_is_pulled_slowly_and_told() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let confirm = "max_unconfirmed = 'never'";
    let site = Site::with(settings(), confirm, &hook.sink("hook", "")).await;
    let daemon = site.start();
    site.add_sprites(200);
    let rate = async || daemon.metric("sprited_pull_rate").await;
    // 1.25 × 200 / 16 a lease of 2.5 s.
    super::until(async || rate().await < 6.5).await;
    super::until(async || daemon.metric("sprited_circulating_events").await > 150.0).await;
    super::until(async || {
        let (_, text) = daemon.get("/status.txt").await;
        text.contains(" events circulate, 6.2 of 100 requests/s\n")
    })
    .await;
    let (_, page) = daemon.get("/").await;
    assert!(page.contains(" events circulate, "), "{page}");
    let (_, json) = daemon.get("/status.json").await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["cloud"]["circulating"].as_u64().unwrap() > 150, "{json}");
    hook.set(Answer::Take);
    site.drained().await;
    until(|| hook.taken().len() >= 200).await;
    site.add_sprites(20);
    site.drained().await;
    super::until(async || rate().await > 90.0).await;
    super::until(async || daemon.metric("sprited_circulating_events").await < 0.1).await;
    let (_, text) = daemon.get("/status.txt").await;
    assert!(!text.contains("circulate"), "{text}");
    daemon.stop().await;
    hook.assert_once(220);
}

/// What is pending and was confirmed early does not come again.
#[tokio::test]
async fn below_a_limit_only_what_stays_unconfirmed_circulates() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let site = Site::with(settings(), "max_unconfirmed = 100", &hook.sink("hook", "")).await;
    let daemon = site.start();
    site.add_sprites(400);
    until(|| site.confirmed() == 300).await;
    // 1.25 × 100 / 16 a lease of 2.5 s; 12.5 would be those of all.
    super::until(async || daemon.metric("sprited_pull_rate").await < 4.0).await;
    assert_eq!(site.confirmed(), 300);
    hook.set(Answer::Take);
    site.drained().await;
    until(|| hook.taken().len() >= 400).await;
    daemon.stop().await;
    hook.assert_once(400);
}

#[tokio::test]
async fn as_many_confirms_are_in_flight_as_pulls_may_be() {
    for (most, events) in [(3, 160), (40, 800)] {
        // In one lease, at whose end a call that is held is given up for another.
        let lease = Duration::from_secs(60);
        let cloud = EmulatorSettings { lease, ..settings() };
        let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
        site.set_lease(lease);
        site.edit("interval = '20ms'", &format!("interval = '20ms'\nmax_concurrency = {most}"));
        let control = &site.cloud.control;
        control
            .fault(InjectedFault::rate(1.0, FaultKind::Hold).on(ApiAction::ConfirmEvents))
            .unwrap();
        site.add_sprites(events);
        let daemon = site.start();
        // A confirm takes 16 of them, so ten and fifty are to be made.
        let delivered = || site.lines("sprites.jsonl").len() == events as usize;
        until(|| delivered() && control.held() >= most).await;
        assert_eq!(control.held(), most);
        control.clear_faults();
        control.release();
        site.drained().await;
        daemon.stop().await;
    }
}

/// One handle of sixteen is dead by the time they are confirmed. Returns how many calls the cloud
/// refused, and how many handles the daemon learned to be bad.
async fn one_dead_handle_among_sixteen(lenient: Leniency) -> (u64, f64) {
    // In one lease, however long the daemon is kept from its work.
    let lease = Duration::from_secs(60);
    let lenient = Leniency { any_sub_app_id: true, ..lenient };
    let site = Site::with(
        EmulatorSettings { lease, lenient, ..settings() },
        "",
        &file("sprites", "image-sprite"),
    )
    .await;
    site.set_lease(lease);
    let control = &site.cloud.control;
    // All calls of the daemon, which names its application.
    let held =
        InjectedFault::rate(1.0, FaultKind::Hold).on(ApiAction::ConfirmEvents).of(1_500_012_345);
    control.fault(held).unwrap();
    let made = site.make_sprites(16);
    let daemon = site.start();
    until(|| site.lines("sprites.jsonl").len() == 16 && control.held() >= 1).await;
    // Somebody else was faster.
    let stale = control.ledger().events[5].hand_outs[0].handle();
    let body = serde_json::json!({ "EventHandles": [stale] }).to_string();
    let faster = site.cloud.caller().send("ConfirmEvents", &body).await.unwrap();
    assert_eq!(faster.code(), "ok");
    control.clear_faults();
    control.release();
    site.drained().await;
    let totals = control.totals();
    assert_eq!(totals.handed_out_again, 0, "{totals:?}");
    // The dead one is refused alone, it may be after the others were taken.
    let counted = async || {
        let count = async |outcome| {
            daemon.metric(&format!("sprited_handles_total{{outcome=\"{outcome}\"}}")).await
        };
        count("confirmed").await + count("refused").await
    };
    super::until(async || (counted().await - 16.0).abs() < 0.1).await;
    let refused = daemon.metric("sprited_handles_total{outcome=\"refused\"}").await;
    let calls = control.totals().calls_of(ApiAction::ConfirmEvents, "InvalidParameterValue");
    daemon.stop().await;
    site.assert_equal_ledgers("sprites.jsonl", &made, 0);
    (calls, refused)
}

#[tokio::test]
async fn one_dead_handle_among_sixteen_refused_whole_does_not_hold_up_the_others() {
    let (calls, refused) = one_dead_handle_among_sixteen(Leniency::default()).await;
    // Sixteen, eight, four, two, and the one; less where some went in a call before.
    assert!((1..=5).contains(&calls), "{calls}");
    assert!((refused - 1.0).abs() < 0.1, "{refused}");
}

/// The others were confirmed by the call that was refused: each is refused once more.
#[tokio::test]
async fn one_dead_handle_among_sixteen_accepted_in_part_with_an_error_ends_well() {
    let lenient = Leniency { confirm_partly: true, ..Leniency::default() };
    let (calls, refused) = one_dead_handle_among_sixteen(lenient).await;
    assert!(refused > 1.5, "{refused}");
    // Halved down to each handle of the call, and no further.
    assert!((calls as f64 - (2.0 * refused - 1.0)).abs() < 0.1, "{calls} calls, {refused} handles");
}

#[tokio::test]
async fn one_dead_handle_among_sixteen_passed_over_in_silence_ends_well() {
    let lenient = Leniency { pass_over: true, ..Leniency::default() };
    let (calls, refused) = one_dead_handle_among_sixteen(lenient).await;
    assert_eq!(calls, 0);
    assert!(refused < 0.1, "{refused}");
}

/// One event of sixteen cannot be confirmed, ever. Which code the service has for that is not known.
#[tokio::test]
async fn a_handle_that_is_never_taken_holds_up_no_neighbour_whatever_the_code() {
    for code in ["InvalidParameterValue", "FailedOperation", "InternalError", "ResourceNotFound"] {
        let cloud = EmulatorSettings { refusal_code: code.to_owned(), ..settings() };
        let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
        let control = &site.cloud.control;
        site.make_sprites(16);
        control.refuse(6);
        let daemon = site.start();
        // Within the first lease, in which nothing else could show that the service works.
        until(|| site.confirmed() == 15).await;
        let again = control.totals().handed_out_again;
        assert!(again <= 1, "{again} events came again for {code}");
        // Nor later, when it comes alone or with others.
        site.add_sprites(40);
        until(|| site.confirmed() == 55).await;
        until(|| control.totals().handed_out_again >= 3).await;
        let totals = control.totals();
        assert!(totals.handed_out_again <= 5, "{code}: {totals:?}");
        daemon.stop().await;
        site.assert_once("sprites.jsonl", 56);
    }
}

/// Answers to confirmations are lost that the cloud has carried out.
#[tokio::test]
async fn a_lost_answer_costs_a_call_or_two_and_no_event_comes_again() {
    for code in ["InvalidParameterValue", "FailedOperation"] {
        let lease = Duration::from_secs(60);
        let cloud = EmulatorSettings { lease, refusal_code: code.to_owned(), ..settings() };
        let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
        site.set_lease(lease);
        let control = &site.cloud.control;
        let lost =
            InjectedFault::next(25, FaultKind::Reset).on(ApiAction::ConfirmEvents).after_effect();
        control.fault(lost).unwrap();
        site.add_sprites(1600);
        let daemon = site.start();
        site.drained().await;
        let handles = async |outcome: &str| {
            daemon.metric(&format!("sprited_handles_total{{outcome=\"{outcome}\"}}")).await
        };
        let all = async || handles("confirmed").await + handles("refused").await;
        super::until(async || (all().await - 1600.0).abs() < 0.1).await;
        daemon.stop().await;
        let totals = control.totals();
        let refused = totals.calls_of(ApiAction::ConfirmEvents, code);
        // Of a code that is not of parameters, the second answer decides.
        let most = if code == "InvalidParameterValue" { 25 } else { 50 };
        assert!((1..=most).contains(&refused), "{totals:?}");
        assert_eq!(totals.handed_out_again, 0, "{totals:?}");
        site.assert_once("sprites.jsonl", 1600);
    }
}

/// A handle comes again for another event while its own confirmation is being repeated: what is
/// pending under it holds it up.
#[tokio::test]
async fn a_handle_that_comes_again_for_another_event_waits_for_that() {
    let hook = LocalServer::start(|request, _| {
        Reply::new(if request.body.contains("\"N\":1") { 204 } else { 503 }, &[], b"")
    })
    .await;
    let answer = |n: u32| {
        Reply::json(&format!(
            r#"{{"Response":{{"EventSet":[{{"EventHandle":"h","EventType":"A","N":{n}}}],"RequestId":"r"}}}}"#
        ))
    };
    let (pulls, confirms) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (pulled, confirmed) = (pulls.clone(), confirms.clone());
    let is_tried = CancellationToken::new();
    let tried = is_tried.clone();
    let cloud = LocalServer::start(move |request, _| {
        match request.header("X-TC-Action") {
            Some("PullEvents") => {}
            // It is repeated, and the other event handed out meanwhile.
            Some("ConfirmEvents") => {
                confirmed.fetch_add(1, Ordering::SeqCst);
                tried.cancel();
                return Reply::new(503, &[], b"");
            }
            _ => return Reply::json(r#"{"Response":{"RequestId":"r"}}"#),
        }
        match pulled.fetch_add(1, Ordering::SeqCst) {
            0 => answer(1),
            1 => Reply::When(tried.clone(), Box::new(answer(2))),
            _ => Reply::After(Duration::from_secs(5), Box::new(Reply::error("ResourceNotFound"))),
        }
    })
    .await;
    let sink = format!(
        "[[sinks]]\nname = 'hook'\ntype = 'webhook'\nurl = '{}/'\nevents = ['*']\n",
        hook.url()
    );
    let site = Site::new(&sink).await;
    site.edit(&site.cloud.url, &cloud.url());
    site.set_lease(Duration::from_secs(30));
    let daemon = site.start();
    until(|| hook.seen().len() >= 2).await;
    let made = confirms.load(Ordering::SeqCst);
    until(|| hook.seen().len() >= 5).await;
    // The other event has failed at its sink again and again.
    let more = confirms.load(Ordering::SeqCst) - made;
    assert!(pulls.load(Ordering::SeqCst) >= 2 && is_tried.is_cancelled());
    // One may have been on its way.
    assert!(more <= 1, "confirmed {more} times before the other event is safe");
    assert_eq!(site.journaled(Some(EventState::Pending)).len(), 1);
    assert!(site.journaled(None).iter().all(|found| found.confirmed.is_none()));
    daemon.stop().await;
}

#[tokio::test]
async fn an_event_that_stands_twice_in_a_batch_is_delivered_once_and_both_handles_confirmed() {
    let site = Site::new(&file("all", "*")).await;
    let event = data("create_image_sprite_complete.success.json");
    site.cloud.control.add_copies(&event, 2, Duration::ZERO).unwrap();
    let daemon = site.start();
    site.drained().await;
    daemon.stop().await;
    let ledger = site.cloud.control.ledger();
    let handles: Vec<_> =
        ledger.events.iter().map(|event| event.confirmed.as_ref().unwrap().handle()).collect();
    assert_ne!(handles[0], handles[1]);
    assert_eq!(ledger.totals.calls_of(ApiAction::PullEvents, "events"), 1, "{:?}", ledger.totals);
    site.assert_once("all.jsonl", 1);
}

/// Two events stand under one handle; a sink takes one of them and not the other.
#[tokio::test]
async fn a_handle_on_two_events_is_confirmed_when_both_are_safe() {
    let takes_both = Arc::new(AtomicBool::new(false));
    let taking = takes_both.clone();
    let hook = LocalServer::start(move |request, _| {
        let takes = request.body.contains("\"N\":1") || taking.load(Ordering::SeqCst);
        Reply::new(if takes { 204 } else { 503 }, &[], b"")
    })
    .await;
    let sink = format!(
        "[[sinks]]\nname = 'hook'\ntype = 'webhook'\nurl = '{}/'\nevents = ['*']\n",
        hook.url()
    );
    // All in one lease: an event that is handed out again has a handle of its own.
    let lease = Duration::from_secs(60);
    let site = Site::with(EmulatorSettings { lease, ..settings() }, "", &sink).await;
    site.set_lease(lease);
    let control = &site.cloud.control;
    control.fault(InjectedFault::next(1, FaultKind::SharedHandle)).unwrap();
    control.add(r#"[{"EventType":"A","N":1},{"EventType":"A","N":2}]"#).unwrap();
    let daemon = site.start();
    let delivered = || site.journaled(Some(EventState::Delivered)).len();
    until(|| delivered() == 1 && hook.seen().len() >= 4).await;
    let totals = control.totals();
    assert!(!totals.calls.contains_key("ConfirmEvents"), "{totals:?}");
    takes_both.store(true, Ordering::SeqCst);
    site.drained().await;
    let totals = control.totals();
    assert_eq!(totals.calls_of(ApiAction::ConfirmEvents, "ok"), 1, "{totals:?}");
    assert_eq!((totals.confirmed, totals.handed_out_again), (2, 0), "{totals:?}");
    daemon.stop().await;
    assert_eq!(delivered(), 2);
}

#[tokio::test]
async fn a_confirm_that_took_effect_without_an_answer_ends_well() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    for kind in [FaultKind::InternalError, FaultKind::Reset, FaultKind::Truncated] {
        let fault = InjectedFault::next(1, kind).on(ApiAction::ConfirmEvents).after_effect();
        site.cloud.control.fault(fault).unwrap();
    }
    site.add_sprites(16);
    let daemon = site.start();
    site.drained().await;
    until(|| daemon.logged("confirming works again").len() == 1).await;
    assert_eq!(daemon.logged("confirming fails; unconfirmed events are pulled again").len(), 1);
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 16);
}

/// One handle may be stale; if all are, it is something else, and the operator is told.
#[tokio::test]
async fn handles_that_are_all_refused_are_no_matter_of_the_handles() {
    let site = Site::with(settings(), "", &file("sprites", "image-sprite")).await;
    let control = &site.cloud.control;
    let refused = FaultKind::Error("InvalidParameterValue".to_owned());
    control.fault(InjectedFault::rate(1.0, refused).on(ApiAction::ConfirmEvents)).unwrap();
    let made = site.make_sprites(32);
    let daemon = site.start();
    daemon.has_logged("confirming fails; unconfirmed events are pulled again").await;
    let told = &daemon.logged("confirming fails; unconfirmed events are pulled again")[0];
    assert_eq!(told["code"], "InvalidParameterValue", "{told}");
    control.clear_faults();
    site.drained().await;
    daemon.has_logged("confirming works again").await;
    daemon.stop().await;
    site.assert_equal_ledgers("sprites.jsonl", &made, 0);
}
