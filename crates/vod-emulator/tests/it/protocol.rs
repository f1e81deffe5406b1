//! The protocol and its refusals.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use vod_emulator::{
    Account, ApiAction, BindError, EmptyAnswer, Emulator, EmulatorSettings, FaultKind,
    InjectedFault, LeaseFrom, Leniency, RefusalReason, ReportConfig, ReportMode, SourceApi,
    SpriteOrder,
};

use crate::server::{APP, Caller, Server, settings};
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
async fn state_and_configuration_are_told() {
    let event_config = ReportConfig {
        mode: ReportMode::Push,
        notification_url: "http://x/\"".to_owned(),
        upload: true,
        ..ReportConfig::default()
    };
    let server = Server::start(EmulatorSettings { event_config, ..settings() }).await;
    let caller = server.caller();
    server.control.add_copies("{}", 20, Duration::ZERO).unwrap();
    caller.pull().await;
    let state = caller.call("DescribeEventsState", json!({})).await.response();
    assert_eq!(state["CountOfEventsToPull"], 4);
    let config = caller.call("DescribeEventConfig", json!({})).await.response();
    assert_eq!(config["Mode"], "PUSH");
    assert_eq!(config["NotificationUrl"], "http://x/\"");
    assert_eq!(config["UploadMediaCompleteEventSwitch"], "ON");
    assert_eq!(config["DeleteMediaCompleteEventSwitch"], "OFF");
    assert_eq!(config["PersistenceCompleteEventSwitch"], "OFF");
}

#[tokio::test]
async fn each_fault_of_a_request_has_its_code() {
    let server = Server::start(settings()).await;
    server.control.add("{}").unwrap();
    let good = server.caller();
    let cases: [(&str, Caller); 17] = [
        ("UnsupportedProtocol", Caller { method: "PUT", ..good.clone() }),
        ("InvalidRequest", Caller { path: "/v2", ..good.clone() }),
        ("InvalidRequest", Caller { content_type: "text/plain", ..good.clone() }),
        ("MissingParameter", Caller { without: "X-TC-Action", ..good.clone() }),
        ("MissingParameter", Caller { without: "X-TC-Version", ..good.clone() }),
        ("MissingParameter", Caller { without: "X-TC-Timestamp", ..good.clone() }),
        ("AuthFailure.InvalidAuthorization", Caller { without: "Authorization", ..good.clone() }),
        ("AuthFailure.InvalidAuthorization", Caller { service: "cvm", ..good.clone() }),
        ("AuthFailure.InvalidAuthorization", Caller { scope_days: 1, ..good.clone() }),
        ("AuthFailure.SignatureExpire", Caller { clock: 302, ..good.clone() }),
        ("AuthFailure.SignatureExpire", Caller { clock: -302, ..good.clone() }),
        ("AuthFailure.SecretIdNotFound", Caller { secret_id: "AKIDANOTHER", ..good.clone() }),
        ("AuthFailure.SignatureFailure", Caller { secret_key: "another", ..good.clone() }),
        (
            "AuthFailure.SignatureFailure",
            Caller { sent_content_type: Some("application/json; charset=utf-8"), ..good.clone() },
        ),
        ("AuthFailure.TokenFailure", Caller { token: Some("another"), ..good.clone() }),
        ("NoSuchVersion", Caller { version: "2017-03-12", ..good.clone() }),
        ("ok", Caller { content_type: "application/json; charset=utf-8", ..good.clone() }),
    ];
    for (index, (code, caller)) in cases.into_iter().enumerate() {
        assert_eq!(caller.pull().await.code(), code, "case {index}");
    }
    assert_eq!(good.call("PushEvents", json!({})).await.code(), "InvalidAction");
    // Of all these, only the last of the list took effect.
    assert_eq!(server.control.totals().handed_out, 1);
}

#[tokio::test]
async fn each_fault_of_a_body_has_its_code() {
    let server = Server::start(settings()).await;
    let caller = server.caller();
    for (action, code, body) in [
        ("PullEvents", "InvalidParameter", "".to_owned()),
        ("PullEvents", "InvalidParameter", "[]".to_owned()),
        ("PullEvents", "InvalidParameter", r#"{"SubAppId":"1500012345"}"#.to_owned()),
        ("PullEvents", "InvalidParameterValue.SubAppId", "{}".to_owned()),
        ("PullEvents", "InvalidParameterValue.SubAppId", r#"{"SubAppId":1}"#.to_owned()),
        ("PullEvents", "UnknownParameter", r#"{"SubAppId":1500012345,"Limit":5}"#.to_owned()),
        ("PullEvents", "InvalidParameter", r#"{"SubAppId":1500012345,"ExtInfo":5}"#.to_owned()),
        ("ConfirmEvents", "MissingParameter", r#"{"SubAppId":1500012345}"#.to_owned()),
        (
            "ConfirmEvents",
            "InvalidParameterValue",
            r#"{"SubAppId":1500012345,"EventHandles":[]}"#.to_owned(),
        ),
        (
            "ConfirmEvents",
            "InvalidParameter",
            r#"{"SubAppId":1500012345,"EventHandles":[null]}"#.to_owned(),
        ),
        (
            "ConfirmEvents",
            "InvalidParameter",
            r#"{"SubAppId":1500012345,"EventHandles":"h"}"#.to_owned(),
        ),
        (
            "ConfirmEvents",
            "InvalidParameterValue",
            r#"{"SubAppId":1500012345,"EventHandles":["h"]}"#.to_owned(),
        ),
        (
            "PullEvents",
            "RequestSizeLimitExceeded",
            format!(r#"{{"ExtInfo":"{}"}}"#, "x".repeat(10 * 1024 * 1024)),
        ),
    ] {
        let reply = caller.send(action, &body).await.unwrap();
        assert_eq!(reply.code(), code, "{action} {:.80}", body);
    }
    server.control.add_copies("{}", 17, Duration::ZERO).unwrap();
    let mut handles = caller.pull().await.handles();
    handles.extend(caller.pull().await.handles());
    assert_eq!(handles.len(), 17);
    assert_eq!(caller.confirm(&handles).await.code(), "InvalidParameterValue");
    assert_eq!(caller.confirm(&handles[..16]).await.code(), "ok");
}

#[tokio::test]
async fn flags_make_it_kinder_one_by_one() {
    let lenient = Leniency {
        any_signature: true,
        any_member: true,
        any_sub_app_id: true,
        same_handle: true,
        ..Leniency::default()
    };
    let lease = Duration::from_millis(100);
    let server = Server::start(EmulatorSettings { lenient, lease, ..settings() }).await;
    let caller = Caller { secret_key: "another", ..server.caller() };
    server.control.add("{}").unwrap();
    let body = r#"{"SubAppId":7,"Limit":5}"#;
    let first = caller.send("PullEvents", body).await.unwrap().handles();
    support::until(|| server.control.totals().visible == 1).await;
    let second = caller.send("PullEvents", body).await.unwrap().handles();
    assert_eq!((first.len(), &first), (1, &second));
}

#[tokio::test]
async fn temporary_credentials_need_their_token_and_accounts_can_change() {
    let server = Server::start(settings()).await;
    server.control.set_account(Account {
        secret_id: "AKIDEMULATOR".to_owned(),
        secret_key: "emulator-secret-key".into(),
        token: Some("token-1".into()),
    });
    let caller = server.caller();
    assert_eq!(caller.pull().await.code(), "AuthFailure.TokenFailure");
    let caller = Caller { token: Some("token-1"), ..caller };
    assert_eq!(caller.pull().await.code(), "ResourceNotFound");
}

#[tokio::test]
async fn the_clock_can_be_set_off_and_shows_in_the_date() {
    let server = Server::start(settings()).await;
    server.control.set_clock_offset(TimeDelta::minutes(-10));
    let reply = server.caller().pull().await;
    assert_eq!(reply.code(), "AuthFailure.SignatureExpire");
    let off = (reply.date - Utc::now()).num_seconds();
    assert!((-603..=-598).contains(&off), "{off}");
    let caller = Caller { clock: -600, ..server.caller() };
    assert_eq!(caller.pull().await.code(), "ResourceNotFound");
}

#[tokio::test]
async fn more_requests_than_the_rate_are_refused_and_do_not_take_effect() {
    let settings = EmulatorSettings { rate_limit: Some(3), hold: Duration::ZERO, ..settings() };
    let server = Server::start(settings).await;
    let caller = server.caller();
    server.control.add("{}").unwrap();
    let began = Instant::now();
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(caller.pull().await.code());
    }
    if began.elapsed() < Duration::from_secs(1) {
        assert_eq!(codes, ["ok", "ResourceNotFound", "ResourceNotFound", "RequestLimitExceeded"]);
        let totals = server.control.totals();
        assert_eq!(totals.calls_of(ApiAction::PullEvents, "RequestLimitExceeded"), 1);
    }
    assert_eq!(caller.confirm(&["h".to_owned()]).await.code(), "InvalidParameterValue");
}

#[tokio::test]
async fn sprites_are_made_on_both_roads_and_their_urls_open() {
    let server = Server::start(settings()).await;
    for source_api in [SourceApi::Create, SourceApi::Procedure] {
        let order = SpriteOrder {
            source_api: Some(source_api),
            tiles: Some(130),
            fail_every: 0,
            ..SpriteOrder::default()
        };
        let made = server.control.add_sprites(&order).unwrap().remove(0);
        let event = server.caller().pull().await.events().remove(0);
        let (sheets, vtt) = match source_api {
            SourceApi::Create => {
                let task = &event["CreateImageSpriteCompleteEvent"];
                assert_eq!(task["TaskId"], made.task_id.as_str());
                (&task["ImageSpriteUrlSet"], &task["WebVttUrl"])
            }
            SourceApi::Procedure => {
                let task = &event["ProcedureStateChangeEvent"];
                assert_eq!(task["FileId"], made.file_id.as_str());
                let output = &task["MediaProcessResultSet"][0]["ImageSpriteTask"]["Output"];
                (&output["ImageUrlSet"], &output["WebVttUrl"])
            }
        };
        assert_eq!(sheets, &json!(made.sheets));
        assert_eq!(sheets.as_array().unwrap().len(), 2);
        for sheet in &made.sheets {
            let page = support::http().get(sheet).send().await.unwrap();
            assert_eq!(page.headers()["content-type"], "image/png");
            assert!(page.bytes().await.unwrap().starts_with(b"\x89PNG"));
        }
        let text = support::http().get(vtt.as_str().unwrap()).send().await.unwrap();
        let text = text.error_for_status().unwrap().text().await.unwrap();
        assert!(text.starts_with("WEBVTT\n"));
        // Each sheet is named by the cues, as its URL's last part.
        for sheet in &made.sheets {
            let name = sheet.rsplit('/').next().unwrap();
            assert!(text.contains(&format!("\n{name}#xywh=")), "{name}");
        }
    }
    let missing = format!("{}/sprites/none", server.url);
    assert_eq!(support::http().get(missing).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn sprites_can_come_by_themselves() {
    let server = Server::start(EmulatorSettings { sprites_per_second: 50.0, ..settings() }).await;
    support::until(|| server.control.totals().added >= 10).await;
    let events = server.caller().pull().await.events();
    assert!(events.iter().all(|event| {
        event["CreateImageSpriteCompleteEvent"].is_object()
            || event["ProcedureStateChangeEvent"].is_object()
    }));
}

#[tokio::test]
async fn its_pages_add_events_and_show_the_ledger() {
    let server = Server::start(settings()).await;
    let http = support::http();
    let post = |path: &str, body: &str| {
        let request = http.post(format!("{}/_emulator/{path}", server.url)).body(body.to_owned());
        async { request.send().await.unwrap() }
    };
    let reply = post("events?copies=3", r#"[{"EventType":"A"},17]"#).await;
    assert_eq!(reply.text().await.unwrap(), "{\"added\":[1,2,3,4,5,6]}\n");
    assert_eq!(post("events?delay=1h", "{}").await.status(), 200);
    assert_eq!(post("sprites", "").await.status(), 200);
    for (path, body) in [
        ("events", "{"),
        ("events?copies=x", "{}"),
        ("events?what=1", "{}"),
        ("sprites", r#"{"cuont":1}"#),
        ("faults", r#"{"kind":"none"}"#),
    ] {
        assert_eq!(post(path, body).await.status(), 400, "{path} {body}");
    }
    let events = server.caller().pull().await.events();
    assert_eq!(events.len(), 7);
    assert_eq!(events[3], 17);
    let get = |path: &str| {
        let request = http.get(format!("{}/_emulator/{path}", server.url));
        async {
            serde_json::from_str::<Value>(&request.send().await.unwrap().text().await.unwrap())
                .unwrap()
        }
    };
    let ledger = get("ledger").await;
    assert_eq!(ledger["events"].as_array().unwrap().len(), 8);
    assert_eq!(ledger["events"][0]["hand_outs"][0]["handle"], events[0]["EventHandle"]);
    let summary = get("ledger?summary=1").await;
    assert_eq!(summary, ledger["totals"]);
    assert_eq!(summary["calls"]["PullEvents"]["events"], 1);
    let clock = http
        .put(format!("{}/_emulator/clock", server.url))
        .body(r#"{"offset_seconds":600}"#)
        .send();
    assert_eq!(clock.await.unwrap().status(), 200);
    assert_eq!(server.caller().pull().await.code(), "AuthFailure.SignatureExpire");
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

#[tokio::test]
async fn it_stops_at_once_though_pulls_are_held() {
    let server =
        Server::start(EmulatorSettings { hold: Duration::from_secs(600), ..settings() }).await;
    let held: Vec<_> = (0..8)
        .map(|_| {
            let caller = server.caller();
            tokio::spawn(async move { caller.pull().await.code() })
        })
        .collect();
    // An idle connection must not keep it either.
    let idle = server.caller();
    idle.call("DescribeEventsState", json!({})).await;
    support::until(|| server.control.pulls_waiting() == 8).await;
    let url = server.url.clone();
    let took = server.stop().await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    for call in held {
        assert_eq!(call.await.unwrap(), "ResourceNotFound");
    }
    assert!(support::http().get(url).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn it_binds_beyond_the_loopback_only_when_allowed() {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let refused = Emulator::bind(settings(), everywhere).await.unwrap_err();
    assert!(matches!(refused, BindError::NotLoopback(_)), "{refused}");
    let allowed = EmulatorSettings { allow_remote: true, ..settings() };
    assert!(Emulator::bind(allowed, everywhere).await.is_ok());
    let wrong = EmulatorSettings { sprites_per_second: f64::NAN, ..settings() };
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    assert!(matches!(Emulator::bind(wrong, loopback).await, Err(BindError::Setting(_))));
}

#[tokio::test]
async fn the_official_sdk_takes_it_for_the_service() {
    let server = Server::start(settings()).await;
    let order = SpriteOrder { count: 2, fail_every: 0, ..SpriteOrder::default() };
    let made = server.control.add_sprites(&order).unwrap();
    server.control.add(include_str!("../../../../tests/data/file_deleted.json")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk.py");
    let output = tokio::process::Command::new(support::python())
        .arg(script)
        .arg(server.url.strip_prefix("http://").unwrap())
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    let steps: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let step = |name: &str| {
        steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("{name}: {told}"))
    };
    assert_eq!(step("state")["count"], 3);
    assert_eq!(step("config")["mode"], "PULL");
    assert_eq!(step("config")["upload"], "OFF");
    assert_eq!(
        step("pull")["types"],
        json!(["CreateImageSpriteComplete", "ProcedureStateChanged", "FileDeleted"])
    );
    assert_eq!(step("pull")["sprites"], json!([made[0].vtt_url, made[1].vtt_url]));
    assert_eq!(step("confirm")["request_id"].as_str().unwrap().len(), 36);
    for (name, code) in [
        ("stale", "InvalidParameterValue"),
        ("empty", "ResourceNotFound"),
        ("wrong-key", "AuthFailure.SignatureFailure"),
        ("wrong-id", "AuthFailure.SecretIdNotFound"),
        ("wrong-token", "AuthFailure.TokenFailure"),
        ("no-app", "InvalidParameterValue.SubAppId"),
        ("unknown-action", "InvalidAction"),
    ] {
        assert_eq!(step(name)["code"], code, "{name}");
    }
    assert_eq!(server.control.totals().confirmed, 3);
}
