//! Events that are posted.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use md5::{Digest, Md5};
use serde_json::{Value, json};
use vod_emulator::{
    EmulatorSettings, LedgerPush, PushFormat, PushOutcome, PushRetry, PushSettings, PushTotals,
    ReportConfig, ReportMode, SignPlace, SourceApi, SpriteOrder,
};

use crate::receiver::{ClosedPort, Posted, Reaction, Receiver};
use crate::server::{APP, Server, settings};
use crate::support;

/// Posts to `url`, with short times.
async fn pushing(url: &str, push: PushSettings) -> Server {
    let server = Server::start(EmulatorSettings { push, ..settings() }).await;
    server.control.set_event_config(None, to(url)).unwrap();
    server
}

fn to(url: &str) -> ReportConfig {
    ReportConfig {
        mode: ReportMode::Push,
        notification_url: url.to_owned(),
        ..ReportConfig::default()
    }
}

fn quick() -> PushSettings {
    PushSettings { timeout: Duration::from_millis(300), ..PushSettings::default() }
}

/// Waits until each event is answered or lost.
async fn ended(server: &Server) -> PushTotals {
    support::until(|| server.control.totals().pushed.waiting == 0).await;
    server.control.totals().pushed
}

fn record(server: &Server, event: u64) -> LedgerPush {
    *server.control.ledger().event(event).unwrap().pushed.clone().unwrap()
}

fn outcomes(server: &Server, event: u64) -> Vec<PushOutcome> {
    record(server, event).tries.iter().map(|attempt| attempt.outcome).collect()
}

#[tokio::test]
async fn an_event_is_posted_token_for_token_and_cannot_be_pulled() {
    let receiver = Receiver::start([]).await;
    let url = format!("{}/vod/1?a=b", receiver.url);
    let server = pushing(&url, quick()).await;
    let json =
        r#"{"EventHandle":"h","EventType":"X","N":1.50,"B":12345678901234567890123,"S":"\u00e9"}"#;
    server.control.add(json).unwrap();
    let totals = ended(&server).await;
    assert_eq!(totals, PushTotals { events: 1, answered: 1, tries: 1, ..PushTotals::default() });
    let posted = &receiver.posted()[0];
    assert_eq!(posted.body, json.replace(r#""EventHandle":"h","#, ""));
    assert_eq!((posted.method.as_str(), posted.path.as_str()), ("POST", "/vod/1"));
    assert_eq!(posted.query, "a=b");
    assert_eq!(posted.headers["content-type"], "application/json");
    assert!(!posted.headers.contains_key("sign"));
    assert_eq!(server.caller().pull().await.code(), "ResourceNotFound");
    let config = server.caller().call("DescribeEventConfig", json!({})).await.response();
    assert_eq!((&config["Mode"], &config["NotificationUrl"]), (&json!("PUSH"), &json!(url)));
    let state = server.caller().call("DescribeEventsState", json!({})).await.response();
    assert_eq!(state["CountOfEventsToPull"], 0);
    let history = record(&server, 1);
    assert_eq!(history.answered, Some(history.tries[0].ended));
    assert_eq!(outcomes(&server, 1), [PushOutcome::Answered]);
}

#[tokio::test]
async fn each_try_is_signed_anew_in_any_of_three_places() {
    const KEY: &str = "Ab3dEf6hIj9k";
    for place in [SignPlace::Body, SignPlace::Query, SignPlace::Header] {
        let receiver = Receiver::start([Reaction::Status(500)]).await;
        let push = PushSettings {
            sign_key: Some(KEY.into()),
            sign_in: place,
            retry: PushRetry::Failure,
            // So that the next second has another T.
            spacing: Duration::from_millis(1_001),
            ..quick()
        };
        let server = pushing(&receiver.url, push).await;
        server.control.add(r#"{"EventType":"X"}"#).unwrap();
        ended(&server).await;
        let signs: Vec<(String, String)> = receiver
            .posted()
            .iter()
            .map(|posted| match place {
                SignPlace::Body => {
                    let json = posted.json();
                    let unsigned = json["T"].is_i64() && json["EventType"] == "X";
                    assert!(unsigned && posted.body.starts_with(r#"{"EventType":"X","Sign":""#));
                    (json["Sign"].as_str().unwrap().to_owned(), json["T"].to_string())
                }
                SignPlace::Query => {
                    let (sign, expires) = posted.query.split_once('&').unwrap();
                    let value = |text: &str, name| text.strip_prefix(name).unwrap().to_owned();
                    (value(sign, "Sign="), value(expires, "T="))
                }
                SignPlace::Header => {
                    let value = |name| posted.headers[name].to_str().unwrap().to_owned();
                    (value("Sign"), value("T"))
                }
            })
            .collect();
        assert_eq!(signs.len(), 2);
        for (sign, expires) in &signs {
            let digest = Md5::digest(format!("{KEY}{expires}"));
            let expected: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(*sign, expected, "{place:?}");
            let left = expires.parse::<i64>().unwrap() - Utc::now().timestamp();
            assert!((590..=600).contains(&left), "{place:?}: {left}");
        }
        assert_ne!(signs[0].1, signs[1].1);
        let bare = |posted: &Posted| posted.body == r#"{"EventType":"X"}"#;
        assert_eq!(receiver.posted().iter().all(bare), place != SignPlace::Body);
    }
}

#[tokio::test]
async fn the_clock_that_is_shown_is_that_of_the_signature() {
    let receiver = Receiver::start([]).await;
    let push = PushSettings { sign_key: Some("k".into()), ..quick() };
    let server = pushing(&receiver.url, push).await;
    server.control.set_clock_offset(chrono::TimeDelta::hours(-2));
    server.control.add("{}").unwrap();
    ended(&server).await;
    let left = receiver.posted()[0].json()["T"].as_i64().unwrap() - Utc::now().timestamp();
    assert!((-6_610..=-6_600).contains(&left), "{left}");
}

#[tokio::test]
async fn only_a_timeout_is_followed_by_another_try_and_the_third_one_is_the_last() {
    use Reaction::{Never, Status};
    for (reactions, expected, is_lost) in [
        (&[Status(503)][..], &[PushOutcome::Refused(503)][..], true),
        (&[Status(204)], &[PushOutcome::Refused(204)], true),
        // It would lead to a 200.
        (&[Status(302)], &[PushOutcome::Refused(302)], true),
        (
            &[Never, Never, Status(200)],
            &[PushOutcome::TimedOut, PushOutcome::TimedOut, PushOutcome::Answered],
            false,
        ),
        (&[Never, Status(500)], &[PushOutcome::TimedOut, PushOutcome::Refused(500)], true),
        (&[Never, Never, Never], &[PushOutcome::TimedOut; 3], true),
    ] {
        let receiver = Receiver::start(reactions.iter().copied()).await;
        let server = pushing(&receiver.url, quick()).await;
        server.control.add("{}").unwrap();
        let totals = ended(&server).await;
        assert_eq!(outcomes(&server, 1), expected);
        assert_eq!((totals.lost, totals.answered), (u64::from(is_lost), u64::from(!is_lost)));
        assert_eq!(
            (receiver.posted().len(), totals.tries),
            (expected.len(), expected.len() as u64)
        );
        let count = |kind: fn(&PushOutcome) -> bool| expected.iter().filter(|o| kind(o)).count();
        let timed_out = count(|outcome| matches!(outcome, PushOutcome::TimedOut));
        assert_eq!(totals.timed_out, timed_out as u64);
        let refused = count(|outcome| matches!(outcome, PushOutcome::Refused(_)));
        assert_eq!(totals.refused, refused as u64);
        let history = record(&server, 1);
        assert_eq!((history.lost.is_some(), history.answered.is_some()), (is_lost, !is_lost));
        for attempt in &history.tries {
            let took = (attempt.ended - attempt.at).num_milliseconds();
            let waited = attempt.outcome == PushOutcome::TimedOut;
            assert!(!waited || took >= 300, "{took}");
        }
    }
}

#[tokio::test]
async fn an_event_for_a_port_that_refuses_is_lost_at_once() {
    let nobody = ClosedPort::new();
    let server = pushing(&nobody.url, PushSettings::default()).await;
    server.control.add("[{},{}]").unwrap();
    let totals = ended(&server).await;
    assert_eq!((totals.lost, totals.unreachable, totals.tries), (2, 2, 2));
    assert_eq!(outcomes(&server, 1), [PushOutcome::Unreachable]);
}

#[tokio::test]
async fn by_the_other_rule_an_event_survives_an_outage() {
    let nobody = ClosedPort::new();
    let push = PushSettings {
        retry: PushRetry::Failure,
        tries: 1_000,
        spacing: Duration::from_millis(20),
        ..quick()
    };
    let server = pushing(&format!("{}/x", nobody.url), push).await;
    server.control.add_copies("{}", 5, Duration::ZERO).unwrap();
    support::until(|| server.control.totals().pushed.unreachable >= 10).await;
    assert_eq!(server.control.totals().pushed.waiting, 5);
    let receiver = nobody.open([Reaction::Status(503); 5]);
    let totals = ended(&server).await;
    assert_eq!((totals.answered, totals.lost, totals.refused), (5, 0, 5));
    assert_eq!(receiver.posted().len(), 10);
    let history = record(&server, 1);
    for pair in history.tries.windows(2) {
        assert!((pair[1].at - pair[0].ended).num_milliseconds() >= 20);
    }
}

#[tokio::test]
async fn an_event_can_come_once_more_after_its_200() {
    let receiver = Receiver::start([Reaction::Status(200), Reaction::Status(500)]).await;
    let server = pushing(&receiver.url, PushSettings { late: true, ..quick() }).await;
    server.control.add(r#"{"N":1}"#).unwrap();
    support::until(|| server.control.totals().pushed.repeated == 1).await;
    let totals = ended(&server).await;
    assert_eq!((totals.events, totals.answered, totals.lost, totals.tries), (1, 1, 0, 2));
    let bodies: Vec<_> = receiver.posted().into_iter().map(|posted| posted.body).collect();
    assert_eq!(bodies, [r#"{"N":1}"#; 2]);
}

#[tokio::test]
async fn no_more_are_under_way_than_allowed() {
    let receiver = Receiver::start([Reaction::Held; 8]).await;
    let push = PushSettings { concurrency: 3, timeout: Duration::from_secs(60), ..quick() };
    let server = pushing(&receiver.url, push).await;
    server.control.add_copies("{}", 8, Duration::ZERO).unwrap();
    support::until(|| receiver.posted().len() == 3).await;
    // Others are added and none is sent.
    server.control.add_copies("{}", 2, Duration::ZERO).unwrap();
    assert_eq!(server.caller().pull().await.code(), "ResourceNotFound");
    assert_eq!(receiver.posted().len(), 3);
    receiver.release();
    assert_eq!(ended(&server).await.answered, 10);
}

#[tokio::test]
async fn the_mode_switches_in_mid_stream_and_each_event_goes_one_way() {
    let receiver = Receiver::start([]).await;
    let server = Server::start(settings()).await;
    let page = format!("{}/_emulator/event-config", server.url);
    let switch = async |config: Value| {
        let put = support::http().put(&page).body(config.to_string());
        assert_eq!(put.send().await.unwrap().status(), 200);
    };
    server.control.add(r#"{"N":1}"#).unwrap();
    switch(json!({ "mode": "PUSH", "notification_url": receiver.url })).await;
    server.control.add(r#"[{"N":2},{"N":3}]"#).unwrap();
    // One that is to be posted later is so whatever the mode is then.
    server.control.add_copies(r#"{"N":4}"#, 1, Duration::from_millis(300)).unwrap();
    switch(json!({ "mode": "PULL" })).await;
    server.control.add(r#"{"N":5}"#).unwrap();

    let pulled = server.caller().pull().await.events();
    let numbers: Vec<_> = pulled.iter().map(|event| event["N"].clone()).collect();
    assert_eq!(numbers, [1, 5], "what waited stays, and what comes after the switch");
    assert_eq!(ended(&server).await.answered, 3);
    let mut posted: Vec<_> =
        receiver.posted().iter().map(|posted| posted.json()["N"].as_u64().unwrap()).collect();
    posted.sort_unstable();
    assert_eq!(posted, [2, 3, 4]);
    let ledger = server.control.ledger();
    let pushed: Vec<_> = ledger.events.iter().map(|event| event.pushed.is_some()).collect();
    assert_eq!(pushed, [false, true, true, true, false]);
    assert_eq!((ledger.totals.added, ledger.totals.waiting), (5, 2));
}

#[tokio::test]
async fn each_application_is_reported_in_its_own_way() {
    let receiver = Receiver::start([]).await;
    let apps = vec![APP, APP + 1, APP + 2];
    let server = Server::start(EmulatorSettings { apps, ..settings() }).await;
    for app in [APP, APP + 1] {
        let url = format!("{}/vod/{app}", receiver.url);
        server.control.set_event_config(Some(app), to(&url)).unwrap();
    }
    for app in [APP, APP + 1, APP + 2] {
        server.control.add_to(Some(app), "{}", 1, Duration::ZERO).unwrap();
    }
    assert_eq!(ended(&server).await.answered, 2);
    let mut paths: Vec<_> = receiver.posted().into_iter().map(|posted| posted.path).collect();
    paths.sort();
    assert_eq!(paths, [format!("/vod/{APP}"), format!("/vod/{}", APP + 1)]);
    assert_eq!(server.control.totals().waiting, 1);
}

#[tokio::test]
async fn without_a_url_events_wait_in_the_queue() {
    let server = Server::start(settings()).await;
    server.control.set_event_config(None, to("")).unwrap();
    server.control.add("{}").unwrap();
    assert_eq!(server.caller().pull().await.events().len(), 1);
    assert_eq!(server.control.totals().pushed, PushTotals::default());
}

#[tokio::test]
async fn sprite_tasks_are_posted_in_the_older_format_too() {
    let receiver = Receiver::start([]).await;
    let push = PushSettings { format: PushFormat::V2, ..quick() };
    let server = pushing(&receiver.url, push).await;
    let order = SpriteOrder { count: 2, tiles: Some(106), fail_every: 0, ..SpriteOrder::default() };
    let made = server.control.add_sprites(&order).unwrap();
    server.control.add(r#"{"eventType":"ClipComplete"}"#).unwrap();
    ended(&server).await;
    let posted = receiver.posted();
    let of = |event_type: &str| {
        let mut bodies = posted.iter().map(Posted::json);
        bodies.find(|body| body["eventType"] == event_type).unwrap()
    };
    for made in &made {
        match made.source_api {
            SourceApi::Create => {
                let body = of("CreateImageSpriteComplete");
                assert_eq!(body["version"], "4.0");
                assert_eq!(body["data"]["vodTaskId"], made.task_id.as_str());
                assert_eq!(body["data"]["imageSpriteUrl"], json!(made.sheets));
                assert_eq!(body["data"]["totalCount"], 106);
            }
            SourceApi::Procedure => {
                let body = of("ProcedureStateChanged");
                let result = &body["data"]["processTaskList"][0];
                assert_eq!(body["data"]["fileId"], made.file_id.as_str());
                assert_eq!(result["output"]["urlList"], json!(made.sheets));
                assert_eq!(result["output"]["webVttUrl"], json!(made.vtt_url));
            }
        }
    }
    assert_eq!(of("ClipComplete"), json!({ "eventType": "ClipComplete" }));
}

#[tokio::test]
async fn an_observer_sees_each_200() {
    let receiver = Receiver::start([Reaction::Status(500), Reaction::Status(200)]).await;
    let push = PushSettings { concurrency: 1, ..quick() };
    let server = pushing(&receiver.url, push).await;
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let record = seen.clone();
    server.control.set_observer(move |events| record.lock().unwrap().extend(events));
    server.control.add("[{},{}]").unwrap();
    assert_eq!(ended(&server).await.lost, 1);
    support::until(|| !seen.lock().unwrap().is_empty()).await;
    assert_eq!(*seen.lock().unwrap(), [2]);
}

#[tokio::test]
async fn its_end_waits_for_no_receiver() {
    let receiver = Receiver::start([Reaction::Never]).await;
    let push = PushSettings { timeout: Duration::from_secs(600), ..quick() };
    let server = pushing(&receiver.url, push).await;
    server.control.add("{}").unwrap();
    support::until(|| receiver.posted().len() == 1).await;
    let control = server.control.clone();
    let took = server.stop().await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    let totals = control.totals().pushed;
    assert_eq!((totals.waiting, totals.lost, totals.tries), (1, 0, 0));
}

#[tokio::test]
async fn what_is_to_be_posted_counts_in_what_may_wait() {
    let push = PushSettings { timeout: Duration::from_secs(600), ..quick() };
    let receiver = Receiver::start([Reaction::Never; 3]).await;
    let settings = EmulatorSettings { push, max_events: 3, ..settings() };
    let server = Server::start(settings).await;
    server.control.set_event_config(None, to(&receiver.url)).unwrap();
    server.control.add("[{},{}]").unwrap();
    assert!(server.control.add("[{},{}]").is_err());
    assert_eq!(server.control.totals().pushed.events, 2);
}

#[tokio::test]
async fn the_ledger_is_told_as_json() {
    let receiver = Receiver::start([Reaction::Status(503)]).await;
    let push = PushSettings { retry: PushRetry::Failure, ..quick() };
    let server = pushing(&receiver.url, push).await;
    server.control.add("{}").unwrap();
    ended(&server).await;
    let page = format!("{}/_emulator/ledger", server.url);
    let text = support::http().get(page).send().await.unwrap().text().await.unwrap();
    let ledger: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        ledger["totals"]["pushed"],
        json!({
            "events": 1, "answered": 1, "lost": 0, "waiting": 0, "tries": 2, "repeated": 0,
            "refused": 1, "timed_out": 0, "unreachable": 0,
        })
    );
    let pushed = &ledger["events"][0]["pushed"];
    assert_eq!(pushed["tries"][0]["outcome"], json!({ "refused": 503 }));
    assert_eq!(pushed["tries"][1]["outcome"], "answered");
    assert_eq!(pushed["answered"], pushed["tries"][1]["ended"]);
}
