//! The overview of a journal against what its rows say.

use chrono::{TimeDelta, Utc};
use sprited::journal::{DeliveryOutcome, EventId, EventState, Filter, Overview, StateCounts};

use super::audit::bench;
use super::{Bench, days};

fn overview(bench: &Bench) -> Overview {
    bench.reader().overview(Utc::now(), EventId::default()).unwrap()
}

fn count(bench: &Bench, state: EventState, sink: Option<&str>) -> u64 {
    let filter = Filter { state: Some(state), sink: sink.map(str::to_owned), ..Filter::default() };
    bench.reader().list(&filter, 1000).unwrap().len() as u64
}

fn states(bench: &Bench, sink: Option<&str>) -> StateCounts {
    StateCounts {
        pending: count(bench, EventState::Pending, sink),
        delivered: count(bench, EventState::Delivered, sink),
        dead: count(bench, EventState::Dead, sink),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_the_rows_say() {
    let bench = bench().await;
    for sink in [0, 1] {
        bench.record(sink, EventId(8), DeliveryOutcome::Delivered).await;
    }
    bench.commit().await;
    let seen = overview(&bench);
    assert_eq!(seen.events, states(&bench, None));
    assert_eq!(seen.unrouted, count(&bench, EventState::Unrouted, None));
    assert!(seen.events.pending > 0 && seen.events.delivered > 0 && seen.events.dead > 0);
    assert!(seen.unrouted > 0);
    for sink in &seen.sinks {
        // What was discarded is no longer for the sink, though `list` has it as delivered there.
        let rows = states(&bench, Some(&sink.sink.name));
        assert_eq!((sink.events.pending, sink.events.dead), (rows.pending, rows.dead));
        assert!(sink.events.delivered > 0 && sink.events.delivered <= rows.delivered);
        let filter = Filter {
            state: Some(EventState::Pending),
            sink: Some(sink.sink.name.clone()),
            ..Filter::default()
        };
        let pending = bench.reader().list(&filter, 1000).unwrap();
        let oldest = pending.last().map(|found| found.event.first_pulled);
        assert_eq!(sink.oldest_pending, oldest);
        assert_eq!(sink.oldest_due.is_some(), oldest.is_some(), "all that is pending is due");
    }
    let file = std::fs::metadata(bench.path()).unwrap().len();
    assert!(seen.size.as_u64() > 0 && seen.size.as_u64() < file + (8 << 20), "{}", seen.size);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_that_the_cloud_still_keeps_is_found_again_and_again() {
    let bench = Bench::new().await;
    let now = Utc::now();
    let ages = [days(5), days(3), TimeDelta::hours(2), TimeDelta::hours(1)];
    for (number, age) in (1..).zip(ages) {
        bench.append_kind("T", number, now - age).await;
    }
    let mut before = EventId::default();
    // The first is too old to come again; each that is confirmed leaves the next.
    for (event, age) in [(2, days(3)), (3, TimeDelta::hours(2)), (4, TimeDelta::hours(1))] {
        let seen = bench.reader().overview(now, before).unwrap();
        let oldest = seen.oldest_unconfirmed.unwrap();
        assert_eq!(oldest.timestamp_millis(), (now - age).timestamp_millis());
        before = seen.confirmed_before;
        bench.record(0, EventId(event), DeliveryOutcome::Delivered).await;
        bench.journal.confirmed(vec![EventId(event)], now).await.unwrap();
        bench.commit().await;
    }
    let seen = bench.reader().overview(now, before).unwrap();
    assert_eq!((seen.oldest_unconfirmed, seen.confirmed_before), (None, EventId(5)));
    bench.append_kind("T", 9, now).await;
    let seen = bench.reader().overview(now, seen.confirmed_before).unwrap();
    assert!(seen.oldest_unconfirmed.is_some());
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_due_since_its_first_pull_or_the_end_of_its_wait() {
    let bench = Bench::new().await;
    let now = Utc::now();
    let ago = |minutes| now - TimeDelta::minutes(minutes);
    bench.append_kind("T", 1, ago(50)).await;
    bench.append_kind("T", 2, ago(20)).await;
    let since = async || {
        // For its commit.
        bench.journal.prune(now).await.unwrap();
        let seen = bench.reader().overview(now, EventId::default()).unwrap();
        seen.sinks[0].oldest_due.map(|at| (now - at).num_minutes())
    };
    assert_eq!(since().await, Some(50));
    let failed = |due| DeliveryOutcome::Retry {
        due,
        charged: std::time::Duration::ZERO,
        error: "no".to_owned(),
    };
    bench.record(0, EventId(1), failed(ago(30))).await;
    assert_eq!(since().await, Some(30), "the end of its wait");
    bench.record(0, EventId(1), failed(ago(-10))).await;
    assert_eq!(since().await, Some(20), "the other one");
    bench.record(0, EventId(2), DeliveryOutcome::Delivered).await;
    assert_eq!(since().await, None, "the first one waits for its time");
    bench.close().await;
}
