//! The journal: a real file, closed and opened again.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use chrono::{DateTime, TimeDelta, Utc};
use sprited::event::{self, AppId, Entry, Event, Wanted};
use sprited::journal::{
    Closing, ConfirmPermission, DeliveryOutcome, DeliveryRecord, EventId, EventState, FeedReceiver,
    Filter, HandleConfirmation, Journal, JournalAdmin, JournalError, JournalReader,
    JournalSettings, OpenError, QueueEnd, Route, SinkHistory, SinkId, feed,
};
use tempfile::TempDir;

use crate::support::{data, noise};

/// A journal in a folder of its own, with sinks that want everything.
struct Bench {
    folder: TempDir,
    journal: Journal,
    closing: Closing,
    sinks: Vec<(SinkId, FeedReceiver)>,
}

impl Bench {
    async fn new(sinks: &[&str]) -> Self {
        Self::within(tempfile::tempdir().unwrap(), sinks, &|_| {}).await
    }

    async fn within(
        folder: TempDir,
        sinks: &[&str],
        change: &dyn Fn(&mut JournalSettings),
    ) -> Self {
        let mut settings =
            JournalSettings { path: folder.path().join("j.db"), ..JournalSettings::default() };
        change(&mut settings);
        let (journal, closing) = Journal::open(&settings).unwrap();
        let ids = journal.register(sinks.iter().map(ToString::to_string).collect()).await.unwrap();
        let (mut routes, mut feds) = (Vec::new(), Vec::new());
        for sink in ids {
            let (feed, fed) = feed();
            fed.catch_up();
            routes.push(Route {
                sink,
                wanted: Wanted::from(vec!["*".to_owned()]),
                feed,
                after: None,
            });
            feds.push((sink, fed));
        }
        journal.set_routes(routes, Utc::now()).await.unwrap();
        Self { folder, journal, closing, sinks: feds }
    }

    async fn close(self) -> TempDir {
        let Self { folder, journal, closing, sinks } = self;
        drop((journal, sinks));
        closing.wait().await;
        folder
    }

    fn reader(&self) -> JournalReader {
        JournalReader::open(&self.folder.path().join("j.db")).unwrap()
    }

    async fn history(&self, sink: usize) -> SinkHistory {
        self.journal.history(self.sinks[sink].0).await.unwrap()
    }

    async fn append(&self, events: &[Arc<Event>]) -> Vec<sprited::journal::Appended> {
        self.journal
            .append(events.iter().cloned().map(Entry::from).collect(), Utc::now())
            .await
            .unwrap()
    }

    async fn record(&self, sink: usize, event: EventId, outcome: DeliveryOutcome) -> Vec<EventId> {
        let records = vec![DeliveryRecord { event, outcome, mirrored: Vec::new() }];
        let sink = self.sinks[sink].0;
        self.journal.record(sink, records, None, Utc::now()).await.unwrap().settled
    }
}

fn numbered(number: u32) -> Arc<Event> {
    let text = format!(
        r#"{{"EventType":"T","TEvent":{{"TaskId":"task-{number}","FileId":"{number}","N":{number}}}}}"#
    );
    event::read(AppId(1), &text, false, Utc::now()).event
}

fn retry(due: DateTime<Utc>) -> DeliveryOutcome {
    DeliveryOutcome::Retry { due, charged: Duration::from_secs(7), error: "refused".to_owned() }
}

#[tokio::test]
async fn an_event_is_stored_once_and_settled_when_every_sink_has_it() {
    let mut bench = Bench::new(&["a", "b"]).await;
    let events = [numbered(1), numbered(2), numbered(1)];
    let appended = bench.append(&events).await;
    let summary: Vec<_> = appended.iter().map(|a| (a.id.0, a.is_new, a.pending)).collect();
    assert_eq!(summary, [(1, true, true), (2, true, true), (1, false, true)]);
    for (_, fed) in &mut bench.sinks {
        let ids: Vec<_> = std::iter::from_fn(|| fed.try_next()).map(|fresh| fresh.id.0).collect();
        assert_eq!(ids, [1, 2]);
    }
    assert_eq!(bench.record(0, EventId(1), DeliveryOutcome::Delivered).await, []);
    assert!(bench.append(&events[..1]).await[0].pending);
    assert_eq!(bench.record(1, EventId(1), DeliveryOutcome::Delivered).await, [EventId(1)]);
    assert!(!bench.append(&events[..1]).await[0].pending);
    // A verdict that comes twice settles nothing twice and counts once.
    bench.record(1, EventId(1), DeliveryOutcome::Delivered).await;

    let folder = bench.close().await;
    let bench = Bench::within(folder, &["a", "b"], &|_| {}).await;
    let sums = bench.reader().sums().unwrap();
    assert_eq!((sums.received, sums.duplicates), (2, 3));
    assert_eq!((sums.routed, sums.delivered, sums.pending), (4, 2, 2));
    assert!(!bench.append(&events[..1]).await[0].pending);
}

#[tokio::test]
async fn what_is_stored_comes_back_the_same() {
    let bench = Bench::new(&["a"]).await;
    for name in ["procedure_state_changed.two_sprites_mixed.json", "unknown_future_event.json"] {
        let event = event::read(AppId(7), &data(name), true, Utc::now()).event;
        let event = Event {
            first_pulled: DateTime::from_timestamp_millis(event.first_pulled.timestamp_millis())
                .unwrap(),
            ..Event::clone(&event)
        };
        bench.append(&[Arc::new(event.clone())]).await;
        let found = bench.reader().find(event.key).unwrap().unwrap();
        assert_eq!(found.event, event);
        assert_eq!(found.state, EventState::Pending);
    }
    let part = bench.journal.untried(bench.sinks[0].0, EventId(0), 10).await.unwrap();
    assert!(part.is_all && part.events.len() == 2);
    assert_eq!(part.events[0].event.sprites.len(), 2);
}

#[tokio::test]
async fn untried_events_come_in_order_and_failed_ones_when_due() {
    let bench = Bench::new(&["a"]).await;
    let sink = bench.sinks[0].0;
    bench.append(&(1..=5).map(numbered).collect::<Vec<_>>()).await;
    let now = Utc::now();
    bench.record(0, EventId(2), retry(now + TimeDelta::seconds(20))).await;
    bench.record(0, EventId(4), retry(now + TimeDelta::seconds(10))).await;
    bench.record(0, EventId(4), retry(now + TimeDelta::seconds(10))).await;

    let untried = bench.journal.untried(sink, EventId(1), 10).await.unwrap();
    assert_eq!(untried.events.iter().map(|p| p.id.0).collect::<Vec<_>>(), [3, 5]);
    let untried = bench.journal.untried(sink, EventId(0), 2).await.unwrap();
    assert!(!untried.is_all);

    let (due, next) = bench.journal.due(sink, now, 10).await.unwrap();
    assert!(due.events.is_empty() && due.is_all);
    let millis = |time: DateTime<Utc>| time.timestamp_millis();
    assert_eq!(next.map(millis), Some(millis(now + TimeDelta::seconds(10))));
    let (due, next) = bench.journal.due(sink, now + TimeDelta::seconds(30), 10).await.unwrap();
    let rows: Vec<_> = due.events.iter().map(|p| (p.id.0, p.attempts, p.charged)).collect();
    assert_eq!(rows, [(4, 2, Duration::from_secs(7)), (2, 1, Duration::from_secs(7))]);
    assert_eq!(next, None);

    let probe = async |after, end| {
        bench.journal.probe(sink, EventId(after), end).await.unwrap().unwrap().id.0
    };
    assert_eq!(probe(0, QueueEnd::Oldest).await, 1);
    assert_eq!(probe(1, QueueEnd::Oldest).await, 3);
    assert_eq!(probe(1, QueueEnd::Newest).await, 5);
    assert_eq!(probe(5, QueueEnd::Newest).await, 2, "the one tried least");
    bench.journal.due_now(sink, now).await.unwrap();
    assert_eq!(bench.journal.due(sink, now, 10).await.unwrap().0.events.len(), 2);
}

#[tokio::test]
async fn a_dead_letter_settles_and_keeps_what_happened() {
    let bench = Bench::new(&["a"]).await;
    let event = numbered(1);
    bench.append(std::slice::from_ref(&event)).await;
    bench.record(0, EventId(1), retry(Utc::now())).await;
    let dead = DeliveryOutcome::Dead { error: "no such thing".to_owned() };
    assert_eq!(bench.record(0, EventId(1), dead).await, [EventId(1)]);
    assert_eq!(bench.journal.pending().await.unwrap(), 0);
    bench.append(&[numbered(2)]).await;
    let reader = bench.reader();
    let found = reader.find(event.key).unwrap().unwrap();
    assert_eq!(found.state, EventState::Dead);
    let at = &reader.sinks_of(found.id).unwrap()[0];
    assert_eq!((at.sink.as_str(), at.state, at.attempts), ("a", EventState::Dead, 2));
    assert_eq!(at.first_error.as_deref(), Some("refused"));
    assert_eq!(at.last_error.as_deref(), Some("no such thing"));
}

#[tokio::test]
async fn an_event_that_no_sink_wants_is_unrouted() {
    let bench = Bench::new(&[]).await;
    let appended = bench.append(&[numbered(1)]).await;
    assert!(appended[0].is_new && !appended[0].pending);
    let filter = Filter { state: Some(EventState::Unrouted), ..Filter::default() };
    assert_eq!(bench.reader().list(&filter, 10).unwrap().len(), 1);
    assert_eq!(bench.reader().sums().unwrap().unrouted, 1);
}

#[tokio::test]
async fn a_sink_that_is_gone_holds_nothing_up_and_keeps_its_rows() {
    let bench = Bench::new(&["stays", "goes"]).await;
    bench.append(&[numbered(1)]).await;
    let folder = bench.close().await;
    let bench = Bench::within(folder, &["stays"], &|_| {}).await;
    assert_eq!(bench.record(0, EventId(1), DeliveryOutcome::Delivered).await, [EventId(1)]);
    assert_eq!(bench.journal.pending().await.unwrap(), 0);
    let folder = bench.close().await;
    let bench = Bench::within(folder, &["goes", "stays"], &|_| {}).await;
    let part = bench.journal.untried(bench.sinks[0].0, EventId(0), 10).await.unwrap();
    assert_eq!(part.events.len(), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_put_off_what_is_due() {
    let bench = Bench::new(&["a"]).await;
    bench.append(&[numbered(1)]).await;
    bench.append(&[numbered(2), numbered(3)]).await;
    let (sink, now) = (bench.sinks[0].0, Utc::now());
    for (event, due) in [(1, TimeDelta::days(1)), (2, TimeDelta::zero()), (3, TimeDelta::hours(1))]
    {
        bench.record(0, EventId(event), retry(now + due)).await;
    }
    // To ask is no write: somebody else may be at it, and the disk may be full.
    let other = rusqlite::Connection::open(bench.folder.path().join("j.db")).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for (limit, found) in [(1, vec![2]), (2, vec![2, 1]), (3, vec![2, 1])] {
        let (due, next) = bench.journal.due(sink, now, limit).await.unwrap();
        assert_eq!(due.events.iter().map(|pending| pending.id.0).collect::<Vec<_>>(), found);
        let next_due = if due.is_all { now + TimeDelta::hours(1) } else { now };
        assert_eq!(next.map(|next| next.timestamp_millis()), Some(next_due.timestamp_millis()));
        assert_eq!(due.is_all, limit == 3);
    }
}

#[tokio::test]
async fn an_overflow_is_told_and_what_is_offered_then_comes_from_the_journal() {
    let mut bench = Bench::new(&["a"]).await;
    for start in (0..2000).step_by(100) {
        bench.append(&(start..start + 100).map(numbered).collect::<Vec<_>>()).await;
    }
    let (sink, fed) = &mut bench.sinks[0];
    assert!(fed.is_lagging());
    let queued: Vec<_> = std::iter::from_fn(|| fed.try_next()).map(|fresh| fresh.id.0).collect();
    assert_eq!(queued, (1..=queued.len() as i64).collect::<Vec<_>>());
    assert!(queued.len() < 2000);
    let after = EventId(queued.len() as i64);
    let rest = bench.journal.untried(*sink, after, 5000).await.unwrap();
    assert_eq!(rest.events.len(), 2000 - queued.len());
}

#[tokio::test]
async fn notes_of_confirms_share_commits() {
    let bench = Bench::new(&["a"]).await;
    let entry = |n: u32| {
        event::read(AppId(1), &format!(r#"{{"EventHandle":"{n}","N":{n}}}"#), false, Utc::now())
    };
    let appended = bench.journal.append((0..64).map(entry).collect(), Utc::now()).await.unwrap();
    let ids: Vec<_> = appended.iter().map(|appended| appended.id).collect();
    let sending =
        |n: usize| HandleConfirmation { handle: n.to_string().into(), events: vec![ids[n]] };
    let commits = || bench.journal.health().commits().count();
    let before = commits();
    let noted = (0..64).map(|n| bench.journal.begin_confirm(vec![sending(n)]));
    let noted = futures_util::future::try_join_all(noted).await.unwrap();
    let closed = |n: usize| ConfirmPermission::Granted(vec![ids[n]]);
    assert_eq!(noted.concat(), (0..64).map(closed).collect::<Vec<_>>());
    let taken_back = ids.iter().map(|id| bench.journal.abort_confirm(vec![*id]));
    futures_util::future::try_join_all(taken_back).await.unwrap();
    assert!(commits() - before <= 64, "{} commits for 128 notes", commits() - before);
    let all: Vec<_> = (0..64).map(sending).collect();
    let noted = bench.journal.begin_confirm(all.clone()).await.unwrap();
    assert_eq!(noted, (0..64).map(closed).collect::<Vec<_>>(), "what was taken back is open");
    assert!(
        bench
            .journal
            .begin_confirm(all)
            .await
            .unwrap()
            .iter()
            .all(|n| *n == ConfirmPermission::Granted(vec![]))
    );
}

#[tokio::test]
async fn what_a_sink_rejected_since_it_took_one_is_known_to_the_next_run() {
    let bench = Bench::new(&["a", "b"]).await;
    bench.append(&(1..=6).map(numbered).collect::<Vec<_>>()).await;
    let rejected = || DeliveryOutcome::Rejected { error: "no".to_owned() };
    assert_eq!(bench.history(0).await, SinkHistory::default());
    for event in [1, 2] {
        bench.record(0, EventId(event), rejected()).await;
    }
    // Given up for its time: that says nothing of the sink.
    bench.record(1, EventId(1), DeliveryOutcome::Dead { error: "late".to_owned() }).await;
    assert_eq!(bench.history(1).await, SinkHistory::default());

    let folder = bench.close().await;
    let bench = Bench::within(folder, &["a", "b"], &|_| {}).await;
    let ids = |ids: &[i64]| ids.iter().copied().map(EventId).collect::<Vec<_>>();
    assert_eq!(bench.history(0).await, SinkHistory { has_taken: false, rejected: ids(&[1, 2]) });
    // An event that is delivered once more and rejected again is the same.
    let mut editor = JournalAdmin::open(&bench.folder.path().join("j.db")).unwrap();
    editor.requeue(bench.sinks[0].0, None, &ids(&[2]), Utc::now()).unwrap();
    bench.record(0, EventId(2), rejected()).await;
    assert_eq!(bench.history(0).await.rejected, ids(&[1, 2]));
    // The order of a batch counts, and only of its own sink.
    bench.record(1, EventId(2), rejected()).await;
    let [three, four, five] = [(3, rejected()), (4, DeliveryOutcome::Delivered), (5, rejected())]
        .map(|(event, outcome)| DeliveryRecord {
            event: EventId(event),
            outcome,
            mirrored: Vec::new(),
        });
    let batch = vec![three, four, five];
    bench.journal.record(bench.sinks[0].0, batch, None, Utc::now()).await.unwrap();
    assert_eq!(bench.history(0).await, SinkHistory { has_taken: true, rejected: ids(&[5]) });
    assert_eq!(bench.history(1).await, SinkHistory { has_taken: false, rejected: ids(&[2]) });
    let folder = bench.close().await;
    let bench = Bench::within(folder, &["a", "b"], &|_| {}).await;
    assert_eq!(bench.history(0).await, SinkHistory { has_taken: true, rejected: ids(&[5]) });
    let sums = bench.reader().sums().unwrap();
    assert_eq!((sums.dead, sums.delivered), (6, 1));
}

#[tokio::test]
async fn pruning_takes_settled_events_past_their_time_and_nothing_else() {
    let day = TimeDelta::days(1);
    let bench = Bench::new(&["a"]).await;
    let start = Utc::now();
    let pulled = |number: u32, days: i32| {
        let event = Event::clone(&numbered(number));
        Arc::new(Event { first_pulled: start + day * days, ..event })
    };
    bench.append(&[pulled(1, 0), pulled(2, 0), pulled(3, 0), pulled(4, 10)]).await;
    bench.record(0, EventId(1), DeliveryOutcome::Delivered).await;
    bench.record(0, EventId(2), DeliveryOutcome::Dead { error: "x".to_owned() }).await;
    bench.record(0, EventId(4), DeliveryOutcome::Delivered).await;
    while bench.journal.prune(start + day * 15).await.unwrap() {}
    let left: Vec<_> =
        bench.reader().list(&Filter::default(), 10).unwrap().iter().map(|f| f.id.0).collect();
    assert_eq!(left, [4, 3, 2]);
}

#[tokio::test]
async fn a_full_journal_refuses_and_gives_up_settled_bodies_first() {
    let small = |settings: &mut JournalSettings| settings.max_size = ByteSize::mib(8);
    let bench = Bench::within(tempfile::tempdir().unwrap(), &["a"], &small).await;
    let large = |number: u32| {
        let padding = noise(1_500);
        let text =
            format!(r#"{{"EventType":"T","TEvent":{{"TaskId":"{number}","P":"{padding}"}}}}"#);
        event::read(AppId(1), &text, false, Utc::now()).event
    };
    let mut stored = 0;
    let error = loop {
        let batch = (stored..stored + 16).map(|n| large(n).into()).collect();
        match bench.journal.append(batch, Utc::now()).await {
            Ok(_) => stored += 16,
            Err(error) => break error,
        }
        assert!(stored < 10_000);
    };
    assert!(matches!(error, JournalError::Full { .. }), "{error}");
    assert!(error.to_string().contains("journal.max_size = 8.0 MiB"), "{error}");
    let backlog = format!("the sink \"a\" has {stored} events pending and 0 dead");
    assert!(error.to_string().ends_with(&backlog), "{error}");
    assert_eq!(bench.journal.health().error(), Some(error));
    // All is pending: nothing can go.
    while bench.journal.prune(Utc::now()).await.unwrap() {}
    assert!(bench.journal.append(vec![large(9999).into()], Utc::now()).await.is_err());
    for event in 1..=i64::from(stored) {
        bench.record(0, EventId(event), DeliveryOutcome::Delivered).await;
    }
    // What is settled goes before anything is refused.
    bench.append(&[large(9999)]).await;
    assert_eq!(bench.journal.health().error(), None);
    // The keys stay: what the cloud repeats is known.
    assert!(!bench.append(&[large(0)]).await[0].is_new);
}

#[tokio::test]
async fn another_max_size_bounds_the_log_anew() {
    // Its longest, in KiB, after as many events as would make it 2 MiB and more.
    let longest = async |from: u64, to: u64| {
        let sized = |size: u64| {
            move |settings: &mut JournalSettings| settings.max_size = ByteSize::mib(size)
        };
        let bench = Bench::within(tempfile::tempdir().unwrap(), &["a"], &sized(from)).await;
        let mut settings = JournalSettings::default();
        sized(to)(&mut settings);
        bench.journal.set_limits(settings).await.unwrap();
        let log = || bench.folder.path().join("j.db-wal").metadata().unwrap().len() / 1024;
        let mut longest = 0;
        for number in 0..150 {
            bench.append(&[numbered(number)]).await;
            longest = longest.max(log());
        }
        longest
    };
    assert!(longest(16, 1024).await > 1500);
    assert!(longest(1024, 16).await < 1500);
}

#[tokio::test]
async fn the_key_of_an_event_that_was_almost_pruned_leads_to_it() {
    let long_ago = Utc::now() - TimeDelta::days(30);
    let pulled = Arc::new(Event { first_pulled: long_ago, ..Event::clone(&numbered(1)) });
    let bench = Bench::new(&["a"]).await;
    let stored = bench.append(std::slice::from_ref(&pulled)).await[0].id;
    bench.record(0, stored, DeliveryOutcome::Delivered).await;
    // The next start knows no keys yet, and its first pruning comes to nothing.
    let bench = Bench::within(bench.close().await, &["a"], &|_| {}).await;
    let other = rusqlite::Connection::open(bench.folder.path().join("j.db")).unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE DELETE ON bodies
                  BEGIN SELECT raise(ABORT, 'refused'); END";
    other.execute_batch(refuse).unwrap();
    assert!(bench.journal.prune(Utc::now()).await.is_err());
    other.execute_batch("DROP TRIGGER refuse").unwrap();
    let again = bench.append(&[pulled]).await;
    assert_eq!((again[0].id, again[0].is_new), (stored, false));
}

#[tokio::test]
async fn pruning_where_nothing_is_to_be_pruned_writes_nothing() {
    let bench = Bench::new(&["a"]).await;
    bench.append(&[numbered(1)]).await;
    let other = rusqlite::Connection::open(bench.folder.path().join("j.db")).unwrap();
    let version =
        || -> i64 { other.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap() };
    let before = version();
    assert!(!bench.journal.prune(Utc::now()).await.unwrap());
    assert_eq!(version(), before);
}

/// As an audit or a backup does: nothing of the write-ahead log can be given back meanwhile.
#[tokio::test]
async fn a_journal_that_a_long_read_has_filled_takes_events_again_after_it() {
    let small = |settings: &mut JournalSettings| settings.max_size = ByteSize::mib(4);
    let bench = Bench::within(tempfile::tempdir().unwrap(), &["a"], &small).await;
    let reader = rusqlite::Connection::open(bench.folder.path().join("j.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
    let mut stored = 0;
    let error = loop {
        match bench.journal.append(vec![numbered(stored).into()], Utc::now()).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 5_000);
    };
    assert!(matches!(error, JournalError::Full { .. }), "{error}");
    drop(reader);
    bench.append(&[numbered(stored)]).await;
}

#[tokio::test]
async fn the_file_is_private_and_used_by_one_daemon_at_a_time() {
    let bench = Bench::new(&["a"]).await;
    bench.append(&[numbered(1)]).await;
    for name in ["j.db", "j.db-wal", "j.db.lock"] {
        let mode = std::fs::metadata(bench.folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let settings =
        JournalSettings { path: bench.folder.path().join("j.db"), ..JournalSettings::default() };
    let error = Journal::open(&settings).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("j.db.lock"), "{error}");
    let folder = bench.close().await;
    drop(Bench::within(folder, &["a"], &|_| {}).await);
}

#[tokio::test]
async fn a_foreign_newer_or_damaged_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.db");
    let refused = |path: &Path| {
        let before = std::fs::read(path).unwrap();
        let settings = JournalSettings { path: path.to_owned(), ..JournalSettings::default() };
        let error = Journal::open(&settings).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(std::fs::read(path).unwrap(), before, "{error}");
        error
    };
    std::fs::write(
        &path,
        "something else entirely, and longer than a header of SQLite\n".repeat(20),
    )
    .unwrap();
    assert!(matches!(refused(&path), OpenError::Damaged { .. }));
    std::fs::remove_file(&path).unwrap();

    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(other);
    assert!(matches!(refused(&path), OpenError::Foreign { .. }));
    std::fs::remove_file(&path).unwrap();
    // It tells of a journal that was there.
    std::fs::remove_file(folder.path().join("j.db.lock")).unwrap();

    let settings = JournalSettings { path: path.clone(), ..JournalSettings::default() };
    let (journal, closing) = Journal::open(&settings).unwrap();
    drop(journal);
    closing.wait().await;
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 999).unwrap();
    drop(newer);
    assert!(matches!(refused(&path), OpenError::Newer { version: 999, .. }));

    // The folder is missing.
    let settings =
        JournalSettings { path: folder.path().join("no/j.db"), ..JournalSettings::default() };
    assert!(matches!(Journal::open(&settings), Err(OpenError::File { .. })));
}

#[tokio::test]
async fn another_process_is_noticed_and_reads_beside_the_writer() {
    let bench = Bench::new(&["a"]).await;
    bench.append(&[numbered(1)]).await;
    bench.journal.changed_outside().await.unwrap();
    bench.append(&[numbered(2)]).await;
    assert!(!bench.journal.changed_outside().await.unwrap());
    let other = rusqlite::Connection::open(bench.folder.path().join("j.db")).unwrap();
    other.execute("UPDATE pending SET due = 1", []).unwrap();
    assert!(bench.journal.changed_outside().await.unwrap());
    assert!(!bench.journal.changed_outside().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_alone_does_not_keep_others_from_writing() {
    let bench = Bench::new(&["a"]).await;
    bench.append(&[numbered(1)]).await;
    bench.append(&[numbered(1)]).await;
    let other = rusqlite::Connection::open(bench.folder.path().join("j.db")).unwrap();
    other.busy_timeout(Duration::from_secs(2)).unwrap();
    other.execute("UPDATE pending SET due = 1", []).unwrap();
    assert_eq!(bench.reader().sums().unwrap().duplicates, 1);
}

/// A sink that drains the journal while nothing comes, and the command line beside it.
#[tokio::test(flavor = "multi_thread")]
async fn verdicts_without_end_do_not_keep_others_from_writing() {
    let bench = Bench::new(&["a"]).await;
    bench.append(&[numbered(1)]).await;
    let sink = bench.sinks[0].0;
    let verdicts = async |journal: Journal| loop {
        let records = vec![DeliveryRecord {
            event: EventId(1),
            outcome: retry(Utc::now()),
            mirrored: Vec::new(),
        }];
        journal.record(sink, records, None, Utc::now()).await.unwrap();
    };
    // As many as a sink has in flight.
    let all: Vec<_> = (0..32).map(|_| verdicts(bench.journal.clone())).collect();
    let path = bench.folder.path().join("j.db");
    let others = tokio::task::spawn_blocking(move || {
        let other = rusqlite::Connection::open(path).unwrap();
        other.busy_timeout(Duration::from_secs(5)).unwrap();
        let write = |_: &_| {
            // The flood goes on between.
            std::thread::sleep(Duration::from_millis(100));
            other.execute("UPDATE pending SET due = 1", []).is_ok()
        };
        (0..8).filter(write).count()
    });
    tokio::select! {
        _ = futures_util::future::join_all(all) => unreachable!("they go on"),
        written = others => assert_eq!(written.unwrap(), 8),
    }
}

#[tokio::test]
async fn verdicts_are_committed_in_time_though_jobs_never_cease() {
    let bench = Bench::new(&["a"]).await;
    let sink = bench.sinks[0].0;
    let before = bench.journal.health().commits().count();
    // More than the queue holds: another job waits whenever one is done.
    let records = |first: i64| {
        let event = |number| DeliveryRecord {
            event: EventId(first + number),
            outcome: retry(Utc::now()),
            mirrored: Vec::new(),
        };
        bench.journal.record(sink, (0..100).map(event).collect(), None, Utc::now())
    };
    let began = std::time::Instant::now();
    futures_util::future::join_all((0..320).map(records)).await;
    assert!(began.elapsed() > Duration::from_millis(100), "too fast to tell anything");
    let commits = bench.journal.health().commits().count() - before;
    assert!(commits >= 2, "{commits} commits in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_flood_of_events_costs_a_commit_every_few_milliseconds() {
    let bench = Bench::new(&["file"]).await;
    let commits = || bench.journal.health().commits().count();
    let (before, began) = (commits(), std::time::Instant::now());
    let one_after_another = async |first: u32| {
        for number in first..first + 20 {
            bench.append(&[numbered(number)]).await;
        }
    };
    let all: Vec<_> = (0..16).map(|client| one_after_another(client * 100)).collect();
    futures_util::future::join_all(all).await;
    let most = began.elapsed().as_millis() / 4 + 2;
    let commits = commits() - before;
    assert!(u128::from(commits) <= most, "{commits} of {most}");
    // Each is on disk when it is answered, so that there are as many as one client waits for.
    assert!(commits >= 20, "{commits}");
}

#[test]
fn sqlite_has_no_fault_in_its_write_ahead_log() {
    // Fixed in 3.51.3: earlier versions can lose a commit to a checkpoint that runs beside it.
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_by_the_old_routes_or_by_the_new_ones() {
    let bench = Bench::new(&["a", "b"]).await;
    let sinks: Vec<_> = bench.sinks.iter().map(|(sink, _)| *sink).collect();
    let journal = bench.journal.clone();
    let changing = async {
        for n in 0..100 {
            let (feed, fed) = feed();
            let wanted = Wanted::from(vec!["*".to_owned()]);
            journal
                .set_routes(
                    vec![Route { sink: sinks[n % 2], wanted, feed, after: None }],
                    Utc::now(),
                )
                .await
                .unwrap();
            drop(fed);
        }
    };
    let appending = async {
        for n in 0..200 {
            assert!(bench.append(&[numbered(n)]).await[0].pending, "{n}");
        }
    };
    tokio::join!(appending, changing);
    // Orphans hold up nothing, and are there when the sink is back.
    let untried = async |sink| journal.untried(sink, EventId(0), 1000).await.unwrap().events;
    let ids = async |sink| untried(sink).await.iter().map(|e| e.id).collect::<Vec<_>>();
    let (a, b) = (ids(sinks[0]).await, ids(sinks[1]).await);
    // The first ones may have gone to both, by the routes of the beginning.
    let both = a.iter().filter(|id| b.contains(id)).count();
    let first = a.iter().take(both).zip(&b).all(|(a, b)| a == b);
    assert!(first && a.len() + b.len() - both == 200 && !b.is_empty());
    assert_eq!(journal.pending().await.unwrap() as usize, b.len());
    let settled: Vec<_> = a.iter().copied().filter(|id| !b.contains(id)).collect();
    assert_eq!(journal.settled(a).await.unwrap(), settled);
    drop(journal);
    bench.close().await;
}

/// A child has every file of its parent open until it begins its own program.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_being_started_holds_no_closed_journal() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        JournalSettings { path: folder.path().join("j.db"), ..JournalSettings::default() };
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let children = || {
        while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
            // Has it forked, where it would else share its parent's memory and time.
            let mut command = std::process::Command::new("true");
            command.uid(nix::unistd::getuid().as_raw()).status().unwrap();
        }
    };
    let open_often = async || {
        for _ in 0..200 {
            let (journal, closing) = Journal::open(&settings)?;
            drop(journal);
            closing.wait().await;
        }
        Ok::<_, sprited::journal::OpenError>(())
    };
    let opened = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            scope.spawn(children);
            let opened = tokio::runtime::Handle::current().block_on(open_often());
            is_done.store(true, std::sync::atomic::Ordering::Relaxed);
            opened
        })
    });
    opened.unwrap();
}

/// Its lock file may have been removed under it: what it is about to commit is waited for.
#[tokio::test]
async fn whoever_opens_it_begins_after_what_another_daemon_has_under_way() {
    let bench = Bench::new(&["a"]).await;
    bench.append(&[numbered(1)]).await;
    let folder = bench.close().await;
    let path = folder.path().join("j.db");
    let mut other = rusqlite::Connection::open(&path).unwrap();
    let commit = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    commit
        .execute(
            "INSERT INTO events (id, key, app, type, first_pulled, replaced, sinks)
             SELECT id + 1, randomblob(16), app, type, first_pulled, replaced, '' FROM events",
            [],
        )
        .unwrap();
    let settings = JournalSettings { path, ..JournalSettings::default() };
    let (opened, opens) = std::sync::mpsc::channel();
    std::thread::spawn(move || opened.send(Journal::open(&settings).map_err(|e| e.to_string())));
    assert!(opens.recv_timeout(Duration::from_millis(300)).is_err(), "it does not wait");
    commit.commit().unwrap();
    let (journal, closing) = opens.recv().unwrap().unwrap();
    let entry = Entry::from(numbered(2));
    let appended = journal.append(vec![entry], Utc::now()).await.unwrap();
    assert_eq!(appended[0].id, EventId(3));
    drop(journal);
    closing.wait().await;
}
