//! `sprited sinks`: what an operator asks of a sink, of a real daemon.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use sprited::journal::EventState;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::daemon::{Daemon, PROGRAM};
use super::receiver::{Answer, Receiver};
use super::{Site, file, until};
use crate::cli::{Ended, ended};

const DOWN: &str = "sink is down; its events wait in the journal";
const PAUSED: &str = "sink paused by hand; its events wait in the journal";

/// A command beside the daemon, which goes on meanwhile.
async fn sinks(site: &Site, arguments: &[&str]) -> Ended {
    let mut command = std::process::Command::new(PROGRAM);
    command.arg("sinks").args(arguments).env("SPRITED_CONFIG", site.path("sprited.toml"));
    tokio::task::spawn_blocking(move || ended(&mut command)).await.unwrap()
}

/// What a command says that ends so.
async fn said(site: &Site, code: i32, arguments: &[&str]) -> String {
    let Ended { code: found, out, err } = sinks(site, arguments).await;
    assert_eq!((found, err.as_str()), (code, ""), "{arguments:?}: {out}");
    out
}

async fn json(site: &Site, code: i32, arguments: &[&str]) -> Value {
    serde_json::from_str(&said(site, code, &[arguments, &["--json"]].concat()).await).unwrap()
}

/// Starts a daemon that can be asked.
async fn start(site: &Site) -> Daemon {
    let daemon = site.start();
    daemon.has_logged("started").await;
    until(async || sinks(site, &["list"]).await.code == 0).await;
    daemon
}

/// What counts: metrics of the sink and the sums of the journal.
async fn counts(site: &Site, daemon: &Daemon) -> Vec<String> {
    let (_, metrics) = daemon.get("/metrics").await;
    let of_interest = [
        "sprited_deliveries_total",
        "sprited_delivery_",
        "sprited_sink_up",
        "sprited_sink_paused",
        "sprited_sink_in_flight",
        "sprited_events_total",
    ];
    let is_counted = |line: &&str| {
        of_interest.iter().any(|name| line.starts_with(name)) && !line.contains("age_seconds")
    };
    let lines = metrics.lines().filter(is_counted).map(str::to_owned);
    let journal = rusqlite::Connection::open(site.path("journal.db")).unwrap();
    let mut select = journal
        .prepare(
            "SELECT 'c ' || name || sink || ' ' || value FROM counters
             UNION ALL SELECT 'p ' || sink || event || attempts FROM pending
             UNION ALL SELECT 'd ' || sink || event || attempts FROM dead
             UNION ALL SELECT 'a ' || sink || event || number FROM attempts
             UNION ALL SELECT 'r ' || sink || event FROM rejected ORDER BY 1",
        )
        .unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    lines.chain(rows.map(Result::unwrap)).collect()
}

/// Waits until nothing is in flight to the hook.
async fn is_quiet(daemon: &Daemon) {
    until(async || daemon.metric("sprited_sink_in_flight_events{sink=\"hook\"}").await == 0.0)
        .await;
}

fn count(site: &Site, state: EventState) -> usize {
    site.journaled(Some(state)).len()
}

#[tokio::test]
async fn an_unknown_sink_and_no_daemon_are_told() {
    let site = Site::new(&file("site", "*")).await;
    for arguments in [&["list"][..], &["test", "site"], &["retry", "site"]] {
        let Ended { code, err, .. } = sinks(&site, arguments).await;
        assert!(code == 1 && err.contains("no daemon answers at "), "{arguments:?}: {err}");
    }
    let Ended { code, err, .. } = sinks(&site, &["pause", "sita"]).await;
    assert_eq!(
        (code, err.as_str()),
        (64, "sprited: unknown sink \"sita\"; did you mean \"site\"?\n")
    );
    let Ended { code, err, .. } = sinks(&site, &["pause", "site"]).await;
    assert!(code == 74 && err.contains("the first `sprited run` creates it"), "{err}");
    let daemon = start(&site).await;
    for command in ["test", "retry", "pause", "resume"] {
        let Ended { code, err, .. } = sinks(&site, &[command, "sita"]).await;
        let told = "sprited: unknown sink \"sita\"; did you mean \"site\"?\n";
        assert_eq!((code, err.as_str()), (64, told), "{command}");
    }
    let Ended { err, .. } = sinks(&site, &["retry", "xyz"]).await;
    assert_eq!(err, "sprited: unknown sink \"xyz\"; the daemon has site\n");
    let Ended { code, err, .. } = sinks(&site, &["test", "site", "3f9a"]).await;
    let told = "sprited: the journal has no event whose key begins with 3f9a\n";
    assert_eq!((code, err.as_str()), (1, told));
    assert_eq!(sinks(&site, &["test", "site", "xyz"]).await.code, 64);
    daemon.stop().await;
}

#[tokio::test]
async fn a_list_tells_how_each_sink_is() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let site = Site::new(&[file("sprites", "image-sprite"), hook.sink("hook", "")].concat()).await;
    let daemon = start(&site).await;
    let first = said(&site, 0, &["list"]).await;
    assert!(first.starts_with("SINK"), "{first}");
    site.add_sprites(3);
    daemon.has_logged(DOWN).await;
    until(async || site.lines("sprites.jsonl").len() == 3).await;
    until(async || json_lines(&site).await[0]["pending"] == 3).await;
    let [hook_is, sprites] = &json_lines(&site).await[..] else { panic!("not two sinks") };
    assert_eq!((&hook_is["name"], &hook_is["state"]), (&"hook".into(), &"down".into()));
    assert!(hook_is["last_error"].as_str().unwrap().contains("500"), "{hook_is}");
    assert!(hook_is["next_try"].is_string() && hook_is["since"].is_string(), "{hook_is}");
    assert_eq!((&sprites["state"], &sprites["last_error"]), (&"up".into(), &Value::Null));
    said(&site, 0, &["pause", "sprites"]).await;
    let table = said(&site, 0, &["list"]).await;
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[1].starts_with("hook     down for ") && lines[1].contains("500"), "{table}");
    assert!(lines[2].starts_with("sprites  paused for "), "{table}");
    assert!(lines[3].starts_with("hook: it has accepted no event yet"), "{table}");
    daemon.stop().await;
}

async fn json_lines(site: &Site) -> Vec<Value> {
    let text = said(site, 0, &["list", "--json"]).await;
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_webhook_that_is_repaired_has_all_at_once_when_it_is_asked() {
    let hook = Receiver::start(Answer::Take).await;
    let site = Site::new(&hook.sink("hook", "")).await;
    let daemon = start(&site).await;
    assert_eq!(
        said(&site, 0, &["retry", "hook"]).await,
        "hook: nothing to deliver; nothing is pending\n"
    );
    site.add_sprites(1);
    until(async || site.confirmed() == 1).await;
    // It asks for a wait that no operator has the patience for.
    hook.set(Answer::RefuseLater(500, 3600));
    site.add_sprites(12);
    daemon.has_logged(DOWN).await;
    until(async || site.journaled(None).len() == 13).await;
    is_quiet(&daemon).await;
    let in_vain = said(&site, 1, &["retry", "hook"]).await;
    let lines: Vec<_> = in_vain.lines().collect();
    assert!(
        lines[0].starts_with(
            "hook is down: 1 delivery attempt failed; 12 events pending, next try in "
        ),
        "{in_vain}"
    );
    assert!(lines[1].starts_with("last error: http") && lines[1].contains("500"), "{in_vain}");

    hook.set(Answer::Take);
    let report = json(&site, 0, &["retry", "hook"]).await;
    assert_eq!((&report["delivered"], &report["pending"]), (&12.into(), &0.into()), "{report}");
    assert_eq!((&report["is_over"], &report["failed"]), (&true.into(), &0.into()), "{report}");
    hook.assert_once(13);
    until(async || site.confirmed() == 13).await;

    // A lone event fails at a sink that is up.
    hook.set(Answer::RefuseLater(503, 3600));
    site.add_sprites(1);
    until(async || site.journaled(None).len() == 14).await;
    assert_eq!(json(&site, 1, &["retry", "hook"]).await["failed"], 1);
    hook.set(Answer::Take);
    let taken = said(&site, 0, &["retry", "hook"]).await;
    assert_eq!(taken, "hook: 1 event delivered; nothing is pending\n");
    daemon.stop().await;
    hook.assert_once(14);
}

#[tokio::test]
async fn what_was_under_way_when_it_was_asked_for_says_nothing() {
    let hook = Receiver::start(Answer::Hang).await;
    let site = Site::new(&hook.sink("hook", "timeout = '10s'")).await;
    let daemon = start(&site).await;
    site.add_sprites(3);
    until(async || hook.asked() >= 3).await;
    hook.set(Answer::Take);
    // They hang still, and fail while it waits.
    let report = json(&site, 0, &["retry", "hook"]).await;
    assert_eq!((&report["delivered"], &report["failed"]), (&3.into(), &0.into()), "{report}");
    hook.assert_once(3);
    daemon.stop().await;
}

#[tokio::test]
async fn rejections_are_accepted_of_what_waits_and_of_nothing_that_comes() {
    let hook = Receiver::start(Answer::Take).await;
    let site = Site::new(&hook.sink("hook", "events = ['*']")).await;
    let daemon = start(&site).await;
    site.add_sprites(1);
    until(async || site.confirmed() == 1).await;
    hook.set(Answer::Refuse(422));
    site.add_sprites(60);
    daemon.has_logged(DOWN).await;
    until(async || site.journaled(None).len() == 61 && count(&site, EventState::Dead) == 20).await;
    let braked = said(&site, 1, &["retry", "hook"]).await;
    let lines: Vec<_> = braked.lines().collect();
    assert!(lines[0].starts_with("hook is down: "), "{braked}");
    assert!(lines[2].contains("sprited sinks retry hook --accept-rejects"), "{braked}");
    assert_eq!(count(&site, EventState::Dead), 20);

    hook.set(Answer::Refuse(500));
    let told = said(&site, 1, &["retry", "hook", "--accept-rejects"]).await;
    let still = "rejections of the events that wait now still make dead letters, until none of them is \
                 left or the daemon restarts\n";
    assert!(told.starts_with("hook is down: ") && told.contains(still), "{told}");
    hook.set(Answer::Refuse(422));
    let report = json(&site, 0, &["retry", "hook", "--accept-rejects"]).await;
    assert_eq!((&report["dead"], &report["pending"]), (&40.into(), &0.into()), "{report}");
    assert_eq!(&report["state"], "up", "{report}");
    until(async || count(&site, EventState::Dead) == 60).await;
    // No restart brings the brake back.
    daemon.stop().await;
    let daemon = start(&site).await;
    assert_eq!(json_lines(&site).await[0]["state"], "up");
    // The next twenty put it on again.
    site.add_sprites(40);
    daemon.has_logged(DOWN).await;
    until(async || count(&site, EventState::Dead) == 80).await;
    hook.set(Answer::Take);
    said(&site, 0, &["retry", "hook"]).await;
    until(async || count(&site, EventState::Delivered) == 21).await;
    assert_eq!(count(&site, EventState::Dead), 80);
    daemon.stop().await;
}

#[tokio::test]
async fn rejections_are_accepted_of_a_sink_that_has_never_taken_anything() {
    let hook = Receiver::start(Answer::Refuse(422)).await;
    let site = Site::new(&hook.sink("hook", "")).await;
    let daemon = start(&site).await;
    site.add_sprites(30);
    daemon.has_logged(DOWN).await;
    until(async || site.journaled(None).len() == 30).await;
    let taken = said(&site, 0, &["retry", "hook", "--accept-rejects"]).await;
    let lines: Vec<_> = taken.lines().collect();
    assert_eq!(lines[0], "hook: 30 events rejected, now dead letters; nothing is pending");
    assert!(lines[1].starts_with("last error: ") && lines[1].contains("422"), "{taken}");
    until(async || count(&site, EventState::Dead) == 30).await;
    site.add_sprites(5);
    until(async || json_lines(&site).await[0]["state"] == "down").await;
    assert_eq!(count(&site, EventState::Dead), 30);
    daemon.stop().await;
}

#[tokio::test]
async fn a_pause_stays_over_a_restart_and_a_reload_and_is_no_alarm() {
    let hook = Receiver::start(Answer::Take).await;
    let sinks_of = |more: &str| [file("sprites", "*"), hook.sink("hook", more)].concat();
    let site = Site::new(&sinks_of("")).await;
    let mut daemon = start(&site).await;
    site.add_sprites(2);
    until(async || site.confirmed() == 2).await;
    let paused = said(&site, 0, &["pause", "hook"]).await;
    let told = "the sink hook is paused; its events wait in the journal: `sprited sinks resume hook` \
                delivers them\n";
    assert_eq!(paused, told);
    let again = said(&site, 0, &["pause", "hook"]).await;
    assert!(again.starts_with("the sink hook is paused already, since 20"), "{again}");
    assert_eq!(daemon.logged(PAUSED).len(), 1);
    site.add_sprites(7);
    until(async || site.lines("sprites.jsonl").len() == 9).await;
    let tried = said(&site, 1, &["retry", "hook"]).await;
    assert!(tried.starts_with("hook has been paused by hand for "), "{tried}");

    let is_shown = async |daemon: &Daemon| {
        until(async || daemon.get("/readyz").await.0 == 200).await;
        assert_eq!(daemon.metric("sprited_sink_paused{sink=\"hook\"}").await, 1.0);
        assert_eq!(daemon.metric("sprited_sink_up{sink=\"hook\"}").await, 1.0);
        assert_eq!(daemon.metric("sprited_sink_paused{sink=\"sprites\"}").await, 0.0);
        let text = daemon.get("/status.txt").await.1;
        assert!(text.contains("Sink hook is paused by hand"), "{text}");
        assert!(text.contains("to do      sprited sinks resume hook\n"), "{text}");
        let status: Value = serde_json::from_str(&daemon.get("/status.json").await.1).unwrap();
        assert_eq!((&status["mood"], &status["ready"]), (&"good".into(), &true.into()), "{status}");
        let of_hook = status["sinks"].as_array().unwrap().iter().find(|of| of["name"] == "hook");
        assert_eq!(of_hook.unwrap()["state"], "paused");
        assert!(of_hook.unwrap()["paused_since"].is_string());
        let page = daemon.get("/").await.1;
        assert!(page.contains("paused by hand for "), "{page}");
    };
    until(async || {
        daemon.metric("sprited_sink_events{sink=\"hook\",state=\"pending\"}").await == 7.0
    })
    .await;
    is_shown(&daemon).await;

    daemon.stop().await;
    daemon = start(&site).await;
    daemon.has_logged("sink is paused by hand; its events wait in the journal").await;
    is_shown(&daemon).await;
    // A sink that a reload replaces stays paused.
    site.configure("", &sinks_of("max_in_flight = 3"));
    daemon.signal(Signal::SIGHUP);
    daemon.has_logged("reloaded").await;
    until(async || json_lines(&site).await[0]["state"] == "paused").await;
    is_shown(&daemon).await;
    assert_eq!(hook.asked(), 2);

    let resumed = said(&site, 0, &["resume", "hook"]).await;
    assert!(resumed.starts_with("the sink hook is resumed; it was paused for "), "{resumed}");
    assert_eq!(said(&site, 0, &["resume", "hook"]).await, "the sink hook is not paused\n");
    until(async || hook.count() == 9 && site.confirmed() == 9).await;
    assert_eq!(daemon.metric("sprited_sink_paused{sink=\"hook\"}").await, 0.0);
    assert!(daemon.logged(DOWN).is_empty());
    daemon.stop().await;
    hook.assert_once(9);
    site.assert_once("sprites.jsonl", 9);
}

#[tokio::test]
async fn a_sink_that_is_down_and_paused_is_not_down_and_catches_up_when_it_is_resumed() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let site = Site::new(&hook.sink("hook", "")).await;
    let daemon = start(&site).await;
    site.add_sprites(9);
    daemon.has_logged(DOWN).await;
    said(&site, 0, &["pause", "hook"]).await;
    assert_eq!(daemon.metric("sprited_sink_up{sink=\"hook\"}").await, 1.0);
    until(async || site.journaled(None).len() == 9).await;
    is_quiet(&daemon).await;
    let asked = hook.asked();
    assert_eq!(json_lines(&site).await[0]["next_try"], Value::Null);
    hook.set(Answer::Take);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(hook.asked(), asked);
    said(&site, 0, &["resume", "hook"]).await;
    until(async || site.confirmed() == 9).await;
    daemon.stop().await;
    hook.assert_once(9);
}

#[tokio::test]
async fn a_sink_that_is_not_configured_any_more_is_resumed_by_its_name() {
    let hook = Receiver::start(Answer::Take).await;
    let sprites = file("sprites", "*");
    let both = || [sprites.clone(), hook.sink("hook", "")].concat();
    let site = Site::new(&both()).await;
    for runs in [true, false] {
        site.configure("", &both());
        let daemon = start(&site).await;
        said(&site, 0, &["pause", "hook"]).await;
        daemon.stop().await;
        site.configure("", &sprites);
        let daemon = if runs { Some(start(&site).await) } else { None };
        assert_eq!(sinks(&site, &["pause", "hook"]).await.code, 64);
        let resumed = said(&site, 0, &["resume", "hook"]).await;
        assert!(resumed.starts_with("the sink hook is resumed; it was paused for "), "{resumed}");
        let Ended { code, err, .. } = sinks(&site, &["resume", "hook"]).await;
        assert!(code == 64 && err.contains("unknown sink \"hook\""), "{err}");
        if let Some(daemon) = daemon {
            daemon.stop().await;
        }
    }
}

#[tokio::test]
async fn run_once_does_not_wait_for_a_sink_that_is_paused() {
    let hook = Receiver::start(Answer::Take).await;
    let site = Site::new(&[file("sprites", "*"), hook.sink("hook", "")].concat()).await;
    assert_eq!(site.run(&["run", "--once"]).await.code, 0);
    let paused = said(&site, 0, &["pause", "hook"]).await;
    assert!(paused.contains("no daemon runs: the pause holds when one starts"), "{paused}");
    site.add_sprites(3);
    let once = site.run(&["run", "--once"]).await;
    assert_eq!(once.code, 1, "{}", once.log);
    let last: Value = serde_json::from_str(once.log.lines().last().unwrap()).unwrap();
    assert_eq!(last["sinks"], "hook: 3 pending, paused by hand (sprited sinks resume hook)");
    assert_eq!(last["message"], "deliveries stay pending until their sinks are resumed");
    assert!(!once.log.contains("retried by the next run"), "{}", once.log);
    site.assert_once("sprites.jsonl", 3);
    assert_eq!(hook.asked(), 0);
    said(&site, 0, &["resume", "hook"]).await;
    until(async || site.run(&["run", "--once"]).await.code == 0).await;
    hook.assert_once(3);
}

#[tokio::test]
async fn a_test_says_what_the_sink_says_and_leaves_no_trace() {
    let hook = Receiver::start(Answer::Take).await;
    let exec = "[[sinks]]\nname = 'program'\ntype = 'exec'\nevents = ['*']\n\
                command = ['/bin/sh', '-c', 'cat >> DIR/tested; test ! -e DIR/refuse']\n";
    let sinks_of = [file("lines", "*"), hook.sink("hook", "events = ['*']"), exec.to_owned()];
    let site = Site::new(&sinks_of.concat()).await;
    let daemon = start(&site).await;
    site.add_sprites(2);
    until(async || site.confirmed() == 2).await;
    let key = site.journaled(None)[0].event.key.to_string();
    until(async || daemon.metric("sprited_sink_in_flight_events{sink=\"hook\"}").await == 0.0)
        .await;
    // That they are confirmed is the last that is written of them, and not at once.
    let confirmed = "c confirmed0 2".to_owned();
    until(async || counts(&site, &daemon).await.contains(&confirmed)).await;
    is_quiet(&daemon).await;
    let before = counts(&site, &daemon).await;

    let sample = said(&site, 0, &["test", "hook"]).await;
    let lines: Vec<_> = sample.lines().collect();
    assert_eq!(lines[0], "sink     hook");
    assert!(
        lines[1].starts_with("event    SpritedTest ")
            && lines[1].ends_with(", a sample that says it is a test"),
        "{sample}"
    );
    assert_eq!(lines[2], "answer   the sink took it");
    assert!(lines[3].starts_with("time     ") && lines[3].ends_with("ms"), "{sample}");
    assert_eq!((lines[4], lines.len()), ("verdict  delivered", 5));
    let taken = hook.taken().pop().unwrap();
    assert_eq!(taken["type"], "com.tencentcloud.vod.SpritedTest", "{taken}");
    let stored = json(&site, 0, &["test", "hook", &key[..10]]).await;
    assert_eq!((&stored["event"], &stored["is_sample"]), (&key.clone().into(), &false.into()));
    assert_eq!(hook.counts()[&key], 2);
    for sink in ["lines", "program"] {
        assert_eq!(json(&site, 0, &["test", sink]).await["verdict"], "delivered");
        assert_eq!(json(&site, 0, &["test", sink, &key]).await["event"], key);
    }
    assert_eq!(site.lines("lines.jsonl").len(), 4);

    // Bad ones, as often as would take it down or put its brake on.
    hook.set(Answer::RefuseWith(500, "oops"));
    let failed = said(&site, 1, &["test", "hook"]).await;
    assert!(failed.contains("500") && failed.contains("oops"), "{failed}");
    assert!(failed.ends_with("verdict  failed: an event would be tried again\n"), "{failed}");
    hook.set(Answer::Refuse(422));
    for _ in 0..25 {
        assert_eq!(json(&site, 1, &["test", "hook"]).await["verdict"], "reject");
    }
    std::fs::write(site.path("refuse"), "").unwrap();
    assert_eq!(json(&site, 1, &["test", "program", &key]).await["verdict"], "retry");
    let after = counts(&site, &daemon).await;
    let others: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert_eq!((others, after.len()), (vec![], before.len()));
    assert!(daemon.logged(DOWN).is_empty());

    std::fs::remove_file(site.path("refuse")).unwrap();

    // Also while it is paused, and while it is down.
    said(&site, 0, &["pause", "hook"]).await;
    hook.set(Answer::Take);
    assert_eq!(json(&site, 0, &["test", "hook"]).await["verdict"], "delivered");
    hook.set(Answer::Refuse(500));
    said(&site, 0, &["resume", "hook"]).await;
    site.add_sprites(9);
    daemon.has_logged(DOWN).await;
    assert_eq!(json(&site, 1, &["test", "hook", &key]).await["verdict"], "retry");
    hook.set(Answer::Take);
    said(&site, 0, &["retry", "hook"]).await;
    until(async || site.confirmed() == 11).await;
    daemon.stop().await;
}

/// The lines of a test are in the file, and a start that reads it back knows all the others.
#[tokio::test]
async fn a_file_that_was_tested_is_read_back_rightly_after_a_kill() {
    let site = Site::new(&file("lines", "*")).await;
    let mut daemon = start(&site).await;
    let mut sprites = 0;
    for round in 1..=3 {
        site.add_sprites(40);
        sprites += 40;
        let key = until_stored(&site).await;
        assert_eq!(json(&site, 0, &["test", "lines"]).await["verdict"], "delivered");
        assert_eq!(json(&site, 0, &["test", "lines", &key]).await["verdict"], "delivered");
        if round == 2 {
            said(&site, 0, &["pause", "lines"]).await;
            assert_eq!(json(&site, 0, &["test", "lines"]).await["verdict"], "delivered");
        }
        daemon.signal(Signal::SIGKILL);
        daemon.ended_within(Duration::from_secs(20)).await;
        daemon = start(&site).await;
        if round == 2 {
            // Before anything else is done with the file.
            assert_eq!(json(&site, 0, &["test", "lines"]).await["verdict"], "delivered");
            said(&site, 0, &["resume", "lines"]).await;
        }
        until(async || count(&site, EventState::Delivered) == sprites).await;
    }
    daemon.stop().await;
    let lines = site.lines("lines.jsonl");
    let is_sample = |line: &&Value| line["type"] == "com.tencentcloud.vod.SpritedTest";
    assert_eq!(lines.iter().filter(is_sample).count(), 5);
    // Each event once, but for the three that were tested.
    assert_eq!(lines.len(), 120 + 5 + 3);
    assert!(super::ids(&lines).len() == 120 + 5);
}

/// Waits for an event and returns its key.
async fn until_stored(site: &Site) -> String {
    until(async || !site.journaled(Some(EventState::Delivered)).is_empty()).await;
    site.journaled(Some(EventState::Delivered))[0].event.key.to_string()
}

/// Before anything is delivered, the file has to be read back.
#[tokio::test]
async fn a_sink_that_cannot_be_read_back_is_asked_again_when_somebody_says_so() {
    let site = Site::new(&file("lines", "*").replace("DIR/lines", "DIR/out/lines")).await;
    std::fs::create_dir(site.path("out")).unwrap();
    let daemon = start(&site).await;
    site.add_sprites(2);
    until(async || site.confirmed() == 2).await;
    daemon.stop().await;
    std::fs::rename(site.path("out"), site.path("away")).unwrap();

    let daemon = start(&site).await;
    daemon.has_logged(DOWN).await;
    site.add_sprites(3);
    until(async || site.journaled(None).len() == 5).await;
    let tested = said(&site, 1, &["test", "lines"]).await;
    assert!(tested.contains("No such file or directory"), "{tested}");
    let tried = said(&site, 1, &["retry", "lines"]).await;
    assert!(tried.starts_with("lines is down: 1 delivery attempt failed; "), "{tried}");
    assert!(tried.contains("No such file or directory"), "{tried}");
    // It is no alarm while it is paused, and is not asked.
    said(&site, 0, &["pause", "lines"]).await;
    assert_eq!(json_lines(&site).await[0]["state"], "paused");
    assert_eq!(json(&site, 1, &["test", "lines"]).await["verdict"], "retry");
    assert_eq!(daemon.metric("sprited_sink_up{sink=\"lines\"}").await, 1.0);
    said(&site, 0, &["resume", "lines"]).await;
    until(async || json_lines(&site).await[0]["state"] == "down").await;

    std::fs::rename(site.path("away"), site.path("out")).unwrap();
    said(&site, 0, &["retry", "lines"]).await;
    until(async || site.confirmed() == 5).await;
    assert_eq!(site.lines("out/lines.jsonl").len(), 5);
    daemon.stop().await;
}

/// Pauses, tests and retries while events come, with a kill on the way.
#[tokio::test(flavor = "multi_thread")]
async fn under_load_each_event_arrives_once_whatever_is_asked() {
    let hook = Receiver::start(Answer::TakeAfter(Duration::from_millis(5))).await;
    let site = Site::new(&[file("lines", "*"), hook.sink("hook", "")].concat()).await;
    site.set_lease(Duration::from_secs(30));
    let mut daemon = start(&site).await;
    let mut made = Vec::new();
    for round in 0..5 {
        made.extend(site.make_sprites(100));
        for sink in ["lines", "hook"] {
            assert!(said(&site, 0, &["pause", sink]).await.contains(" is paused; "));
            assert_eq!(json(&site, 0, &["test", sink]).await["verdict"], "delivered");
        }
        made.extend(site.make_sprites(100));
        if round % 2 == 1 {
            daemon.stop().await;
            daemon = start(&site).await;
        }
        for sink in ["lines", "hook"] {
            assert!(said(&site, 0, &["resume", sink]).await.contains(" is resumed; "));
            said(&site, 0, &["retry", sink]).await;
        }
    }
    site.drained().await;
    until(async || site.confirmed() == made.len() as u64).await;
    daemon.stop().await;
    let lines = site.lines("lines.jsonl");
    assert_eq!((lines.len(), super::ids(&lines).len()), (made.len() + 5, made.len() + 5));
    let counts = hook.counts();
    assert_eq!(counts.len(), made.len() + 5);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

/// A sink that hangs keeps nobody from asking for something else.
#[tokio::test]
async fn tests_leave_room_for_other_commands() {
    let hook = Receiver::start(Answer::Hang).await;
    let site = Site::new(&hook.sink("hook", "timeout = '60s'")).await;
    let mut daemon = start(&site).await;
    let mut testing = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let mut stream = UnixStream::connect(site.path("journal.db.sock")).await.unwrap();
        stream.write_all(b"{\"command\":\"sink-test\",\"sink\":\"hook\"}\n").await.unwrap();
        testing.spawn(async move {
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).await.unwrap();
            answer
        });
    }
    for _ in 0..8 {
        let answer = testing.join_next().await.unwrap().unwrap();
        assert!(answer.contains("8 tests are under way: try again"), "{answer}");
    }
    let Ended { code, err, .. } = sinks(&site, &["test", "hook"]).await;
    assert_eq!((code, err.as_str()), (1, "sprited: 8 tests are under way: try again\n"));
    said(&site, 0, &["list"]).await;
    said(&site, 0, &["pause", "hook"]).await;
    daemon.signal(Signal::SIGTERM);
    for answer in testing.join_all().await {
        assert!(answer.contains("the daemon is stopping"), "{answer}");
    }
    assert_eq!(daemon.ended_within(Duration::from_secs(27)).await, 0);
}

#[tokio::test]
async fn whoever_waits_for_a_test_is_told_that_the_daemon_stops() {
    let hook = Receiver::start(Answer::Hang).await;
    let site = Site::new(&hook.sink("hook", "timeout = '60s'")).await;
    let mut daemon = start(&site).await;
    let test = async {
        let Ended { code, err, .. } = sinks(&site, &["test", "hook"]).await;
        assert_eq!((code, err.as_str()), (1, "sprited: the daemon is stopping\n"));
    };
    let stop = async {
        until(async || hook.asked() == 1).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.ended_within(Duration::from_secs(27)).await, 0);
    };
    tokio::join!(test, stop);
}
