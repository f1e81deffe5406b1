//! Sinks that are down, and events that a sink refuses for good.

use futures_util::future::join_all;
use sprited::journal::{EventState, JournalReader};

use super::receiver::{Answer, Receiver};
use super::{Site, file};
use crate::support::until;

const DOWN: &str = "sink is down; its events wait in the journal";
const STORM: &str = "many events become dead letters of this sink; from now on a count is logged \
                     once a minute";
const UP: &str = "sink is up again";

#[tokio::test]
async fn a_sink_that_is_down_holds_up_no_other_and_catches_up() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let site = Site::new(&[hook.sink("hook", ""), file("sprites", "image-sprite")].concat()).await;
    let daemon = site.start();
    site.add_sprites(40);
    until(|| site.lines("sprites.jsonl").len() == 40).await;
    daemon.has_logged(DOWN).await;
    // What comes while it is down waits as well.
    site.add_sprites(10);
    until(|| site.lines("sprites.jsonl").len() == 50).await;
    let asked = hook.asked();
    until(|| hook.asked() >= asked + 2).await;
    assert!(daemon.metric("sprited_sink_up{sink=\"hook\"}").await < 0.5);
    assert!(daemon.metric("sprited_sink_up{sink=\"sprites\"}").await > 0.5);
    assert_eq!(site.confirmed(), 0);

    hook.set(Answer::Take);
    site.drained().await;
    hook.assert_once(50);
    site.assert_once("sprites.jsonl", 50);
    until(|| site.journaled(Some(EventState::Delivered)).len() == 50).await;
    assert!(daemon.metric("sprited_sink_up{sink=\"hook\"}").await > 0.5);
    assert_eq!(daemon.logged(DOWN).len(), 1);
    assert_eq!(daemon.logged(UP).len(), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn what_is_owed_to_a_sink_shows_before_it_answers() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let site = Site::new(&hook.sink("hook", "timeout = '60s'")).await;
    site.add_sprites(20);
    let daemon = site.start();
    until(|| site.journaled(None).len() == 20).await;
    daemon.has_logged(DOWN).await;
    daemon.stop().await;
    hook.set(Answer::Hang);
    let daemon = site.start();
    let owed = async || daemon.metric("sprited_sink_events{sink=\"hook\",state=\"pending\"}").await;
    super::until(async || (owed().await - 20.0).abs() < 0.1).await;
}

#[tokio::test]
async fn an_event_refused_for_good_is_a_dead_letter_and_confirmed() {
    // It takes others: of one that has taken nothing a rejection would prove nothing.
    let hook = Receiver::start(Answer::Take).await;
    let site = Site::new(&[hook.sink("hook", ""), file("sprites", "image-sprite")].concat()).await;
    let daemon = site.start();
    site.add_sprites(1);
    site.drained().await;
    hook.set(Answer::Refuse(422));
    site.add_sprites(6);
    site.drained().await;
    assert_eq!(hook.asked(), 1 + 6, "none is tried twice");
    // Verdicts and confirmations share a commit a moment later.
    until(|| site.journaled(Some(EventState::Dead)).len() == 6).await;
    let dead = site.journaled(Some(EventState::Dead));
    let reader = JournalReader::open(&site.path("journal.db")).unwrap();
    for found in dead {
        let sinks = reader.sinks_of(found.id).unwrap();
        let [hook, sprites] = sinks.as_slice() else { panic!("{sinks:?}") };
        assert_eq!((hook.sink.as_str(), hook.state, hook.attempts), ("hook", EventState::Dead, 1));
        assert!(hook.last_error.as_ref().unwrap().contains("422"), "{hook:?}");
        assert_eq!((sprites.sink.as_str(), sprites.state), ("sprites", EventState::Delivered));
    }
    // Of a few each has its line; the sixth within a minute begins a storm.
    assert_eq!(daemon.logged("event given up; it is a dead letter of this sink").len(), 5);
    assert_eq!(daemon.logged(STORM).len(), 1);
    assert_eq!(daemon.logged(STORM)[0]["level"], "ERROR");
    assert_eq!(daemon.logged(DOWN).len(), 0);
    daemon.stop().await;
}

/// Such an answer says something of the receiver, not of the event.
#[tokio::test]
async fn a_receiver_that_is_gone_makes_no_dead_letters() {
    join_all([400, 410].map(async |status| {
        let hook = Receiver::start(Answer::Refuse(status)).await;
        let site = Site::new(&hook.sink("hook", "")).await;
        let daemon = site.start();
        site.add_sprites(2);
        until(|| hook.asked() >= 4).await;
        assert_eq!(site.journaled(Some(EventState::Pending)).len(), 2);
        hook.set(Answer::Take);
        site.drained().await;
        hook.assert_once(2);
        daemon.stop().await;
    }))
    .await;
}
