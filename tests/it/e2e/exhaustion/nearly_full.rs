//! A disk that is nearly full: some commits succeed between those that fail.

use std::time::{Duration, Instant};

use vod_emulator::{ApiAction, FaultKind, InjectedFault};

use super::super::receiver::{Answer, Receiver};
use super::super::{Site, file};
use super::disk::{Disk, FOLDER, FREE, FULL, REFUSED};
use super::within;

const KIB: usize = 1024;

async fn site(sinks: &str) -> Site {
    let site = Site::new(sinks).await;
    std::fs::create_dir(site.path(FOLDER)).unwrap();
    site.edit("journal.db", "disk/journal.db");
    site.edit("level = 'debug'", "level = 'info'");
    site
}

/// Room comes and goes, as others write and delete: told of once, and no readiness meanwhile.
async fn with_room_now_and_then(disk: Disk) {
    let site = site(&file("sprites", "image-sprite")).await;
    let mut daemon = disk.start(&site);
    daemon.has_logged("started").await;
    site.add_sprites(10);
    within(60, async || site.confirmed() == 10).await;
    let lines = |what| daemon.logged(what).len();

    disk.fill(&site, &daemon, "journal.db-wal");
    site.add_sprites(1);
    within(60, async || lines(FULL) == 1 && lines(REFUSED) == 1).await;
    let (since, mut confirmed) = (Instant::now(), 10);
    while since.elapsed() < Duration::from_secs(12) {
        disk.free(&site, &daemon);
        confirmed += 1;
        within(60, async || site.confirmed() == confirmed).await;
        let status = daemon.get("/readyz").await.0;
        assert_eq!(status, 503, "ready after {:?}: {}", since.elapsed(), daemon.log());
        let failures = daemon.metric("sprited_append_failures_total").await;
        disk.fill(&site, &daemon, "journal.db-wal");
        site.add_sprites(1);
        within(60, async || daemon.metric("sprited_append_failures_total").await > failures).await;
    }
    assert!(confirmed >= 13, "{confirmed}");
    assert_eq!((lines(FULL), lines(FREE), lines(REFUSED)), (1, 0, 1), "{}", daemon.log());

    disk.free(&site, &daemon);
    let freed = Instant::now();
    confirmed += 1;
    within(60, async || site.confirmed() == confirmed).await;
    if disk == Disk::Limited {
        confirmed += one_answer_at_a_time(&site).await;
    }
    within(60, async || site.cloud.control.totals().waiting == 0).await;
    within(60, async || daemon.get("/readyz").await.0 == 200).await;
    assert!(freed.elapsed() > Duration::from_secs(4), "{:?}", freed.elapsed());
    within(60, async || lines("journal accepts events again") == 1).await;
    assert_eq!((lines(FULL), lines(FREE), lines(REFUSED)), (1, 1, 1), "{}", daemon.log());
    assert!(daemon.runs());
    let (code, said) = disk.run(&site, &daemon, &["audit"]);
    assert_eq!(code, Some(0), "{said}");
    daemon.stop().await;
    site.assert_once("sprites.jsonl", usize::try_from(confirmed).unwrap());
}

/// Pulls from a journal that may fail again come one after the other, however much there is; tells
/// how many events there were.
async fn one_answer_at_a_time(site: &Site) -> u64 {
    const DELAY: Duration = Duration::from_millis(200);
    let control = &site.cloud.control;
    let late = InjectedFault::rate(1.0, FaultKind::Delay(DELAY)).on(ApiAction::PullEvents);
    control.fault(late).unwrap();
    site.add_sprites(320);
    let pulls = || control.totals().calls["PullEvents"].values().sum::<u64>();
    let (start, before) = (Instant::now(), pulls());
    within(60, async || pulls() >= before + 12).await;
    assert!(start.elapsed() >= DELAY * 10, "12 pulls in {:?}", start.elapsed());
    control.clear_faults();
    320
}

#[tokio::test]
async fn a_disk_that_has_room_now_and_then_is_one_outage_and_no_readiness() {
    futures_util::future::join_all(Disk::all().into_iter().map(with_room_now_and_then)).await;
}

/// An event that finds no room, and what becomes of others, which does.
async fn with_room_for_small_ones(disk: Disk) {
    let refusing = Receiver::start(Answer::Refuse(503)).await;
    let hook = Receiver::start(Answer::Take).await;
    let sinks = [hook.sink("hook", "events = ['*']"), refusing.sink("refusing", "")];
    let site = site(&sinks.concat()).await;
    let mut daemon = disk.start(&site);
    daemon.has_logged("started").await;
    site.add_sprites(12);
    within(60, async || hook.count() == 12 && refusing.asked() > 0).await;
    disk.fill_but(&site, &daemon, "journal.db-wal", 300 * KIB);
    site.add_large(0, 1, 600 * KIB);
    let lines = |what| daemon.logged(what).len();
    within(60, async || lines(FULL) == 1).await;
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(12) {
        assert_eq!(daemon.get("/readyz").await.0, 503, "{:?}: {}", since.elapsed(), daemon.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((lines(FULL), lines(FREE)), (1, 0), "{}", daemon.log());
    refusing.set(Answer::Take);
    disk.free(&site, &daemon);
    within(90, async || site.cloud.control.totals().waiting == 0).await;
    within(60, async || daemon.get("/readyz").await.0 == 200).await;
    assert_eq!((lines(FULL), lines(FREE)), (1, 1), "{}", daemon.log());
    assert!(daemon.runs());
    daemon.stop().await;
}

#[tokio::test]
async fn an_event_that_finds_no_room_is_an_outage_though_others_do() {
    futures_util::future::join_all(Disk::all().into_iter().map(with_room_for_small_ones)).await;
}
