//! Events that never arrived, found in the cloud's list of finished tasks.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use nix::sys::signal::Signal;
use serde_json::Value;
use sprited::event::{AppId, EventOrigin};
use sprited::journal::JournalReader;
use vod_emulator::{
    ApiAction, CreatedSprite, EmulatorSettings, FaultKind, InjectedFault, NotifyMode, SourceApi,
    SpriteOrder,
};

use super::daemon::Daemon;
use super::receiver::{Answer, Receiver};
use super::{Site, file, settings, until};
use crate::support;

const FINISHED: &str = "sprited_reconcile_tasks_total";
/// Of all sprites that the emulator makes.
const TEMPLATE: i64 = 10;
const WAITS: &str = "reconciliation waits until the queue was found empty";

impl Site {
    /// A site that looks each second at all that has finished, with further lines of the table.
    async fn reconciling(more: &str) -> Self {
        let site = Self::new(&file("sprites", "image-sprite")).await;
        site.turn_on(more);
        site
    }

    fn turn_on(&self, more: &str) {
        let table = format!("[reconcile]\nevery = '1s'\nsettle = '0s'\n{more}\n[poll]");
        self.edit("[poll]", &table);
    }

    fn make(&self, order: SpriteOrder) -> Vec<CreatedSprite> {
        // Of both kinds, failed ones among them.
        self.cloud.control.add_sprites(&SpriteOrder { fail_every: 3, ..order }).unwrap()
    }

    /// Task and template of each finished sprite in the file, as often as it stands there.
    fn sprites(&self) -> Vec<(String, i64)> {
        let lines = self.lines("sprites.jsonl");
        let sprites = lines.iter().flat_map(|line| line["data"]["sprites"].as_array().unwrap());
        let finished = sprites.filter(|sprite| sprite["status"] != "processing");
        let of = |sprite: &Value| {
            let task = sprite["task_id"].as_str().unwrap().to_owned();
            (task, sprite["definition"].as_i64().unwrap())
        };
        let mut sprites: Vec<_> = finished.map(of).collect();
        sprites.sort_unstable();
        sprites
    }

    /// Waits until the file has the sprite of each of these tasks, and asserts that it has each once
    /// and no other.
    pub(super) async fn has_exactly(&self, tasks: &[&[CreatedSprite]]) {
        let made = tasks.concat().into_iter();
        let mut made: Vec<_> = made.map(|task| (task.task_id, TEMPLATE)).collect();
        made.sort_unstable();
        support::until(|| self.sprites().len() >= made.len()).await;
        assert_eq!(self.sprites(), made);
    }
}

/// How many tasks had this outcome.
async fn count(daemon: &Daemon, outcome: &str) -> f64 {
    daemon.metric(&format!("{FINISHED}{{outcome=\"{outcome}\"}}")).await
}

fn lost(count: u32, source_api: SourceApi) -> SpriteOrder {
    SpriteOrder { count, source_api: Some(source_api), lose_every: 1, ..SpriteOrder::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_the_sink_has_what_the_cloud_has_finished() {
    let site = Site::reconciling("").await;
    let daemon = site.start();
    daemon.has_logged("started").await;
    let arrived = site.make(SpriteOrder { count: 20, ..SpriteOrder::default() });
    site.drained().await;
    daemon.stop().await;

    // What the cloud tells of nobody, and what it tells nobody of.
    let (create, procedure) = (SourceApi::Create, SourceApi::Procedure);
    let lost_procedures = site.make(lost(30, procedure));
    let lost_sprites = site.make(lost(30, create));
    let changes = SpriteOrder { notify_mode: NotifyMode::Change, ..lost(10, procedure) };
    let lost_changes = site.make(changes.clone());
    let told_changes = site.make(SpriteOrder { lose_every: 0, ..changes });
    site.make(SpriteOrder { abort_every: 1, ..lost(4, procedure) });

    let daemon = site.start();
    let all: [&[_]; 5] = [&arrived, &lost_procedures, &lost_sprites, &lost_changes, &told_changes];
    site.has_exactly(&all).await;
    until(async || count(&daemon, "aborted").await >= 4.0).await;
    assert_eq!(count(&daemon, "added").await, 70.0);
    let reconciled = site.journaled(None).into_iter();
    let reconciled = reconciled.filter(|row| row.event.origin == EventOrigin::Reconcile);
    assert_eq!(reconciled.count(), 70);
    let (_, status) = daemon.get("/status.json").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let state = status["cloud"]["reconcile"].as_str().unwrap();
    assert!(state.starts_with("done up to 20"), "{state}");
    assert!(daemon.metric("sprited_reconcile_interval_seconds").await == 1.0);
    let last = "sprited_reconcile_last_timestamp_seconds{app=\"1500012345\"}";
    assert!(daemon.metric(last).await > 1.7e9);

    // The next runs find nothing, and need no details for it.
    let details = || site.cloud.control.totals().calls_of(ApiAction::DescribeTaskDetail, "ok");
    let (lists, before) = (|| site.cloud.control.totals().calls["DescribeTasks"]["ok"], details());
    let listed = lists();
    support::until(|| lists() > listed + 3).await;
    assert_eq!((site.sprites().len(), details()), (100, before));
    let silent = SpriteOrder { notify_mode: NotifyMode::None, count: 7, ..lost(7, procedure) };
    site.make(SpriteOrder { lose_every: 0, ..silent });
    until(async || count(&daemon, "silent").await >= 7.0).await;
    // A start in the middle of all that has only what is new to look at.
    daemon.stop().await;
    let late = site.make(lost(3, create));
    let daemon = site.start();
    site.has_exactly(&[&all.concat(), &late]).await;
    assert_eq!(count(&daemon, "added").await, 3.0);
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 103);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_a_page_loses_and_repeats_nothing() {
    let site = Site::reconciling("max_requests_per_second = 100").await;
    let daemon = site.start();
    daemon.has_logged("started").await;
    daemon.stop().await;
    let made = site.make(lost(250, SourceApi::Procedure));
    for least in [20, 120, 200] {
        let daemon = site.start();
        support::until(|| site.lines("sprites.jsonl").len() >= least).await;
        daemon.signal(Signal::SIGKILL);
    }
    let daemon = site.start();
    site.has_exactly(&[&made]).await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 250);
    // No page was asked for after a page had been done, but for those that were cut off.
    let details = site.cloud.control.totals().calls_of(ApiAction::DescribeTaskDetail, "ok");
    assert!((250..=260).contains(&details), "{details}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_drains_the_queue_adds_nothing() {
    let hook = Receiver::start(Answer::TakeWhenReleased).await;
    let site = Site::new(&[file("sprites", "image-sprite"), hook.sink("hook", "")].concat()).await;
    site.turn_on("");
    assert_eq!(site.run(&["run", "--once"]).await.code, 0);
    // So that there is a time to look at.
    site.cloud.control.set_clock_offset(TimeDelta::hours(1));
    site.make(lost(5, SourceApi::Procedure));
    let queued = site.make(SpriteOrder { count: 1, ..SpriteOrder::default() });
    let empty = || site.cloud.control.totals().calls_of(ApiAction::PullEvents, "empty");
    let mut daemon = Daemon::start(site.folder.path(), &["run", "--once"], &[]);
    support::until(|| hook.count() == 1).await;
    // As long as the sink has it, pulls find the queue empty, which is all that a run waits for.
    let before = empty();
    support::until(|| empty() > before + 10).await;
    hook.release();
    assert_eq!(daemon.ended_within(Duration::from_secs(30)).await, 0);
    site.has_exactly(&[&queued]).await;
    assert_eq!(site.cloud.control.totals().calls.get("DescribeTasks"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_with_a_task_that_stays_undecided_begins_anew_with_each_run() {
    let site = Site::reconciling("").await;
    let daemon = site.start();
    daemon.has_logged("started").await;
    let failure = FaultKind::Error("InvalidParameterValue.Other".to_owned());
    let fault = InjectedFault::rate(1.0, failure).on(ApiAction::DescribeTaskDetail);
    site.cloud.control.fault(fault).unwrap();
    let undecided = site.make(lost(1, SourceApi::Create));
    let finished = Utc::now();
    daemon.has_logged("reconciliation fails").await;
    let (_, status) = daemon.get("/status.json").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let problem = status["cloud"]["reconcile"].as_str().unwrap();
    assert!(problem.contains("1 of the tasks could not be compared"), "{problem}");
    // The others do not wait for it: with the waits of other failures so many runs would take five
    // minutes.
    let lists = || site.cloud.control.totals().calls["DescribeTasks"]["ok"];
    let begun = lists();
    support::until(|| lists() > begun + 7).await;
    let until = || {
        let reader = JournalReader::open(&site.path("journal.db")).unwrap();
        reader.reconciled_until(AppId(1_500_012_345)).unwrap()
    };
    assert!(until().is_none_or(|until| until <= finished), "its window is done");
    assert_eq!(site.sprites(), []);

    site.cloud.control.clear_faults();
    site.has_exactly(&[&undecided]).await;
    daemon.has_logged("reconciliation works again").await;
    assert_eq!(daemon.logged("reconciliation fails").len(), 1);
    support::until(|| until().is_some_and(|until| until > finished)).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_added_before_a_failure_stays_and_the_journal_is_closed() {
    let cloud = EmulatorSettings { apps: vec![1_500_012_345, 7], ..settings() };
    let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
    site.edit("sub_app_id = 1500012345", "sub_app_id = [1500012345, 7]");
    site.edit("[poll]", "[reconcile]\nsettle = '0s'\n[poll]");
    let daemon = site.start();
    daemon.has_logged("started").await;
    daemon.stop().await;
    let age = Duration::from_secs(3600);
    let missing = site.make(SpriteOrder { age, ..lost(3, SourceApi::Procedure) });
    let refusal = FaultKind::Error("UnauthorizedOperation".to_owned());
    let fault = InjectedFault::rate(1.0, refusal).on(ApiAction::DescribeTasks).of(7);
    site.cloud.control.fault(fault).unwrap();
    let ended = site.run(&["reconcile", "--since", "2h", "--add"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.log.contains("UnauthorizedOperation"), "{}", ended.log);
    // The last connection takes its log along.
    assert!(!site.path("journal.db-wal").exists(), "the journal was not closed");
    assert_eq!(site.journaled(None).len(), 3);
    site.cloud.control.clear_faults();
    let daemon = site.start();
    site.has_exactly(&[&missing]).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_was_not_found_empty_is_waited_for() {
    let site = Site::reconciling("").await;
    let failure = FaultKind::Error("InternalError".to_owned());
    let fault = InjectedFault::rate(1.0, failure).on(ApiAction::PullEvents);
    site.cloud.control.fault(fault).unwrap();
    let daemon = site.start();
    daemon.has_logged("started").await;
    let (queued, lost) = (
        site.make(SpriteOrder { count: 5, ..SpriteOrder::default() }),
        site.make(lost(5, SourceApi::Procedure)),
    );
    daemon.has_logged(WAITS).await;
    let (_, status) = daemon.get("/status.txt").await;
    assert!(status.contains("reconcile  waits until the queue was found empty"), "{status}");
    assert_eq!(site.cloud.control.totals().calls.get("DescribeTasks"), None);
    site.cloud.control.clear_faults();
    site.has_exactly(&[&queued, &lost]).await;
    assert_eq!(daemon.logged("queue found empty; reconciling").len(), 1);
    assert_eq!(count(&daemon, "added").await, 5.0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_turns_it_on_and_off_and_a_refusal_is_told_once() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    // Without a queue there is nothing to wait for.
    site.edit("sub_app_id = 1500012345", "sub_app_id = 1500012345\npull = false");
    site.receives("");
    let refusal = FaultKind::Error("UnauthorizedOperation".to_owned());
    let fault = InjectedFault::rate(1.0, refusal).on(ApiAction::DescribeTasks);
    site.cloud.control.fault(fault).unwrap();
    let daemon = site.start();
    daemon.has_logged("started").await;
    let made = site.make(lost(5, SourceApi::Create));
    let (_, page) = daemon.get("/metrics").await;
    assert!(!page.contains("sprited_reconcile_interval_seconds "), "{page}");
    site.turn_on("");
    daemon.signal(Signal::SIGHUP);
    daemon.has_logged("reconciliation fails").await;
    let told = &daemon.logged("reconciliation fails")[0];
    let hint = told["hint"].as_str().unwrap();
    assert!(hint.contains("vod:DescribeTasks and vod:DescribeTaskDetail"), "{hint}");
    let (_, ready) = daemon.get("/readyz").await;
    assert!(ready.contains("UnauthorizedOperation"), "{ready}");
    site.cloud.control.clear_faults();
    daemon.has_logged("reconciliation works again").await;
    site.has_exactly(&[&made]).await;
    assert_eq!(daemon.logged("reconciliation fails").len(), 1);
    site.edit("every = '1s'", "every = 'off'");
    daemon.signal(Signal::SIGHUP);
    support::until(|| daemon.logged("reloaded").len() == 2).await;
    until(async || {
        let (_, page) = daemon.get("/metrics").await;
        !page.contains("sprited_reconcile_last_timestamp_seconds{")
    })
    .await;
    daemon.stop().await;
}

/// What `sprited reconcile` says with these arguments: exit code, and its answer.
async fn report(site: &Site, more: &[&str]) -> (i32, Value) {
    let ended = site.run(&[&["reconcile", "--json"], more].concat()).await;
    let out = std::fs::read_to_string(site.path("stdout")).unwrap();
    (ended.code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{}", ended.log)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_reports_what_is_missing_and_adds_it_while_no_daemon_runs() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.edit("[poll]", "[reconcile]\nsettle = '0s'\n[poll]");
    let daemon = site.start();
    daemon.has_logged("started").await;
    let old = SpriteOrder { age: Duration::from_secs(3600), ..SpriteOrder::default() };
    let arrived = site.make(SpriteOrder { count: 5, ..old.clone() });
    site.drained().await;
    let missing = site.make(SpriteOrder { lose_every: 1, count: 3, ..old.clone() });
    let silent = SpriteOrder { notify_mode: NotifyMode::None, ..old.clone() };
    site.make(SpriteOrder { source_api: Some(SourceApi::Procedure), ..silent });

    // Another journal may have had what finished before this one was made.
    let (code, answer) = report(&site, &[]).await;
    let counts = &answer["applications"][0]["counts"];
    assert_eq!((code, &counts["known"], &counts["missing"]), (0, &0.into(), &0.into()), "{answer}");
    let (code, answer) = report(&site, &["--since", "2h"]).await;
    let counts = &answer["applications"][0]["counts"];
    assert_eq!((code, &counts["known"], &counts["missing"]), (1, &5.into(), &3.into()), "{answer}");
    let tasks = answer["applications"][0]["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 4);
    let is_missing = |task: &&Value| task["outcome"] == "missing";
    let found = tasks.iter().filter(is_missing).map(|t| t["task_id"].as_str());
    let made = missing.iter().map(|made| Some(made.task_id.as_str())).collect();
    assert_eq!(found.collect::<BTreeSet<_>>(), made);
    assert!(tasks.iter().filter(is_missing).all(|task| task["sprites"][0]["definition"] == 10));

    let ended = site.run(&["reconcile", "--since", "2h", "--add"]).await;
    assert_eq!(ended.code, 74);
    assert!(ended.log.contains("set [reconcile] every in its configuration"), "{}", ended.log);
    let ended = site.run(&["reconcile", "--since", "71h"]).await;
    assert_eq!((ended.code, ended.log.contains("expected 70h at most")), (64, true));
    daemon.stop().await;

    // What waits in the queue is not missing.
    let queued = site.make(SpriteOrder { count: 2, ..old });
    let ended = site.run(&["reconcile", "--since", "2h", "--add"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.log.contains("nothing is added while 2 events wait"), "{}", ended.log);
    let daemon = site.start();
    site.drained().await;
    daemon.stop().await;
    let failure = FaultKind::Error("UnauthorizedOperation".to_owned());
    let fault = InjectedFault::rate(1.0, failure).on(ApiAction::DescribeEventsState);
    site.cloud.control.fault(fault).unwrap();
    let ended = site.run(&["reconcile", "--since", "2h", "--add"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.log.contains("it is unknown whether events wait"), "{}", ended.log);
    site.cloud.control.clear_faults();

    let (code, answer) = report(&site, &["--since", "2h", "--add"]).await;
    assert_eq!((code, &answer["applications"][0]["counts"]["added"]), (0, &3.into()), "{answer}");
    let ended = site.run(&["reconcile", "--since", "2h"]).await;
    let out = std::fs::read_to_string(site.path("stdout")).unwrap();
    assert_eq!(ended.code, 0, "{out}");
    assert!(out.contains("10 known, 0 missing, 1 silent"), "{out}");
    let daemon = site.start();
    site.has_exactly(&[&arrived, &missing, &queued]).await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_lists_and_describes_tasks_if_it_is_on() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let step = async || {
        site.run(&["check", "--json"]).await;
        let out = std::fs::read_to_string(site.path("stdout")).unwrap();
        let report: Value = serde_json::from_str(&out).unwrap();
        let steps = report["steps"].as_array().unwrap().clone();
        steps.into_iter().find(|step| step["step"] == "reconcile")
    };
    assert_eq!(step().await, None);
    site.turn_on("");
    assert_eq!(step().await.unwrap()["outcome"], "ok");
    for action in [ApiAction::DescribeTaskDetail, ApiAction::DescribeTasks] {
        let fault = |code: &str| {
            let refusal = FaultKind::Error(code.to_owned());
            site.cloud.control.fault(InjectedFault::rate(1.0, refusal).on(action)).unwrap();
        };
        let clear = || site.cloud.control.clear_faults();
        fault("UnauthorizedOperation");
        let refused = step().await.unwrap();
        assert_eq!(refused["outcome"], "fail", "{refused}");
        let advice = refused["advice"].as_str().unwrap();
        assert!(advice.contains("vod:DescribeTaskDetail"), "{refused}");
        clear();
        fault("RequestLimitExceeded");
        assert_eq!(step().await.unwrap()["outcome"], "warn");
        clear();
    }
    // Of a task that cannot be, the service may say anything.
    let fault = FaultKind::Error("InternalError".to_owned());
    let fault = InjectedFault::rate(1.0, fault).on(ApiAction::DescribeTaskDetail);
    site.cloud.control.fault(fault).unwrap();
    assert_eq!(step().await.unwrap()["outcome"], "ok");
    site.run(&["check", "--policy=1"]).await;
    let out = std::fs::read_to_string(site.path("stdout")).unwrap();
    let policy: Value = serde_json::from_str(&out).unwrap();
    let actions = policy["statement"][0]["action"].as_array().unwrap();
    assert_eq!((actions.len(), &actions[5]), (6, &"name/vod:DescribeTaskDetail".into()));
}
