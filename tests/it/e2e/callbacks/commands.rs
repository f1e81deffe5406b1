//! `sprited receive`.

use vod_emulator::{ReportConfig, ReportMode};

use super::*;
use crate::cli::{Ended, ended, sprited};
use crate::e2e::file;
use crate::local_server::{LocalServer, Reply};
use crate::support::until;

/// `sprited receive test`, with the configuration of a site.
async fn test(site: &Site, url: &str) -> Ended {
    let mut command = sprited();
    command.env("SPRITED_CONFIG", site.path("sprited.toml")).args(["receive", "test", url]);
    tokio::task::spawn_blocking(move || ended(&mut command)).await.unwrap()
}

#[test]
fn a_token_is_long_and_fits_into_a_url() {
    let tokens = [(); 2].map(|()| ended(sprited().args(["receive", "token"])).out);
    assert_ne!(tokens[0], tokens[1]);
    for token in tokens {
        let token = token.strip_suffix('\n').unwrap();
        assert!(token.len() >= 32, "{token}");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(token.bytes().all(is_plain), "{token}");
        let text = format!("[receive]\ntoken = '{token}'\n[[sinks]]\nname = 'a'\ntype = 'stdout'");
        sprited::config::Config::parse(&text, "sprited.toml".as_ref()).unwrap();
    }
}

#[tokio::test]
async fn a_test_event_goes_the_way_of_all_and_reaches_no_sink_by_default() {
    let sinks = [file("sprites", "image-sprite"), file("all", "*")].concat();
    let site = Site::new(&sinks).await;
    site.receives(&format!("sign_key = '{SIGN_KEY}'"));
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let tested = test(&site, &poster.url()).await;
    assert_eq!(tested.code, 0, "{}{}", tested.out, tested.err);
    let address = poster.address;
    let first = format!("posted to http://{address}/vod/{APP}/…, signed with [receive] sign_key\n");
    assert!(tested.out.starts_with(&first), "{}", tested.out);
    assert!(tested.out.contains("200 OK after "), "{}", tested.out);
    assert!(tested.out.ends_with("the event is stored\n"), "{}", tested.out);
    until(|| site.lines("all.jsonl").len() == 1).await;
    assert_eq!(site.lines("all.jsonl")[0]["type"], "com.tencentcloud.vod.SpritedTest");
    // Each test is an event of its own.
    assert_eq!(test(&site, &poster.url()).await.code, 0);
    until(|| site.lines("all.jsonl").len() == 2).await;

    let wrong = poster.url().replace(TOKEN, "another-token-of-the-tests");
    site.edit(SIGN_KEY, "another");
    for (url, expected) in [
        (wrong, "404 Not Found after "),
        (poster.url(), "403 Forbidden after "),
        (format!("http://{address}/vod/7/{TOKEN}"), "404 Not Found after "),
    ] {
        let tested = test(&site, &url).await;
        assert_eq!(tested.code, 1);
        assert!(tested.out.contains(expected), "{}", tested.out);
        assert!(!tested.out.contains("token-of-the-tests"), "{}", tested.out);
        assert!(!tested.err.contains("token-of-the-tests"), "{}", tested.err);
    }
    daemon.stop().await;
    assert!(site.lines("sprites.jsonl").is_empty());
}

#[tokio::test]
async fn what_else_may_answer_is_explained() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    for (status, meaning) in [
        (200, "something else than the receiver answered"),
        (301, "a redirect"),
        (401, "asks for a password"),
        (502, "does not reach the receiver"),
        (503, "cannot store events"),
    ] {
        let server = LocalServer::start(move |_, _| Reply::new(status, &[], b"hello")).await;
        let tested = test(&site, &format!("{}/vod/{APP}/{TOKEN}", server.url())).await;
        assert_eq!(tested.code, 1);
        assert!(tested.out.contains(meaning), "{status}: {}", tested.out);
        assert!(tested.out.contains("unsigned: the configuration has no table [receive]"));
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tested = test(&site, &format!("http://{free}/vod/{APP}/{TOKEN}")).await;
    assert_eq!(tested.code, 1);
    let expected = format!("http://{free}/vod/{APP}/…: no answer: ");
    assert!(tested.err.contains(&expected), "{}", tested.err);
    assert!(!tested.err.contains(TOKEN), "{}", tested.err);
    for url in [TOKEN.to_owned(), format!("ftp://a.example/{TOKEN}")] {
        let tested = test(&site, &url).await;
        assert_eq!(tested.code, 64);
        assert!(!tested.err.contains(TOKEN), "{}", tested.err);
    }
}

/// `sprited check` of a site: each step with its outcome and its detail.
async fn check(site: &Site) -> Vec<(String, String, String)> {
    let mut command = sprited();
    command.env("SPRITED_CONFIG", site.path("sprited.toml")).args(["check", "--json"]);
    let checked = tokio::task::spawn_blocking(move || ended(&mut command)).await.unwrap();
    assert!(!checked.out.contains(TOKEN), "{}", checked.out);
    let report: Value = serde_json::from_str(&checked.out).unwrap();
    let text = |step: &Value, member: &str| step[member].as_str().unwrap_or_default().to_owned();
    let of = |step: &Value| (text(step, "step"), text(step, "outcome"), text(step, "detail"));
    report["steps"].as_array().unwrap().iter().map(of).collect()
}

#[tokio::test]
async fn check_compares_the_mode_of_the_cloud_and_the_url_with_the_receiver() {
    let site = Site::new(&file("all", "*")).await;
    site.receives("");
    let mode = async |notification_url: Option<String>| {
        let config = notification_url.map_or_else(ReportConfig::default, |notification_url| {
            ReportConfig { mode: ReportMode::Push, notification_url, ..ReportConfig::default() }
        });
        site.cloud.control.set_event_config(None, config).unwrap();
        let steps = check(&site).await;
        let (_, outcome, detail) =
            steps.into_iter().find(|(step, ..)| step == "event-mode").unwrap();
        (outcome, detail)
    };
    let url = |app: u64, token: &str| Some(format!("https://a.example/hooks/vod/{app}/{token}"));
    assert_eq!(mode(url(APP, TOKEN)).await.0, "ok");
    let (outcome, detail) = mode(url(APP, "another-token-of-the-tests")).await;
    assert_eq!(
        (&*outcome, &*detail),
        ("warn", "PUSH: the token in the URL is not one of [receive]")
    );
    let (outcome, detail) = mode(url(APP + 1, TOKEN)).await;
    assert!(outcome == "warn" && detail.contains("does not end in"), "{detail}");
    // Nothing is posted then.
    let (outcome, detail) = mode(None).await;
    assert!(outcome == "warn" && detail.starts_with("PULL: "), "{detail}");
}

#[tokio::test]
async fn check_finds_the_receiver_or_who_is_in_its_place() {
    let site = Site::new(&file("all", "*")).await;
    site.receives("");
    let receive = async || {
        let steps = check(&site).await;
        let (_, outcome, detail) = steps.into_iter().find(|(step, ..)| step == "receive").unwrap();
        (outcome, detail)
    };
    assert_eq!(receive().await.0, "ok");
    let daemon = site.start();
    let address = Poster::of(&daemon).await.address;
    site.edit("[receive]\nlisten = '127.0.0.1:0'", &format!("[receive]\nlisten = '{address}'"));
    let (outcome, detail) = receive().await;
    assert_eq!((&*outcome, detail), ("ok", format!("a receiver answers on {address}")));
    let other = LocalServer::start(|_, _| Reply::json("{}")).await;
    let address = other.url().replace("http://", "");
    site.edit(&format!("listen = '{}'", site_address(&site)), &format!("listen = '{address}'"));
    let (outcome, detail) = receive().await;
    assert!(outcome == "fail" && detail.contains("which no receiver does"), "{detail}");
    // A socket of systemd: whoever connects starts the daemon.
    daemon.stop().await;
    let waiting = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = waiting.local_addr().unwrap().to_string();
    site.edit(&format!("listen = '{}'", site_address(&site)), &format!("listen = '{address}'"));
    let (outcome, detail) = receive().await;
    assert!(outcome == "warn" && detail.contains("no daemon runs with this journal"), "{detail}");
    waiting.set_nonblocking(true).unwrap();
    let error = waiting.accept().expect_err("the check has connected");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn check_tells_who_only_receives_of_reconciliation() {
    let site = Site::new(&file("all", "*")).await;
    let hint = async || {
        let steps = check(&site).await;
        let step = steps.into_iter().find(|(step, ..)| step == "reconcile");
        step.map(|(_, outcome, detail)| (outcome, detail.contains("[reconcile] every")))
    };
    assert_eq!(hint().await, None);
    site.receives("");
    assert_eq!(hint().await, Some(("ok".to_owned(), true)));
    site.edit("[receive]", "[reconcile]\nevery = '1h'\n[receive]");
    assert_eq!(hint().await, Some(("ok".to_owned(), false)));
}

#[tokio::test]
async fn the_token_is_taken_from_the_configuration_for_each_application() {
    let site = Site::new(&file("all", "*")).await;
    site.receives("");
    site.edit(&format!("sub_app_id = {APP}"), &format!("sub_app_id = [{APP}, 7]"));
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let address = format!("http://{}", poster.address);
    let tested = test(&site, &address).await;
    assert_eq!(tested.code, 0, "{}{}", tested.out, tested.err);
    for app in [APP, 7] {
        let first = format!("posted to {address}/vod/{app}/…, unsigned: ");
        assert!(tested.out.contains(&first), "{}", tested.out);
    }
    assert_eq!(tested.out.matches("the event is stored\n").count(), 2, "{}", tested.out);
    assert!(!tested.out.contains(TOKEN), "{}", tested.out);
    until(|| site.lines("all.jsonl").len() == 2).await;

    site.set_token("another-token-of-the-tests");
    let tested = test(&site, &format!("{address}/")).await;
    assert_eq!((tested.code, tested.out.matches("404 Not Found after ").count()), (1, 2));
    std::fs::remove_file(site.path("token")).unwrap();
    let tested = test(&site, &address).await;
    let expected = "[receive] token: cannot read";
    assert!(tested.code == 78 && tested.err.contains(expected), "{}", tested.err);
    daemon.stop().await;
    let site = Site::new(&file("all", "*")).await;
    let tested = test(&site, &address).await;
    let expected = "the configuration has no table [receive]";
    assert!(tested.code == 78 && tested.err.contains(expected), "{}", tested.err);
}

/// The address that the configuration has for the receiver.
fn site_address(site: &Site) -> String {
    let text = std::fs::read_to_string(site.path("sprited.toml")).unwrap();
    let (_, rest) = text.split_once("[receive]\nlisten = '").unwrap();
    rest.split('\'').next().unwrap().to_owned()
}
