//! `sprited pause` and `resume`: pulling stops and goes on, over restarts, and all else goes on.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sprited::journal::JournalReader;

use super::callbacks::{Poster, seed};
use super::daemon::{Daemon, PROGRAM};
use super::receiver::{Answer, Receiver};
use super::{Site, file, until};
use crate::cli::{Ended, ended};

const PAUSED: &str = "pulling is paused; events wait in the cloud, for 4 days at most: `sprited \
                      resume` pulls them\n";
const SENTENCE: &str = "Pulling is paused by hand (the cloud keeps an event for 4 days); for ";

/// A command beside the daemon, which goes on meanwhile.
async fn command(site: &Site, arguments: &[&str]) -> Ended {
    let mut command = std::process::Command::new(PROGRAM);
    command.args(arguments).env("SPRITED_CONFIG", site.path("sprited.toml"));
    tokio::task::spawn_blocking(move || ended(&mut command)).await.unwrap()
}

/// What a command says that does what it is asked.
async fn said(site: &Site, arguments: &[&str]) -> String {
    let Ended { code, out, err } = command(site, arguments).await;
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
    out
}

/// Waits until pulls in flight have ended and, for five times as long as one takes, none has begun.
async fn is_quiet(site: &Site) {
    let calls = || site.cloud.control.totals().calls.get("PullEvents").cloned();
    until(async || {
        let before = calls();
        tokio::time::sleep(Duration::from_millis(500)).await;
        calls() == before && site.cloud.control.pulls_waiting() == 0
    })
    .await;
}

async fn status(daemon: &Daemon) -> Value {
    serde_json::from_str(&daemon.get("/status.json").await.1).unwrap()
}

#[tokio::test]
async fn a_pause_stays_over_a_restart_and_loses_nothing() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    site.add_sprites(5);
    until(async || site.confirmed() == 5).await;
    assert_eq!(daemon.metric("sprited_pulling_paused").await, 0.0);
    assert_eq!(said(&site, &["pause"]).await, PAUSED);
    assert_eq!(daemon.metric("sprited_pulling_paused").await, 1.0);
    assert_eq!(daemon.logged("pulling paused by hand")[0]["level"], "INFO");
    let again = said(&site, &["pause"]).await;
    assert!(again.starts_with("pulling is paused already, since 20"), "{again}");
    let again: Value = serde_json::from_str(&said(&site, &["pause", "--json"]).await).unwrap();
    let since = again["since"].as_str().unwrap().to_owned();
    let paused = json!({ "paused": true, "changed": false, "since": since, "daemon": true });
    assert_eq!(again, paused);
    assert_eq!(daemon.logged("pulling paused by hand").len(), 1);
    is_quiet(&site).await;
    site.add_sprites(7);

    let told = status(&daemon).await;
    assert!(told["sentence"].as_str().unwrap().starts_with(SENTENCE), "{told}");
    assert_eq!((&told["mood"], &told["ready"]), (&"degraded".into(), &true.into()));
    assert_eq!(told["cloud"]["paused_since"], since);
    assert_eq!(daemon.get("/readyz").await.0, 200);
    let text = daemon.get("/status.txt").await.1;
    assert!(
        text.contains("to do      sprited resume\n") && text.contains("paused by hand"),
        "{text}"
    );
    is_quiet(&site).await;
    daemon.stop().await;

    let daemon = site.start();
    let at_start = "pulling is paused by hand: events wait in the cloud, for 4 days at most; \
                    resume it with `sprited resume`";
    daemon.has_logged(at_start).await;
    assert_eq!(status(&daemon).await["cloud"]["paused_since"], since);
    assert_eq!(daemon.metric("sprited_pulling_paused").await, 1.0);
    assert!(daemon.metric("sprited_pulling_paused_age_seconds").await > 0.0);
    assert_eq!(daemon.get("/readyz").await.0, 200);
    let check = command(&site, &["check"]).await.out;
    assert!(check.contains("paused by hand: pulling since 20"), "{check}");
    is_quiet(&site).await;
    let totals = site.cloud.control.totals();
    assert_eq!((totals.waiting, totals.confirmed), (7, 5));
    site.assert_once("sprites.jsonl", 5);

    let resumed = said(&site, &["resume"]).await;
    assert!(resumed.starts_with("pulling is resumed; it was paused for "), "{resumed}");
    assert_eq!(daemon.get("/readyz").await.0, 200);
    until(async || site.confirmed() == 12).await;
    assert_eq!(said(&site, &["resume"]).await, "pulling is not paused\n");
    assert_eq!(daemon.logged("pulling resumed by hand").len(), 1);
    assert_eq!(daemon.metric("sprited_pulling_paused").await, 0.0);
    until(async || daemon.metric("sprited_pulling_paused_age_seconds").await == 0.0).await;
    assert_eq!(status(&daemon).await["cloud"]["paused_since"], Value::Null);
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 12);
}

#[tokio::test]
async fn deliveries_confirmations_posted_events_and_reloads_go_on() {
    let hook = Receiver::start(Answer::TakeWhenReleased).await;
    let site = Site::new(&hook.sink("hook", "")).await;
    // The lease is not to end on the way.
    site.set_lease(Duration::from_secs(30));
    site.receives("");
    let daemon = site.start();
    let poster = Poster::of(&daemon).await;
    site.add_sprites(3);
    until(async || hook.count() == 3).await;
    said(&site, &["pause"]).await;
    is_quiet(&site).await;
    hook.release();
    until(async || site.confirmed() == 3).await;
    assert_eq!(poster.post(&seed()).await.0, 200);
    until(async || hook.count() == 4).await;
    // What a reload changes of pulling does not resume it.
    site.edit("interval = '20ms'", "interval = '30ms'");
    site.add_sprites(2);
    daemon.signal(Signal::SIGHUP);
    until(async || daemon.metric("sprited_reloads_total{outcome=\"ok\"}").await == 1.0).await;
    is_quiet(&site).await;
    assert_eq!(site.cloud.control.totals().waiting, 2);
    assert_eq!(daemon.metric("sprited_pulling_paused").await, 1.0);
    daemon.stop().await;
    hook.assert_once(4);
}

#[tokio::test]
async fn where_no_daemon_runs_the_next_one_starts_paused() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let none = command(&site, &["pause"]).await;
    assert!(
        none.code == 74 && none.err.contains("the first `sprited run` creates it"),
        "{}",
        none.err
    );
    assert!(!site.path("journal.db.lock").exists());
    assert_eq!(site.run(&["run", "--once"]).await.code, 0);
    site.add_sprites(2);
    let paused = said(&site, &["pause"]).await;
    let told = "pulling is paused; no daemon runs: the pause holds when one starts; ";
    assert!(paused.starts_with(told), "{paused}");
    let again: Value = serde_json::from_str(&said(&site, &["pause", "--json"]).await).unwrap();
    assert_eq!((&again["changed"], &again["daemon"]), (&false.into(), &false.into()));

    let once = site.run(&["run", "--once"]).await;
    assert_eq!(once.code, 1, "{}", once.log);
    let last: Value = serde_json::from_str(once.log.lines().last().unwrap()).unwrap();
    let why =
        "the queue was not emptied: pulling is paused by hand; resume it with `sprited resume`";
    assert_eq!((&last["message"], &last["level"]), (&why.into(), &"ERROR".into()), "{last}");
    assert_eq!(site.cloud.control.totals().waiting, 2);

    let resumed = said(&site, &["resume"]).await;
    assert!(
        resumed.contains("it was paused for ") && resumed.ends_with("no daemon runs\n"),
        "{resumed}"
    );
    assert_eq!(site.run(&["run", "--once"]).await.code, 0);
    site.assert_once("sprites.jsonl", 2);
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_is_told_of_and_nothing_changes() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    std::fs::write(site.path("journal.db.sock"), "mine").unwrap();
    let daemon = site.start();
    daemon.has_logged("control socket cannot be made; commands cannot ask this daemon").await;
    for asked in [
        &["pause"][..],
        &["resume"],
        &["reload"],
        &["sinks", "list"],
        &["sinks", "test", "sprites"],
        &["sinks", "retry", "sprites"],
        &["sinks", "pause", "sprites"],
        &["sinks", "resume", "another"],
    ] {
        let Ended { code, err, .. } = command(&site, asked).await;
        assert!(
            code == 1
                && err.starts_with("sprited: a daemon has the journal ")
                && err.contains("journal.db.sock")
                && err.contains("nothing was changed"),
            "{asked:?}: {err}"
        );
    }
    site.add_sprites(2);
    until(async || site.confirmed() == 2).await;
    assert_eq!(daemon.metric("sprited_pulling_paused").await, 0.0);
    daemon.stop().await;
}

/// Whichever comes last: the journal and the puller have the same.
#[tokio::test]
async fn of_many_commands_at_once_the_last_one_counts() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let daemon = site.start();
    daemon.has_logged("started").await;
    until(async || site.path("journal.db.sock").exists()).await;
    for _ in 0..3 {
        let commands = (0..8).map(|number| {
            let asked = if number % 2 == 0 { "pause" } else { "resume" };
            let site = &site;
            async move { said(site, &[asked]).await }
        });
        futures_util::future::join_all(commands).await;
        let reader = JournalReader::open(&site.path("journal.db")).unwrap();
        let is_paused = !reader.paused().unwrap().is_empty();
        assert_eq!(daemon.metric("sprited_pulling_paused").await, f64::from(is_paused));
        let told = async || status(&daemon).await["cloud"]["paused_since"].is_string();
        until(async || told().await == is_paused).await;
        site.add_sprites(1);
        match is_paused {
            true => is_quiet(&site).await,
            false => site.drained().await,
        }
    }
    said(&site, &["resume"]).await;
    until(async || site.confirmed() == 3).await;
    daemon.stop().await;
}

/// Again and again while events come and are delivered, with a restart on the way.
#[tokio::test(flavor = "multi_thread")]
async fn under_load_each_event_arrives_once() {
    let hook = Receiver::start(Answer::TakeAfter(Duration::from_millis(20))).await;
    let site = Site::new(&[file("sprites", "image-sprite"), hook.sink("hook", "")].concat()).await;
    site.set_lease(Duration::from_secs(30));
    let mut daemon = site.start();
    let mut made = Vec::new();
    for round in 0..6 {
        made.extend(site.make_sprites(100));
        let before = site.confirmed();
        until(async || site.confirmed() > before).await;
        assert!(said(&site, &["pause"]).await.starts_with("pulling is paused; "));
        is_quiet(&site).await;
        let waiting = site.cloud.control.totals().waiting;
        made.extend(site.make_sprites(20));
        if round == 3 {
            daemon.stop().await;
            daemon = site.start();
            daemon.has_logged("started").await;
            until(async || site.path("journal.db.sock").exists()).await;
        }
        is_quiet(&site).await;
        assert!(site.cloud.control.totals().waiting >= 20, "{waiting} before");
        assert!(said(&site, &["resume"]).await.starts_with("pulling is resumed; "));
    }
    site.drained().await;
    until(async || site.confirmed() == made.len() as u64).await;
    daemon.stop().await;
    site.assert_equal_ledgers("sprites.jsonl", &made, 0);
    hook.assert_once(made.len());
}
