//! Several applications in one daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use vod_emulator::{ApiAction, EmulatorSettings, FaultKind, InjectedFault, SpriteOrder};

use super::daemon::Daemon;
use super::receiver::{Answer, Receiver};
use super::{Site, file, settings, until};
use crate::cli::Ended;
use crate::support;

const FIRST: u64 = 1_500_012_345;
const SECOND: u64 = 1_500_012_346;

/// A site whose cloud has the applications `apps`, and whose daemon pulls from `configured`.
async fn site(apps: &[u64], configured: &[u64], more: EmulatorSettings, sinks: &str) -> Site {
    let site = Site::with(EmulatorSettings { apps: apps.to_vec(), ..more }, "", sinks).await;
    site.edit("sub_app_id = 1500012345", &format!("sub_app_id = {configured:?}"));
    site
}

impl Site {
    fn add_sprites_to(&self, app: u64, count: u32) {
        let order = SpriteOrder { app: Some(app), count, fail_every: 0, ..SpriteOrder::default() };
        self.cloud.control.add_sprites(&order).unwrap();
    }

    /// What a command answers beside the daemon.
    fn listed(&self, arguments: &[&str]) -> String {
        let mut command = crate::cli::sprited();
        command.args(arguments).arg("--config").arg(self.path("sprited.toml"));
        let Ended { code, out, err } = crate::cli::ended(&mut command);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        out
    }

    /// How many events of this application the cloud has taken back.
    fn confirmed_of(&self, app: u64) -> usize {
        let events = self.cloud.control.ledger().events;
        events.iter().filter(|event| event.app == app && event.confirmed.is_some()).count()
    }
}

/// How many lines of the file have which source.
fn sources(lines: &[Value]) -> BTreeMap<String, usize> {
    let mut sources = BTreeMap::new();
    for line in lines {
        *sources.entry(line["source"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    sources
}

async fn readiness(daemon: &Daemon) -> (u16, Value) {
    let (status, body) = daemon.get("/readyz").await;
    (status, serde_json::from_str(&body).expect(&body))
}

#[tokio::test]
async fn events_arrive_from_each_and_are_confirmed_where_they_came_from() {
    let lease = Duration::from_secs(60);
    let cloud = EmulatorSettings { lease, ..settings() };
    let site = site(&[FIRST, SECOND], &[FIRST, SECOND], cloud, &file("all", "*")).await;
    site.set_lease(lease);
    let body = r#"{"EventType":"FileDeleted","FileDeleteEvent":{"FileIdSet":["17"]}}"#;
    for app in [FIRST, SECOND] {
        site.cloud.control.add_to(Some(app), body, 1, Duration::ZERO).unwrap();
        site.add_sprites_to(app, 40);
    }
    let daemon = site.start();
    site.drained().await;
    support::until(|| site.lines("all.jsonl").len() == 82).await;
    let totals = site.cloud.control.totals();
    assert_eq!((totals.confirmed, totals.handed_out_again), (82, 0), "{totals:?}");
    assert_eq!(totals.calls_of(ApiAction::ConfirmEvents, "InvalidParameterValue"), 0, "{totals:?}");
    assert_eq!((site.confirmed_of(FIRST), site.confirmed_of(SECOND)), (41, 41));

    site.assert_once("all.jsonl", 82);
    let lines = site.lines("all.jsonl");
    let source = |app| format!("/tencentcloud/vod/{app}");
    assert_eq!(sources(&lines), BTreeMap::from([(source(FIRST), 41), (source(SECOND), 41)]));
    let same: Vec<_> =
        lines.iter().filter(|line| line["type"] == "com.tencentcloud.vod.FileDeleted").collect();
    assert_eq!(same.len(), 2, "an equal event of another application is another event");
    assert_eq!(same[0]["data"], same[1]["data"]);
    let keys: BTreeSet<_> = same.iter().map(|line| line["id"].to_string()).collect();
    assert_eq!(keys.len(), 2);

    let apps: BTreeSet<_> = site.journaled(None).iter().map(|found| found.event.app.0).collect();
    assert_eq!(apps, BTreeSet::from([FIRST, SECOND]));
    let pulled = daemon.logged("entry stored");
    let logged: BTreeSet<_> = pulled.iter().map(|line| line["app"].to_string()).collect();
    assert_eq!(logged, [FIRST, SECOND].map(|app| format!("\"{app}\"")).into());
    assert_eq!(daemon.logged("started")[0]["app"], "1500012345, 1500012346");
    until(async || readiness(&daemon).await.0 == 200).await;
    let second = ["events", "list", "--limit", "100", "--app", "1500012346"];
    let listed = site.listed(&second);
    assert_eq!(listed.lines().count(), 1 + 41, "with a header: {listed}");
    assert!(listed.lines().skip(1).all(|line| line.contains("  1500012346  ")), "{listed}");
    let listed = site.listed(&[&second[..], &["--json"]].concat());
    assert!(listed.lines().all(|line| line.contains(r#""app":1500012346,"#)), "{listed}");

    let (_, page) = daemon.get("/").await;
    let (_, text) = daemon.get("/status.txt").await;
    let status: Value = serde_json::from_str(&daemon.get("/status.json").await.1).unwrap();
    for (place, app) in [FIRST, SECOND].into_iter().enumerate() {
        let app = app.to_string();
        assert!(page.contains(&app) && text.contains(&app), "{page}\n{text}");
        let told = &status["cloud"]["applications"][place];
        assert_eq!(told["app"].to_string(), app);
        assert!(told["last_successful_pull_seconds"].is_number(), "{told}");
        let series = format!("sprited_last_successful_pull_timestamp_seconds{{app=\"{app}\"}}");
        assert!(daemon.metric(&series).await > 0.0, "{series}");
        let backlog = format!("sprited_cloud_backlog_events{{app=\"{app}\"}}");
        let (_, metrics) = daemon.get("/metrics").await;
        assert!(metrics.contains(&backlog), "{metrics}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn one_that_is_unknown_to_the_cloud_holds_up_no_other_and_is_named() {
    let site = site(&[FIRST], &[SECOND, FIRST], settings(), &file("all", "*")).await;
    site.add_sprites(100);
    let daemon = site.start();
    site.drained().await;
    support::until(|| site.lines("all.jsonl").len() == 100).await;

    let failures = daemon.logged("pulling fails");
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0]["app"], "1500012346");
    assert_eq!(failures[0]["code"], "InvalidParameterValue.SubAppId");
    let (status, ready) = readiness(&daemon).await;
    assert_eq!((status, &ready["degraded"]), (200, &true.into()), "{ready}");
    let mut checks = ready["checks"].as_array().unwrap().iter();
    let refused = checks.find(|check| check["subject"] == "1500012346").unwrap();
    assert_eq!(refused["code"], "InvalidParameterValue.SubAppId");
    assert!(refused["remedy"].as_str().unwrap().contains("sub_app_id"), "{refused}");
    let (_, text) = daemon.get("/status.txt").await;
    let sentence =
        format!("Application 1500012346: the cloud refuses the request ({}", site.cloud.url);
    assert!(text.contains(&sentence), "{text}");
    assert!(text.contains(": DEGRADED\n"), "the other one is pulled: {text}");
    let (_, page) = daemon.get("/").await;
    assert!(page.contains(&sentence), "{page}");
    daemon.stop().await;
}

#[tokio::test]
async fn one_whose_confirms_are_refused_holds_up_no_other_and_is_named() {
    let site = site(&[FIRST, SECOND], &[FIRST, SECOND], settings(), &file("all", "*")).await;
    let refusal = FaultKind::Error("AuthFailure.UnauthorizedOperation".to_owned());
    let fault = InjectedFault::rate(1.0, refusal).on(ApiAction::ConfirmEvents).of(SECOND);
    site.cloud.control.fault(fault).unwrap();
    site.add_sprites_to(SECOND, 200);
    site.add_sprites_to(FIRST, 200);
    let daemon = site.start();
    support::until(|| site.confirmed_of(FIRST) == 200).await;
    daemon.has_logged("confirming fails; unconfirmed events are pulled again").await;
    let failures = daemon.logged("confirming fails; unconfirmed events are pulled again");
    assert!(failures.iter().all(|line| line["app"] == "1500012346"), "{failures:?}");
    assert_eq!(site.confirmed_of(SECOND), 0);

    site.cloud.control.clear_faults();
    site.drained().await;
    let mended = daemon.logged("confirming works again");
    assert_eq!(mended.len(), 1, "{mended:?}");
    assert_eq!(mended[0]["app"], "1500012346");
    site.assert_once("all.jsonl", 400);
    daemon.stop().await;
}

#[tokio::test]
async fn the_rate_is_of_all_together_and_a_busy_one_starves_no_other() {
    // Less than two limits of 20 together, and more than one, for requests that bunch on their way.
    let cloud = EmulatorSettings { rate_limit: Some(30), ..settings() };
    let site = site(&[FIRST, SECOND], &[FIRST, SECOND], cloud, &file("all", "*")).await;
    site.edit("interval = '20ms'", "interval = '20ms'\nmax_requests_per_second = 20");
    site.add_sprites_to(FIRST, 1600);
    let daemon = site.start();
    support::until(|| site.confirmed_of(FIRST) > 0).await;
    site.add_sprites_to(SECOND, 48);
    support::until(|| site.confirmed_of(SECOND) == 48).await;
    let busy = site.confirmed_of(FIRST);
    assert!(busy < 1600, "the quiet one had to wait for the busy one");
    // Both of them busy.
    site.add_sprites_to(SECOND, 480);
    site.drained().await;
    let totals = site.cloud.control.totals();
    for action in [ApiAction::PullEvents, ApiAction::ConfirmEvents] {
        let calls = totals.calls_of(action, "ok") + totals.calls_of(action, "events");
        assert!(calls >= 133, "{totals:?}");
        assert_eq!(totals.calls_of(action, "RequestLimitExceeded"), 0, "{totals:?}");
    }
    site.assert_once("all.jsonl", 2128);
    daemon.stop().await;
}

/// What waits to be confirmed is of the busy one, all but the last.
#[tokio::test]
async fn confirms_are_shared_as_well_and_a_busy_one_holds_up_no_other() {
    let lease = Duration::from_secs(60);
    let cloud = EmulatorSettings { rate_limit: Some(30), lease, ..settings() };
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let (kept, gone) = (file("all", "*"), hook.sink("hook", ""));
    let site =
        site(&[FIRST, SECOND], &[FIRST, SECOND], cloud, &[kept.clone(), gone].concat()).await;
    site.set_lease(lease);
    site.edit("interval = '20ms'", "interval = '20ms'\nmax_requests_per_second = 20");
    let daemon = site.start();
    for (app, count, all) in [(FIRST, 1120, 1120), (SECOND, 48, 1168)] {
        site.add_sprites_to(app, count);
        support::until(|| site.lines("all.jsonl").len() == all).await;
    }
    assert_eq!(site.confirmed(), 0);
    // All of them are settled at once.
    site.set_sinks(&kept);
    daemon.reloaded().await;
    support::until(|| site.confirmed_of(SECOND) == 48).await;
    let busy = site.confirmed_of(FIRST);
    assert!((16..=240).contains(&busy), "of two in turn, one has {busy} when the other has 48");
    site.drained().await;
    let totals = site.cloud.control.totals();
    assert_eq!((totals.handed_out_again, totals.expired), (0, 0), "{totals:?}");
    assert_eq!(totals.calls_of(ApiAction::ConfirmEvents, "RequestLimitExceeded"), 0, "{totals:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn another_list_of_applications_waits_for_a_restart_and_says_so() {
    let site = site(&[FIRST, SECOND], &[FIRST], settings(), &file("all", "*")).await;
    let daemon = site.start();
    site.edit("[1500012345]", "[1500012345, 1500012346]");
    let said = daemon.reload().await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0]["error"], "[vod] sub_app_id: a change needs a restart");
    for app in [FIRST, SECOND] {
        site.add_sprites_to(app, 3);
    }
    support::until(|| site.confirmed_of(FIRST) == 3).await;
    daemon.stop().await;
    assert_eq!(site.confirmed_of(SECOND), 0);
    let daemon = site.start();
    support::until(|| site.confirmed_of(SECOND) == 3).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_run_that_is_to_happen_once_drains_all_queues_that_it_can() {
    let all = [FIRST, SECOND];
    let reached = site(&all, &all, settings(), &file("all", "*")).await;
    all.iter().for_each(|app| reached.add_sprites_to(*app, 50));
    let ended = reached.run(&["run", "--once"]).await;
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert_eq!(reached.confirmed(), 100);

    let refused = site(&[FIRST], &all, settings(), &file("all", "*")).await;
    refused.add_sprites_to(FIRST, 300);
    let ended = refused.run(&["run", "--once"]).await;
    assert_eq!(ended.code, 1, "{}", ended.log);
    assert_eq!(refused.confirmed(), 300, "{}", ended.log);
}

#[tokio::test]
async fn lines_of_one_application_alone_do_not_name_it() {
    let site = Site::new(&file("all", "*")).await;
    site.add_sprites(3);
    let fault = InjectedFault::next(1, FaultKind::InternalError).on(ApiAction::PullEvents);
    site.cloud.control.fault(fault).unwrap();
    let daemon = site.start();
    site.drained().await;
    for message in ["entry stored", "pulling fails", "pulling works again"] {
        let lines = daemon.logged(message);
        assert!(!lines.is_empty(), "{message}");
        assert!(lines.iter().all(|line| line.get("app").is_none()), "{lines:?}");
        let target = if message == "entry stored" { "sprited::ingest" } else { "sprited::puller" };
        assert!(lines.iter().all(|line| line["target"] == target), "{lines:?}");
    }
    daemon.stop().await;
}
