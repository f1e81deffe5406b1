//! The loop that confirms, with a real journal and a real HTTP server in the place of the cloud:
//! what it sends, and until when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use serde_json::Value;
use sprited::confirmer::{ConfirmPacing, ConfirmSettings as Confirm, Confirmer, Inbox};
use sprited::event::{self, AppId, Wanted};
use sprited::journal::{Closing, EventId, Journal, JournalSettings, Route, feed};
use sprited::lease::Lease;
use sprited::liveness::LivenessMonitor;
use sprited::metrics::Metrics;
use sprited::vod::{self, Client};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::provider;
use crate::local_server::{LocalServer, Reply};
use crate::support::until;

const APP: AppId = AppId(7);

/// Calls that reached a cloud: when, and for which handles.
type Calls = Arc<Mutex<Vec<(Instant, Vec<String>)>>>;

/// A confirmer, what feeds it, and the calls that reached its cloud.
struct Bench {
    leases: mpsc::Sender<Vec<Lease>>,
    settled: mpsc::Sender<Vec<EventId>>,
    calls: Calls,
    metrics: Metrics,
    _changed: watch::Sender<u64>,
    _pacing: watch::Sender<ConfirmPacing>,
    _cloud: LocalServer,
    _journal: (Journal, Closing, TempDir),
    task: JoinHandle<()>,
}

impl Bench {
    /// With a cloud that answers the calls of ConfirmEvents, counted from 0, like this.
    async fn new(answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let calls = Calls::default();
        let seen = calls.clone();
        let cloud = LocalServer::start(move |request, _| {
            let body: Value = serde_json::from_str(&request.body).unwrap();
            let handles = body["EventHandles"].as_array().unwrap().iter();
            let handles = handles.map(|handle| handle.as_str().unwrap().to_owned()).collect();
            let mut seen = seen.lock().unwrap();
            seen.push((Instant::now(), handles));
            answer(seen.len() - 1)
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let settings =
            JournalSettings { path: folder.path().join("j.db"), ..JournalSettings::default() };
        let (journal, closing) = Journal::open(&settings).unwrap();
        let sink = journal.register(vec!["sink".to_owned()]).await.unwrap()[0];
        let route =
            Route { sink, wanted: Wanted::from(vec!["*".to_owned()]), feed: feed().0, after: None };
        journal.set_routes(vec![route], Utc::now()).await.unwrap();
        let entry = |n: i64| {
            let text = format!(r#"{{"EventType":"A","AEvent":{{"TaskId":"{n}"}}}}"#);
            event::read(APP, &text, false, Utc::now())
        };
        journal.append((1..=20).map(entry).collect(), Utc::now()).await.unwrap();

        let settings = vod::VodSettings { endpoint: cloud.url(), ..vod::VodSettings::default() };
        let client = Client::new(&settings, provider()).unwrap().with_app(APP);
        let pacing = ConfirmPacing {
            settings: Confirm::default(),
            max_requests_per_second: 100,
            max_concurrency: 8,
        };
        let (pacing, paced) = watch::channel(pacing);
        let (leases, leased) = mpsc::channel(8);
        let (settled, settled_events) = mpsc::channel(8);
        let (changed, changes) = watch::channel(0);
        let metrics = Metrics::new(journal.health().commits());
        let news = Inbox { leases: leased, settled: settled_events, changed: changes };
        let confirmer = Confirmer::new(vec![client], paced, journal.clone(), news, metrics.clone());
        let run = confirmer
            .run(LivenessMonitor::default().register("confirmer"), CancellationToken::new());
        Self {
            leases,
            settled,
            calls,
            metrics,
            _changed: changed,
            _pacing: pacing,
            _cloud: cloud,
            _journal: (journal, closing, folder),
            task: tokio::spawn(run),
        }
    }

    /// Hands leases over, each a handle, its pending events, and how long it is good.
    async fn lease(&self, leases: &[(&str, &[i64], Duration)]) {
        let now = Instant::now();
        let lease = |(handle, pending, good_for): &(&str, &[i64], Duration)| Lease {
            app: APP,
            handle: (*handle).into(),
            events: pending.iter().copied().map(EventId).collect(),
            pending: pending.iter().copied().map(EventId).collect(),
            is_repeatable: false,
            deadline: now + *good_for,
        };
        self.leases.send(leases.iter().map(lease).collect()).await.unwrap();
    }

    async fn settle(&self, event: i64) {
        self.settled.send(vec![EventId(event)]).await.unwrap();
    }

    fn calls(&self) -> Vec<Vec<String>> {
        self.calls.lock().unwrap().iter().map(|(_, handles)| handles.clone()).collect()
    }

    fn handles(&self, outcome: &'static str) -> u64 {
        self.metrics.handles.get_or_create(&sprited::metrics::ByOutcome { outcome }).get()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const LONG: Duration = Duration::from_secs(60);

fn done() -> Reply {
    Reply::json(r#"{"Response":{"RequestId":"r"}}"#)
}

#[tokio::test]
async fn a_handle_of_two_answers_waits_for_the_events_of_both() {
    let bench = Bench::new(|_| done()).await;
    bench.lease(&[("both", &[1], LONG), ("one", &[3], LONG)]).await;
    bench.lease(&[("both", &[2], LONG)]).await;
    bench.settle(1).await;
    bench.settle(3).await;
    until(|| bench.handles("confirmed") == 1).await;
    bench.settle(2).await;
    until(|| bench.handles("confirmed") == 2).await;
    assert_eq!(bench.calls(), [["one"], ["both"]]);
}

/// The answer to a call stays out until one of its handles lapses: the other is sent once more.
#[tokio::test]
async fn a_handle_that_lapses_takes_none_along_that_has_time_left() {
    let bench = Bench::new(|call| match call {
        0 => Reply::After(LONG, Box::new(done())),
        _ => done(),
    })
    .await;
    let short = Duration::from_millis(500);
    bench.lease(&[("short", &[1], short), ("long", &[2], LONG)]).await;
    // Together, so that they go in one call.
    bench.settled.send(vec![EventId(1), EventId(2)]).await.unwrap();
    until(|| bench.handles("confirmed") == 1).await;
    assert_eq!(bench.calls(), [vec!["short", "long"], vec!["long"]]);
    assert_eq!(bench.handles("expired"), 1);
}

/// A call that was refused for its rate waits, and its deadline comes meanwhile.
#[tokio::test]
async fn nothing_is_sent_past_its_deadline() {
    let bench = Bench::new(|_| Reply::error("RequestLimitExceeded")).await;
    let start = Instant::now();
    let short = Duration::from_millis(700);
    bench.lease(&[("short", &[1], short)]).await;
    bench.settle(1).await;
    until(|| bench.handles("expired") == 1).await;
    assert!(start.elapsed() >= short);
    let calls = bench.calls.lock().unwrap().clone();
    assert!(!calls.is_empty(), "it was sent at first");
    // What was sent just before may arrive a little later.
    let latest = start + short + Duration::from_millis(300);
    assert!(calls.iter().all(|(at, _)| *at <= latest));
    // And what waits for its sink until then is not sent when that has it.
    let sent = calls.len();
    bench.lease(&[("late", &[2], Duration::from_millis(100))]).await;
    until(|| bench.handles("expired") == 2).await;
    bench.settle(2).await;
    bench.lease(&[("other", &[3], LONG)]).await;
    bench.settle(3).await;
    until(|| bench.calls().len() > sent).await;
    assert!(bench.calls()[sent..].iter().all(|handles| handles == &["other"]));
}
