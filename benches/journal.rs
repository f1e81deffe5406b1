//! What the journal costs when it is new and when it has held many events: each pass appends 16
//! events of one pull, has them delivered to one sink and confirmed.
//!
//! Run it with `cargo bench --bench journal`; for the larger ones it takes a minute and about
//! 1 GB below `target/tmp`. Criterion tells the time a caller waits, the disk's included.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use criterion::{Criterion, criterion_group, criterion_main};
use sprited::event::{self, AppId, Event, Wanted};
use sprited::journal::{
    Appended, Closing, DeliveryOutcome, DeliveryRecord, EventId, FeedReceiver, Journal,
    JournalSettings, Route, SinkId, feed,
};
use tokio::runtime::Runtime;

/// As many as one pull brings.
const BATCH: usize = 16;
/// The journal lets jobs gather for 4 ms from the start of a commit.
const GATHERED: Duration = Duration::from_millis(5);
/// Rows that a journal holds before it is measured.
const ROWS: [usize; 3] = [1_000, 100_000, 1_000_000];
/// Batches that share a commit while it is filled.
const FILLING: usize = 64;

struct Filled {
    journal: Journal,
    sink: SinkId,
    next: usize,
    _fed: FeedReceiver,
    _folder: tempfile::TempDir,
    closing: Closing,
}

impl Filled {
    async fn with(rows: usize) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let settings = JournalSettings {
            path: folder.path().join("journal.db"),
            ..JournalSettings::default()
        };
        let (journal, closing) = Journal::open(&settings).expect("a new journal");
        let sink = journal.register(vec!["sink".to_owned()]).await.expect("a sink")[0];
        let (feed, fed) = feed();
        let wanted = Wanted::from(vec!["*".to_owned()]);
        journal
            .set_routes(vec![Route { sink, wanted, feed, after: None }], Utc::now())
            .await
            .expect("routes");
        let mut filled = Self { journal, sink, next: 0, _fed: fed, _folder: folder, closing };
        while filled.next < rows {
            let batches: Vec<_> = (0..FILLING).map(|_| filled.batch()).collect();
            futures_util::future::join_all(batches.into_iter().map(async |batch| {
                let appended = filled.append(batch).await;
                filled.deliver(appended).await;
            }))
            .await;
        }
        filled
    }

    /// Fills it anew when the measurement has made it more than half as large again.
    fn renew(&mut self, rows: usize, runtime: &Runtime) {
        if self.next > rows + (rows / 2).max(BATCH * FILLING) {
            let new = runtime.block_on(Self::with(rows));
            let Self { journal, closing, .. } = std::mem::replace(self, new);
            // What it still has to write is not to be measured.
            drop(journal);
            runtime.block_on(closing.wait());
        }
    }

    /// The next events, each with a task of its own.
    fn batch(&mut self) -> Vec<Arc<Event>> {
        let first = self.next;
        self.next += BATCH;
        (first..self.next).map(numbered).collect()
    }

    async fn append(&self, batch: Vec<Arc<Event>>) -> Vec<Appended> {
        let entries = batch.into_iter().map(Into::into).collect();
        self.journal.append(entries, Utc::now()).await.expect("room")
    }

    async fn deliver(&self, appended: Vec<Appended>) {
        let ids: Vec<EventId> = appended.iter().map(|appended| appended.id).collect();
        let record = |id: &EventId| DeliveryRecord {
            event: *id,
            outcome: DeliveryOutcome::Delivered,
            mirrored: Vec::new(),
        };
        let records = ids.iter().map(record).collect();
        self.journal.record(self.sink, records, None, Utc::now()).await.expect("room");
        self.journal.confirmed(ids, Utc::now()).await.expect("room");
    }
}

fn numbered(number: usize) -> Arc<Event> {
    let text = format!(
        r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{{"TaskId":"1500012345-Procedure-{number}","FileId":"{number}","Status":"FINISH","Filler":"{number:0>500}"}}}}"#
    );
    event::read(AppId(1_500_012_345), &text, false, Utc::now()).event
}

fn journal(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = c.benchmark_group("journal");
    group.measurement_time(Duration::from_secs(10)).sample_size(50);
    for rows in ROWS {
        let mut filled = runtime.block_on(Filled::with(rows));
        group.bench_function(format!("append/{rows}"), |b| {
            b.iter_custom(|passes| {
                let mut waited = Duration::ZERO;
                for _ in 0..passes {
                    filled.renew(rows, &runtime);
                    let batch = filled.batch();
                    let start = Instant::now();
                    let appended = runtime.block_on(filled.append(batch));
                    waited += start.elapsed();
                    runtime.block_on(filled.deliver(appended));
                }
                waited
            });
        });
        group.bench_function(format!("verdicts/{rows}"), |b| {
            b.iter_custom(|passes| {
                let mut waited = Duration::ZERO;
                for _ in 0..passes {
                    filled.renew(rows, &runtime);
                    let batch = filled.batch();
                    let appended = runtime.block_on(filled.append(batch));
                    // The writer gathers what else comes for some milliseconds: not to be measured.
                    std::thread::sleep(GATHERED);
                    let start = Instant::now();
                    runtime.block_on(filled.deliver(appended));
                    waited += start.elapsed();
                }
                waited
            });
        });
    }
    group.finish();
}

criterion_group!(benches, journal);
criterion_main!(benches);
