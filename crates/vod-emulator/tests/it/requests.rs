//! What a request must have, and what is answered to one that lacks it.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use serde_json::json;
use vod_emulator::{Account, ApiAction, EmulatorSettings, Leniency, ReportConfig, ReportMode};

use crate::server::{Caller, Server, settings};
use crate::support;

#[tokio::test]
async fn state_and_configuration_are_told() {
    let event_config = ReportConfig {
        mode: ReportMode::Push,
        notification_url: "http://x/\"".to_owned(),
        upload: true,
        ..ReportConfig::default()
    };
    let server = Server::start(settings()).await;
    let caller = server.caller();
    server.control.add_copies("{}", 20, Duration::ZERO).unwrap();
    caller.pull().await;
    let state = caller.call("DescribeEventsState", json!({})).await.response();
    assert_eq!(state["CountOfEventsToPull"], 4);
    server.control.set_event_config(None, event_config).unwrap();
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
