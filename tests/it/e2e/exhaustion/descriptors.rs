//! No file descriptor left.
//!
//! Nobody can connect to the pages then, and a connection from before ends after 5 s without a
//! request and after a minute in any case: what they are asked is little and comes first, the log
//! is asked for the rest.

use std::time::Instant;

use serde_json::Value;
use vod_emulator::{ApiAction, FaultKind, InjectedFault};

use super::super::daemon::Daemon;
use super::super::{Site, file};
use super::disk::limit;
use super::within;

const REFUSED: &str = "cannot accept connections";
const DOWN: &str = "sink is down; its events wait in the journal";

/// What is open stays so, a connection to the pages included; nothing more can be opened.
async fn no_more(daemon: &Daemon) -> Instant {
    assert_eq!(daemon.get("/readyz").await.0, 200);
    limit(daemon, "--nofile=1:");
    assert_eq!(daemon.get("/healthz").await.0, 200);
    Instant::now()
}

fn as_before(daemon: &Daemon) {
    limit(daemon, "--nofile=1024:");
}

#[track_caller]
fn assert_once_a_minute_at_most(logged: &[Value], since: Instant) {
    let most = 1 + since.elapsed().as_secs() / 60;
    assert!((1..=most).contains(&(logged.len() as u64)), "{most} at most: {logged:#?}");
}

#[tokio::test]
async fn without_descriptors_no_program_starts_and_open_files_are_written() {
    let program = "[[sinks]]\nname = 'program'\ntype = 'exec'\n\
                   command = ['/bin/sh', '-c', 'cat >> DIR/program.jsonl']\nmax_in_flight = 1\n";
    let site = Site::new(&[program, &file("sprites", "image-sprite")].concat()).await;
    let mut daemon = site.start();
    site.add_sprites(2);
    within(60, async || site.cloud.control.totals().waiting == 0).await;
    no_more(&daemon).await;
    site.add_sprites(10);
    let lines = || site.lines("sprites.jsonl").len();
    within(90, async || lines() == 12 && !daemon.logged(DOWN).is_empty()).await;
    let down = daemon.logged(DOWN)[0].clone();
    assert_eq!(down["sink"], "program");
    assert!(down["error"].as_str().unwrap().contains("Too many open files"), "{down}");
    assert!(daemon.runs());

    as_before(&daemon);
    within(90, async || site.cloud.control.totals().waiting == 0).await;
    within(60, async || daemon.get("/readyz").await.0 == 200).await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 12);
    site.assert_once("program.jsonl", 12);
}

#[tokio::test]
async fn without_descriptors_the_daemon_waits_for_better_times() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let control = &site.cloud.control;
    let mut daemon = site.start();
    site.add_sprites(2);
    within(60, async || control.totals().waiting == 0).await;
    let since = no_more(&daemon).await;
    // Connections to the cloud have to be made anew, and cannot be: pulls fail without a fault.
    control.fault(InjectedFault::rate(1.0, FaultKind::Reset).on(ApiAction::PullEvents)).unwrap();
    let failed = async || daemon.metric("sprited_pulls_total{outcome=\"failed\"}").await;
    let met = || control.totals().faults.values().sum::<u64>() as f64;
    within(30, async || failed().await > met() + 0.5).await;
    control.clear_faults();
    site.add_sprites(5);
    let (tried, asked) = (failed().await, control.totals().calls["PullEvents"].clone());
    within(30, async || failed().await > tried + 0.5).await;
    assert_eq!(control.totals().calls["PullEvents"], asked);
    assert_once_a_minute_at_most(&daemon.logged("pulling fails"), since);

    // Who wants another connection waits, and the log is not filled with it.
    let address = daemon.logged("started")[0]["http"].as_str().unwrap().to_owned();
    let waiting = std::net::TcpStream::connect(address).unwrap();
    within(60, async || !daemon.logged(REFUSED).is_empty()).await;
    assert!(daemon.runs());

    as_before(&daemon);
    daemon.has_logged("connections accepted again").await;
    drop(waiting);
    within(90, async || control.totals().waiting == 0).await;
    within(60, async || daemon.get("/readyz").await.0 == 200).await;
    assert_once_a_minute_at_most(&daemon.logged(REFUSED), since);
    assert_eq!(daemon.logged("pulling works again").len(), 1);
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 7);
}
