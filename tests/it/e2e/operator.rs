//! What the operator does with events beside a daemon that runs, or while it is away.

use std::process::Command;

use serde_json::Value;
use sprited::journal::EventState;
use vod_emulator::EmulatorSettings;

use super::receiver::{Answer, Receiver};
use super::{LEASE, Site, file, settings, until};
use crate::cli::Ended;
use crate::support;

const DOWN: &str = "sink is down; its events wait in the journal";

impl Site {
    /// What the command answers, as one JSON value.
    pub(super) fn command(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sprited"));
        command.args(arguments).args(["--json", "--config"]).arg(self.path("sprited.toml"));
        let Ended { code, out, err } = crate::cli::ended(&mut command);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
        serde_json::from_str(&out).expect(&out)
    }

    /// The ids of a file's lines, in order.
    fn order(&self, name: &str) -> Vec<Value> {
        self.lines(name).into_iter().map(|mut line| line["id"].take()).collect()
    }
}

#[tokio::test]
async fn a_sink_that_was_added_is_filled_in_the_order_of_the_events() {
    let sprites = file("sprites", "image-sprite");
    let site = Site::new(&sprites).await;
    let daemon = site.start();
    site.add_sprites(300);
    site.drained().await;
    daemon.stop().await;
    site.configure("", &[sprites, file("new", "image-sprite")].concat());
    let daemon = site.start();
    daemon.has_logged("started").await;
    site.add_sprites(10);
    support::until(|| site.lines("new.jsonl").len() == 10).await;
    // A line is there a moment before its verdict.
    support::until(|| site.journaled(Some(EventState::Delivered)).len() == 310).await;
    let fill = ["events", "redeliver", "--sink", "new", "--since", "7d", "--missing", "--yes"];
    assert_eq!(site.command(&fill)["sinks"][0]["redelivered"], 300);
    support::until(|| site.lines("new.jsonl").len() >= 310).await;
    daemon.stop().await;
    site.assert_once("new.jsonl", 310);
    site.assert_once("sprites.jsonl", 310);
    let (new, sprites) = (site.order("new.jsonl"), site.order("sprites.jsonl"));
    assert!(new[10..] == sprites[..300], "not in the order in which they came");
}

#[tokio::test]
async fn dead_letters_are_delivered_once_more_when_asked() {
    let hook = Receiver::start(Answer::Refuse(422)).await;
    let site = Site::new(&hook.sink("hook", "max_rejects = 'off'")).await;
    let daemon = site.start();
    site.add_sprites(6);
    site.drained().await;
    support::until(|| site.journaled(Some(EventState::Dead)).len() == 6).await;
    hook.set(Answer::Take);
    let done = site.command(&["events", "redeliver", "--state", "dead", "--yes"]);
    assert_eq!(done["sinks"][0]["redelivered"], 6);
    support::until(|| site.journaled(Some(EventState::Delivered)).len() == 6).await;
    hook.assert_once(6);
    daemon.stop().await;
}

/// The cloud would hand it out again only a minute later.
#[tokio::test]
async fn an_event_that_is_discarded_is_confirmed_at_once() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let lease = std::time::Duration::from_secs(60);
    let site =
        Site::with(EmulatorSettings { lease, ..settings() }, "", &hook.sink("hook", "")).await;
    let path = site.path("sprited.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let short = format!("lease = '{}ms'", LEASE.as_millis());
    assert!(config.contains(&short));
    std::fs::write(&path, config.replace(&short, "lease = '60s'")).unwrap();
    let daemon = site.start();
    site.add_sprites(3);
    daemon.has_logged(DOWN).await;
    assert_eq!(site.confirmed(), 0);
    let done = site.command(&["events", "discard", "--sink", "hook", "--yes"]);
    assert_eq!(done["sinks"][0]["discarded"], 3);
    site.drained().await;
    assert_eq!((site.confirmed(), site.cloud.control.totals().handed_out_again), (3, 0));
    daemon.stop().await;
}

/// There is nothing to ask it with, and its alert would last until the next event.
#[tokio::test]
async fn a_sink_for_which_nothing_waits_any_more_is_not_down() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let site = Site::new(&hook.sink("hook", "")).await;
    let daemon = site.start();
    let up = async || daemon.metric("sprited_sink_up{sink=\"hook\"}").await > 0.5;
    for discarded in 1..=2 {
        site.add_sprites(3);
        support::until(|| daemon.logged(DOWN).len() == discarded).await;
        assert!(!up().await);
        site.command(&["events", "discard", "--sink", "hook", "--yes"]);
        until(up).await;
        let over = daemon.logged("sink has no backlog left");
        assert_eq!(over.len(), discarded, "{over:?}");
    }
    hook.set(Answer::Take);
    site.add_sprites(3);
    support::until(|| hook.taken().len() == 3).await;
    assert!(up().await);
    daemon.stop().await;
}

#[tokio::test]
async fn what_is_discarded_while_it_waits_for_its_sink_is_not_delivered() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let site = Site::new(&hook.sink("hook", "")).await;
    let daemon = site.start();
    site.add_sprites(40);
    daemon.has_logged(DOWN).await;
    let pending = "sprited_sink_events{sink=\"hook\",state=\"pending\"}";
    until(async || daemon.metric(pending).await > 39.5).await;
    site.command(&["events", "discard", "--sink", "hook", "--yes"]);
    let held = "sprited_sink_in_flight_events{sink=\"hook\"}";
    until(async || daemon.metric(held).await < 0.5).await;
    hook.set(Answer::Take);
    site.add_sprites(1);
    support::until(|| site.journaled(Some(EventState::Delivered)).len() == 1).await;
    daemon.stop().await;
    hook.assert_once(1);
    assert_eq!(site.journaled(Some(EventState::Unrouted)).len(), 40);
}

#[tokio::test]
async fn a_line_asked_for_while_the_daemon_was_away_is_written_again() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let (path, copy) = (site.path("sprites.jsonl"), site.path("copy"));
    let runs_until_there_are = async |count: usize| {
        let daemon = site.start();
        support::until(|| site.lines("sprites.jsonl").len() >= count).await;
        support::until(|| site.journaled(Some(EventState::Pending)).is_empty()).await;
        daemon.stop().await;
        assert_eq!(site.lines("sprites.jsonl").len(), count);
    };
    let redeliver = || {
        let done =
            site.command(&["events", "redeliver", "--sink", "sprites", "--since", "1h", "--yes"]);
        assert_eq!(done["sinks"][0]["redelivered"], 5);
    };
    site.add_sprites(5);
    runs_until_there_are(5).await;
    redeliver();
    runs_until_there_are(10).await;
    // The place that was recorded last is in no file any more.
    redeliver();
    std::fs::copy(&path, &copy).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    runs_until_there_are(15).await;
    // Written again and not recorded, as where a crash comes in between: once is enough.
    let journal = rusqlite::Connection::open(site.path("journal.db")).unwrap();
    let mark: String = journal.query_row("SELECT mark FROM sinks", [], |row| row.get(0)).unwrap();
    redeliver();
    runs_until_there_are(20).await;
    redeliver();
    journal.execute("UPDATE sinks SET mark = ?1", [&mark]).unwrap();
    runs_until_there_are(20).await;
    // What was found there counts as recorded from then on.
    redeliver();
    runs_until_there_are(25).await;
}

#[tokio::test]
async fn what_is_redelivered_is_no_lag() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    site.add_sprites(5);
    support::until(|| site.lines("sprites.jsonl").len() == 5).await;
    let lags = async || daemon.metric("sprited_delivery_lag_seconds_count{sink=\"sprites\"}").await;
    let delivered = "sprited_deliveries_total{sink=\"sprites\",outcome=\"delivered\"}";
    until(async || (lags().await - 5.0).abs() < 0.1).await;
    site.command(&["events", "redeliver", "--sink", "sprites", "--since", "1h", "--yes"]);
    until(async || daemon.metric(delivered).await > 9.5).await;
    assert!((lags().await - 5.0).abs() < 0.1);
    daemon.stop().await;
}

#[tokio::test]
async fn what_a_removed_sink_leaves_is_told_holds_up_nothing_and_waits_for_its_return() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let (sprites, hooked) = (file("sprites", "image-sprite"), hook.sink("hook", ""));
    let site = Site::new(&[sprites.clone(), hooked.clone()].concat()).await;
    let daemon = site.start();
    site.add_sprites(3);
    support::until(|| site.lines("sprites.jsonl").len() == 3).await;
    daemon.stop().await;
    assert_eq!(site.confirmed(), 0);

    site.configure("", &sprites);
    let daemon = site.start();
    let told = "the journal keeps events for a sink that is not configured: hand them to another one \
                with `sprited events redeliver --from OLD --sink NEW`, discard them with \
                `sprited events discard --sink OLD`, or configure one of that name";
    daemon.has_logged(told).await;
    assert_eq!(daemon.logged(told)[0]["sink"], "hook");
    site.drained().await;
    let mut check = Command::new(env!("CARGO_BIN_EXE_sprited"));
    check.args(["check", "--json", "--config"]).arg(site.path("sprited.toml"));
    let Ended { out, .. } = crate::cli::ended(&mut check);
    let report: Value = serde_json::from_str(&out).expect(&out);
    let steps = report["steps"].as_array().unwrap();
    let journal = steps.iter().find(|step| step["step"] == "journal").expect(&out);
    assert_eq!(journal["outcome"], "warn", "{journal}");
    let detail = journal["detail"].as_str().unwrap();
    assert!(detail.ends_with("for sinks that are not configured: 3 pending and 0 dead at hook"));
    daemon.stop().await;

    hook.set(Answer::Take);
    site.configure("", &[sprites, hooked].concat());
    let daemon = site.start();
    support::until(|| site.journaled(Some(EventState::Delivered)).len() == 3).await;
    daemon.stop().await;
    hook.assert_once(3);
}

/// A command that runs until it is killed, with what it says in a file.
struct Following(std::process::Child);

impl Drop for Following {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn tail_tells_of_events_as_they_come_and_of_what_becomes_of_them() {
    let hook = Receiver::start(Answer::Take).await;
    let site = Site::new(&hook.sink("hook", "")).await;
    let daemon = site.start();
    site.add_sprites(1);
    site.drained().await;
    hook.set(Answer::Refuse(500));
    site.add_sprites(2);
    support::until(|| site.journaled(Some(EventState::Pending)).len() == 2).await;
    let tail = |name: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sprited"));
        command.args(["tail", "--json", "--config"]).arg(site.path("sprited.toml")).args(more);
        let said = std::fs::File::create(site.path(name)).unwrap();
        Following(command.stdout(said).spawn().unwrap())
    };
    let all = tail("all", &["-n", "1"]);
    let delivered = tail("delivered", &["--state", "delivered", "--sink", "hook"]);
    let told = |name: &str, state: &str| {
        site.lines(name).iter().filter(|line| line["state"] == state).count()
    };
    // From what they tell first on, they follow.
    support::until(|| told("all", "pending") == 1 && told("delivered", "delivered") == 1).await;
    site.add_sprites(3);
    support::until(|| told("all", "pending") == 4).await;
    assert_eq!((site.lines("all").len(), site.lines("delivered").len()), (4, 1));
    hook.set(Answer::Take);
    support::until(|| told("all", "delivered") == 4 && told("delivered", "delivered") >= 4).await;
    let of = |name: &str| site.lines(name)[0]["sinks"][0]["sink"].clone();
    assert_eq!((of("all"), of("delivered")), ("hook".into(), "hook".into()));
    drop((all, delivered));
    daemon.stop().await;
}
