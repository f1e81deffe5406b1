//! What another program's rotation leaves behind.

use std::fs::File;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{Site, file};
use crate::support::until;

#[tokio::test]
async fn a_file_that_was_moved_away_is_let_go_on_a_hangup() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    site.add_sprites(5);
    site.drained().await;
    std::fs::rename(site.path("sprites.jsonl"), site.path("old.jsonl")).unwrap();
    daemon.signal(Signal::SIGHUP);
    // Before anything is delivered: whoever rotates the file wants to compress it now.
    until(|| site.path("sprites.jsonl").exists()).await;
    until(|| !is_open(daemon.pid(), &site.path("old.jsonl"))).await;
    site.add_sprites(7);
    site.drained().await;
    daemon.stop().await;
    site.assert_once("old.jsonl", 5);
    site.assert_once("sprites.jsonl", 7);
}

/// Whether the process has it open: as root sees it, and others by the lock that goes with it.
fn is_open(pid: u32, path: &Path) -> bool {
    match std::fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(open) => open
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .any(|open| open == path),
        Err(_) => File::open(path).unwrap().try_lock().is_err(),
    }
}

/// A file of its own, and another program that writes to it all the same.
#[tokio::test]
async fn no_event_is_glued_to_what_another_program_left_of_a_line() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    let path = site.path("sprites.jsonl");
    let append = |text: &str| {
        use std::io::Write as _;
        let mut file = std::fs::File::options().append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let events = || {
        let text = std::fs::read_to_string(&path).unwrap();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        super::ids(&events.collect::<Vec<_>>()).len() as u64
    };
    for (event, text) in (1..).zip(["", "half", "{\"half\":\"", "whole\nhalf"]) {
        if event > 1 {
            append(text);
        }
        site.add_sprites(1);
        super::until(async || site.confirmed() == event).await;
        assert_eq!(events(), event, "after {text:?}");
    }
    // As it starts as well.
    daemon.stop().await;
    append("half");
    let daemon = site.start();
    site.add_sprites(1);
    super::until(async || site.confirmed() == 5).await;
    assert_eq!(events(), 5);
    daemon.stop().await;
}
