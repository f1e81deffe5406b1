//! What a mirror made of sprites, on its way through the journal to the sinks that come after it.

use std::sync::Arc;

use chrono::Utc;
use sprited::event::{AfterState, AppId, Entry, Event, MirrorResult, MirrorStatus, Wanted, read};
use sprited::journal::{
    DeliveryOutcome, DeliveryRecord, EventId, FeedReceiver, Journal, JournalSettings, On, Route,
    RouteAfter, SinkId, feed,
};
use tempfile::TempDir;

/// A mirror, a sink after it and one after that.
struct Chain {
    _folder: TempDir,
    journal: Journal,
    sinks: [SinkId; 3],
    _feeds: Vec<FeedReceiver>,
}

impl Chain {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.db");
        let settings = JournalSettings { path, ..JournalSettings::default() };
        let (journal, _closing) = Journal::open(&settings).unwrap();
        let names = ["cdn", "site", "log"].map(str::to_owned);
        let sinks: [_; 3] = journal.register(names.to_vec()).await.unwrap().try_into().unwrap();
        let (mut routes, mut feeds) = (Vec::new(), Vec::new());
        for (index, sink) in sinks.into_iter().enumerate() {
            let (feed, fed) = feed();
            let before = index.checked_sub(1).map(|before| sinks[before]);
            let after = before.map(|sink| RouteAfter { sink, on: On::Settled });
            routes.push(Route { sink, wanted: Wanted::from(vec!["*".to_owned()]), feed, after });
            feeds.push(fed);
        }
        journal.set_routes(routes, Utc::now()).await.unwrap();
        Self { _folder: folder, journal, sinks, _feeds: feeds }
    }

    async fn append(&self) -> EventId {
        let event = read(AppId(1), r#"{"EventType":"T"}"#, false, Utc::now()).event;
        self.journal.append(vec![Entry::from(event)], Utc::now()).await.unwrap()[0].id
    }

    async fn record(
        &self,
        sink: usize,
        event: EventId,
        outcome: DeliveryOutcome,
        mirrored: Vec<MirrorResult>,
    ) {
        let records = vec![DeliveryRecord { event, outcome, mirrored }];
        self.journal.record(self.sinks[sink], records, None, Utc::now()).await.unwrap();
    }

    /// What waits for a sink.
    async fn waiting(&self, sink: usize) -> Arc<Event> {
        let (page, _) = self.journal.due(self.sinks[sink], Utc::now(), 10).await.unwrap();
        page.events.into_iter().next().unwrap().event
    }
}

fn result(status: MirrorStatus) -> MirrorResult {
    MirrorResult {
        sink: "cdn".to_owned(),
        status,
        error: (status == MirrorStatus::Failed).then(|| "404".to_owned()),
        manifest: None,
        vtt: None,
        sheets: None,
        tile: None,
        count: None,
        findings: Vec::new(),
    }
}

#[tokio::test]
async fn it_goes_to_every_sink_of_the_chain_and_again_with_a_redelivery() {
    let chain = Chain::new().await;
    let event = chain.append().await;
    let mirrored = vec![result(MirrorStatus::Ok)];
    chain.record(0, event, DeliveryOutcome::Delivered, mirrored.clone()).await;
    let after = chain.waiting(1).await.after.clone().unwrap();
    assert_eq!((after.state, &after.mirrored), (AfterState::Delivered, &mirrored));
    chain.record(1, event, DeliveryOutcome::Delivered, Vec::new()).await;
    let after = chain.waiting(2).await.after.clone().unwrap();
    assert_eq!((after.sink.as_str(), &after.mirrored), ("site", &mirrored));
}

#[tokio::test]
async fn what_the_mirror_gave_up_says_so() {
    let chain = Chain::new().await;
    let event = chain.append().await;
    let mirrored = vec![result(MirrorStatus::Failed)];
    let retry = DeliveryOutcome::Retry {
        due: Utc::now(),
        charged: std::time::Duration::ZERO,
        error: "404".to_owned(),
    };
    chain.record(0, event, retry, mirrored.clone()).await;
    let dead = DeliveryOutcome::Dead { error: "404".to_owned() };
    chain.record(0, event, dead, mirrored.clone()).await;
    let after = chain.waiting(1).await.after.clone().unwrap();
    assert_eq!((after.state, after.attempts, &after.mirrored), (AfterState::Dead, 2, &mirrored));
}
