//! What is pulled, how long, and how it is confirmed.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use serde_json::{Value, json};
use vod_emulator::{
    ApiAction, EmptyAnswer, EmulatorSettings, FaultKind, InjectedFault, LeaseFrom, Leniency,
    RefusalReason, SpriteOrder,
};

use crate::server::{APP, Server, settings};
use crate::support;

#[tokio::test]
async fn an_event_is_pulled_token_for_token_confirmed_and_gone() {
    let server = Server::start(settings()).await;
    let caller = server.caller();
    let ids = server.control.add(r#"{"EventType":"X", "N":1.50,"B":12345678901234567890123}"#);
    assert_eq!(ids.unwrap(), [1]);
    let reply = caller.pull().await;
    let handles = reply.handles();
    let entry = format!(
        r#"{{"EventHandle":"{}","EventType":"X", "N":1.50,"B":12345678901234567890123}}"#,
        handles[0]
    );
    assert!(reply.text.contains(&entry), "{}", reply.text);
    assert_eq!(caller.confirm(&handles).await.code(), "ok");
    assert_eq!(caller.pull().await.code(), "ResourceNotFound");
    let ledger = server.control.ledger();
    let record = ledger.event(1).unwrap();
    assert_eq!(record.hand_outs[0].handle(), handles[0]);
    assert_eq!(record.confirmed.as_ref().unwrap().handle(), handles[0]);
    assert_eq!(ledger.totals.calls_of(ApiAction::PullEvents, "events"), 1);
    assert_eq!(ledger.totals.calls_of(ApiAction::PullEvents, "empty"), 1);
    assert_eq!(ledger.totals.calls_of(ApiAction::ConfirmEvents, "ok"), 1);
    assert_eq!((ledger.totals.confirmed, ledger.totals.waiting), (1, 0));
}

#[tokio::test]
async fn each_application_has_a_queue_and_handles_of_its_own() {
    let other = APP + 1;
    let server = Server::start(EmulatorSettings { apps: vec![APP, other], ..settings() }).await;
    let caller = server.caller();
    let of = async |app: u64, action: &str, mut body: Value| {
        body["SubAppId"] = app.into();
        caller.call(action, body).await
    };
    server.control.add(r#"{"EventType":"A"}"#).unwrap();
    let order = SpriteOrder { app: Some(other), ..SpriteOrder::default() };
    assert_eq!(server.control.add_sprites(&order).unwrap()[0].event, 2);
    assert!(server.control.add_to(Some(7), "{}", 1, Duration::ZERO).is_err());
    let posted = format!("{}/_emulator/events?app={other}", server.url);
    let posted = support::http().post(posted).body(r#"{"EventType":"B"}"#).send().await.unwrap();
    assert_eq!(posted.text().await.unwrap(), "{\"added\":[3]}\n");

    for (app, count) in [(APP, 1), (other, 2)] {
        let state = of(app, "DescribeEventsState", json!({})).await.text;
        assert!(state.contains(&format!("\"CountOfEventsToPull\":{count},")), "{state}");
    }
    let first = of(APP, "PullEvents", json!({})).await.handles();
    let second = of(other, "PullEvents", json!({})).await.handles();
    assert_eq!((first.len(), second.len()), (1, 2));
    let refused = of(APP, "ConfirmEvents", json!({ "EventHandles": second })).await;
    assert_eq!(refused.code(), "InvalidParameterValue");
    assert_eq!(server.control.totals().confirmed, 0);
    for (app, handles) in [(APP, first), (other, second)] {
        let confirmed = of(app, "ConfirmEvents", json!({ "EventHandles": handles })).await;
        assert_eq!(confirmed.code(), "ok");
    }
    let ledger = server.control.ledger();
    let apps: Vec<_> = ledger.events.iter().map(|event| event.app).collect();
    assert_eq!((apps, ledger.totals.waiting), (vec![APP, other, other], 0));
    let unknown = of(7, "PullEvents", json!({})).await;
    assert_eq!(unknown.code(), "InvalidParameterValue.SubAppId");

    let fault = InjectedFault::next(1, FaultKind::InternalError).of(other);
    server.control.fault(fault).unwrap();
    assert_eq!(of(APP, "PullEvents", json!({})).await.code(), "ResourceNotFound");
    assert_eq!(of(other, "PullEvents", json!({})).await.code(), "InternalError");
}

#[tokio::test]
async fn a_pull_is_sixteen_events_at_most() {
    let server = Server::start(settings()).await;
    let caller = server.caller();
    server.control.add_copies("{}", 20, Duration::ZERO).unwrap();
    assert_eq!(caller.pull().await.events().len(), 16);
    assert_eq!(caller.pull().await.events().len(), 4);
}

#[tokio::test]
async fn an_empty_pull_is_held_and_an_added_event_ends_the_hold() {
    let server =
        Server::start(EmulatorSettings { hold: Duration::from_millis(400), ..settings() }).await;
    let caller = server.caller();
    let began = Instant::now();
    assert_eq!(caller.pull().await.code(), "ResourceNotFound");
    assert!(began.elapsed() >= Duration::from_millis(400));

    let long =
        Server::start(EmulatorSettings { hold: Duration::from_secs(60), ..settings() }).await;
    let caller = long.caller();
    let held = tokio::spawn(async move { caller.pull().await.events().len() });
    support::until(|| long.control.pulls_waiting() == 1).await;
    assert_eq!(long.control.totals().pulls_waiting, 1);
    let began = Instant::now();
    long.control.add("{}").unwrap();
    assert_eq!(held.await.unwrap(), 1);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_pull_whose_client_went_away_takes_no_event() {
    let server =
        Server::start(EmulatorSettings { hold: Duration::from_secs(60), ..settings() }).await;
    let caller = server.caller();
    let held = tokio::spawn(async move { caller.pull().await.code() });
    support::until(|| server.control.pulls_waiting() == 1).await;
    held.abort();
    support::until(|| server.control.pulls_waiting() == 0).await;
    server.control.add("{}").unwrap();
    assert_eq!(server.control.totals().visible, 1);
}

#[tokio::test]
async fn a_held_pull_sees_a_lease_end_and_the_old_handle_is_refused() {
    let lease = Duration::from_millis(300);
    let server =
        Server::start(EmulatorSettings { hold: Duration::from_secs(60), lease, ..settings() })
            .await;
    let caller = server.caller();
    server.control.add("{}").unwrap();
    let first = caller.pull().await.handles();
    let second = caller.pull().await.handles();
    assert_ne!(first, second);
    assert_eq!(caller.confirm(&first).await.code(), "InvalidParameterValue");
    let record = server.control.ledger().events.remove(0);
    assert_eq!(record.times, 2);
    assert_eq!(record.refused[0].reason, RefusalReason::Stale);
    let pause = record.hand_outs[1].at - record.hand_outs[0].at;
    assert!(pause >= TimeDelta::milliseconds(300), "{pause}");
    assert_eq!(
        record.hand_outs[0].lease_ends - record.hand_outs[0].at,
        TimeDelta::milliseconds(300)
    );
}

#[tokio::test]
async fn the_lease_may_count_from_the_request() {
    let server = Server::start(EmulatorSettings {
        hold: Duration::from_secs(60),
        lease_from: LeaseFrom::Request,
        ..settings()
    })
    .await;
    let caller = server.caller();
    let delay = Duration::from_millis(300);
    server.control.add_copies("{}", 1, delay).unwrap();
    caller.pull().await;
    let record = server.control.ledger().events.remove(0);
    let lease = record.hand_outs[0].lease_ends - record.hand_outs[0].at;
    assert!(lease <= TimeDelta::milliseconds(29_750), "{lease}");
}

#[tokio::test]
async fn a_refused_confirmation_confirms_nothing_unless_told_otherwise() {
    for confirm_partly in [false, true] {
        let lenient = Leniency { confirm_partly, ..Leniency::default() };
        let server = Server::start(EmulatorSettings { lenient, ..settings() }).await;
        let caller = server.caller();
        server.control.add("{}").unwrap();
        let mut handles = caller.pull().await.handles();
        handles.push("12345678901234567890".to_owned());
        assert_eq!(caller.confirm(&handles).await.code(), "InvalidParameterValue");
        assert_eq!(server.control.totals().confirmed, u64::from(confirm_partly));
    }
}

#[tokio::test]
async fn a_witness_sees_each_confirmation_before_its_answer() {
    let server = Server::start(settings()).await;
    let seen: Arc<Mutex<Vec<Vec<u64>>>> = Arc::default();
    let (record, control) = (seen.clone(), server.control.clone());
    server.control.set_observer(move |events| {
        // It may ask the emulator itself.
        assert_eq!(control.totals().added, 2);
        record.lock().unwrap().push(events.to_vec());
    });
    server.control.add("[{\"A\":1},{\"A\":2}]").unwrap();
    let caller = server.caller();
    let handles = caller.pull().await.handles();
    caller.confirm(&handles[..1]).await;
    assert_eq!(*seen.lock().unwrap(), [[1]]);
    caller.confirm(&handles).await;
    caller.confirm(&["0".repeat(20)]).await;
    let seen = seen.lock().unwrap();
    assert_eq!(seen[1..], [vec![1, 2], vec![]], "what is refused as well, if it is known");
}

#[tokio::test]
async fn a_confirm_may_pass_over_handles_that_are_not_good() {
    let lenient = Leniency { pass_over: true, ..Leniency::default() };
    let server = Server::start(EmulatorSettings { lenient, ..settings() }).await;
    server.control.add("{}").unwrap();
    let mut handles = server.caller().pull().await.handles();
    handles.insert(0, "made-up".to_owned());
    assert_eq!(server.caller().confirm(&handles).await.code(), "ok");
    assert_eq!(server.control.totals().confirmed, 1);
    assert_eq!(server.caller().confirm(&handles).await.code(), "ok");
}

#[tokio::test]
async fn unconfirmed_events_go_when_their_retention_ends() {
    let retention = Duration::from_millis(200);
    let server = Server::start(EmulatorSettings { retention, ..settings() }).await;
    server.control.add("{}").unwrap();
    let handles = server.caller().pull().await.handles();
    support::until(|| server.control.totals().expired == 1).await;
    assert_eq!(server.caller().confirm(&handles).await.code(), "InvalidParameterValue");
    assert!(server.control.ledger().events[0].expired.is_some());
}

#[tokio::test]
async fn an_empty_queue_can_be_told_in_other_ways() {
    for (empty, set) in [
        (EmptyAnswer::Null, Some(Value::Null)),
        (EmptyAnswer::Absent, None),
        (EmptyAnswer::List, Some(json!([]))),
    ] {
        let server = Server::start(EmulatorSettings { empty, ..settings() }).await;
        let reply = server.caller().pull().await;
        assert_eq!(reply.code(), "ok");
        assert_eq!(reply.response().get("EventSet").cloned(), set);
    }
}

#[tokio::test]
async fn a_full_queue_takes_no_part_of_what_does_not_fit() {
    let server = Server::start(EmulatorSettings { max_events: 3, ..settings() }).await;
    server.control.add("[{},{}]").unwrap();
    assert!(server.control.add("[{},{}]").is_err());
    assert!(
        server.control.add_sprites(&SpriteOrder { count: 2, ..SpriteOrder::default() }).is_err()
    );
    assert_eq!(server.control.totals().added, 2);
}
