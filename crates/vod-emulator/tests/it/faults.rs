//! The faults, each over HTTP.

use std::time::{Duration, Instant};

use bytesize::ByteSize;
use serde_json::{Value, json};
use vod_emulator::{
    ApiAction, EmptyAnswer, EmulatorSettings, FaultKind, InjectedFault, MalformedEntry,
};

use crate::server::{Server, settings};
use crate::support;

async fn with(kind: FaultKind) -> Server {
    let server = Server::start(settings()).await;
    server.control.fault(InjectedFault::next(1, kind)).unwrap();
    server
}

/// Whether the error is that of a connection that was reset.
fn is_reset(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(io) = error.downcast_ref::<std::io::Error>()
        && io.kind() == std::io::ErrorKind::ConnectionReset
    {
        return true;
    }
    error.source().is_some_and(is_reset)
}

#[tokio::test]
async fn a_gateways_page_comes_with_its_status() {
    let server = with(FaultKind::Status(502)).await;
    let reply = server.caller().pull().await;
    assert_eq!(reply.status, 502);
    assert!(reply.text.starts_with("<html>"));
    assert_eq!(server.caller().pull().await.code(), "ResourceNotFound");
    assert_eq!(server.control.totals().faults["status"], 1);
}

#[tokio::test]
async fn a_reset_strikes_before_or_after_the_call_takes_effect() {
    for after in [false, true] {
        let server = Server::start(settings()).await;
        let caller = server.caller();
        server.control.add("{}").unwrap();
        let handles = caller.pull().await.handles();
        let fault = InjectedFault::next(1, FaultKind::Reset).on(ApiAction::ConfirmEvents);
        server.control.fault(if after { fault.after_effect() } else { fault }).unwrap();
        let body = json!({ "EventHandles": handles, "SubAppId": 1_500_012_345 }).to_string();
        let error = caller.send("ConfirmEvents", &body).await.err().unwrap();
        assert!(is_reset(&error), "{error:?}");
        assert_eq!(server.control.totals().confirmed, u64::from(after));
        let again = caller.confirm(&handles).await.code();
        assert_eq!(again, if after { "InvalidParameterValue" } else { "ok" });
    }
}

#[tokio::test]
async fn a_pull_that_is_reset_after_its_effect_has_leased_its_events() {
    let server = Server::start(settings()).await;
    server.control.add("{}").unwrap();
    server.control.fault(InjectedFault::next(1, FaultKind::Reset).after_effect()).unwrap();
    assert!(server.caller().send("PullEvents", r#"{"SubAppId":1500012345}"#).await.is_err());
    let totals = server.control.totals();
    assert_eq!((totals.handed_out, totals.visible, totals.waiting), (1, 0, 1));
}

#[tokio::test]
async fn truncated_json_is_a_complete_answer_that_cannot_be_read() {
    let server = with(FaultKind::Truncated).await;
    let reply = server.caller().pull().await;
    assert_eq!(reply.status, 200);
    assert!(reply.text.starts_with("{\"Response\":{"), "{}", reply.text);
    assert!(serde_json::from_str::<Value>(&reply.text).is_err());
}

#[tokio::test]
async fn a_cut_or_torn_body_ends_half_way() {
    for (kind, is_reset) in [(FaultKind::Cut, false), (FaultKind::Torn, true)] {
        let server = with(kind).await;
        server.control.add("{}").unwrap();
        let error = server.caller().send("PullEvents", r#"{"SubAppId":1500012345}"#).await;
        let error = error.err().unwrap();
        assert!(error.is_body() || error.is_decode(), "{error:?}");
        assert_eq!(format!("{error:?}").contains("ConnectionReset"), is_reset, "{error:?}");
        assert_eq!(server.control.totals().handed_out, 1);
    }
}

#[tokio::test]
async fn a_slow_body_takes_its_time_and_is_whole() {
    let server = with(FaultKind::Slow(Duration::from_millis(500))).await;
    let began = Instant::now();
    assert_eq!(server.caller().pull().await.code(), "ResourceNotFound");
    assert!(began.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn a_hang_gets_no_answer_and_does_not_keep_the_emulator_from_stopping() {
    let server = with(FaultKind::Hang).await;
    let caller = server.caller();
    let mut call = tokio::spawn(async move { caller.send("PullEvents", "{}").await.is_err() });
    support::until(|| server.control.totals().faults.contains_key("hang")).await;
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut call).await;
    assert!(waited.is_err(), "it was answered");
    let took = server.stop().await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(call.await.unwrap());
}

#[tokio::test]
async fn throttling_and_server_errors_do_not_take_effect() {
    for (kind, code) in [
        (FaultKind::Throttle, "RequestLimitExceeded"),
        (FaultKind::InternalError, "InternalError"),
        (FaultKind::Error("UnauthorizedOperation".to_owned()), "UnauthorizedOperation"),
    ] {
        let server = with(kind).await;
        server.control.add("{}").unwrap();
        assert_eq!(server.caller().pull().await.code(), code);
        assert_eq!(server.control.totals().handed_out, 0);
        assert_eq!(server.caller().pull().await.code(), "ok");
    }
}

#[tokio::test]
async fn an_error_can_be_told_though_the_call_took_effect() {
    let server = Server::start(settings()).await;
    let caller = server.caller();
    server.control.add("{}").unwrap();
    let handles = caller.pull().await.handles();
    server.control.fault(InjectedFault::next(1, FaultKind::InternalError).after_effect()).unwrap();
    assert_eq!(caller.confirm(&handles).await.code(), "InternalError");
    assert_eq!(server.control.totals().confirmed, 1);
}

#[tokio::test]
async fn a_wrong_clock_refuses_and_shows_in_the_date() {
    let server = with(FaultKind::WrongClock(-900)).await;
    let reply = server.caller().pull().await;
    assert_eq!(reply.code(), "AuthFailure.SignatureExpire");
    let off = (reply.date - chrono::Utc::now()).num_seconds();
    assert!((-903..=-898).contains(&off), "{off}");
    assert_eq!(server.caller().pull().await.code(), "ResourceNotFound");
}

#[tokio::test]
async fn a_duplicate_stands_twice_in_its_batch() {
    let server = with(FaultKind::Duplicate).await;
    server.control.add("[{},{}]").unwrap();
    let handles = server.caller().pull().await.handles();
    assert_eq!(handles.len(), 3);
    assert_eq!(handles[0], handles[1]);
    assert_ne!(handles[1], handles[2]);
}

#[tokio::test]
async fn a_reversed_batch_holds_the_same_events() {
    let server = with(FaultKind::Reversed).await;
    server.control.add(r#"[{"N":1},{"N":2},{"N":3}]"#).unwrap();
    let reply = server.caller().pull().await;
    let numbers: Vec<_> = reply.events().iter().map(|event| event["N"].clone()).collect();
    assert_eq!(numbers, [3, 2, 1]);
    assert_eq!(server.caller().confirm(&reply.handles()).await.code(), "ok");
}

#[tokio::test]
async fn a_delayed_answer_is_late_and_whole() {
    let server = with(FaultKind::Delay(Duration::from_millis(300))).await;
    server.control.add("{}").unwrap();
    let began = Instant::now();
    assert_eq!(server.caller().pull().await.events().len(), 1);
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_shared_handle_stands_on_two_events_and_confirms_both() {
    let server = with(FaultKind::SharedHandle).await;
    server.control.add(r#"[{"N":1},{"N":2},{"N":3}]"#).unwrap();
    let reply = server.caller().pull().await;
    let handles = reply.handles();
    assert_eq!(handles[0], handles[1]);
    assert_ne!(handles[1], handles[2]);
    assert_eq!(server.caller().confirm(&handles[1..]).await.code(), "ok");
    assert_eq!(server.control.totals().confirmed, 3);
}

#[tokio::test]
async fn malformed_entries_stand_among_good_ones() {
    for (how, first) in [
        (MalformedEntry::Null, json!(null)),
        (MalformedEntry::Number, json!(17)),
        (MalformedEntry::String, json!("text")),
        (MalformedEntry::NoHandle, json!({ "N": 1 })),
        (MalformedEntry::NullHandle, json!({ "EventHandle": null, "N": 1 })),
        (MalformedEntry::NumberHandle, json!({ "EventHandle": 17, "N": 1 })),
    ] {
        let server = with(FaultKind::Malformed(how)).await;
        server.control.add(r#"[{"N":1},{"N":2}]"#).unwrap();
        let events = server.caller().pull().await.events();
        assert_eq!(events[0], first);
        assert_eq!(events.last().unwrap()["N"], 2);
        assert!(events.last().unwrap()["EventHandle"].is_string());
    }
    let server = with(FaultKind::Malformed(MalformedEntry::InvalidUtf8)).await;
    server.control.add("{}").unwrap();
    let reply = server.caller().pull().await;
    assert!(reply.text.contains("\"\u{fffd}\u{fffd}\""), "{}", reply.text);
}

#[tokio::test]
async fn an_oversized_answer_is_as_large_as_ordered() {
    let server = with(FaultKind::Oversized(ByteSize::mib(3))).await;
    server.control.add("{}").unwrap();
    let reply = server.caller().pull().await;
    assert_eq!(reply.text.len(), 3 * 1024 * 1024);
    assert_eq!(reply.events().len(), 1);
}

#[tokio::test]
async fn a_pull_may_find_nothing_in_any_form() {
    for (form, set) in [
        (EmptyAnswer::Null, Some(Value::Null)),
        (EmptyAnswer::Absent, None),
        (EmptyAnswer::List, Some(json!([]))),
    ] {
        let server = with(FaultKind::Empty(form)).await;
        server.control.add("{}").unwrap();
        let reply = server.caller().pull().await;
        assert_eq!(reply.code(), "ok");
        assert_eq!(reply.response().get("EventSet").cloned(), set);
        assert_eq!(server.caller().pull().await.events().len(), 1);
    }
    let server = with(FaultKind::Empty(EmptyAnswer::Error)).await;
    server.control.add("{}").unwrap();
    assert_eq!(server.caller().pull().await.code(), "ResourceNotFound");
}

#[tokio::test]
async fn a_held_call_waits_for_its_release_on_either_side_of_its_effect() {
    for after in [false, true] {
        let server = Server::start(settings()).await;
        let caller = server.caller();
        server.control.add("{}").unwrap();
        let handles = caller.pull().await.handles();
        let fault = InjectedFault::next(1, FaultKind::Hold).on(ApiAction::ConfirmEvents);
        server.control.fault(if after { fault.after_effect() } else { fault }).unwrap();
        let held = tokio::spawn(async move { caller.confirm(&handles).await.code() });
        support::until(|| server.control.held() == 1).await;
        assert_eq!(server.control.totals().confirmed, u64::from(after));
        let release = format!("{}/_emulator/release", server.url);
        let reply = support::http().post(release).send().await.unwrap();
        assert_eq!(reply.text().await.unwrap(), "{\"released\":1}\n");
        assert_eq!(held.await.unwrap(), "ok");
        assert_eq!((server.control.totals().confirmed, server.control.held()), (1, 0));
    }
}

#[tokio::test]
async fn faults_are_set_and_cleared_over_http_and_drawn_by_rate() {
    let server = Server::start(EmulatorSettings {
        seed: Some(1),
        hold: Duration::ZERO,
        rate_limit: None,
        ..settings()
    })
    .await;
    let page = format!("{}/_emulator/faults", server.url);
    let http = support::http();
    let body = r#"[{"kind":"throttle","action":"PullEvents","rate":0.5},{"kind":{"status":503},"action":"ConfirmEvents","next":2}]"#;
    assert_eq!(http.post(&page).body(body).send().await.unwrap().status(), 200);
    let caller = server.caller();
    let mut throttled = 0;
    for _ in 0..40 {
        throttled += usize::from(caller.pull().await.code() == "RequestLimitExceeded");
    }
    assert!((8..=32).contains(&throttled), "{throttled}");
    assert_eq!(caller.confirm(&["h".to_owned()]).await.status, 503);
    assert_eq!(http.delete(&page).send().await.unwrap().status(), 200);
    assert_eq!(caller.confirm(&["h".to_owned()]).await.code(), "InvalidParameterValue");
}
