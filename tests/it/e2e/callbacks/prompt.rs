//! Events that can happen again word for word.

use std::time::Instant;

use super::*;
use crate::e2e::file;

#[tokio::test]
async fn an_equal_event_after_a_prompt_answer_is_another() {
    let site = Site::new(&file("all", "*")).await;
    site.receives("");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let start = Instant::now();
    for number in 1..=3 {
        assert_eq!(poster.post(&recurring(0)).await.0, 200);
        assert_eq!(site.journaled(None).len(), number);
    }
    assert!(start.elapsed() < Duration::from_secs(110), "too slow to tell anything");
    site.delivered("all.jsonl", 3).await;
    daemon.stop().await;
    site.assert_once("all.jsonl", 3);
}

/// Each waits until it is known whether the one before it was answered in time.
#[tokio::test]
async fn equal_events_at_once_are_as_many_as_were_posted() {
    let site = Site::new(&file("all", "*")).await;
    site.receives("");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    let posts = (0..20).map(|_| async { poster.post(&recurring(0)).await.0 });
    assert_eq!(futures_util::future::join_all(posts).await, [200; 20]);
    site.delivered("all.jsonl", 20).await;
    daemon.stop().await;
    site.assert_once("all.jsonl", 20);
}
