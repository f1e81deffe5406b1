//! The files of sprites, with what may be unusual about them.

use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use reqwest::header::{CONTENT_ENCODING, LOCATION, REFERER};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use vod_emulator::{CreatedSprite, EmulatorSettings, SpriteOrder, SpriteProtection};

use crate::server::{Server, settings};
use crate::support;

fn make(server: &Server, quirks: &str) -> CreatedSprite {
    let quirks = Some(quirks.parse().unwrap());
    let order = SpriteOrder { tiles: Some(106), fail_every: 0, quirks, ..SpriteOrder::default() };
    server.control.add_sprites(&order).unwrap().remove(0)
}

async fn get(url: &str) -> Response {
    support::http().get(url).send().await.unwrap()
}

async fn bytes(url: &str) -> Vec<u8> {
    get(url).await.error_for_status().unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn a_dialect_and_its_sheets_are_served_under_the_urls_of_the_event() {
    let server = Server::start(settings()).await;
    let made = make(&server, "bom,crlf,query,absolute,padded,size=400kB,step=7333ms,count=100");
    let event = server.caller().pull().await.events().remove(0);
    let task = &event["CreateImageSpriteCompleteEvent"];
    assert_eq!(task["TotalCount"], 100);
    assert_eq!(task["WebVttUrl"], made.vtt_url.as_deref().unwrap());
    let vtt = String::from_utf8(bytes(&made.vtt_url.unwrap()).await).unwrap();
    let first = &made.sheets[0];
    let start = format!(
        "\u{feff}WEBVTT\r\n\r\n00:00:00.000 --> 00:00:07.333\r\n{first}?xywh=0,0,142,80\r\n"
    );
    assert!(vtt.starts_with(&start), "{vtt}");
    for sheet in &made.sheets {
        let sheet = bytes(sheet).await;
        assert_eq!(sheet.len(), 400_000);
        assert_eq!(sheet[20..24], 800_u32.to_be_bytes());
    }
    // A name in the text is one that the emulator serves.
    let named = make(&server, "root-relative,encoded,amp");
    let vtt = String::from_utf8(bytes(&named.vtt_url.unwrap()).await).unwrap();
    let name = vtt.lines().nth(3).unwrap().split('#').next().unwrap().replace("&amp;", "&");
    assert!(name.starts_with("/sprites/") && name.ends_with("/%69mageSprite_10_0.png?v=1&w=2"));
    assert_eq!(bytes(&format!("{}{name}", server.url)).await, bytes(&named.sheets[0]).await);
}

#[tokio::test]
async fn the_settings_are_those_of_orders_that_say_nothing() {
    let quirks = "crlf".parse().unwrap();
    let server = Server::start(EmulatorSettings { sprite_quirks: quirks, ..settings() }).await;
    let own = format!("{}/_emulator/sprites", server.url);
    let order = |json: &str| support::http().post(&own).body(json.to_owned()).send();
    let mut texts = Vec::new();
    for json in ["{}", r#"{"quirks":""}"#, r#"{"quirks":"cr"}"#] {
        let answer = order(json).await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let text = bytes(answer["added"][0]["vtt_url"].as_str().unwrap()).await;
        texts.push(String::from_utf8(text[..10].to_vec()).unwrap());
    }
    assert_eq!(texts, ["WEBVTT\r\n\r\n", "WEBVTT\n\n00", "WEBVTT\r\r00"]);
    let refused = order(r#"{"quirks":"crfl"}"#).await.unwrap();
    assert_eq!(refused.status(), 400);
    assert!(refused.text().await.unwrap().contains("there is no quirk crfl"));
}

#[tokio::test]
async fn every_fault_is_what_it_is_called() {
    let server = Server::start(settings()).await;
    let good = bytes(&make(&server, "").sheets[0]).await.len();
    let ask = |words: &'static str| {
        let url = make(&server, words).sheets.remove(0);
        async move { get(&url).await }
    };
    assert_eq!(ask("status=503").await.status(), 503);
    assert_eq!(ask("late=1h").await.status(), 404);
    let html = ask("html").await;
    assert_eq!(html.status(), 200);
    assert!(html.text().await.unwrap().starts_with("<html>"));
    assert_eq!(ask("empty").await.bytes().await.unwrap().len(), 0);
    let truncated = ask("truncated").await.bytes().await.unwrap().len();
    assert!((good / 3..good).contains(&truncated), "{truncated} of {good}");
    assert!(ask("cut").await.bytes().await.is_err());
    let huge = ask("huge=3MB").await;
    assert_eq!(huge.content_length(), None);
    assert_eq!(huge.bytes().await.unwrap().len(), 3_000_000);
    let redirect = ask("redirect=127.0.0.1:1").await;
    assert_eq!(redirect.status(), 302);
    assert_eq!(redirect.headers()[LOCATION], "http://127.0.0.1:1/");
    assert_eq!(ask("redirect").await.headers()[LOCATION], "http://169.254.0.23/");
    let gzip = ask("gzip").await;
    assert_eq!(gzip.headers()[CONTENT_ENCODING], "gzip");
    assert!(gzip.bytes().await.unwrap().starts_with(&[0x1f, 0x8b]));
    for words in ["slow=300ms", "delay=300ms"] {
        let start = Instant::now();
        assert!(ask(words).await.bytes().await.unwrap().starts_with(b"\x89PNG"));
        assert!(start.elapsed() >= Duration::from_millis(300), "{words}");
    }
    let totals = server.control.totals();
    for fault in ["status", "late", "html", "empty", "truncated", "cut", "huge", "gzip", "slow"] {
        assert_eq!(totals.files_of("sheet", fault), 1, "{fault}");
    }
    assert_eq!(totals.files_of("sheet", "redirect"), 2);
    // Of the sheets alone.
    let made = make(&server, "sheets:html");
    assert!(bytes(&made.vtt_url.unwrap()).await.starts_with(b"WEBVTT"));
    assert_eq!(server.control.totals().files_of("vtt", "ok"), 1);
}

#[tokio::test]
async fn a_file_comes_after_its_time_or_after_so_many_requests() {
    let server = Server::start(settings()).await;
    let late = make(&server, "late=200ms");
    let url = late.vtt_url.unwrap();
    assert_eq!(get(&url).await.status(), 404);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(get(&url).await.status(), 200);
    let made = make(&server, "status=403,times=2");
    for url in made.sheets.iter().chain(&made.vtt_url) {
        for status in [403, 403, 200, 200] {
            assert_eq!(get(url).await.status(), status, "{url}");
        }
    }
}

#[tokio::test]
async fn a_second_run_comes_between_two_looks_at_the_text() {
    let server = Server::start(settings()).await;
    let made = make(&server, "rerun");
    let (vtt, sheet) = (made.vtt_url.unwrap(), &made.sheets[1]);
    let before = bytes(sheet).await;
    let texts = [bytes(&vtt).await, bytes(&vtt).await, bytes(&vtt).await];
    assert_ne!(texts[0], texts[1]);
    assert_eq!(texts[1], texts[2]);
    let after = bytes(sheet).await;
    assert_ne!(before, after);
    assert_eq!(before[..24], after[..24]);
}

#[tokio::test]
async fn protected_files_are_forbidden_without_a_signature_and_a_referer() {
    let protection = SpriteProtection {
        key: Some("24FEQmTzro4V5u3D5epW".into()),
        referers: vec!["www.example.com".to_owned()],
        allow_empty_referer: false,
    };
    let server =
        Server::start(EmulatorSettings { sprite_protection: protection, ..settings() }).await;
    let made = make(&server, "");
    let folder = made.sheets[0].strip_prefix(&server.url).unwrap();
    let folder = &folder[..=folder.rfind('/').unwrap()];
    let sign = |expiry: i64| {
        let t = format!("{expiry:x}");
        let hash = Md5::digest(format!("24FEQmTzro4V5u3D5epW{folder}{t}abc"));
        let sign: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("?t={t}&us=abc&sign={sign}")
    };
    let now = chrono::Utc::now().timestamp();
    let (good, expired) = (sign(now + 600), sign(now - 1));
    let status = |url: String, referer: Option<&'static str>| async move {
        let request = support::http().get(url);
        let request = match referer {
            Some(referer) => request.header(REFERER, referer),
            None => request,
        };
        request.send().await.unwrap().status()
    };
    let listed = Some("https://www.example.com/x");
    // One signature is good for the folder.
    for url in made.sheets.iter().chain(&made.vtt_url) {
        assert_eq!(status(format!("{url}{good}"), listed).await, StatusCode::OK);
        for (query, referer) in
            [("", listed), (&*expired, listed), (&*good, None), (&*good, Some("http://other/"))]
        {
            let status = status(format!("{url}{query}"), referer).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{url}{query}");
        }
    }
    assert_eq!(server.control.totals().files_of("vtt", "forbidden"), 4);
    let set = |json: &'static str| {
        let url = format!("{}/_emulator/sprite-protection", server.url);
        async move { support::http().put(url).body(json).send().await.unwrap().status() }
    };
    assert_eq!(set(r#"{"key":"short"}"#).await, 400);
    assert_eq!(set("{}").await, 200);
    assert_eq!(status(made.sheets[0].clone(), None).await, StatusCode::OK);
}

#[tokio::test]
async fn a_request_for_a_file_travels_as_a_call_does() {
    let round_trip = Duration::from_millis(200);
    let server = Server::start(EmulatorSettings { round_trip, ..settings() }).await;
    let start = Instant::now();
    bytes(&make(&server, "").vtt_url.unwrap()).await;
    assert!(start.elapsed() >= round_trip);
}
