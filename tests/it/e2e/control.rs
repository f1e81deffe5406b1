//! The control socket, asked without a client of ours.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::receiver::{Answer, Receiver};
use super::{Site, file, until};
use crate::cli::{ended, sprited};

const NOT_MADE: &str = "control socket cannot be made; commands cannot ask this daemon";
const MADE: &str = "control socket made";

/// Sends these bytes and returns the answers, up to the connection's end.
fn answers(site: &Site, sent: &[u8]) -> Vec<Value> {
    let mut stream = UnixStream::connect(site.path("journal.db.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(sent).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let lines = BufReader::new(stream).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

fn is_answered(site: &Site) -> bool {
    UnixStream::connect(site.path("journal.db.sock")).is_ok()
}

#[tokio::test]
async fn each_line_is_answered_with_the_version_whatever_is_asked() {
    let site = Site::new(&file("hook", "*")).await;
    let daemon = site.start();
    daemon.has_logged("started").await;
    until(async || is_answered(&site)).await;
    let mode = site.path("journal.db.sock").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let asked = b"{\"command\":\"sinks\"}\n{\"command\":\"fly\"}\nhello\n{\"command\":\"sinks\"}\n";
    let said = answers(&site, asked);
    let kinds: Vec<_> = said.iter().map(|answer| answer["error"]["kind"].as_str()).collect();
    assert_eq!(kinds, [None, Some("unknown-command"), Some("invalid-request"), None]);
    for answer in &said {
        assert_eq!(answer["version"], 1);
        assert_eq!(answer["sprited"], env!("CARGO_PKG_VERSION"));
    }
    assert_eq!(said[0]["ok"]["sinks"][0]["name"], "hook");
    assert_eq!(said[0]["ok"]["sinks"][0]["state"], "up");
    let said = answers(&site, b"{\"command\":\"sinks\"}");
    assert_eq!(said[0]["error"]["kind"], "invalid-request", "half a line is no request");
    // Whoever sends too much may be cut off before it reads why.
    let mut endless = UnixStream::connect(site.path("journal.db.sock")).unwrap();
    while endless.write_all(&[b'x'; 4096]).is_ok() {}
    assert_eq!(answers(&site, b"{\"command\":\"sinks\"}\n")[0]["version"], 1);
    daemon.stop().await;
    assert!(!site.path("journal.db.sock").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_what_the_running_daemon_says_of_a_sink() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let site = Site::new(&(hook.sink("site", "") + &file("all", "*"))).await;
    let checked = || {
        let mut command = sprited();
        command.args(["check", "--json", "--config"]).arg(site.path("sprited.toml"));
        let report: Value = serde_json::from_str(&ended(&mut command).out).unwrap();
        let sinks = report["steps"].as_array().unwrap().iter().filter(|of| of["step"] == "sink");
        let detail = |of: &Value| of["detail"].as_str().unwrap().to_owned();
        sinks.map(detail).collect::<Vec<_>>()
    };
    let checked = || tokio::task::block_in_place(checked);
    assert_eq!(checked(), ["webhook: would take events", "jsonl: would take events"]);
    let daemon = site.start();
    site.add_sprites(1);
    daemon.has_logged("sink is down; its events wait in the journal").await;
    until(async || is_answered(&site)).await;
    let [hook_said, file_said] = checked().try_into().unwrap();
    assert!(
        hook_said.starts_with("webhook: would take events; the running daemon: down for ")
            && hook_said.contains("500"),
        "{hook_said}"
    );
    assert_eq!(file_said, "jsonl: would take events; the running daemon: up");
    site.edit("name = 'all'", "name = 'new'");
    let not_reloaded = "the running daemon: does not have it yet (sprited reload)";
    assert!(checked()[1].ends_with(not_reloaded), "{:?}", checked());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_clients_than_are_served_at_once_wait_for_their_turn() {
    let site = Site::new(&file("hook", "*")).await;
    let daemon = site.start();
    daemon.has_logged("started").await;
    until(async || is_answered(&site)).await;
    let silent: Vec<_> =
        (0..16).map(|_| UnixStream::connect(site.path("journal.db.sock")).unwrap()).collect();
    let said = tokio::task::block_in_place(|| answers(&site, b"{\"command\":\"sinks\"}\n"));
    assert_eq!(said[0]["version"], 1);
    drop(silent);
    daemon.stop().await;
}

#[tokio::test]
async fn a_socket_that_is_removed_or_was_left_behind_is_made_anew() {
    let site = Site::new(&file("hook", "*")).await;
    let mut daemon = site.start();
    until(async || is_answered(&site)).await;
    fs::remove_file(site.path("journal.db.sock")).unwrap();
    until(async || is_answered(&site)).await;
    daemon.signal(Signal::SIGKILL);
    daemon.ended_within(Duration::from_secs(20)).await;
    assert!(site.path("journal.db.sock").exists() && !is_answered(&site));
    let daemon = site.start();
    until(async || is_answered(&site)).await;
    daemon.stop().await;
}

#[tokio::test]
async fn what_stands_in_its_place_stays_and_the_daemon_works_without() {
    let site = Site::new(&file("hook", "*")).await;
    fs::write(site.path("journal.db.sock"), "mine").unwrap();
    let daemon = site.start();
    daemon.has_logged(NOT_MADE).await;
    assert_eq!(fs::read_to_string(site.path("journal.db.sock")).unwrap(), "mine");
    site.add_sprites(2);
    until(async || site.confirmed() == 2).await;
    fs::remove_file(site.path("journal.db.sock")).unwrap();
    daemon.has_logged(MADE).await;
    assert!(site.path("journal.db.sock").symlink_metadata().unwrap().file_type().is_socket());
    daemon.stop().await;
    site.assert_once("hook.jsonl", 2);
}
