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
    daemon.stop().await;
    site.assert_once("all.jsonl", 3);
}
