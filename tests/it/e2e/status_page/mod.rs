//! The pages: what they say, whom they answer, and what they do not put up with.

mod browser;
mod full;
mod sprites;

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use sprited::journal::EventState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::daemon::Daemon;
use super::receiver::{Answer, Receiver};
use super::{Site, file};
use crate::cli::{Ended, ended, sprited};
use crate::docs;
use crate::local_server::{LocalServer, Reply};
use crate::support::until;

async fn connect(daemon: &Daemon) -> TcpStream {
    daemon.has_logged("started").await;
    let address = daemon.logged("started")[0]["http"].as_str().unwrap().to_owned();
    TcpStream::connect(address).await.unwrap()
}

/// What comes back for these bytes until the other end closes.
async fn answer(daemon: &Daemon, request: &str) -> String {
    let mut stream = connect(daemon).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    drop(timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap());
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(method: &str, path: &str, host: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")
}

#[tokio::test]
async fn only_who_asks_for_this_machine_is_answered() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    for path in ["/", "/page.js", "/status.json", "/status.txt", "/metrics", "/healthz", "/readyz"]
    {
        let ok = answer(&daemon, &request("GET", path, "localhost:9770", "")).await;
        assert!(ok.starts_with("HTTP/1.1 200 ") || path == "/readyz", "{ok}");
        for header in ["content-security-policy: default-src 'none'", "nosniff", "no-store"] {
            assert!(ok.contains(header), "{path}: {header}: {ok}");
        }
        // Another's name that leads here, as a page from elsewhere would have it.
        let refused = answer(&daemon, &request("GET", path, "rebound.example", "")).await;
        assert!(refused.starts_with("HTTP/1.1 421 ") && !refused.contains("sprited_"), "{refused}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn nothing_can_be_sent_to_it() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let refused = answer(&daemon, &request(method, "/readyz", "127.0.0.1", "")).await;
        assert!(refused.starts_with("HTTP/1.1 405 "), "{method}: {refused}");
    }
    let head = answer(&daemon, &request("HEAD", "/healthz", "127.0.0.1", "")).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    let large = format!("X-Large: {}\r\n", "x".repeat(20_000));
    let refused = answer(&daemon, &request("GET", "/healthz", "127.0.0.1", &large)).await;
    assert!(!refused.starts_with("HTTP/1.1 200 "), "{refused}");
    daemon.stop().await;
}

/// As many as hold on to their connections, the next one is answered all the same.
#[tokio::test]
async fn whoever_says_nothing_is_let_go_and_others_are_answered() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut stream = connect(&daemon).await;
        stream.write_all(b"GET /healthz HT").await.unwrap();
        silent.push(stream);
    }
    assert_eq!(daemon.get("/healthz").await.0, 200);
    daemon.stop().await;
}

/// An event made to break out of wherever it is shown.
const HOSTILE: &str = r#"{"EventType":"<script>document.title='owned'</script>",
  "ProcedureStateChangeEvent":{"TaskId":"t","FileId":"\"><img src=x onerror=alert(1)>\u202e",
  "MediaProcessResultSet":[{"ImageSpriteTask":{"Status":"SUCCESS","Output":{"TotalCount":7,
  "ImageUrlSet":["javascript:alert(1)"]}}},{"ImageSpriteTask":{"Status":"FAIL",
  "Message":"</style><svg onload=alert(1)>\u001b[2J"}}]}}"#;

/// The beginning of an answer, of some 190 characters.
const WORDY: &str = "upstream connect error or disconnect/reset before headers. reset reason: \
    connection failure, transport failure reason: delayed connect error: 111 at 10.20.30.40 by way \
    of proxy-3.internal:8080";

/// A daemon with a sink that is down, dead letters, sprites and a hostile event.
async fn eventful() -> (Site, [Receiver; 2], Daemon) {
    let down = Receiver::start(Answer::Refuse(503)).await;
    let picky = Receiver::start(Answer::RefuseWith(422, WORDY)).await;
    let sinks = [
        down.sink("search-index", ""),
        picky.sink("player-api", "events = ['*']\nmax_rejects = 'off'"),
        file("sprites", "image-sprite"),
    ];
    let site = Site::new(&sinks.concat()).await;
    let daemon = site.start();
    site.add_sprites(8);
    until(|| site.lines("sprites.jsonl").len() == 8).await;
    site.cloud.control.add(HOSTILE).unwrap();
    daemon.has_logged("sink is down; its events wait in the journal").await;
    until(|| site.journaled(None).len() == 9 && picky.asked() >= 9).await;
    let dead = async || status(&daemon).await["sinks"][0]["dead"] == 9;
    super::until(dead).await;
    (site, [down, picky], daemon)
}

async fn status(daemon: &Daemon) -> Value {
    let (code, text) = daemon.get("/status.json").await;
    assert_eq!(code, 200);
    serde_json::from_str(&text).expect(&text)
}

#[tokio::test]
async fn the_status_says_what_goes_on() {
    let (site, _hooks, daemon) = eventful().await;
    let status = status(&daemon).await;
    assert_eq!((&status["mood"], &status["ready"]), (&"degraded".into(), &true.into()));
    assert_eq!(status["degraded"], true);
    let ready: Value = serde_json::from_str(&daemon.get("/readyz").await.1).unwrap();
    let sinks = ready["checks"].as_array().unwrap().iter().find(|check| check["name"] == "sinks");
    assert_eq!((&ready["ready"], &ready["degraded"]), (&true.into(), &true.into()));
    let detail = sinks.unwrap()["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("sink search-index is down, 9 events wait in the journal: ")
            && detail.contains("503"),
        "{detail}"
    );
    let sentence = status["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("Sink search-index is down, "), "{sentence}");
    let [player, search, sprites] = status["sinks"].as_array().unwrap().as_slice() else {
        panic!("{status}")
    };
    assert_eq!((&player["name"], &player["dead"]), (&"player-api".into(), &9.into()));
    assert!(player["last_error"].as_str().unwrap().contains("422"), "{player}");
    assert_eq!((&search["state"], &sprites["state"]), (&"down".into(), &"up".into()));
    assert_eq!(search["pending"], 9);
    assert!(search["last_error"].as_str().unwrap().contains("503"), "{search}");
    assert_eq!(status["journal"]["received"], 9);
    assert_eq!(status["latest"].as_array().unwrap().len(), 9);
    assert_eq!(status["latest"][0]["sprites"][0]["tile_count"], 7);
    assert_eq!(status["latest"][0]["sprites"][0]["sheet"], Value::Null);
    assert!(status["latest"][8]["sprites"][0]["sheet"].is_string(), "{status}");
    let dead = status["dead"].as_array().unwrap();
    assert!(dead.len() == 5 && dead.iter().all(|dead| dead["sink"] == "player-api"), "{status}");
    // What the page offers does what it says.
    let command = "sprited events redeliver --state dead --sink player-api";
    for page in ["/status.txt", "/"] {
        let (_, page) = daemon.get(page).await;
        let page = page.replace("<span class=\"option\">", "").replace("</span>", "");
        assert!(page.contains(command), "{page}");
    }
    let mut told = sprited();
    told.args(command.split(' ').skip(1))
        .args(["--yes", "--config"])
        .arg(site.path("sprited.toml"));
    let told = ended(&mut told);
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{}", told.out);
    assert!(told.out.contains("9 events"), "{}", told.out);
    assert_eq!(site.journaled(Some(EventState::Pending)).len(), 9);
    daemon.stop().await;
}

#[tokio::test]
async fn hostile_events_stay_text() {
    let (_site, _hooks, daemon) = eventful().await;
    let (code, page) = daemon.get("/").await;
    assert_eq!(code, 200);
    assert!(page.contains("&lt;script&gt;document.title='owned'&lt;/script&gt;"), "{page}");
    let page = page.replace("<script src=\"/page.js\" defer></script>", "");
    for harm in ["<script", "<img src=x", "</style>", "javascript:", "\u{1b}", "\u{202e}"] {
        assert!(!page.contains(harm), "{harm}: {page}");
    }
    for path in ["/status.txt", "/status.json"] {
        let (_, text) = daemon.get(path).await;
        let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(obeyed) && text.contains("owned"), "{text:?}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_shows_the_same() {
    let (site, _hooks, daemon) = eventful().await;
    let config = site.path("sprited.toml");
    let listen = daemon.logged("started")[0]["http"].as_str().unwrap().to_owned();
    let told = std::fs::read_to_string(&config).unwrap().replace("127.0.0.1:0", &listen);
    std::fs::write(&config, told).unwrap();
    let ask = |arguments: &[&str]| {
        ended(sprited().arg("status").args(arguments).arg("--config").arg(&config))
    };
    let text = ask(&[]);
    assert_eq!((text.code, text.err.as_str()), (0, ""));
    assert!(text.out.contains("Sink search-index is down, "), "{}", text.out);
    let json = ask(&["--json"]);
    let value: Value = serde_json::from_str(&json.out).expect(&json.out);
    assert_eq!(value["sinks"][1]["state"], "down");
    daemon.stop().await;
    let gone = ask(&[]);
    assert_eq!((gone.code, gone.out.as_str()), (1, ""));
    assert!(gone.err.contains(&format!("no daemon answers at {listen}")), "{}", gone.err);

    let other = LocalServer::replying(vec![Reply::json("{\"hello\":\"\\u001b[2J\"}")]).await;
    let told = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, told.replace(&listen, &other.address().to_string())).unwrap();
    for arguments in [&[][..], &["--json"]] {
        let Ended { code, out, err } = ask(arguments);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains("another program answers there"), "{err}");
    }
}

#[tokio::test]
async fn readiness_says_why_not_and_a_sink_that_is_down_is_no_reason() {
    let (site, _hooks, daemon) = eventful().await;
    let check = async |name: &str| {
        let (code, text) = daemon.get("/readyz").await;
        let value: Value = serde_json::from_str(&text).expect(&text);
        let checks = value["checks"].as_array().unwrap().clone();
        let check = checks.into_iter().find(|check| check["name"] == name).unwrap();
        (code, check["ok"].as_bool().unwrap())
    };
    assert_eq!(check("cloud").await, (200, true));
    // The key is changed in the cloud, then read anew.
    site.set_key("another-key");
    daemon.signal(Signal::SIGHUP);
    super::until(async || check("cloud").await == (503, false)).await;
    let status = status(&daemon).await;
    assert_eq!(status["mood"], "bad");
    assert!(status["sentence"].as_str().unwrap().contains("credentials"), "{status}");
    daemon.stop().await;
}

/// Another process may hold the journal up for as long as it likes.
#[tokio::test]
async fn readiness_tells_the_age_of_a_commit_under_way_and_of_what_is_due() {
    let hook = Receiver::start(Answer::Hang).await;
    let site = Site::new(&hook.sink("hook", "timeout = '300s'")).await;
    let daemon = site.start();
    let check = async |name: &str| {
        let page: Value = serde_json::from_str(&daemon.get("/readyz").await.1).unwrap();
        let checks = page["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap().clone()
    };
    let age = |check: &Value| check["seconds"].as_f64().unwrap_or_default();
    assert_eq!(check("deliveries").await["detail"], "none due");
    site.add_sprites(3);
    super::until(async || age(&check("deliveries").await) > 1.0).await;
    let late = check("deliveries").await;
    assert!(late["detail"].as_str().unwrap().starts_with("deliveries to hook are "), "{late}");
    assert_eq!(late["ok"], true);

    let other = rusqlite::Connection::open(site.path("journal.db")).unwrap();
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    site.add_sprites(1);
    super::until(async || {
        let commit = check("commit").await;
        age(&commit) > 1.0 && commit["ok"] == true && commit["degraded"] == true
    })
    .await;
    let slow = status(&daemon).await;
    assert_eq!((&slow["mood"], &slow["degraded"]), (&"degraded".into(), &true.into()), "{slow}");
    other.execute_batch("ROLLBACK").unwrap();
    super::until(async || site.journaled(None).len() == 4).await;
    super::until(async || check("commit").await["degraded"] == false).await;
    super::until(async || daemon.get("/readyz").await.0 == 200).await;
    hook.release();
    daemon.stop().await;
}

#[tokio::test]
async fn every_page_of_the_documents_is_served() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    super::until(async || daemon.get("/readyz").await.0 == 200).await;
    let pages = docs::tables::pages();
    assert!(pages.len() >= 4, "{pages:?}");
    for page in pages {
        assert_eq!(daemon.get(&page).await.0, 200, "{page}");
    }
    assert_eq!(daemon.get("/health").await.0, 404);
    daemon.stop().await;
}
