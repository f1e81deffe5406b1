//! A journal as large as it may be.

use std::time::Duration;

use vod_emulator::EmulatorSettings;

use super::super::receiver::{Answer, Receiver};
use super::super::{Site, file, settings};
use super::{check, within};

const REFUSED: &str = "journal accepts no events; pulling paused";
const KIB: usize = 1024;

async fn small(sinks: &str) -> Site {
    small_of(settings(), sinks).await
}

async fn small_of(cloud: EmulatorSettings, sinks: &str) -> Site {
    // Large events take a debug build its time.
    let cloud = EmulatorSettings { lease: Duration::from_secs(10), ..cloud };
    let site = Site::with(cloud, "", sinks).await;
    site.edit("lease = '2500ms'", "lease = '10s'");
    site.edit("[http]", "max_size = '16MiB'\n[http]");
    site
}

#[tokio::test]
async fn many_times_its_size_goes_through_a_journal_and_nobody_notices() {
    let site = small(&file("all", "*")).await;
    let daemon = site.start();
    let (rounds, each) = (5, 160);
    for round in 0..rounds {
        site.add_large(round * each, each, 32 * KIB);
        within(60, async || site.cloud.control.totals().waiting == 0).await;
    }
    let size = |name| site.path(name).metadata().map_or(0, |about| about.len());
    let used = size("journal.db") + size("journal.db-wal");
    assert!(used < 20 << 20, "{used} bytes");
    assert!(daemon.metric("sprited_append_failures_total").await < 0.5);
    assert!(daemon.logged(REFUSED).is_empty());
    // The keys stay: what the cloud repeats is known.
    assert_eq!(site.journaled(None).len(), rounds * each);
    daemon.stop().await;
    site.assert_once("all.jsonl", rounds * each);
}

#[tokio::test]
async fn the_sink_whose_backlog_fills_it_is_named() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let site = small(&[file("all", "*"), hook.sink("hook", "events = ['*']")].concat()).await;
    let daemon = site.start();
    let count = 640;
    site.add_large(0, count, 32 * KIB);
    within(60, async || !check(&daemon, "journal").await.0).await;
    let (_, why) = check(&daemon, "journal").await;
    let stored = site.journaled(None).len();
    assert!(stored < count, "it took all");
    let place = format!(" are in use; {} has ", site.path("journal.db").display());
    let full = format!(
        " free on its file system; the sink \"hook\" has {stored} events pending and 0 dead"
    );
    assert!(why.starts_with("the journal has reached journal.max_size = 16.0 MiB: 1"), "{why}");
    assert!(why.contains(&place) && why.ends_with(&full), "{why}");
    daemon.has_logged(REFUSED).await;
    let logged = daemon.logged(REFUSED);
    assert_eq!(logged.len(), 1);
    assert!(logged[0]["error"].as_str().unwrap().contains("the sink \"hook\" has "), "{logged:?}");
    assert_eq!(daemon.get("/healthz").await.0, 200);
    assert_eq!(site.confirmed(), 0);
    // What was taken before is at the other sink, and nothing is pulled any more.
    within(60, async || site.lines("all.jsonl").len() == stored).await;
    let failures = async || daemon.metric("sprited_append_failures_total").await;
    let (failed, pulled) = (failures().await, site.cloud.control.totals().handed_out);
    within(30, async || failures().await > failed + 2.5).await;
    assert_eq!(site.cloud.control.totals().handed_out, pulled);

    hook.set(Answer::Take);
    within(90, async || site.cloud.control.totals().waiting == 0).await;
    within(60, async || daemon.get("/readyz").await.0 == 200).await;
    // It may have been full once more while the sink caught up, but not with every event.
    let resumed = daemon.logged("journal accepts events again").len();
    assert!((1..=8).contains(&resumed), "{resumed} times");
    daemon.stop().await;
    hook.assert_once(count);
    site.assert_once("all.jsonl", count);
}

#[tokio::test]
async fn while_it_is_full_nothing_is_pulled_from_any_application() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let cloud = EmulatorSettings { apps: vec![1_500_012_345, 1_500_012_346], ..settings() };
    let site = small_of(cloud, &hook.sink("hook", "events = ['*']")).await;
    // The second has an empty queue: its pulls bring nothing that would have to be stored.
    site.edit("sub_app_id = 1500012345", "sub_app_id = [1500012345, 1500012346]");
    let daemon = site.start();
    let pulls = || site.cloud.control.totals().calls["PullEvents"].values().sum::<u64>();
    site.add_large(0, 640, 32 * KIB);
    let failures = async || daemon.metric("sprited_append_failures_total").await;
    within(60, async || failures().await > 2.5).await;
    // Pulls that were under way at the first failure end; each answer is tried again after a pause.
    let failed = failures().await;
    within(30, async || failures().await > failed + 2.5).await;
    within(30, async || site.cloud.control.pulls_waiting() == 0).await;
    let (failed, before) = (failures().await, pulls());
    within(30, async || failures().await > failed + 2.5).await;
    assert_eq!(pulls(), before, "it pulls on");

    hook.set(Answer::Take);
    within(90, async || site.cloud.control.totals().waiting == 0).await;
    // What was in hand may have been all that waited.
    within(60, async || pulls() > before).await;
    daemon.stop().await;
    hook.assert_once(640);
}
