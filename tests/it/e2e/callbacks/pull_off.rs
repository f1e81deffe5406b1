//! A daemon that only receives: `[vod] pull = false`.

use super::*;
use crate::e2e::file;
use crate::support;
use vod_emulator::{ReportConfig, ReportMode};

async fn site() -> Site {
    let site = Site::new(&file("all", "*")).await;
    site.receives("");
    site.edit("sub_app_id = ", "pull = false\nsub_app_id = ");
    site
}

fn push(notification_url: &str) -> ReportConfig {
    let notification_url = notification_url.to_owned();
    ReportConfig { mode: ReportMode::Push, notification_url, ..ReportConfig::default() }
}

#[tokio::test]
async fn a_daemon_that_only_receives_leaves_the_queue_alone_and_is_ready() {
    let site = site().await;
    site.add_sprites(3);
    let push = push(&format!("https://callbacks.example.com/vod/{APP}/{TOKEN}"));
    site.cloud.control.set_event_config(None, push).unwrap();
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    assert_eq!(poster.post(&sprite(0)).await.0, 200);
    support::until(|| site.lines("all.jsonl").len() == 1).await;
    let (status, ready) = daemon.get("/readyz").await;
    assert_eq!(status, 200, "{ready}");
    assert!(ready.contains("[vod] pull is false"), "{ready}");
    crate::e2e::until(async || daemon.get("/").await.1.contains("Waiting for events")).await;
    let (_, metrics) = daemon.get("/metrics").await;
    assert!(!metrics.contains("sprited_last_successful_pull_timestamp_seconds{"), "{metrics}");
    assert_eq!(site.cloud.control.totals().waiting, 3, "somebody has pulled");
    let paused = site.run(&["pause"]).await;
    assert!(paused.code == 1 && paused.log.contains("[vod] pull is false"), "{}", paused.log);
    assert_eq!(site.run(&["resume"]).await.code, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn a_daemon_that_only_receives_needs_no_key_and_calls_nobody() {
    let site = site().await;
    let path = site.path("sprited.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once("[vod]").unwrap();
    std::fs::write(&path, format!("[vod]{rest}")).unwrap();
    site.edit(&site.cloud.url, "http://127.0.0.1:1");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    assert_eq!(poster.post(&sprite(0)).await.0, 200);
    support::until(|| site.lines("all.jsonl").len() == 1).await;
    let checked = site.run(&["check"]).await;
    assert_eq!(checked.code, 0, "{}", checked.log);
    daemon.stop().await;
}

/// And back.
#[tokio::test]
async fn a_reload_that_gives_a_reason_to_call_the_cloud_has_it_asked() {
    let site = site().await;
    let path = site.path("sprited.toml");
    let with_key = std::fs::read_to_string(&path).unwrap();
    let (_, rest) = with_key.split_once("[vod]").unwrap();
    let without_key = format!("[vod]{rest}");
    std::fs::write(&path, &without_key).unwrap();
    let daemon = site.start();
    Poster::of(&daemon).await;
    assert_eq!(daemon.reloaded().await["message"], "reloaded: nothing has changed");
    let is_told = async || daemon.get("/metrics").await.1.contains("sprited_cloud_backlog_events{");
    assert!(!is_told().await && site.cloud.control.totals().calls.is_empty());

    let reconciling = format!("{with_key}\n[reconcile]\nevery = '1h'\n");
    std::fs::write(&path, reconciling).unwrap();
    daemon.reloaded().await;
    crate::e2e::until(is_told).await;
    daemon.has_logged("application settings keep events away").await;
    assert!(daemon.get("/status.json").await.1.contains("[vod] pull is false"));

    std::fs::write(&path, &without_key).unwrap();
    daemon.reloaded().await;
    crate::e2e::until(async || !is_told().await).await;
    daemon.stop().await;
}

#[tokio::test]
async fn once_is_refused_and_so_is_a_daemon_without_any_source() {
    let site = site().await;
    let ended = site.run(&["run", "--once"]).await;
    assert_eq!(ended.code, 64, "{}", ended.log);
    let site = Site::new(&file("all", "*")).await;
    site.edit("sub_app_id = ", "pull = false\nsub_app_id = ");
    let ended = site.run(&["run"]).await;
    assert_eq!(ended.code, 78, "{}", ended.log);
}

#[tokio::test]
async fn settings_that_keep_posted_events_away_are_told_and_no_token_is() {
    let site = site().await;
    let daemon = site.start();
    let away = "application settings keep events away";
    daemon.has_logged(away).await;
    assert_eq!(
        daemon.logged(away)[0]["problem"],
        "PULL: events wait in the queue, and [vod] pull is false"
    );
    let url = format!("https://callbacks.example.com/vod/1500012346/{TOKEN}");
    site.cloud.control.set_event_config(None, push(&url)).unwrap();
    daemon.reload().await;
    support::until(|| daemon.logged(away).len() == 2).await;
    assert_eq!(
        daemon.logged(away)[1]["problem"],
        format!("PUSH: events are posted to a URL that does not end in /vod/{APP}/<token>")
    );
    let url = format!("https://callbacks.example.com/hooks/vod/{APP}/{TOKEN}");
    site.cloud.control.set_event_config(None, push(&url)).unwrap();
    daemon.reload().await;
    daemon
        .has_logged("application settings keep no events away any more, as far as is known")
        .await;
    assert!(!daemon.log().contains(TOKEN));
    daemon.stop().await;
}
