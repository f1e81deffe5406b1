//! What another program's rotation leaves behind.

use std::fs::File;
use std::path::Path;

use nix::sys::signal::Signal;

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
