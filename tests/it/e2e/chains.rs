//! One sink after another, whatever an operator does meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use sprited::journal::EventState;

use super::receiver::{Answer, Receiver};
use super::{Site, file, ids, until};

/// What became of the event at the sink before, as a line of a file says.
fn states(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["data"]["after"]["state"].as_str().unwrap_or("none")).collect()
}

fn after(name: &str, before: &str, on: &str) -> String {
    format!("{}after = '{before}'\non = '{on}'\n", file(name, "*"))
}

/// What is pending at the hook stays so: it never answers.
async fn stuck(hook: &Receiver, more: &str) -> Site {
    let site = Site::new(&(hook.sink("hook", "events = ['*']\ntimeout = '6s'") + more)).await;
    hook.set(Answer::Hang);
    site
}

async fn pending(site: &Site, count: usize) {
    until(async || site.journaled(Some(EventState::Pending)).len() == count).await;
}

#[tokio::test]
async fn a_single_run_goes_on_until_the_last_of_a_chain_has_all() {
    let hook = Receiver::start(Answer::TakeAfter(Duration::from_millis(200))).await;
    let chain = after("second", "hook", "delivered") + &after("third", "second", "settled");
    let site = Site::new(&(hook.sink("hook", "events = ['*']") + &chain)).await;
    site.add_sprites(40);
    let ended = site.run(&["run", "--once"]).await;
    assert_eq!(ended.code, 0, "{}", ended.log);
    hook.assert_once(40);
    site.assert_once("second.jsonl", 40);
    site.assert_once("third.jsonl", 40);
    assert_eq!(site.confirmed(), 40);
    assert_eq!(site.run(&["audit"]).await.code, 0);
}

#[tokio::test]
async fn what_the_sink_before_does_not_want_goes_on_at_once() {
    let hook = Receiver::start(Answer::Take).await;
    let sinks = hook.sink("hook", "events = ['image-sprite']")
        + &after("all", "hook", "settled")
        + &after("dead", "hook", "dead");
    let site = Site::new(&sinks).await;
    let daemon = site.start();
    site.add_sprites(2);
    let other = r#"[{"EventType":"NewFileUpload","FileUploadEvent":{"FileId":"1"}}]"#;
    site.cloud.control.add(other).unwrap();
    site.drained().await;
    hook.assert_once(2);
    site.assert_once("all.jsonl", 3);
    let lines = site.lines("all.jsonl");
    let mut told = states(&lines);
    told.sort_unstable();
    assert_eq!(told, ["delivered", "delivered", "none"]);
    assert!(site.lines("dead.jsonl").is_empty());
    daemon.stop().await;
}

#[tokio::test]
async fn what_is_discarded_goes_on_as_that_and_what_waits_for_a_delivery_does_not() {
    let hook = Receiver::start(Answer::Take).await;
    let more = after("any", "hook", "settled") + &after("good", "hook", "delivered");
    let site = stuck(&hook, &more).await;
    let daemon = site.start();
    site.add_sprites(2);
    pending(&site, 2).await;
    assert_eq!(site.confirmed(), 0);
    let discard = ["events", "discard", "--sink", "hook", "--state", "pending", "--yes"];
    let ended = site.run(&discard).await;
    assert_eq!(ended.code, 0, "{}", ended.log);
    site.drained().await;
    site.assert_once("any.jsonl", 2);
    assert_eq!(states(&site.lines("any.jsonl")), ["discarded"; 2]);
    assert!(site.lines("good.jsonl").is_empty());
    // Asked for once more, it gets there; and nobody has it twice.
    hook.set(Answer::Take);
    for found in site.journaled(None) {
        let key = found.event.key.to_string();
        let ended = site.run(&["events", "redeliver", &key, "--sink", "hook", "--yes"]).await;
        assert_eq!(ended.code, 0, "{}", ended.log);
    }
    until(async || site.lines("good.jsonl").len() == 2).await;
    assert_eq!(states(&site.lines("good.jsonl")), ["delivered"; 2]);
    site.assert_once("any.jsonl", 2);
    // The one that comes after, asked for by itself, gets the newest.
    let key = site.journaled(None)[0].event.key.to_string();
    let again = ["events", "redeliver", &key, "--sink", "any", "--yes"];
    assert_eq!(site.run(&again).await.code, 0);
    until(async || site.lines("any.jsonl").len() == 3).await;
    assert_eq!(states(&site.lines("any.jsonl"))[2], "delivered");
    daemon.stop().await;
    assert_eq!(site.run(&["audit"]).await.code, 0);
}

#[tokio::test]
async fn what_a_removed_sink_had_pending_goes_on_as_skipped() {
    let hook = Receiver::start(Answer::Take).await;
    let site = stuck(&hook, &after("any", "hook", "settled")).await;
    let mut daemon = site.start();
    site.add_sprites(3);
    pending(&site, 3).await;
    // Renamed in every place.
    site.edit("'hook'", "'site'");
    daemon.signal(Signal::SIGHUP);
    daemon.has_logged("reloaded").await;
    site.drained().await;
    site.assert_once("any.jsonl", 3);
    assert_eq!(states(&site.lines("any.jsonl")), ["skipped"; 3]);
    daemon.insist(Signal::SIGTERM).await;
    assert_eq!(site.run(&["audit"]).await.code, 0);
}

#[tokio::test]
async fn reloads_that_add_and_remove_it_under_load_lose_and_repeat_nothing() {
    let hook = Receiver::start(Answer::TakeAfter(Duration::from_millis(5))).await;
    let site = Site::new(&(hook.sink("hook", "events = ['*']") + &file("last", "*"))).await;
    let (plain, chained) = ("last.jsonl'\nevents", "last.jsonl'\nafter = 'hook'\nevents");
    let daemon = site.start();
    daemon.has_logged("started").await;
    let mut made = 0;
    for round in 0..10_usize {
        made += 20;
        site.add_sprites(20);
        let (from, to) = if round % 2 == 0 { (plain, chained) } else { (chained, plain) };
        site.edit(from, to);
        daemon.signal(Signal::SIGHUP);
        until(async || daemon.logged("reloaded").len() == round + 1).await;
    }
    site.drained().await;
    hook.assert_once(made);
    site.assert_once("last.jsonl", made);
    let lines = site.lines("last.jsonl");
    let told: BTreeSet<_> = states(&lines).into_iter().collect();
    assert_eq!(told, BTreeSet::from(["delivered", "none"]));
    assert_eq!(ids(&lines).len(), made);
    assert_eq!(site.confirmed(), made as u64);
    daemon.stop().await;
    assert_eq!(site.run(&["audit"]).await.code, 0);
}

#[tokio::test]
async fn a_sink_that_is_taken_out_of_a_chain_breaks_it_nowhere() {
    let hook = Receiver::start(Answer::Take).await;
    let middle = after("middle", "hook", "settled");
    let site = stuck(&hook, &(middle.clone() + &after("last", "middle", "settled"))).await;
    let daemon = site.start();
    site.add_sprites(3);
    pending(&site, 3).await;
    let middle = middle.replace("DIR", site.folder.path().to_str().unwrap());
    site.edit(&middle, "");
    site.edit("after = 'middle'", "after = 'hook'");
    daemon.signal(Signal::SIGHUP);
    daemon.has_logged("reloaded").await;
    hook.set(Answer::Take);
    site.drained().await;
    site.assert_once("last.jsonl", 3);
    assert_eq!(states(&site.lines("last.jsonl")), ["skipped"; 3]);
    daemon.stop().await;
    assert_eq!(site.run(&["audit"]).await.code, 0);
}

#[tokio::test]
async fn one_that_gets_an_event_before_its_turn_is_followed_all_the_same() {
    let hook = Receiver::start(Answer::Take).await;
    let chain = after("middle", "hook", "settled") + &after("last", "middle", "settled");
    let site = stuck(&hook, &chain).await;
    let daemon = site.start();
    site.add_sprites(2);
    pending(&site, 2).await;
    let missing =
        ["events", "redeliver", "--sink", "middle", "--since", "1h", "--missing", "--yes"];
    assert_eq!(site.run(&missing).await.code, 0);
    let said = std::fs::read_to_string(site.path("stdout")).unwrap();
    assert!(said.contains("nothing to deliver again"), "what waits is not missing: {said}");
    let key = site.journaled(None)[0].event.key.to_string();
    assert_eq!(site.run(&["events", "redeliver", &key, "--sink", "middle", "--yes"]).await.code, 0);
    until(async || site.lines("last.jsonl").len() == 1).await;
    assert_eq!(site.confirmed(), 0);
    hook.set(Answer::Take);
    site.drained().await;
    site.assert_once("middle.jsonl", 2);
    site.assert_once("last.jsonl", 2);
    daemon.stop().await;
    assert_eq!(site.run(&["audit"]).await.code, 0);
}

#[tokio::test]
async fn what_is_discarded_everywhere_reaches_nobody() {
    let hook = Receiver::start(Answer::Take).await;
    let site = stuck(&hook, &after("any", "hook", "settled")).await;
    let mut daemon = site.start();
    site.add_sprites(2);
    pending(&site, 2).await;
    let key = site.journaled(None)[0].event.key.to_string();
    assert_eq!(site.run(&["events", "discard", &key, "--yes"]).await.code, 0);
    assert_eq!(site.run(&["events", "discard", "--state", "pending", "--yes"]).await.code, 0);
    site.drained().await;
    assert!(site.lines("any.jsonl").is_empty());
    daemon.insist(Signal::SIGTERM).await;
    assert_eq!(site.run(&["audit"]).await.code, 0);
}

#[tokio::test]
async fn a_single_run_ends_though_a_sink_that_follows_cannot_be_read_back() {
    let hook = Receiver::start(Answer::Take).await;
    let sinks = hook.sink("hook", "events = ['*']") + &after("last", "hook", "settled");
    let site = Site::new(&sinks).await;
    site.add_sprites(1);
    // It is opened, and found to be a folder when it is read.
    std::fs::create_dir(site.path("last.jsonl")).unwrap();
    let ended = site.run(&["run", "--once"]).await;
    assert_eq!(ended.code, 1, "{}", ended.log);
    hook.assert_once(1);
    assert_eq!(site.confirmed(), 0);
}

/// As the documents say: the old name's events are taken over by the new one.
#[tokio::test]
async fn a_renamed_sink_that_takes_over_is_followed() {
    let hook = Receiver::start(Answer::Take).await;
    let site = stuck(&hook, &after("good", "hook", "delivered")).await;
    let mut daemon = site.start();
    site.add_sprites(2);
    pending(&site, 2).await;
    site.edit("'hook'", "'site'");
    daemon.signal(Signal::SIGHUP);
    daemon.has_logged("reloaded").await;
    hook.set(Answer::Take);
    let over = ["events", "redeliver", "--from", "hook", "--sink", "site", "--yes"];
    assert_eq!(site.run(&over).await.code, 0);
    until(async || site.lines("good.jsonl").len() == 2).await;
    site.assert_once("good.jsonl", 2);
    daemon.insist(Signal::SIGTERM).await;
    assert_eq!(site.run(&["audit"]).await.code, 0);
}
