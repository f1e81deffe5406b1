//! `sprited run --once`: until there is nothing left to do.

use super::receiver::{Answer, Receiver};
use super::{Site, file, until};

const ONCE: &[&str] = &["run", "--once"];

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
    assert!(ended.log.contains("AuthFailure.SignatureFailure"), "{}", ended.log);
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
    assert!(ended.log.contains("pulling fails"), "{}", ended.log);
}
