//! `sprited run --once`: until there is nothing left to do.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::daemon::{Daemon, Ended};
use super::receiver::{Answer, Receiver};
use super::{Site, file, until};

const ONCE: &[&str] = &["run", "--once"];

/// The last thing that it said.
fn last_line(ended: &Ended) -> Value {
    serde_json::from_str(ended.log.lines().last().unwrap()).expect(&ended.log)
}

#[tokio::test]
async fn drains_the_queue_and_exits() {
    let hook = Receiver::start(Answer::Take).await;
    let site = Site::new(&[file("sprites", "image-sprite"), hook.sink("hook", "")].concat()).await;
    site.add_sprites(200);
    let ended = site.run(ONCE).await;
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert_eq!(site.confirmed(), 200);
    site.assert_once("sprites.jsonl", 200);
    hook.assert_once(200);
    let ended = site.run(ONCE).await;
    assert_eq!(ended.code, 0, "an empty queue is no failure: {}", ended.log);
    hook.assert_once(200);
}

#[tokio::test]
async fn says_that_something_stays() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let site = Site::new(&[file("sprites", "image-sprite"), hook.sink("hook", "")].concat()).await;
    site.add_sprites(20);
    let ended = site.run(ONCE).await;
    assert_eq!(ended.code, 1, "{}", ended.log);
    let last = last_line(&ended);
    assert_eq!(last["message"], "deliveries stay pending; they are retried by the next run");
    assert_eq!(last["pending"], 20, "{last}");
    let sinks = last["sinks"].as_str().unwrap();
    assert!(sinks.starts_with("hook: 20 pending, last error: "), "{last}");
    assert!(sinks.contains("500") && !sinks.contains("sprites"), "{last}");
    // It knows the error though it may have no reason to try again.
    let again = last_line(&site.run(ONCE).await);
    assert!(again["sinks"].as_str().unwrap().contains("500"), "{again}");
    site.assert_once("sprites.jsonl", 20);
    hook.set(Answer::Take);
    // What stayed is delivered by later runs, each event when its next try is due.
    until(async || site.run(ONCE).await.code == 0).await;
    hook.assert_once(20);
    site.assert_once("sprites.jsonl", 20);
}

#[tokio::test]
async fn says_that_the_credentials_are_rejected() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.set_key("another-secret-key");
    let ended = site.run(ONCE).await;
    assert_eq!(ended.code, 77, "{}", ended.log);
    let last = last_line(&ended);
    let told = "the queue was not emptied: the cloud refuses the credentials";
    assert_eq!((&last["message"], &last["level"]), (&told.into(), &"ERROR".into()), "{last}");
    assert_eq!(last["code"], "AuthFailure.SignatureFailure", "{last}");
    assert!(!ended.log.contains("another-secret-key"), "{}", ended.log);
}

#[tokio::test]
async fn says_that_nobody_is_there() {
    let mut site = Site::new(&file("sprites", "image-sprite")).await;
    let another = crate::emulator::Server::start(super::settings()).await;
    let cloud = std::mem::replace(&mut site.cloud, another);
    let url = cloud.url.clone();
    cloud.stop().await;
    let config = std::fs::read_to_string(site.path("sprited.toml")).unwrap();
    assert!(config.contains(&url));
    let ended = site.run(ONCE).await;
    assert_eq!(ended.code, 1, "{}", ended.log);
    let last = last_line(&ended);
    assert_eq!(last["message"], "the queue was not emptied: pulling fails", "{last}");
    assert!(last["error"].as_str().unwrap().contains("refused"), "{last}");
    assert!(last["hint"].is_string(), "{last}");
}

#[tokio::test]
async fn says_that_it_was_stopped() {
    let hook = Receiver::start(Answer::Hang).await;
    let site = Site::new(&hook.sink("hook", "timeout = '3s'")).await;
    site.add_sprites(1);
    let mut daemon = Daemon::start(site.folder.path(), ONCE, &[]);
    until(async || hook.asked() == 1).await;
    daemon.signal(Signal::SIGTERM);
    let code = daemon.ended_within(Duration::from_secs(30)).await;
    let last = last_line(&Ended { code, log: daemon.log() });
    assert_eq!(code, 1, "{last}");
    assert_eq!(last["message"], "stopped before everything was pulled and delivered", "{last}");
}
