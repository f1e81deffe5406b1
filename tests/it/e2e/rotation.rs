//! What another program's rotation leaves behind.

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
    until(|| !open_files(daemon.pid()).iter().any(|path| path.ends_with("old.jsonl"))).await;
    site.add_sprites(7);
    site.drained().await;
    daemon.stop().await;
    site.assert_once("old.jsonl", 5);
    site.assert_once("sprites.jsonl", 7);
}

fn open_files(pid: u32) -> Vec<std::path::PathBuf> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).collect()
}
