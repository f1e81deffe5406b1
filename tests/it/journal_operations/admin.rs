//! Changes by hand, beside the writer.

use chrono::Utc;
use sprited::journal::{
    DeliveryOutcome, EventId, EventState, JournalAdmin, JournalTotals, OpenError, Requeued, Then,
};

use super::{Bench, days};

impl Bench {
    fn editor(&self) -> JournalAdmin {
        JournalAdmin::open(&self.path()).unwrap()
    }

    fn state(&self, event: EventId) -> (EventState, Vec<(String, EventState)>) {
        let found = self.reader().list(&Default::default(), 1000).unwrap();
        let found = found.iter().find(|found| found.id == event).unwrap();
        let sinks = self.reader().sinks_of(event).unwrap();
        (found.state, sinks.into_iter().map(|at| (at.sink, at.state)).collect())
    }

    /// The sums, which have to add up.
    fn sums(&self) -> JournalTotals {
        let sums = self.reader().sums().unwrap();
        let found = sums.delivered + sums.dead + sums.pending + sums.discarded;
        assert_eq!(sums.routed, found, "{sums:?}");
        sums
    }
}

#[tokio::test]
async fn a_dead_letter_is_due_again_as_if_never_tried() {
    let bench = Bench::new().await;
    let (event, now) = (bench.append(1).await, Utc::now());
    bench.fail(1, event, now + days(1)).await;
    bench.kill(1, event, "no").await;
    bench.commit().await;
    assert_eq!(bench.sums().dead, 1);
    bench.journal.changed_outside().await.unwrap();

    let done = bench.editor().requeue(bench.sinks[1], None, &[event], now).unwrap();
    assert_eq!(done, Requeued { requeued: 1, ..Requeued::default() });
    assert!(bench.journal.changed_outside().await.unwrap(), "the daemon notices");
    let (due, _) = bench.journal.due(bench.sinks[1], Utc::now(), 10).await.unwrap();
    let at: Vec<_> =
        due.events.iter().map(|p| (p.id, p.attempts, p.charged, p.last_failed)).collect();
    assert_eq!(at, [(event, 0, Default::default(), None)]);
    assert_eq!(bench.number("SELECT count(*) FROM dead"), 0);
    assert_eq!(bench.sums().dead, 0);

    // Dead and back any number of times; then it is delivered, and all is as if at once.
    for _ in 0..2 {
        bench.kill(1, event, "no").await;
        bench.commit().await;
        bench.editor().requeue(bench.sinks[1], None, &[event], now).unwrap();
    }
    bench.record(1, event, DeliveryOutcome::Delivered).await;
    bench.commit().await;
    let sums = bench.sums();
    assert_eq!((sums.routed, sums.delivered, sums.dead, sums.pending), (2, 1, 0, 1));
}

#[tokio::test]
async fn a_pending_event_is_only_due_earlier() {
    let bench = Bench::new().await;
    let (failed, untried, now) = (bench.append(1).await, bench.append(2).await, Utc::now());
    bench.fail(0, failed, now + days(1)).await;
    bench.commit().await;
    let before = bench.sums();
    for _ in 0..2 {
        let done = bench.editor().requeue(bench.sinks[0], None, &[failed, untried], now).unwrap();
        assert_eq!(done, Requeued { expedited: 2, ..Requeued::default() });
    }
    assert_eq!(bench.due(0).await, [failed]);
    // Its failures stay, and the other keeps its place among those never tried.
    assert_eq!(bench.number("SELECT attempts FROM pending WHERE sink = 1 AND due IS NOT NULL"), 1);
    let part = bench.journal.untried(bench.sinks[0], EventId(0), 10).await.unwrap();
    assert_eq!(part.events.iter().map(|p| p.id).collect::<Vec<_>>(), [untried]);
    assert_eq!(bench.sums(), before);
}

#[tokio::test]
async fn delivered_and_unrouted_events_go_where_they_are_sent() {
    let bench = Bench::new().await;
    bench.route(&["T", "T"]).await;
    let delivered = bench.append(1).await;
    for sink in [0, 1] {
        bench.record(sink, delivered, DeliveryOutcome::Delivered).await;
    }
    let (unrouted, _) = bench.append_kind("U", 2, Utc::now()).await;
    assert_eq!(bench.sums().unrouted, 1);

    let now = Utc::now();
    let done = bench.editor().requeue(bench.sinks[0], None, &[delivered, unrouted], now).unwrap();
    assert_eq!(done.requeued, 2);
    assert_eq!(bench.due(0).await, [delivered, unrouted]);
    assert_eq!(bench.due(1).await, []);
    let sums = bench.sums();
    assert_eq!((sums.unrouted, sums.routed, sums.delivered, sums.pending), (0, 3, 1, 2));
    assert_eq!(bench.state(unrouted).0, EventState::Pending);

    for event in [delivered, unrouted] {
        bench.record(0, event, DeliveryOutcome::Delivered).await;
    }
    bench.commit().await;
    assert_eq!(
        bench.state(unrouted),
        (EventState::Delivered, vec![("a".into(), EventState::Delivered)])
    );
    assert_eq!(bench.sums().delivered, 3);
}

#[tokio::test]
async fn what_is_discarded_is_for_that_sink_no_more() {
    let bench = Bench::new().await;
    let (event, other) = (bench.append(1).await, bench.append(2).await);
    bench.kill(0, event, "no").await;
    bench.record(0, other, DeliveryOutcome::Delivered).await;
    bench.commit().await;
    let [a, b] = bench.sinks[..] else { panic!() };
    assert_eq!(
        bench
            .editor()
            .discard(a, &[event, other, EventId(99)], Then::Followers, Utc::now())
            .unwrap(),
        1
    );
    assert_eq!(
        bench.editor().discard(a, &[event], Then::Followers, Utc::now()).unwrap(),
        0,
        "once is enough"
    );
    assert_eq!(bench.state(event), (EventState::Pending, vec![("b".into(), EventState::Pending)]));
    assert_eq!(bench.editor().discard(b, &[event], Then::Followers, Utc::now()).unwrap(), 1);
    assert_eq!(bench.state(event), (EventState::Unrouted, vec![]));
    let sums = bench.sums();
    assert_eq!((sums.unrouted, sums.discarded, sums.dead, sums.pending), (1, 2, 0, 1));

    // A verdict on what was under way meanwhile changes nothing.
    bench.record(1, event, DeliveryOutcome::Dead { error: "late".to_owned() }).await;
    bench.fail(1, event, Utc::now()).await;
    bench.commit().await;
    assert_eq!(bench.state(event).0, EventState::Unrouted);
    assert_eq!(bench.sums(), sums);
    // And it can be had back.
    assert_eq!(bench.editor().requeue(b, None, &[event], Utc::now()).unwrap().requeued, 1);
    assert_eq!(bench.sums().unrouted, 0);
}

#[tokio::test]
async fn what_cannot_be_delivered_again_is_told_apart() {
    let bench = Bench::new().await;
    let event = bench.append(1).await;
    for sink in [0, 1] {
        bench.record(sink, event, DeliveryOutcome::Delivered).await;
    }
    bench.commit().await;
    bench.sqlite().execute("DELETE FROM bodies", []).unwrap();
    let done =
        bench.editor().requeue(bench.sinks[0], None, &[event, EventId(99)], Utc::now()).unwrap();
    assert_eq!(done, Requeued { without_body: 1, gone: 1, ..Requeued::default() });
    assert_eq!(bench.sums().pending, 0);
}

#[tokio::test]
async fn the_sums_add_up_after_pruning_too() {
    let bench = Bench::new().await;
    let long_ago = Utc::now() - days(30);
    for number in 0..6 {
        bench.append_kind("T", number, long_ago).await;
    }
    let events: Vec<_> = (1..=6).map(EventId).collect();
    for event in &events[..4] {
        bench.record(0, *event, DeliveryOutcome::Delivered).await;
        bench.record(1, *event, DeliveryOutcome::Delivered).await;
    }
    bench.journal.confirmed(events[..2].to_vec(), Utc::now()).await.unwrap();
    bench.commit().await;
    bench.editor().discard(bench.sinks[0], &events[4..], Then::Followers, Utc::now()).unwrap();
    bench.editor().discard(bench.sinks[1], &events[4..5], Then::Followers, Utc::now()).unwrap();
    // Pending again: it stays, however old.
    bench.editor().requeue(bench.sinks[0], None, &events[..1], Utc::now()).unwrap();
    while bench.journal.prune(Utc::now()).await.unwrap() {}
    assert_eq!(bench.number("SELECT count(*) FROM events"), 2);
    let sums = bench.sums();
    assert_eq!((sums.received, sums.confirmed, sums.unrouted), (6, 2, 1));
    assert_eq!((sums.routed, sums.delivered, sums.pending, sums.discarded), (12, 7, 2, 3));
    // What was pruned before its handle was taken back leaves nothing behind.
    bench.journal.confirmed(vec![events[3]], Utc::now()).await.unwrap();
    bench.commit().await;
    assert_eq!(bench.number("SELECT count(*) FROM confirmations"), 1);
}

#[tokio::test]
async fn it_opens_journals_only_and_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.db");
    assert!(matches!(JournalAdmin::open(&path), Err(OpenError::File { .. })));
    assert!(!path.exists());
    std::fs::write(&path, "").unwrap();
    assert!(matches!(JournalAdmin::open(&path), Err(OpenError::Foreign { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    std::fs::remove_file(&path).unwrap();

    let bench = Bench::within(folder, &["a"]).await;
    bench.sqlite().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(JournalAdmin::open(&path), Err(OpenError::Newer { version: 99, .. })));
    bench.sqlite().pragma_update(None, "user_version", 1).unwrap();
    bench.sqlite().pragma_update(None, "application_id", 7).unwrap();
    assert!(matches!(JournalAdmin::open(&path), Err(OpenError::Foreign { .. })));
}
