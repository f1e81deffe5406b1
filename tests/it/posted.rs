//! Events that were posted or made from a finished task, in the journal: nothing comes under a
//! handle, and what can happen again word for word is told apart by its answer.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use sprited::event::{AppId, Entry, EntryReader, Event, EventOrigin, Wanted, read};
use sprited::ingest::{Ingest, IngestSource};
use sprited::journal::{
    Appended, Closing, ConfirmPermission, DeliveryOutcome, DeliveryRecord, EventId,
    HandleConfirmation, Journal, JournalReader, JournalSettings, Route, audit, feed,
};
use sprited::metrics::{ByTypeOutcomeAndOrigin, Metrics, Times};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const APP: AppId = AppId(1_500_012_345);
/// What can happen again word for word.
const CAST: &str = r#"{"EventType":"MediaCastStatusChanged","MediaCastEvent":{"CastId":"c"}}"#;
const TASK: &str =
    r#"{"EventType":"ClipComplete","ClipCompleteEvent":{"TaskId":"t","FileId":"1"}}"#;

fn begin() -> DateTime<Utc> {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    begin() + TimeDelta::seconds(seconds)
}

struct Bench {
    folder: TempDir,
    open: Option<(Journal, Closing)>,
}

impl Bench {
    async fn new() -> Self {
        let mut bench = Self { folder: tempfile::tempdir().unwrap(), open: None };
        bench.restart().await;
        bench
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    async fn restart(&mut self) {
        self.stop().await;
        let settings = JournalSettings { path: self.path(), ..JournalSettings::default() };
        let (journal, closing) = Journal::open(&settings).unwrap();
        let sinks = journal.register(vec!["all".to_owned()]).await.unwrap();
        let wanted = Wanted::from(vec!["*".to_owned()]);
        let routes = vec![Route { sink: sinks[0], wanted, feed: feed().0, after: None }];
        journal.set_routes(routes, Utc::now()).await.unwrap();
        self.open = Some((journal, closing));
    }

    async fn stop(&mut self) {
        if let Some((journal, closing)) = self.open.take() {
            drop(journal);
            closing.wait().await;
        }
    }

    fn journal(&self) -> &Journal {
        &self.open.as_ref().unwrap().0
    }

    async fn append(&self, entry: Entry, now: DateTime<Utc>) -> Appended {
        self.journal().append(vec![entry], now).await.unwrap().remove(0)
    }

    /// Posts `text` so many seconds after the begin.
    async fn post_text(&self, text: &str, seconds: i64) -> Appended {
        let entry = EntryReader::default().read_posted(APP, text, false, at(seconds)).entry;
        self.append(entry, at(seconds)).await
    }

    async fn post(&self, seconds: i64) -> Appended {
        self.post_text(CAST, seconds).await
    }

    async fn pull(&self, text: &str, handle: &str, seconds: i64) -> Appended {
        let event = read(APP, text, false, at(seconds)).event;
        self.append(Entry { handle: Some(handle.into()), event }, at(seconds)).await
    }

    async fn acknowledge(&self, event: EventId) {
        self.journal().acknowledge(event).await.unwrap();
    }

    async fn begin_confirm(&self, handle: &str, event: EventId) -> ConfirmPermission {
        let handle = HandleConfirmation { handle: handle.into(), events: vec![event] };
        self.journal().begin_confirm(vec![handle]).await.unwrap().remove(0)
    }

    fn reader(&self) -> JournalReader {
        JournalReader::open(&self.path()).unwrap()
    }

    fn assert_sound(&self) {
        let report = audit(&self.path()).unwrap().unwrap();
        assert!(report.ok(), "{report:?}");
    }
}

#[tokio::test]
async fn what_was_not_answered_in_time_is_the_same_for_two_minutes() {
    let bench = Bench::new().await;
    let first = bench.post(0).await;
    assert!(first.is_new && first.is_repeatable && !first.may_be_duplicate, "{first:?}");
    // Each post begins the time anew.
    for seconds in [0, 119, 238] {
        let again = bench.post(seconds).await;
        assert_eq!((again.is_new, again.id, again.key), (false, first.id, first.key), "{seconds}");
    }
    let later = bench.post(358).await;
    assert!(later.is_new && later.key != first.key);
    assert!(later.may_be_duplicate, "it may have been posted once more after all");
    assert_eq!(bench.post(359).await.id, later.id);
    bench.assert_sound();
}

#[tokio::test]
async fn what_was_answered_in_time_is_over() {
    let bench = Bench::new().await;
    let mut keys = Vec::new();
    for seconds in 0..20 {
        let posted = bench.post(seconds / 10).await;
        assert!(posted.is_new && !posted.may_be_duplicate, "{posted:?}");
        bench.acknowledge(posted.id).await;
        // Twice is as good as once.
        bench.acknowledge(posted.id).await;
        keys.push(posted.key);
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 20);
    let other = Bench::new().await;
    assert!(!keys.contains(&other.post(0).await.key), "no two journals make one id");
    bench.assert_sound();
}

#[tokio::test]
async fn a_late_answer_is_followed_by_one_that_is_in_time() {
    let bench = Bench::new().await;
    let first = bench.post(0).await;
    assert_eq!(bench.post(5).await.id, first.id);
    bench.acknowledge(first.id).await;
    let next = bench.post(6).await;
    assert!(next.is_new && !next.may_be_duplicate, "{next:?}");
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let mut bench = Bench::new().await;
    let first = bench.post(0).await;
    bench.restart().await;
    assert_eq!(bench.post(100).await.id, first.id);
    bench.restart().await;
    assert_eq!(bench.post(219).await.id, first.id);
    bench.restart().await;
    let later = bench.post(339).await;
    assert!(later.is_new);
    bench.acknowledge(later.id).await;
    bench.restart().await;
    let next = bench.post(340).await;
    assert!(next.is_new && !next.may_be_duplicate, "{next:?}");
    bench.assert_sound();
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_one_more_and_none_less() {
    let mut bench = Bench::new().await;
    let first = bench.post(3600).await;
    let second = bench.post(3599).await;
    assert!(second.is_new && second.id != first.id);
    // The first one's time is not known any more, though by the clock it is near.
    assert_eq!(bench.post(3601).await.id, second.id);
    bench.restart().await;
    assert!(bench.post(0).await.is_new);
}

#[tokio::test]
async fn what_is_pulled_after_an_answer_is_another_event() {
    let bench = Bench::new().await;
    let posted = bench.post(0).await;
    bench.acknowledge(posted.id).await;
    let pulled = bench.pull(CAST, "h", 1).await;
    assert!(pulled.is_new && !pulled.may_be_duplicate, "{pulled:?}");
    let permission = bench.begin_confirm("h", pulled.id).await;
    assert_eq!(permission, ConfirmPermission::Granted(vec![pulled.id]));
    // What is posted does not take the place of what is in the queue.
    let next = bench.pull(CAST, "i", 2).await;
    assert!(next.is_new);
    assert!(bench.post(3).await.is_new);
    assert_eq!(bench.pull(CAST, "i", 4).await.id, next.id);
}

#[tokio::test]
async fn what_is_pulled_after_a_late_answer_is_the_same_and_its_handle_counts() {
    let bench = Bench::new().await;
    let posted = bench.post(0).await;
    let pulled = bench.pull(CAST, "h", 60).await;
    assert_eq!((pulled.is_new, pulled.id), (false, posted.id));
    // From then on it answers for the message of that handle alone.
    let again = bench.post(61).await;
    assert!(again.is_new);
    let permission = bench.begin_confirm("h", posted.id).await;
    assert_eq!(permission, ConfirmPermission::Granted(vec![posted.id]));

    let bench = Bench::new().await;
    bench.post(0).await;
    let pulled = bench.pull(CAST, "h", 120).await;
    assert!(pulled.is_new && pulled.may_be_duplicate, "{pulled:?}");
}

/// The answer was in time after all: had both been one, what was pulled would be lost.
#[tokio::test]
async fn an_answer_in_time_leaves_a_handle_to_the_next_occurrence() {
    let bench = Bench::new().await;
    let posted = bench.post(0).await;
    assert_eq!(bench.pull(CAST, "h", 1).await.id, posted.id);
    bench.acknowledge(posted.id).await;
    assert_eq!(bench.begin_confirm("h", posted.id).await, ConfirmPermission::Superseded);
    let again = bench.pull(CAST, "i", 40).await;
    assert!(again.is_new);
    bench.journal().abort_confirm(vec![posted.id]).await.unwrap();
    assert!(bench.post(41).await.is_new);
}

#[tokio::test]
async fn an_event_that_names_its_task_is_one_whatever_road_it_came_by() {
    let bench = Bench::new().await;
    for first_by_post in [true, false] {
        let text = TASK.replace("\"t\"", &format!("\"{first_by_post}\""));
        let (one, other) = if first_by_post {
            (bench.post_text(&text, 0).await, bench.pull(&text, "h", 1).await)
        } else {
            (bench.pull(&text, "h", 0).await, bench.post_text(&text, 1).await)
        };
        assert!(one.is_new && !other.is_new && !one.is_repeatable);
        assert_eq!((one.id, one.key), (other.id, other.key));
        bench.acknowledge(one.id).await;
        assert!(!bench.post_text(&text, 9999).await.is_new, "it is never another one");
        let stored = bench.reader().find(one.key).unwrap().unwrap();
        let origin = if first_by_post { EventOrigin::Callback } else { EventOrigin::Queue };
        assert_eq!(stored.event.origin, origin);
        bench.journal().confirmed(vec![one.id], at(2)).await.unwrap();
    }
    bench.assert_sound();
}

#[tokio::test]
async fn an_answer_of_what_cannot_happen_again_writes_nothing() {
    let bench = Bench::new().await;
    let posted = bench.post_text(TASK, 0).await;
    bench.journal().pending().await.unwrap();
    let log = bench.path().with_extension("db-wal");
    let before = std::fs::read(&log).unwrap();
    for _ in 0..3 {
        bench.acknowledge(posted.id).await;
        bench.journal().register(Vec::new()).await.unwrap();
    }
    assert!(std::fs::read(&log).unwrap() == before, "the write-ahead log has grown");
}

#[tokio::test]
async fn what_has_no_handle_is_not_waited_for_to_be_confirmed() {
    let bench = Bench::new().await;
    let now = Utc::now();
    let posted = EntryReader::default().read_posted(APP, TASK, false, now).entry;
    let made = TASK.replace("\"t\"", "\"made\"");
    let made = EntryReader::default().read_reconciled(APP, &made, now);
    bench.append(posted, now).await;
    bench.append(made, now).await;
    let overview = bench.reader().overview(now, EventId(0)).unwrap();
    assert_eq!((overview.received, overview.oldest_unconfirmed), (2, None));
    assert_eq!(overview.confirmed_before, EventId(3));
    let pulled = TASK.replace("\"t\"", "\"pulled\"");
    let pulled = Entry { handle: Some("h".into()), event: read(APP, &pulled, false, now).event };
    bench.append(pulled, now).await;
    let overview = bench.reader().overview(now, overview.confirmed_before).unwrap();
    assert!(overview.oldest_unconfirmed.is_some());
}

#[tokio::test]
async fn what_was_posted_is_left_in_no_queue() {
    let bench = Bench::new().await;
    bench.post_text(TASK, 0).await;
    bench.post(0).await;
    bench.pull(CAST, "h", 300).await;
    let rescue = bench.journal().rescue().await.unwrap();
    assert_eq!((rescue.pending, rescue.unconfirmed), (3, 1));
}

#[tokio::test]
async fn what_arrived_how_is_counted_and_only_the_queue_owes_a_handle() {
    let bench = Bench::new().await;
    let (leases, _confirmer) = tokio::sync::mpsc::channel(1);
    let metrics = Metrics::new(&Times::new([1.0]));
    let ingest = Ingest::new(bench.journal().clone(), leases, metrics.clone());
    let mut reader = EntryReader::default();
    let entries = [
        reader.read(APP, TASK, false, at(0)),
        reader.read_posted(APP, TASK, false, at(0)).entry,
        reader.read_posted(APP, CAST, false, at(0)).entry,
        reader.read_reconciled(APP, TASK, at(0)),
    ];
    let retries = sprited::limits::JOURNAL_RETRIES;
    let source = IngestSource { app_name: None, request_id: None, retries, on_append: &|_| {} };
    let stop = CancellationToken::new();
    for entry in entries {
        ingest.store(&[entry], &at(0).into(), source, &stop).await.unwrap();
    }
    assert_eq!(metrics.events_without_handle.get(), 1);
    let count = |r#type, outcome, origin| {
        let labels = ByTypeOutcomeAndOrigin { r#type, outcome, origin };
        metrics.events.get(&labels).map_or(0, |count| count.get())
    };
    assert_eq!(count("ClipComplete", "new", "queue"), 1);
    assert_eq!(count("ClipComplete", "duplicate", "callback"), 1);
    assert_eq!(count("MediaCastStatusChanged", "new", "callback"), 1);
    assert_eq!(count("ClipComplete", "duplicate", "reconcile"), 1);
}

#[tokio::test]
async fn an_event_keeps_how_it_arrived() {
    let mut bench = Bench::new().await;
    let mut reader = EntryReader::default();
    let texts = ["a", "b", "c"].map(|task| TASK.replace("\"t\"", &format!("{task:?}")));
    let entries = [
        read(APP, &texts[0], false, at(0)),
        reader.read_posted(APP, &texts[1], false, at(0)).entry,
        reader.read_reconciled(APP, &texts[2], at(0)),
    ];
    let appended = bench.journal().append(entries.to_vec(), at(0)).await.unwrap();
    bench.restart().await;
    for (entry, appended) in entries.iter().zip(&appended) {
        let stored = bench.reader().find(appended.key).unwrap().unwrap();
        assert_eq!(stored.event, *entry.event);
    }
    let sink = bench.journal().register(vec!["all".to_owned()]).await.unwrap()[0];
    let pending = bench.journal().untried(sink, EventId(0), 10).await.unwrap().events;
    let events: Vec<Arc<Event>> = pending.into_iter().map(|pending| pending.event).collect();
    assert_eq!(events, entries.map(|entry| entry.event));
}

#[tokio::test]
async fn pruning_takes_what_is_known_of_posts_as_well() {
    let bench = Bench::new().await;
    let days = |days| Utc::now() - TimeDelta::days(days);
    for (text, received) in [(CAST.to_owned(), days(30)), (CAST.replace("\"c\"", "\"d\""), days(1))]
    {
        let entry = EntryReader::default().read_posted(APP, &text, false, received).entry;
        bench.append(entry, received).await;
    }
    let sink = bench.journal().register(vec!["all".to_owned()]).await.unwrap()[0];
    let taken = [1, 2].map(|event| DeliveryRecord {
        event: EventId(event),
        outcome: DeliveryOutcome::Delivered,
        mirrored: Vec::new(),
    });
    bench.journal().record(sink, taken.to_vec(), None, Utc::now()).await.unwrap();
    while bench.journal().prune(Utc::now()).await.unwrap() {}
    let sqlite = rusqlite::Connection::open(bench.path()).unwrap();
    let posted: i64 =
        sqlite.query_row("SELECT sum(event) FROM posted", [], |row| row.get(0)).unwrap();
    assert_eq!(posted, 2);
    bench.assert_sound();
}

/// What happens to events of one content that reads the same each time.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// One is posted, for the first time or once more.
    Post(usize),
    /// The last answer was written in time.
    Acknowledge(usize),
    /// One is pulled, and its handle is confirmed.
    Pull(usize),
    /// The clock goes on so many seconds, or is set back.
    Wait(i64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize).prop_map(Step::Post),
        3 => (0..2_usize).prop_map(Step::Acknowledge),
        2 => (0..2_usize).prop_map(Step::Pull),
        3 => (1..100_i64).prop_map(Step::Wait),
        1 => Just(Step::Wait(120)),
        1 => (-200..0_i64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// Plays `steps` beside a model of the rule: of each content the occurrence that may be posted once
/// more, and when it was posted last.
async fn play(steps: Vec<Step>) {
    let mut bench = Bench::new().await;
    let texts = ["c", "d"].map(|cast| CAST.replace("\"c\"", &format!("{cast:?}")));
    let mut waiting: [Option<(EventId, i64)>; 2] = [None, None];
    let mut last: [Option<EventId>; 2] = [None, None];
    let mut keys = BTreeSet::new();
    let (mut now, mut handles) = (0, 0);
    for step in steps {
        let expected = |content: usize| {
            waiting[content].filter(|(_, at)| (0..120).contains(&(now - at))).map(|(id, _)| id)
        };
        let (content, appended) = match step {
            Step::Post(content) => (content, bench.post_text(&texts[content], now).await),
            Step::Pull(content) => {
                handles += 1;
                let handle = handles.to_string();
                let pulled = bench.pull(&texts[content], &handle, now).await;
                let permission = bench.begin_confirm(&handle, pulled.id).await;
                assert_eq!(permission, ConfirmPermission::Granted(vec![pulled.id]));
                bench.journal().confirmed(vec![pulled.id], at(now)).await.unwrap();
                (content, pulled)
            }
            Step::Acknowledge(content) => {
                if let Some(event) = last[content] {
                    bench.acknowledge(event).await;
                    waiting[content] = waiting[content].filter(|(id, _)| *id != event);
                }
                continue;
            }
            Step::Wait(seconds) => {
                now += seconds;
                continue;
            }
            Step::Restart => {
                bench.restart().await;
                continue;
            }
        };
        match expected(content) {
            Some(event) => assert_eq!((appended.is_new, appended.id), (false, event), "{step:?}"),
            None => assert!(appended.is_new && keys.insert(appended.key), "{step:?}: {appended:?}"),
        }
        let is_posted = matches!(step, Step::Post(_));
        // What was pulled answers for the message of its handle.
        waiting[content] = is_posted.then_some((appended.id, now));
        if is_posted {
            last[content] = Some(appended.id);
        }
    }
    bench.assert_sound();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn each_occurrence_is_told_apart_as_the_rule_says(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }
}
