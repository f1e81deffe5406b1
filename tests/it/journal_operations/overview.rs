//! The overview of a journal against what its rows say.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sprited::journal::{
    DeadGroup, DeadLetters, DeliveryOutcome, DeliveryRecord, EventId, EventState, FailingEvent,
    Filter, JournalAdmin, Overview, SinkOverview, StateCounts,
};

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

/// The sink `a` at `now`, after the commit of what was recorded.
async fn sink_a(bench: &Bench) -> SinkOverview {
    bench.journal.prune(Utc::now()).await.unwrap();
    overview(bench).sinks.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_failed_three_times_is_named_until_it_is_delivered() {
    let bench = Bench::new().await;
    let start = DateTime::from_timestamp_millis(Utc::now().timestamp_millis()).unwrap();
    let due = start + TimeDelta::hours(1);
    let fail = async |event: EventId, times: i64| {
        for at in 1..=times {
            let error = format!("no {at}");
            let outcome = DeliveryOutcome::Retry { due, charged: Duration::ZERO, error };
            let records = vec![DeliveryRecord { event, outcome, mirrored: Vec::new() }];
            let at = start + TimeDelta::minutes(at);
            bench.journal.record(bench.sinks[0], records, None, at).await.unwrap();
        }
    };
    for (number, times) in [(1, 2), (2, 3), (3, 5), (4, 3), (5, 4)] {
        fail(bench.append(number).await, times).await;
    }
    let named = |sink: &SinkOverview| -> Vec<u32> {
        sink.failing.iter().map(|failing| failing.attempts).collect()
    };
    let seen = sink_a(&bench).await;
    assert_eq!(named(&seen), [5, 4, 3]);
    let FailingEvent { key, event_type, error, first_failed, due: again, .. } = &seen.failing[2];
    assert_eq!(bench.reader().find(*key).unwrap().unwrap().id, EventId(2), "the older one");
    assert_eq!((&**event_type, &**error), ("T", "no 3"));
    assert_eq!((*first_failed, *again), (start + TimeDelta::minutes(1), Some(due)));
    assert_eq!(overview(&bench).sinks[1].failing, [], "it is another sink's matter");

    bench.record(0, EventId(3), DeliveryOutcome::Delivered).await;
    bench.kill(0, EventId(5), "no").await;
    assert_eq!(named(&sink_a(&bench).await), [3, 3]);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_told_apart_by_their_last_error() {
    let bench = Bench::new().await;
    assert_eq!(sink_a(&bench).await.dead_letters, DeadLetters::default());
    let start = DateTime::from_timestamp_millis(Utc::now().timestamp_millis()).unwrap();
    let at = |minute: i64| start + TimeDelta::minutes(minute);
    let errors = ["404", "422", "500", "422", "404", "exit", "422", "410", "none"];
    for (minute, error) in (0..).zip(errors) {
        let event = bench.append(minute).await;
        bench.fail(0, event, start).await;
        let outcome = DeliveryOutcome::Dead { error: error.to_owned() };
        let records = vec![DeliveryRecord { event, outcome, mirrored: Vec::new() }];
        bench.journal.record(bench.sinks[0], records, None, at(minute.into())).await.unwrap();
    }
    let DeadLetters { newest, by_error } = sink_a(&bench).await.dead_letters;
    assert_eq!(newest, Some(at(8)));
    let group = |error: &str, count, newest| DeadGroup { error: error.into(), count, newest };
    let expected = [
        group("422", 3, at(6)),
        group("404", 2, at(4)),
        group("none", 1, at(8)),
        group("410", 1, at(7)),
        group("exit", 1, at(5)),
    ];
    assert_eq!(by_error, expected);
    let mut admin = JournalAdmin::open(&bench.path()).unwrap();
    admin.requeue(bench.sinks[0], None, &[EventId(9)], start).unwrap();
    let left = sink_a(&bench).await.dead_letters;
    assert_eq!((left.newest, left.by_error.len()), (Some(at(7)), 5));
    bench.close().await;
}
