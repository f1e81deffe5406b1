//! A daemon that is stopped for longer than a lease, and goes on: a process that was frozen, a
//! machine that was moved.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use nix::sys::signal::Signal;
use vod_emulator::LedgerEntry;

use super::fixture::{Fixture, Plan};
use super::hook::Pause;
use super::ledger::After;
use crate::e2e::{LEASE, until};

/// Of the webhook: shorter than the stop.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Whether the cloud refused, after the daemon went on, a handle that had lapsed before.
fn was_asked_late(event: &LedgerEntry, wake: DateTime<Utc>) -> bool {
    let lapsed = |handle: &str| {
        event.hand_outs.iter().any(|out| out.handle() == handle && out.lease_ends <= wake)
    };
    event.refused.iter().any(|refused| refused.at >= wake && lapsed(&refused.handle))
}

/// The webhook's to begin with.
const IN_FLIGHT: usize = 8;

async fn stopped_for_longer_than_a_lease(after: After) {
    let plan = Plan { timeout: "3s", ..Plan::new(after, "cloudevents") };
    let mut fixture = Fixture::new(plan, rand::random()).await;
    let control = fixture.site.cloud.control.clone();
    let daemon = fixture.site.start();
    until(async || control.totals().confirmed > 10).await;
    // It takes some whose answers arrive while the daemon is stopped.
    fixture.hook.pause(Pause::BeforeAnswer);
    until(async || fixture.hook.held() >= IN_FLIGHT).await;
    if after == After::Delivery {
        // A confirm that is just leaving would leave late.
        until(async || fixture.ledger.look(&control).recorded.is_empty()).await;
    }
    daemon.pause();
    let stopped = Instant::now();
    fixture.hook.release();
    until(async || {
        let totals = control.totals();
        totals.waiting == totals.visible && stopped.elapsed() > LEASE.max(TIMEOUT)
    })
    .await;
    let wake = Utc::now();
    daemon.signal(Signal::SIGCONT);
    fixture.dry_up().await;
    until(async || control.totals().waiting == 0 && fixture.ledger.is_complete()).await;

    let expired = daemon.metric("sprited_handles_total{outcome=\"expired\"}").await;
    daemon.stop().await;
    // A cast whose confirmation was on its way at the stop may be a new one.
    let casts = fixture.ledger.occurrences();
    assert!(casts.values().all(|(all, unacknowledged)| all - 1 <= *unacknowledged), "{casts:?}");
    let of = |task: &str| casts.get(task).map_or(1, |(all, _)| *all);
    for (sink, events) in fixture.ledger.count() {
        let twice: Vec<_> = events.iter().filter(|(task, times)| **times > of(task)).collect();
        assert!(twice.is_empty(), "twice at the {sink}: {twice:?}");
    }
    if after == After::Delivery {
        assert!(expired > 0.0, "what was in hand at the stop has expired");
        let events = control.ledger().events;
        let late: Vec<_> = events.iter().filter(|event| was_asked_late(event, wake)).collect();
        assert!(late.is_empty(), "asked to confirm by handles that had lapsed: {late:?}");
    }
    let (_, early) = fixture.ledger.witnessed();
    assert!(early.is_empty(), "confirmed too early: {early:?}");
    assert_eq!(fixture.site.run(&["audit"]).await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_that_outlasts_lease_and_timeout_nothing_is_lost_or_comes_twice() {
    tokio::join!(
        stopped_for_longer_than_a_lease(After::Delivery),
        stopped_for_longer_than_a_lease(After::Journal),
    );
}
