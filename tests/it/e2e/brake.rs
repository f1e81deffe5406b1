//! A receiver that refuses every event for good: that says something of the receiver, and makes few
//! dead letters.

use std::collections::HashSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use sprited::journal::{EventId, EventState};

use super::daemon::Daemon;
use super::receiver::{Answer, Receiver};
use super::{Site, until};
use crate::support;

const DOWN: &str = "sink is down; its events wait in the journal";
const UP: &str = "sink is up again";
const GIVEN_UP: &str = "event given up; it is a dead letter of this sink";

/// A site whose sink has taken an event, so that a rejection may prove a bad one.
async fn proven(more: &str) -> (Site, Receiver, Daemon) {
    let hook = Receiver::start(Answer::Take).await;
    let site = Site::new(&hook.sink("hook", &format!("events = ['*']\n{more}"))).await;
    let daemon = site.start();
    site.add_sprites(1);
    support::until(|| dead_and_delivered(&site) == (0, 1)).await;
    (site, hook, daemon)
}

/// Makes events that no receiver likes.
fn add_odd(site: &Site, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let event = format!(r#"{{"EventType":"Odd","OddEvent":{{"TaskId":"odd-{n}"}}}}"#);
        site.cloud.control.add(&event).unwrap();
    }
}

fn count(site: &Site, state: EventState) -> usize {
    site.journaled(Some(state)).len()
}

fn dead_and_delivered(site: &Site) -> (usize, usize) {
    (count(site, EventState::Dead), count(site, EventState::Delivered))
}

fn dead(site: &Site) -> HashSet<EventId> {
    site.journaled(Some(EventState::Dead)).iter().map(|found| found.id).collect()
}

/// Waits until the daemon has asked so many times more.
async fn asked_more(hook: &Receiver, more: usize) {
    let asked = hook.asked();
    support::until(|| hook.asked() >= asked + more).await;
}

#[tokio::test]
async fn a_receiver_that_refuses_everything_makes_twenty_dead_letters_and_gets_the_rest() {
    let (site, hook, daemon) = proven("").await;
    hook.set(Answer::Refuse(422));
    site.add_sprites(100);
    daemon.has_logged(DOWN).await;
    site.add_sprites(100);
    support::until(|| site.journaled(None).len() == 201).await;
    // Those that were under way as well, and some probes.
    asked_more(&hook, 2).await;
    assert_eq!(dead_and_delivered(&site), (20, 1));
    assert!(hook.asked() < 1 + 20 + 32 + 10, "asked {} times", hook.asked());
    assert!(daemon.metric("sprited_sink_up{sink=\"hook\"}").await < 0.5);
    let down = &daemon.logged(DOWN)[0];
    assert!(down["error"].as_str().unwrap().contains("422"), "{down}");
    let hint = down["hint"].as_str().unwrap();
    assert!(hint.contains("20 different events") && hint.contains("max_rejects"), "{down}");
    let died = dead(&site);

    // A restart keeps the brake on.
    daemon.stop().await;
    let daemon = site.start();
    asked_more(&hook, 3).await;
    assert_eq!(dead(&site), died);
    assert_eq!(daemon.logged(DOWN).len(), 1);

    hook.set(Answer::Take);
    support::until(|| dead_and_delivered(&site) == (20, 181)).await;
    assert_eq!((dead(&site), daemon.logged(UP).len()), (died, 1));
    hook.assert_once(181);
    site.drained().await;
    // The count begins anew: it takes others.
    hook.set(Answer::RejectIf("odd-"));
    add_odd(&site, 0..1);
    support::until(|| dead_and_delivered(&site) == (21, 181)).await;
    daemon.stop().await;
}

/// What stands at its address is another service, say.
#[tokio::test]
async fn a_receiver_that_has_never_taken_anything_makes_no_dead_letter() {
    let hook = Receiver::start(Answer::Refuse(422)).await;
    let site = Site::new(&hook.sink("hook", "")).await;
    let daemon = site.start();
    site.add_sprites(60);
    daemon.has_logged(DOWN).await;
    support::until(|| site.journaled(None).len() == 60).await;
    asked_more(&hook, 2).await;
    daemon.stop().await;
    let daemon = site.start();
    asked_more(&hook, 3).await;
    daemon.has_logged(DOWN).await;
    assert_eq!(dead_and_delivered(&site), (0, 0));
    assert!(hook.asked() < 32 + 20, "asked {} times", hook.asked());
    let hint = daemon.logged(DOWN)[0]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("has accepted no event yet"), "{hint}");
    hook.set(Answer::Take);
    support::until(|| dead_and_delivered(&site) == (0, 60)).await;
    hook.assert_once(60);
    daemon.stop().await;
}

#[tokio::test]
async fn what_was_rejected_before_a_restart_counts_and_an_event_counts_once() {
    let (site, hook, daemon) = proven("").await;
    hook.set(Answer::Refuse(422));
    site.add_sprites(19);
    support::until(|| dead_and_delivered(&site) == (19, 1)).await;
    assert!(daemon.logged(DOWN).is_empty());
    daemon.stop().await;
    let daemon = site.start();
    // The same ones, refused once more, are no others.
    site.command(&["events", "redeliver", "--state", "dead", "--yes"]);
    support::until(|| hook.asked() >= 1 + 19 + 19).await;
    support::until(|| dead_and_delivered(&site) == (19, 1)).await;
    assert!(daemon.logged(DOWN).is_empty());
    site.add_sprites(1);
    daemon.has_logged(DOWN).await;
    support::until(|| dead_and_delivered(&site) == (20, 1)).await;
    site.add_sprites(5);
    asked_more(&hook, 2).await;
    assert_eq!(dead_and_delivered(&site), (20, 1));
    // Nothing dies while the brake is on, by whatever hand it comes.
    let done = site.command(&["events", "redeliver", "--state", "dead", "--yes"]);
    assert_eq!(done["sinks"][0]["redelivered"], 20);
    asked_more(&hook, 2).await;
    assert_eq!(dead_and_delivered(&site), (0, 1));
    hook.set(Answer::Take);
    support::until(|| dead_and_delivered(&site) == (0, 26)).await;
    daemon.stop().await;
}

#[tokio::test]
async fn bad_events_among_good_ones_are_dead_letters_at_once_however_many() {
    let (site, hook, daemon) = proven("max_in_flight = 4").await;
    hook.set(Answer::RejectIf("odd-"));
    for n in 0..30 {
        add_odd(&site, n..n + 1);
        support::until(|| count(&site, EventState::Dead) == n + 1).await;
        site.add_sprites(1);
        support::until(|| count(&site, EventState::Delivered) == n + 2).await;
    }
    add_odd(&site, 30..38);
    support::until(|| dead_and_delivered(&site) == (38, 31)).await;
    assert_eq!(hook.asked(), 38 + 31, "none is tried twice");
    assert!(daemon.logged(DOWN).is_empty());
    // Within a minute some are named, the others counted.
    assert!((5..=23).contains(&daemon.logged(GIVEN_UP).len()));
    daemon.stop().await;
}

#[tokio::test]
async fn max_rejects_is_the_sinks_own_and_a_reload_takes_it_over() {
    let (site, hook, daemon) = proven("max_rejects = 3").await;
    hook.set(Answer::Refuse(413));
    site.add_sprites(40);
    daemon.has_logged(DOWN).await;
    asked_more(&hook, 1).await;
    support::until(|| dead_and_delivered(&site) == (3, 1)).await;
    // Two more until it is on again.
    site.edit("max_rejects = 3", "max_rejects = 5");
    daemon.reload().await;
    support::until(|| dead_and_delivered(&site) == (5, 1)).await;
    // The events are bad indeed.
    site.edit("max_rejects = 5", "max_rejects = 'off'");
    daemon.reload().await;
    support::until(|| dead_and_delivered(&site) == (40, 1)).await;
    site.drained().await;
    until(async || daemon.metric("sprited_sink_up{sink=\"hook\"}").await > 0.5).await;
    // A storm of dead letters is no storm of lines.
    assert!(daemon.logged(GIVEN_UP).len() <= 5 + 5);
    // Back again, it goes on where it was.
    site.edit("max_rejects = 'off'", "max_rejects = 5");
    daemon.reload().await;
    site.add_sprites(10);
    asked_more(&hook, 1).await;
    assert_eq!(dead_and_delivered(&site), (40, 1));
    hook.set(Answer::Take);
    support::until(|| dead_and_delivered(&site) == (40, 11)).await;
    daemon.stop().await;
}

#[tokio::test]
async fn what_is_discarded_while_the_brake_is_on_is_gone_and_lifts_nothing() {
    let (site, hook, daemon) = proven("max_rejects = 2").await;
    hook.set(Answer::Refuse(422));
    site.add_sprites(12);
    daemon.has_logged(DOWN).await;
    let pending = || count(&site, EventState::Pending);
    support::until(|| site.journaled(None).len() == 13 && pending() == 10).await;
    let done =
        site.command(&["events", "discard", "--sink", "hook", "--state", "pending", "--yes"]);
    assert_eq!(done["sinks"][0]["discarded"], 10);
    site.drained().await;
    support::until(|| count(&site, EventState::Pending) == 0).await;
    assert!(daemon.metric("sprited_sink_up{sink=\"hook\"}").await < 0.5);
    site.add_sprites(3);
    asked_more(&hook, 2).await;
    assert_eq!(dead_and_delivered(&site), (2, 1));
    hook.set(Answer::Take);
    support::until(|| dead_and_delivered(&site) == (2, 4)).await;
    assert!(daemon.metric("sprited_sink_up{sink=\"hook\"}").await > 0.5);
    daemon.stop().await;
}

#[tokio::test]
async fn a_run_that_happens_once_ends_with_the_brake_on() {
    let (site, hook, daemon) = proven("max_rejects = 2").await;
    daemon.stop().await;
    hook.set(Answer::Refuse(422));
    site.add_sprites(10);
    for _ in 0..2 {
        let ended = site.run(&["run", "--once"]).await;
        assert_eq!(ended.code, 1, "{}", ended.log);
        assert_eq!(dead_and_delivered(&site), (2, 1));
    }
    hook.set(Answer::Take);
    let ended = site.run(&["run", "--once"]).await;
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert_eq!(dead_and_delivered(&site), (2, 9));
}

/// A bad event at the head is tried first by every run, and a sink that has taken nothing yet is
/// down by it.
#[tokio::test]
async fn a_run_that_happens_once_asks_a_sink_that_is_down_with_others() {
    let hook = Receiver::start(Answer::TakeUnless("odd-")).await;
    let site = Site::new(&hook.sink("hook", "events = ['*']\nmax_in_flight = 1")).await;
    add_odd(&site, 0..1);
    let ended = site.run(&["run", "--once"]).await;
    assert_eq!((ended.code, hook.count()), (1, 0), "{}", ended.log);
    site.command(&["events", "redeliver", "--sink", "hook", "--state", "pending", "--yes"]);
    site.add_sprites(5);
    let ended = site.run(&["run", "--once"]).await;
    assert_eq!((ended.code, hook.count()), (1, 5), "{}", ended.log);
}

/// A kill between a verdict and its commit: the event is pending still, and counts when it comes.
#[tokio::test]
async fn kills_make_no_more_dead_letters() {
    let (site, hook, mut daemon) = proven("").await;
    hook.set(Answer::Refuse(422));
    for round in 0..8_usize {
        site.add_sprites(5);
        support::until(|| site.journaled(None).len() == 1 + 5 * (round + 1)).await;
        daemon.signal(Signal::SIGKILL);
        daemon.ended_within(Duration::from_secs(20)).await;
        daemon = site.start();
        asked_more(&hook, 1).await;
    }
    daemon.has_logged(DOWN).await;
    assert_eq!(dead_and_delivered(&site), (20, 1));
    hook.set(Answer::Take);
    support::until(|| dead_and_delivered(&site) == (20, 21)).await;
    hook.assert_once(21);
    daemon.stop().await;
}
