//! Answers that are larger than they should be, or hold more: all of it is read, in little memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vod_emulator::EmulatorSettings;

use super::daemon::Daemon;
use super::{Site, file, settings, until};
use crate::local_server::{LocalServer, Reply, Request};
use crate::support::{self, noise};

const KIB: usize = 1024;
const MIB: u64 = 1024 * 1024;
/// What a debug build on a busy machine may take for the largest answers.
const BUSY_MACHINE: Duration = Duration::from_secs(240);
/// Told when an answer is refused that may be read alone.
const TOLD: &str = "answer exceeds vod.max_answer_size; pulling one at a time with a larger limit";
const OVER: &str = "no more answers exceed vod.max_answer_size; pulling side by side again";

/// A site whose daemon reads 64 KiB of an answer, and 256 KiB of one alone.
async fn site() -> Site {
    let site = Site::new(&file("all", "*")).await;
    site.edit("sub_app_id = ", "max_answer_size = '64KiB'\nsub_app_id = ");
    site
}

impl Site {
    /// Adds `count` events of `size` bytes, which are pulled in this order.
    fn add_of_size(&self, name: &str, count: usize, size: usize) {
        let padding = noise(size);
        let task = |n| json!({ "TaskId": format!("{name}-{n}"), "P": padding });
        let event = |n| json!({ "EventType": "Large", "LargeEvent": task(n) });
        let events: Vec<Value> = (0..count).map(event).collect();
        self.cloud.control.add(&Value::from(events).to_string()).unwrap();
    }
}

/// They are stored in several portions, and each entry is an event of its own.
#[tokio::test]
async fn equal_events_of_an_answer_are_as_many_as_there_are_however_large() {
    // A confirmation that comes too late would make each of them a possible repeat.
    let lease = Duration::from_secs(20);
    let site = Site::with(EmulatorSettings { lease, ..settings() }, "", &file("all", "*")).await;
    site.set_lease(lease);
    let padding = "x".repeat(1200 * KIB);
    let event = json!({ "EventType": "FileDeleted", "FileDeleteEvent": { "P": padding } });
    site.cloud.control.add_copies(&event.to_string(), 6, Duration::ZERO).unwrap();
    let daemon = site.start();
    site.drained().await;
    let superseded = daemon.metric("sprited_handles_total{outcome=\"superseded\"}").await;
    assert!(superseded < 0.5, "{superseded} took the place of others");
    daemon.stop().await;
    site.assert_once("all.jsonl", 6);
}

#[tokio::test]
async fn an_answer_larger_than_the_limit_is_read_alone() {
    let site = site().await;
    site.add_of_size("a", 16, 6 * KIB);
    let daemon = site.start();
    daemon.has_logged(TOLD).await;
    site.add_sprites(40);
    site.drained().await;
    support::until(|| site.lines("all.jsonl").len() == 56).await;
    let told = daemon.logged(TOLD);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["level"], "WARN");
    assert_eq!(told[0]["max_answer_size"], "64.0 KiB");
    assert_eq!(told[0]["limit"], "256.0 KiB");
    assert!(daemon.logged("pulling fails").is_empty(), "what is read a lease later is no failure");
    // Once refused, once read: with the limit of before they would be refused for ever.
    assert_eq!(site.cloud.control.totals().handed_out_again, 16);
    // Another group a while later is read at once, as long as one may be expected.
    site.add_of_size("b", 16, 6 * KIB);
    site.drained().await;
    assert_eq!(site.cloud.control.totals().handed_out_again, 16);
    daemon.has_logged(OVER).await;
    // And refused first when none was any more.
    site.add_of_size("c", 16, 6 * KIB);
    site.drained().await;
    assert_eq!(site.cloud.control.totals().handed_out_again, 32);
    daemon.stop().await;
    site.assert_once("all.jsonl", 88);
}

/// By the default limit. A debug build on a busy machine takes its time for 20 MB.
#[tokio::test]
async fn sixteen_events_of_more_than_a_megabyte_each_arrive() {
    let lease = Duration::from_secs(20);
    let site = Site::with(EmulatorSettings { lease, ..settings() }, "", &file("all", "*")).await;
    site.set_lease(lease);
    site.add_of_size("a", 16, 1_200_000);
    let daemon = site.start();
    let deadline = Instant::now() + BUSY_MACHINE;
    while site.cloud.control.totals().waiting > 0 {
        assert!(Instant::now() < deadline, "{:?}", site.cloud.control.totals());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(daemon.logged(TOLD).len(), 1);
    daemon.stop().await;
    site.assert_once("all.jsonl", 16);
}

#[tokio::test]
async fn once_waits_for_the_events_of_an_answer_that_was_refused() {
    let site = site().await;
    site.add_of_size("a", 16, 6 * KIB);
    let ended = site.run(&["run", "--once"]).await;
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert_eq!(site.confirmed(), 16);
    site.assert_once("all.jsonl", 16);
}

#[tokio::test]
async fn an_answer_larger_than_the_larger_limit_holds_up_nothing_else() {
    let lease = Duration::from_secs(6);
    let site = Site::with(EmulatorSettings { lease, ..settings() }, "", &file("all", "*")).await;
    site.set_lease(lease);
    site.edit("sub_app_id = ", "max_answer_size = '64KiB'\nsub_app_id = ");
    // Ten groups of sixteen: with pauses that grow, what is behind them would wait for minutes.
    site.add_of_size("too-large", 160, 20 * KIB);
    let daemon = site.start();
    daemon.has_logged("pulling fails").await;
    site.add_sprites(40);
    let sprites = || {
        let lines = site.lines("all.jsonl");
        lines.iter().filter(|line| line["type"] != "com.tencentcloud.vod.Large").count()
    };
    support::until(|| sprites() == 40).await;
    let told = daemon.logged("pulling fails");
    let error = told[0]["error"].as_str().unwrap();
    let expected = "the answer is larger than 262144 bytes (HTTP 200); that is four times \
                    vod.max_answer_size: raise it, as far as the memory allows";
    assert!(error.contains(expected), "{error}");
    assert_eq!(told[0]["advice"], "answer");
    // It asks on, slowly: those are back a lease later, and refused again.
    let failed = async || daemon.metric("sprited_pulls_total{outcome=\"failed\"}").await;
    let (before, started) = (failed().await, Instant::now());
    until(async || failed().await > before + 5.5).await;
    assert!(started.elapsed() > Duration::from_secs(1), "it hurries");
    daemon.stop().await;

    site.edit("'64KiB'", "'1MiB'");
    let daemon = site.start();
    site.drained().await;
    daemon.stop().await;
    site.assert_once("all.jsonl", 200);
}

/// The most memory that it had, in bytes.
fn peak(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// How much more memory a daemon takes for one answer with these entries than for none, in bytes.
async fn memory_for(entries: &str) -> u64 {
    let answer = format!(r#"{{"Response":{{"EventSet":[{entries}],"RequestId":"r"}}}}"#);
    let go = tokio_util::sync::CancellationToken::new();
    let first = Reply::When(go.clone(), Box::new(Reply::json(&answer)));
    let is_pull = |request: &Request| request.header("x-tc-action") == Some("PullEvents");
    let pulled = AtomicUsize::new(0);
    let server = LocalServer::start(move |request, _| {
        match is_pull(request) && pulled.fetch_add(1, Ordering::SeqCst) == 0 {
            true => first.clone(),
            false => Reply::error("ResourceNotFound"),
        }
    })
    .await;
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.edit(&site.cloud.url, &server.url());
    site.edit("level = 'debug'", "level = 'info'");
    let daemon = site.start();
    let pulls = || server.seen().iter().filter(|request| is_pull(request)).count();
    support::until(|| pulls() == 1).await;
    let before = peak(&daemon);
    go.cancel();
    // The next one goes when all of the first answer is stored.
    let deadline = Instant::now() + BUSY_MACHINE;
    while pulls() < 2 {
        assert!(Instant::now() < deadline, "the first answer is not stored");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let more = peak(&daemon).saturating_sub(before);
    daemon.stop().await;
    let stored = site.journaled(None);
    assert!(stored.iter().all(|event| event.event.body == entries || entries.starts_with("0,")));
    assert!(!stored.is_empty());
    more
}

#[tokio::test]
async fn an_answer_of_many_entries_takes_little_memory() {
    let more = memory_for(&vec!["0"; 150_001].join(",")).await;
    assert!(more < 24 * MIB, "{} MiB", more / MIB);
}

#[tokio::test]
async fn an_entry_of_many_members_takes_little_memory() {
    let members: Vec<String> = (0..500_000).map(|n| format!("\"{n:x}\":0")).collect();
    let members = members.join(",");
    let kinds = [
        format!(r#"{{{members}}}"#),
        format!(r#"{{"A":{{{members}}}}}"#),
        format!(r#"{{"A":[{}]}}"#, vec!["0"; 2_000_000].join(",")),
        format!(r#"{{"A":{}{}}}"#, "[".repeat(2_000_000), "]".repeat(2_000_000)),
    ];
    for entry in kinds {
        let more = memory_for(&entry).await;
        assert!(more < 56 * MIB, "{}…: {} MiB", &entry[..40], more / MIB);
    }
}
