//! The emulator's own pages.

use serde_json::Value;

use crate::server::{Server, settings};
use crate::support;

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
