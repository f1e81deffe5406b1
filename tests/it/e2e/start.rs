//! Starts that are refused.

use super::{Site, file};
use crate::support::until;

#[tokio::test]
async fn a_journal_in_use_is_named() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    daemon.has_logged("started").await;
    let ended = site.run(&["run"]).await;
    assert_eq!(ended.code, 74, "{}", ended.log);
    let journal = site.path("journal.db");
    assert!(ended.log.contains(journal.to_str().unwrap()), "{}", ended.log);
    assert!(ended.log.contains("in use"), "{}", ended.log);
    // The first one is none the worse for it.
    site.add_sprites(5);
    site.drained().await;
    site.assert_once("sprites.jsonl", 5);
    daemon.stop().await;
}

/// Both have the same HTTP address, too: what is wrong is that there are two of them.
#[tokio::test]
async fn a_second_daemon_is_told_of_the_journal_before_the_address() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    daemon.has_logged("started").await;
    let address = daemon.logged("started")[0]["http"].as_str().unwrap().to_owned();
    let path = site.path("sprited.toml");
    let config = std::fs::read_to_string(&path).unwrap().replace("127.0.0.1:0", &address);
    std::fs::write(&path, config).unwrap();
    let ended = site.run(&["run"]).await;
    assert_eq!(ended.code, 74, "{}", ended.log);
    daemon.stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_journal_is_left_alone() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let journal = site.path("journal.db");
    let text = "minutes of a meeting\n".repeat(100);
    std::fs::write(&journal, &text).unwrap();
    let ended = site.run(&["run"]).await;
    assert_eq!(ended.code, 74, "{}", ended.log);
    assert!(ended.log.contains(journal.to_str().unwrap()), "{}", ended.log);
    assert_eq!(std::fs::read_to_string(&journal).unwrap(), text);
    assert!(site.cloud.control.totals().calls.is_empty(), "nothing was asked of the cloud");
    // The site audits whatever stands there.
    std::fs::remove_file(&journal).unwrap();
}

#[tokio::test]
async fn every_fault_of_the_configuration_is_listed() {
    let site = Site::new(
        "[[sinks]]\nname = 'a'\ntype = 'jsonl'\npath = 'relative.jsonl'\n\
         [[sinks]]\nname = 'b'\ntype = 'telegram'\n\
         [pol]\ninterval = '1s'\n",
    )
    .await;
    let ended = site.run(&["run"]).await;
    assert_eq!(ended.code, 78, "{}", ended.log);
    for fault in ["relative.jsonl", "telegram", "pol"] {
        assert!(ended.log.lines().any(|line| line.contains(fault)), "{fault}: {}", ended.log);
    }
    assert!(!site.path("journal.db").exists());
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = site.path("sprited.toml");
    let config = std::fs::read_to_string(&path).unwrap().replace("127.0.0.1:0", &address);
    std::fs::write(&path, config).unwrap();
    let ended = site.run(&["run"]).await;
    assert_ne!(ended.code, 0);
    assert!(ended.log.contains(&address) && ended.log.contains("[http]"), "{}", ended.log);
    drop(taken);
    let daemon = site.start();
    until(|| daemon.log().contains("started")).await;
    daemon.stop().await;
}
