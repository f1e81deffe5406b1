//! Leases that lapse while a sink takes its time.

use std::time::Duration;

use vod_emulator::{EmulatorSettings, Leniency};

use super::receiver::{Answer, Receiver};
use super::{LEASE, Site, settings};

async fn is_delivered_once_and_confirmed_by_the_newest_handle(same_handle: bool) {
    let hook = Receiver::start(Answer::TakeAfter(LEASE + Duration::from_millis(700))).await;
    let cloud =
        EmulatorSettings { lenient: Leniency { same_handle, ..Leniency::default() }, ..settings() };
    let site = Site::with(cloud, "", &hook.sink("hook", "timeout = '8s'")).await;
    let daemon = site.start();
    site.add_sprites(3);
    site.drained().await;
    hook.assert_once(3);
    assert_eq!(hook.asked(), 3);
    for event in site.cloud.control.ledger().events {
        assert!(event.hand_outs.len() >= 2, "{event:?}");
        let newest = event.hand_outs.last().unwrap().handle();
        assert_eq!(event.confirmed.unwrap().handle(), newest);
        let first = event.hand_outs[0].handle();
        assert_eq!(first == newest, same_handle);
    }
    daemon.stop().await;
    hook.assert_once(3);
}

#[tokio::test]
async fn an_event_that_comes_again_under_the_same_or_another_handle_is_delivered_once() {
    tokio::join!(
        is_delivered_once_and_confirmed_by_the_newest_handle(false),
        is_delivered_once_and_confirmed_by_the_newest_handle(true),
    );
}
