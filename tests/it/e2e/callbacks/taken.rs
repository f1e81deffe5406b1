//! What is posted as the cloud posts it gets to the sinks.

use serde_json::json;
use sprited::journal::EventState;

use super::*;
use crate::e2e::{file, settings};
use crate::support::until;

#[tokio::test]
async fn a_posted_event_is_on_disk_when_it_is_answered_and_then_at_the_sink() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives("");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    assert_eq!(poster.post(&seed()).await, (200, ACCEPTED.to_owned()));
    let stored = site.journaled(None);
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].event.key.to_string(), SEED_KEY);
    until(|| site.lines("sprites.jsonl").len() == 1).await;
    let line = &site.lines("sprites.jsonl")[0];
    assert_eq!(line["id"], SEED_KEY);
    assert_eq!(line["type"], "com.tencentcloud.vod.CreateImageSpriteComplete");
    assert_eq!(line["source"], "/tencentcloud/vod/1500012345");
    assert_eq!(line["data"]["sprites"][0]["id"], "ccb2ae76d4594c559ab244064979350d");
    assert_eq!(line["data"]["sprites"][0]["file_id"], "14508071098244929440");
    let event: Value = serde_json::from_str(&seed()).unwrap();
    assert_eq!(line["data"]["event"], event);

    // Again, and in other words.
    assert_eq!(poster.post(&seed()).await, (200, ACCEPTED.to_owned()));
    assert_eq!(poster.post(&event.to_string()).await, (200, ACCEPTED.to_owned()));
    assert_eq!(site.journaled(None).len(), 1);
    assert!(daemon.metric("sprited_received_total{outcome=\"new\"}").await == 1.0);
    assert!(daemon.metric("sprited_received_total{outcome=\"duplicate\"}").await == 2.0);
    assert!(daemon.metric("sprited_receive_seconds_count").await == 3.0);
    let last = "sprited_last_received_timestamp_seconds{app=\"1500012345\"}";
    assert!(daemon.metric(last).await > 1.7e9);
    assert!(daemon.logged(REFUSED).is_empty());
    let lines = daemon.logged("entry stored");
    // The cloud has no name for a request of its own.
    assert!(lines.len() == 3 && lines.iter().all(|line| line.get("request_id").is_none()));
    site.delivered("sprites.jsonl", 1).await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 1);
}

#[tokio::test]
async fn signed_in_any_place_unsigned_and_pulled_it_is_one_event() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives(&format!("sign_key = '{SIGN_KEY}'\nprevious_sign_key = 'another'"));
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let (sign, expires) = ("950736b97d07b7aefff7427c5e1f5d75", i64::MAX);
    let with = |members: Value| {
        let mut event: Value = serde_json::from_str(&seed()).unwrap();
        event.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        event.to_string()
    };
    for body in [
        with(json!({ "Sign": sign, "T": expires })),
        with(json!({ "Sign": sign.to_uppercase(), "T": expires.to_string() })),
        with(json!({ "sign": sign, "t": expires })),
    ] {
        assert_eq!(poster.post(&body).await.0, 200, "{body}");
    }
    let url = poster.url();
    assert_eq!(poster.post_to(&format!("{url}?{SIGN}"), &seed()).await.0, 200);
    let lower = SIGN.replace("Sign", "sign").replace("&T", "&more=a%20b&t");
    assert_eq!(poster.post_to(&format!("{url}?{lower}"), &seed()).await.0, 200);
    let header = format!("sign: {sign}\r\nt: {expires}\r\n");
    let answer = poster.raw(&request(&path(), &header, &seed())).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(ACCEPTED), "{answer}");
    // The vector with a time of its own is of 2026.
    let posted = poster.post(&data("callbacks/seed_push_signed_1.json")).await.0;
    let is_over = chrono::Utc::now().timestamp() > 1_796_004_600 + 60;
    assert_eq!(posted, if is_over { 403 } else { 200 });
    site.cloud.control.add(&format!("[{}]", data("callbacks/seed_pull_entry.json"))).unwrap();
    site.drained().await;
    site.delivered("sprites.jsonl", 1).await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 1);
    assert_eq!(site.lines("sprites.jsonl")[0]["id"], SEED_KEY);
    assert_eq!(site.journaled(None).len(), 1);
}

#[tokio::test]
async fn the_path_tells_the_application_and_each_token_is_good() {
    let site = Site::new(&file("all", "*")).await;
    site.receives("previous_token = 'another-token-of-the-tests'");
    site.edit("sub_app_id = 1500012345", "sub_app_id = [1500012345, 7]");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let url = |app: &str, token: &str| format!("http://{}/vod/{app}/{token}", poster.address);
    for (app, token, status) in [
        ("7", TOKEN, 200),
        ("7", "another-token-of-the-tests", 200),
        ("1500012345", TOKEN, 200),
        ("0", TOKEN, 404),
        ("8", TOKEN, 404),
    ] {
        assert_eq!(poster.post_to(&url(app, token), &seed()).await.0, status, "{app}");
    }
    until(|| site.lines("all.jsonl").len() == 2).await;
    let mut sources: Vec<_> =
        site.lines("all.jsonl").iter().map(|line| line["source"].clone()).collect();
    sources.sort_by_key(Value::to_string);
    assert_eq!(sources, ["/tencentcloud/vod/1500012345", "/tencentcloud/vod/7"]);
    daemon.stop().await;
}

#[tokio::test]
async fn without_an_application_the_path_has_a_zero() {
    let site = Site::with(settings(), "", &file("sprites", "image-sprite")).await;
    site.receives("");
    site.edit("sub_app_id = 1500012345", "");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let url = format!("http://{}/vod/0/{TOKEN}", poster.address);
    assert_eq!(poster.post_to(&url, &seed()).await.0, 200);
    until(|| site.lines("sprites.jsonl").len() == 1).await;
    assert_eq!(site.lines("sprites.jsonl")[0]["id"], "6729969f15c43fad4bad2a3f03161893");
    daemon.stop().await;
}

/// The queue is empty and no cloud is asked, and yet it is kept as a pulled one would be.
#[tokio::test]
async fn bytes_that_are_no_text_are_replaced_and_the_event_is_marked() {
    let site = Site::new(&file("all", "*")).await;
    site.receives("");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let body = b"{\"EventType\":\"Some\",\"E\":{\"TaskId\":\"a\",\"B\":\"\xff\"}}".to_vec();
    let answer = poster.http.post(poster.url()).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let stored = site.journaled(None);
    assert!(stored[0].event.replaced);
    // Any JSON is kept, as in the queue.
    assert_eq!(poster.post("7").await.0, 200);
    assert_eq!(poster.post(" [\n] ").await.0, 200);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(poster.post(&deep).await.0, 200);
    // Deeper than a test's own reader goes.
    let lines = || std::fs::read_to_string(site.path("all.jsonl")).unwrap().lines().count();
    until(|| lines() == 4).await;
    daemon.stop().await;
    assert_eq!(site.journaled(Some(EventState::Delivered)).len(), 4);
}

#[tokio::test]
async fn requests_may_be_pipelined_chunked_and_announced() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.receives("");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let pipelined: Vec<u8> = (0..20).flat_map(|n| request(&path(), "", &sprite(n))).collect();
    let answers = poster.raw(&pipelined).await;
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 20, "{answers}");
    let chunks: String = sprite(20)
        .as_bytes()
        .chunks(100)
        .map(|part| format!("{:x}\r\n{}\r\n", part.len(), std::str::from_utf8(part).unwrap()))
        .collect();
    let target = path();
    let chunked = format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    let answer = poster.raw(chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut waiting = poster.connect().await;
    let body = sprite(21);
    let head = request(&path(), "Expect: 100-continue\r\nContent-Encoding: identity\r\n", &body);
    waiting.send(&head[..head.len() - body.len()]).await;
    let asked = waiting.rest(Duration::from_millis(500)).await;
    assert!(asked.starts_with("HTTP/1.1 100 "), "{asked}");
    waiting.send(body.as_bytes()).await;
    let answer = waiting.rest(Duration::from_millis(500)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    until(|| site.lines("sprites.jsonl").len() == 22).await;
    site.delivered("sprites.jsonl", 22).await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 22);
}
