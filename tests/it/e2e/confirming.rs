//! When an event is confirmed.

use sprited::emulator::{Action, Fault, Kind};

use super::receiver::{Answer, Receiver};
use super::{Site, file, settings};
use crate::support::until;

#[tokio::test]
async fn after_delivery_nothing_is_confirmed_that_a_sink_refuses() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let sinks = [file("sprites", "image-sprite"), hook.sink("hook", "")].concat();
    let site = Site::with(settings(), "after = 'delivery'", &sinks).await;
    let daemon = site.start();
    site.add_sprites(3);
    // A whole lease has gone by, and one more has begun.
    until(|| site.cloud.control.totals().handed_out_again == 3).await;
    site.assert_once("sprites.jsonl", 3);
    assert!(hook.asked() >= 3);
    let totals = site.cloud.control.totals();
    assert!(!totals.calls.contains_key("ConfirmEvents"), "{totals:?}");
    hook.set(Answer::Take);
    site.drained().await;
    hook.assert_once(3);
    site.assert_once("sprites.jsonl", 3);
    daemon.stop().await;
}

#[tokio::test]
async fn after_the_journal_an_event_is_confirmed_before_it_is_delivered() {
    let hook = Receiver::start(Answer::Refuse(500)).await;
    let site = Site::with(settings(), "after = 'journal'", &hook.sink("hook", "")).await;
    let daemon = site.start();
    site.add_sprites(3);
    site.drained().await;
    assert_eq!(hook.taken().len(), 0);
    assert_eq!(site.cloud.control.totals().handed_out_again, 0);
    hook.set(Answer::Take);
    until(|| hook.taken().len() >= 3).await;
    daemon.stop().await;
    hook.assert_once(3);
}

#[tokio::test]
async fn past_the_limit_the_oldest_are_confirmed_on_the_journals_word() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let site = Site::with(settings(), "max_unconfirmed = 3", &hook.sink("hook", "")).await;
    let daemon = site.start();
    site.add_sprites(10);
    until(|| site.confirmed() == 7).await;
    assert!((daemon.metric("sprited_confirmed_unsettled_total").await - 7.0).abs() < 0.1);
    // The three that are left come again as well, and stay.
    until(|| site.cloud.control.totals().handed_out_again >= 10).await;
    let ledger = site.cloud.control.ledger();
    let kept: Vec<u64> = ledger
        .events
        .iter()
        .filter(|event| event.confirmed.is_none())
        .map(|event| event.id)
        .collect();
    assert_eq!(kept, [8, 9, 10], "the oldest go first");
    assert_eq!(hook.taken().len(), 0);
    hook.set(Answer::Take);
    site.drained().await;
    until(|| hook.taken().len() >= 10).await;
    daemon.stop().await;
    hook.assert_once(10);
}

#[tokio::test]
async fn one_stale_handle_among_sixteen_does_not_hold_up_the_others() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let control = &site.cloud.control;
    control.fault(Fault::rate(1.0, Kind::Hold).on(Action::ConfirmEvents)).unwrap();
    site.add_sprites(16);
    let daemon = site.start();
    until(|| site.lines("sprites.jsonl").len() == 16 && control.held() >= 1).await;
    control.clear_faults();
    // Somebody else was faster.
    let stale = control.ledger().events[5].hand_outs[0].handle();
    assert_eq!(site.cloud.caller().confirm(&[stale]).await.code(), "ok");
    control.release();
    site.drained().await;
    let ledger = control.ledger();
    assert!(ledger.totals.calls_of(Action::ConfirmEvents, "InvalidParameterValue") >= 1);
    assert_eq!(ledger.totals.handed_out_again, 0, "{:?}", ledger.totals);
    // The stale one is refused alone, it may be after the others were taken.
    let refused = async || daemon.metric("sprited_handles_total{outcome=\"refused\"}").await;
    super::until(async || (refused().await - 1.0).abs() < 0.1).await;
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 16);
}

#[tokio::test]
async fn a_confirm_that_took_effect_without_an_answer_ends_well() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    for kind in [Kind::InternalError, Kind::Reset, Kind::Truncated] {
        let fault = Fault::next(1, kind).on(Action::ConfirmEvents).after_effect();
        site.cloud.control.fault(fault).unwrap();
    }
    site.add_sprites(16);
    let daemon = site.start();
    site.drained().await;
    until(|| daemon.logged("confirming works again").len() == 1).await;
    assert_eq!(daemon.logged("confirming fails; what is not confirmed comes again").len(), 1);
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 16);
}
