//! What stays secret: in all that the daemon says and keeps, at any level, whatever fails.

mod canaries;
pub(super) mod exposed;
mod faulty;
mod panics;
mod signing;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::net::UnixDatagram;

use super::daemon::Daemon;
use super::{Site, file};
use crate::local_server::{LocalServer, Reply, Request};
use crate::support::until;
use canaries::Canaries;

const KEY: &str = "cloudkey-5d1f8c2ab7";
const TOKEN: &str = "cloudtoken-91be03d7c4";
const SIGNING: &str = "hooksigning-77aa10c3e2";
const OLD_SIGNING: &str = "hookpreviously-b3c9d8e7f6";
const BEARER: &str = "hookbearer-2e6f4a9c10";
const VARIABLE: &str = "execvariable-c0ffee1234";
const PROXY: &str = "proxypassword-88dd77cc66";
/// What stands before the host of a webhook's URL, and after it.
const USER: &str = "hookuser-aa55cc33";
const PASSWORD: &str = "hookpassword-1f2e3d4c5b";
const PATH: &str = "hookpath-9a8b7c6d5e";
const QUERY: &str = "hookquery-0f1e2d3c4b";

const SECRETS: [&str; 11] =
    [KEY, TOKEN, SIGNING, OLD_SIGNING, BEARER, VARIABLE, PROXY, USER, PASSWORD, PATH, QUERY];

/// All that a request has told, as a careless server repeats it.
fn echo(request: &Request) -> String {
    let headers = request.headers.iter().map(|(name, value)| format!("{name}: {value}; "));
    let headers: String = headers.collect();
    format!("you sent {} {} with {headers} and {}", request.method, request.target, request.body)
}

/// An error of the API whose every part repeats the request.
fn refusal(code: &str, request: &Request) -> Reply {
    let said = serde_json::Value::from(echo(request));
    Reply::json(&format!(
        r#"{{"Response":{{"Error":{{"Code":"{code}","Message":{said}}},"RequestId":{said}}}}}"#
    ))
}

/// A cloud that fails in every way, between two good answers each, and repeats what it was sent.
async fn cloud() -> LocalServer {
    let pulls = AtomicUsize::new(0);
    LocalServer::start(move |request, number| {
        let empty = Reply::json(r#"{"Response":{"EventSet":[],"RequestId":"id"}}"#);
        if request.header("x-tc-action") != Some("PullEvents") {
            return match number % 3 {
                0 => refusal("InternalError", request),
                1 => Reply::new(502, &[], echo(request).as_bytes()),
                _ => Reply::json(r#"{"Response":{"RequestId":"id"}}"#),
            };
        }
        match pulls.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::new(502, &[("Content-Type", "text/html")], echo(request).as_bytes()),
            2 => Reply::Reset,
            4 => refusal("InternalError", request),
            6 => Reply::json(&echo(request)),
            8 => Reply::Last(
                format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{}", echo(request)).into(),
            ),
            10 => refusal("AuthFailure.SignatureFailure", request),
            12 => refusal("AuthFailure.TokenFailure", request),
            1 => Reply::json(
                r#"{"Response":{"EventSet":[{"EventHandle":"h1","EventType":"A","N":1},
                    {"EventHandle":"h2","EventType":"A","N":2},17],"RequestId":"id"}}"#,
            ),
            // Somebody is in no hurry from here on.
            14.. => Reply::After(Duration::from_millis(100), Box::new(empty)),
            _ => empty,
        }
    })
    .await
}

/// A receiver that refuses in every way and repeats what it was sent.
async fn receiver() -> LocalServer {
    LocalServer::start(|request, number| {
        let said = echo(request);
        match number % 7 {
            0 => Reply::new(500, &[], said.as_bytes()),
            1 => Reply::new(401, &[], said.as_bytes()),
            2 => Reply::new(302, &[("Location", &request.target)], said.as_bytes()),
            3 => Reply::Reset,
            4 => Reply::Last(said.into()),
            5 => Reply::new(429, &[("Retry-After", "1")], said.as_bytes()),
            _ => Reply::new(422, &[], said.as_bytes()),
        }
    })
    .await
}

/// Crates of this program, each at TRACE.
fn everything() -> String {
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = \""));
    let levels = names.map(|name| format!("{}=trace", name.trim_matches('"').replace('-', "_")));
    levels.chain(["trace".to_owned()]).collect::<Vec<_>>().join(",")
}

/// The sinks: one that is content, and one for each way to fail with a secret in hand.
fn sinks(hook: &LocalServer) -> String {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let webhook = |name: &str, scheme: &str, to: std::net::SocketAddr| {
        format!(
            "[[sinks]]\nname = '{name}'\ntype = 'webhook'\nevents = ['*']\ntimeout = '2s'\n\
             url = '{scheme}://{USER}:{PASSWORD}@{to}/{PATH}?key={QUERY}'\n\
             secret = '{SIGNING}'\nprevious_secret = {{ file = 'DIR/previous' }}\n\
             headers = {{ authorization = 'Bearer {BEARER}' }}\n"
        )
    };
    let exec = |name: &str, command: &str| {
        format!(
            "[[sinks]]\nname = '{name}'\ntype = 'exec'\nevents = ['*']\ncommand = {command}\n\
             env = {{ VARIABLE = '{VARIABLE}' }}\n"
        )
    };
    [
        file("all", "*"),
        webhook("refuses", "http", hook.address()),
        webhook("is-gone", "http", gone),
        webhook("speaks-no-tls", "https", hook.address()),
        exec("tells-all", "['/bin/sh', '-c', 'env; env >&2; exit 1']"),
        exec("does-not-start", "['/nowhere/program']"),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_said_or_kept_at_any_level_whatever_fails() {
    let (cloud, hook) = (cloud().await, receiver().await);
    let site = Site::new(&sinks(&hook)).await;
    fs::write(site.path("previous"), OLD_SIGNING).unwrap();
    site.set_key(KEY);
    site.edit(&site.cloud.url, &cloud.url());
    site.edit("[vod]", "token = { env = 'CLOUD_TOKEN' }\n[vod]");
    site.edit("level = 'debug'", &format!("level = '{}'", everything()));
    let manager = UnixDatagram::bind(site.path("notify")).unwrap();
    let heard: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let hears = heard.clone();
    let listening = tokio::spawn(async move {
        let mut message = [0; 4096];
        while let Ok(length) = manager.recv(&mut message).await {
            hears.lock().unwrap().push(message[..length].to_vec());
        }
    });
    let proxy = format!("http://{USER}:{PROXY}@127.0.0.1:9");
    let set = [
        ("CLOUD_TOKEN", TOKEN),
        ("NOTIFY_SOCKET", site.path("notify").to_str().unwrap()),
        ("WATCHDOG_USEC", "500000"),
        ("HTTPS_PROXY", &proxy),
        ("RUST_BACKTRACE", "full"),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    let set: Vec<_> = set.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut daemon = Daemon::start(site.folder.path(), &["run"], &set);
    let pulled = |request: &Request| request.header("x-tc-action") == Some("PullEvents");
    let pulls = || cloud.seen().into_iter().filter(pulled).count();
    // Each answer of either was given.
    let deadline = Instant::now() + Duration::from_secs(90);
    while pulls() < 15 || hook.seen().len() < 7 {
        let (pulls, posts) = (pulls(), hook.seen().len());
        assert!(Instant::now() < deadline, "{pulls} pulls, {posts} posts");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Reloads that fail, for want of a secret and for a fault in its line; and one that does not.
    let (good, bad) =
        (format!("{{ authorization = 'Bearer {BEARER}' }}"), format!("'a: {BEARER}'"));
    fs::rename(site.path("previous"), site.path("kept")).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.has_logged("reload rejected; previous configuration stays active").await;
    fs::rename(site.path("kept"), site.path("previous")).unwrap();
    site.edit(&good, &bad);
    daemon.signal(Signal::SIGHUP);
    until(|| daemon.log().contains("headers: invalid type: a string")).await;
    site.edit(&bad, &good);
    daemon.signal(Signal::SIGHUP);

    let mut canaries = Canaries::new(&SECRETS);
    canaries.add_derived_keys(KEY);
    for page in ["/metrics", "/healthz", "/readyz", "/"] {
        canaries.absent_from(page, daemon.get(page).await.1.as_bytes());
    }
    for arguments in [
        &["check"][..],
        &["check", "--json"],
        &["events", "list", "--json"],
        &["events", "list", "--state", "pending"],
        &["audit"],
    ] {
        let mut command = Daemon::start(site.folder.path(), arguments, &set);
        command.ended_within(Duration::from_secs(60)).await;
        canaries.absent_from(&arguments.join(" "), command.log().as_bytes());
        let said = fs::read(site.path("stdout")).unwrap();
        assert!(!said.is_empty() || arguments == ["audit"], "{arguments:?} said nothing");
        canaries.absent_from(&arguments.join(" "), &said);
    }
    for found in site.journaled(None) {
        let reader = sprited::journal::JournalReader::open(&site.path("journal.db")).unwrap();
        let shown = format!("{:?}", reader.sinks_of(found.id).unwrap());
        canaries.absent_from("the state of an event", shown.as_bytes());
    }
    // Before the stop, which ends the write-ahead log.
    for name in ["journal.db", "journal.db-wal"] {
        canaries.absent_from(name, &fs::read(site.path(name)).unwrap());
    }
    daemon.signal(Signal::SIGTERM);
    daemon.ended_within(Duration::from_secs(30)).await;
    let log = daemon.log();
    listening.abort();
    let heard = heard.lock().unwrap().concat();
    for message in ["READY=1", "WATCHDOG=1", "RELOADING=1", "STOPPING=1"] {
        assert!(String::from_utf8_lossy(&heard).contains(message), "{message} was not heard");
    }
    canaries.add_sent(&cloud.seen());
    canaries.add_sent(&hook.seen());
    canaries.absent_from("journal.db", &fs::read(site.path("journal.db")).unwrap());
    canaries.absent_from("the sink's file", &fs::read(site.path("all.jsonl")).unwrap());
    canaries.absent_from("the messages to the service manager", &heard);
    canaries.absent_from("the log", log.as_bytes());
    assert!(canaries.signatures() > 20, "the requests were not looked through");
    // All of that was said with a secret in hand.
    for (said, why) in [
        ("\"TRACE\"", "the level is not in force"),
        ("AuthFailure.SignatureFailure", "a rejected key"),
        ("502", "a page of a gateway"),
        ("[hidden]", "what the cloud repeated is not masked, it is missing"),
        ("[secret]", "what a sink repeated is not masked, it is missing"),
        ("VARIABLE=", "the program's environment"),
        ("hyper_util", "libraries are not heard"),
        ("/nowhere/program", "a program that does not start"),
    ] {
        assert!(log.contains(said), "not in the log: {why}");
    }
    let mode = fs::metadata(site.path("journal.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "the journal is for nobody else");
}
