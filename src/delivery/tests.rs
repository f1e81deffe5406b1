//! What follows from verdicts, with a real journal and a real sink that is not asked.

use chrono::{DateTime, TimeDelta};
use tempfile::TempDir;

use super::control::{PauseRequest, RetryRequest};
use super::*;
use crate::event::{AppId, EventFormat, Wanted, read};
use crate::journal::{Closing, DeliveryOutcome, JournalSettings, PendingEvent, Route, feed};
use crate::sinks::{Fault, SinkContext, SinkKind};

/// A sink's delivery loop, which the test turns.
struct Fixture {
    _folder: TempDir,
    _closing: Closing,
    delivery: Delivery,
    board: SinkBoard,
    events: Vec<PendingEvent>,
    now: DateTime<Utc>,
}

fn refused(after: Option<Duration>) -> Verdict {
    Verdict::Retry { error: "refused".to_owned(), after, fault: Fault::Target }
}

fn rejected() -> Verdict {
    Verdict::Reject("rejected".to_owned())
}

impl Fixture {
    /// A sink that has as many events, and has taken the first of them.
    async fn new(events: usize) -> Self {
        let mut fixture = Self::untried(events, Duration::from_secs(600)).await;
        fixture.answer(0..1, |_| Verdict::Delivered).await;
        fixture
    }

    /// A sink that has taken nothing yet.
    async fn untried(events: usize, give_up_after: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let (journal, closing) =
            Journal::open(&JournalSettings { path, ..JournalSettings::default() }).unwrap();
        let id = journal.register(vec!["sink".to_owned()]).await.unwrap()[0];
        let (feed, fed) = feed();
        let wanted = Wanted::from(vec!["*".to_owned()]);
        journal
            .set_routes(vec![Route { sink: id, wanted, feed, after: None }], chrono::Utc::now())
            .await
            .unwrap();
        let now = Utc::now();
        let event = |n| read(AppId(1), &format!(r#"{{"N":{n}}}"#), false, now).event;
        journal.append((0..events).map(|n| event(n).into()).collect(), now).await.unwrap();
        let events = journal.untried(id, EventId(0), events).await.unwrap().events;

        let context = SinkContext {
            name: "sink".to_owned(),
            app: AppId(1),
            format: EventFormat::default(),
            timeout: Duration::from_secs(1),
            others: Vec::new(),
            launcher: std::path::PathBuf::new(),
        };
        let table = toml::de::Deserializer::parse("").unwrap();
        let plan = (SinkKind::named("stdout").unwrap().parse)(table).unwrap();
        let sink = plan.open(&context).await.unwrap();
        let max_rejects = MaxRejects::default();
        let target =
            DeliveryTarget { name: "sink".to_owned(), id, sink, give_up_after, max_rejects };
        let (settled, changed) = (mpsc::channel(100).0, watch::channel(0).1);
        let metrics = Metrics::new(journal.health().commits());
        let board = SinkBoard::default();
        let mut delivery = Delivery::new(target, fed, journal, settled, changed, &metrics, &board);
        assert!(delivery.recover(&mut InFlight::default(), &DeliveryStop::default()).await);
        Self { _folder: folder, _closing: closing, delivery, board, events, now }
    }

    /// The sink answers for these events, all at once, and that is written.
    async fn answer(&mut self, of: std::ops::Range<usize>, verdict: impl Fn(usize) -> Verdict) {
        let verdicts = of.clone().map(verdict).collect();
        let events = self.events[of].to_vec();
        let (began, checkpoint, mirrored) = (Instant::now(), None, Vec::new());
        let delivered = Delivered { began, events, verdicts, checkpoint, mirrored };
        let written = self.delivery.record_verdicts(delivered, 1).await;
        self.delivery.recorded(written).await;
    }

    /// The sink answers for an event that had failed as it says, so many minutes from the start.
    fn outcome(
        &mut self,
        pending: &PendingEvent,
        verdict: Verdict,
        minute: i64,
    ) -> DeliveryOutcome {
        let now = self.at(minute);
        let verdict = self.delivery.weigh(pending.id, verdict);
        self.delivery.observe(pending, &verdict, now);
        self.delivery.decide(pending, verdict, now).outcome
    }

    fn at(&self, minute: i64) -> DateTime<Utc> {
        self.now + TimeDelta::minutes(minute)
    }

    /// An event that failed last in this minute.
    fn failed(&self, index: usize, minute: i64) -> PendingEvent {
        let at = Some(self.at(minute));
        let event = self.events[index].clone();
        PendingEvent { attempts: 1, first_failed: at, last_failed: at, ..event }
    }

    async fn rejected(&self) -> usize {
        self.delivery.journal.history(self.delivery.target.id).await.unwrap().rejected.len()
    }

    /// What the sink still has to take, in minutes until it is due; `None` if it was never tried.
    async fn due(&mut self) -> Vec<EventId> {
        self.delivery.queue.refill(None, false).await.unwrap();
        self.delivery.queue.take(1000).iter().map(|pending| pending.id).collect()
    }
}

impl Fixture {
    /// What whoever watches sees of the sink.
    fn progress(&self) -> SinkProgress {
        self.board.of("sink").unwrap()
    }
}

fn wait(outcome: DeliveryOutcome, now: DateTime<Utc>) -> Duration {
    let DeliveryOutcome::Retry { due, .. } = outcome else { panic!("{outcome:?}") };
    (due - now).to_std().unwrap()
}

fn charged(outcome: DeliveryOutcome) -> u64 {
    let DeliveryOutcome::Retry { charged, .. } = outcome else { panic!("{outcome:?}") };
    charged.as_secs() / 60
}

#[tokio::test]
async fn the_pauses_of_an_event_grow_with_its_attempts() {
    let mut fixture = Fixture::new(2).await;
    for (attempts, most) in [(0, 1), (1, 2), (2, 4), (6, 64), (9, 512), (10, 600), (1000, 600)] {
        let pending = PendingEvent { attempts, ..fixture.events[1].clone() };
        let wait = wait(fixture.outcome(&pending, refused(None), 0), fixture.now).as_secs_f64();
        assert!(wait <= most as f64 && wait >= most as f64 / 2.0, "{attempts}: {wait}");
    }
}

#[tokio::test]
async fn an_event_waits_as_long_as_its_answer_asks() {
    let mut fixture = Fixture::new(2).await;
    let pending = fixture.events[1].clone();
    for (asked, waited) in [(120, 120), (3600, 3600), (86_400, 3600)] {
        let verdict = refused(Some(Duration::from_secs(asked)));
        let outcome = fixture.outcome(&pending, verdict, 0);
        assert_eq!(wait(outcome, fixture.now), Duration::from_secs(waited));
    }
    let outcome = fixture.outcome(&pending, refused(Some(Duration::ZERO)), 0);
    assert!(wait(outcome, fixture.now) >= Duration::from_millis(500), "no less than its own pause");
}

#[tokio::test]
async fn only_time_counts_in_which_the_sink_takes_others() {
    let mut fixture = Fixture::untried(9, Duration::from_secs(600)).await;
    let good = fixture.events[0].clone();
    // It fails in minute 0, and nothing was taken since.
    let failed = fixture.failed(1, 0);
    assert_eq!(charged(fixture.outcome(&failed, refused(None), 5)), 0);
    // The sink takes another in minute 20: from then on it counts.
    fixture.outcome(&good, Verdict::Delivered, 20);
    let failed = fixture.failed(1, 5);
    assert_eq!(charged(fixture.outcome(&failed, refused(None), 23)), 3);
    // None since it failed in minute 23.
    let failed = PendingEvent { charged: Duration::from_secs(180), ..fixture.failed(1, 23) };
    assert_eq!(charged(fixture.outcome(&failed, refused(None), 26)), 3);
    fixture.outcome(&good, Verdict::Delivered, 27);
    let failed = PendingEvent { charged: Duration::from_secs(180), ..fixture.failed(1, 26) };
    assert_eq!(charged(fixture.outcome(&failed, refused(None), 29)), 6);
    // An outage from minute 30 to minute 300.
    for event in 2..7 {
        let event = fixture.events[event].clone();
        assert_eq!(charged(fixture.outcome(&event, refused(None), 30)), 0);
    }
    assert!(fixture.delivery.breaker.next_probe().is_some());
    let failed = PendingEvent { charged: Duration::from_secs(360), ..fixture.failed(1, 29) };
    assert_eq!(charged(fixture.outcome(&failed, refused(None), 290)), 6);
    fixture.outcome(&good, Verdict::Delivered, 300);
    let failed = PendingEvent { charged: Duration::from_secs(360), ..fixture.failed(1, 290) };
    assert_eq!(charged(fixture.outcome(&failed, refused(None), 303)), 9);
    // Ten minutes in all.
    let failed = PendingEvent { charged: Duration::from_secs(540), ..fixture.failed(1, 303) };
    fixture.outcome(&good, Verdict::Delivered, 304);
    assert!(matches!(fixture.outcome(&failed, refused(None), 305), DeliveryOutcome::Dead { .. }));
}

/// Its time may be up already by a `give_up_after` that a reload has made shorter.
#[tokio::test]
async fn an_event_whose_time_is_up_is_given_up_only_when_it_fails_alone() {
    let mut fixture = Fixture::new(3).await;
    let late = PendingEvent { charged: Duration::from_secs(3600), ..fixture.failed(1, 5) };
    assert_eq!(charged(fixture.outcome(&late, refused(None), 6)), 60);
    let good = fixture.events[2].clone();
    fixture.outcome(&good, Verdict::Delivered, 6);
    assert!(matches!(fixture.outcome(&late, refused(None), 7), DeliveryOutcome::Dead { .. }));
}

#[tokio::test]
async fn a_clock_that_was_set_ahead_gives_nothing_up() {
    let mut fixture = Fixture::untried(3, Duration::from_secs(72 * 3600)).await;
    let good = fixture.events[0].clone();
    fixture.outcome(&good, Verdict::Delivered, 0);
    let failed = fixture.failed(1, 1);
    fixture.outcome(&good, Verdict::Delivered, 2);
    let year = 365 * 24 * 60;
    assert_eq!(charged(fixture.outcome(&failed, refused(None), year)), 60);
}

/// One that fails alone is not what takes a sink down, however many of them there are.
#[tokio::test]
async fn events_that_fail_alone_take_no_sink_down() {
    let mut fixture = Fixture::new(12).await;
    let good = fixture.events[0].clone();
    fixture.outcome(&good, Verdict::Delivered, 1);
    for event in 1..11 {
        let failed = fixture.failed(event, 0);
        fixture.outcome(&failed, refused(None), 2);
    }
    assert_eq!(fixture.delivery.breaker.next_probe(), None);
    // Since these failed the sink has taken nothing.
    for event in 1..6 {
        let failed = fixture.failed(event, 2);
        fixture.outcome(&failed, refused(None), 3);
    }
    assert!(fixture.delivery.breaker.next_probe().is_some());
}

#[tokio::test]
async fn what_failed_in_an_outage_is_due_as_soon_as_it_is_over() {
    let mut fixture = Fixture::new(9).await;
    assert_eq!(fixture.due().await.len(), 8, "as the loop begins");
    let ids: Vec<_> = fixture.events.iter().map(|pending| pending.id).collect();
    fixture.delivery.queue.finished(&ids);
    fixture.answer(1..8, |_| refused(Some(Duration::from_secs(3600)))).await;
    assert!(fixture.delivery.breaker.next_probe().is_some());
    assert_eq!(fixture.due().await, []);
    fixture.answer(8..9, |_| Verdict::Delivered).await;
    assert_eq!(fixture.delivery.breaker.next_probe(), None);
    assert_eq!(fixture.due().await, ids[1..8]);
}

#[tokio::test]
async fn of_a_batch_that_is_rejected_as_many_die_as_put_the_brake_on() {
    let mut fixture = Fixture::new(60).await;
    fixture.answer(1..41, |_| rejected()).await;
    assert_eq!((fixture.rejected().await, fixture.delivery.pending), (20, 39));
    assert!(fixture.delivery.breaker.is_braked() && fixture.delivery.outage.lasts());
    // Those of the same batch, a second one that was under way, and probes.
    fixture.answer(41..50, |_| rejected()).await;
    fixture.answer(50..51, |_| rejected()).await;
    assert_eq!((fixture.rejected().await, fixture.delivery.pending), (20, 39));
    // Taken in the middle of a batch: what was rejected before is tried again, what comes after
    // is a bad event.
    let middle = |n| if n == 53 { Verdict::Delivered } else { rejected() };
    fixture.answer(51..56, middle).await;
    assert_eq!((fixture.rejected().await, fixture.delivery.pending), (2, 36));
    assert!(!fixture.delivery.breaker.is_braked() && !fixture.delivery.outage.lasts());
}

#[tokio::test]
async fn nothing_dies_while_the_brake_is_on() {
    let mut fixture = Fixture::new(60).await;
    fixture.outcome(&fixture.events[0].clone(), Verdict::Delivered, 1);
    for n in 1..21 {
        let event = fixture.events[n].clone();
        let outcome = fixture.outcome(&event, rejected(), 2);
        assert!(matches!(outcome, DeliveryOutcome::Rejected { .. }), "{outcome:?}");
    }
    // Its time was up nearly, by the time in which the sink took others.
    let late =
        PendingEvent { charged: Duration::from_secs(599), attempts: 8, ..fixture.failed(30, 0) };
    for verdict in [rejected(), refused(None)] {
        let outcome = fixture.outcome(&late, verdict, 50);
        assert_eq!(charged(outcome.clone()), 9);
        assert!(wait(outcome, fixture.at(50)) >= Duration::from_secs(128), "its pauses grow");
    }
}

#[tokio::test]
async fn one_that_failed_alone_puts_the_brake_on_as_any_other() {
    let mut fixture = Fixture::new(60).await;
    fixture.outcome(&fixture.events[0].clone(), Verdict::Delivered, 1);
    for n in 1..21 {
        let failed = fixture.failed(n, 0);
        assert!(matches!(
            fixture.outcome(&failed, rejected(), 2),
            DeliveryOutcome::Rejected { .. }
        ));
    }
    assert!(fixture.delivery.breaker.next_probe().is_some() && fixture.delivery.outage.lasts());
}

#[tokio::test]
async fn switched_off_each_rejection_is_a_dead_letter_and_nothing_is_kept_of_it() {
    let mut fixture = Fixture::untried(60, Duration::from_secs(600)).await;
    fixture.delivery.target.max_rejects = MaxRejects::Off;
    fixture.delivery.breaker = Breaker::new(MaxRejects::Off, PROBE_PAUSES);
    fixture.answer(0..60, |_| rejected()).await;
    assert_eq!((fixture.rejected().await, fixture.delivery.pending), (0, 0));
    assert!(!fixture.delivery.outage.lasts());
}

#[tokio::test]
async fn the_first_failure_of_a_new_sink_is_on_the_board_with_its_cause_and_the_next_try() {
    let mut fixture = Fixture::untried(2, Duration::from_secs(600)).await;
    assert!(fixture.progress().outage.is_none());
    fixture.answer(0..1, |_| refused(None)).await;
    let SinkProgress { outage, last_failure, .. } = fixture.progress();
    let (outage, failure) = (outage.unwrap(), last_failure.unwrap());
    assert_eq!((outage.error.as_str(), outage.failures), ("refused", 1));
    assert_eq!(failure.error, "refused");
    let wait = outage.next_probe.unwrap() - outage.since;
    assert!(wait > TimeDelta::milliseconds(400) && wait < TimeDelta::seconds(2), "{wait}");
    assert!(outage.hint.unwrap().starts_with("it has accepted no event yet") && !outage.is_braked);
    assert!(fixture.board.all()["sink"].outage.is_some());
    // It goes on, and began when it began.
    fixture.answer(1..2, |_| rejected()).await;
    let lasting = fixture.progress().outage.unwrap();
    assert_eq!((lasting.since, lasting.failures), (outage.since, 2));
    assert_eq!(lasting.error, "rejected");
}

#[tokio::test]
async fn a_sink_that_rejects_all_is_down_by_its_brake() {
    let mut fixture = Fixture::new(60).await;
    fixture.answer(1..10, |_| rejected()).await;
    let progress = fixture.progress();
    assert!(progress.outage.is_none() && progress.is_dead_letter_storm);
    fixture.answer(10..41, |_| rejected()).await;
    let outage = fixture.progress().outage.unwrap();
    assert!(outage.is_braked, "{outage:?}");
    assert!(outage.hint.unwrap().starts_with("it rejected 20 different events in a row"));
}

#[tokio::test]
async fn a_sink_catches_up_until_all_that_waited_had_its_turn() {
    let mut fixture = Fixture::new(20).await;
    fixture.answer(1..9, |_| refused(None)).await;
    assert!(fixture.progress().outage.is_some());
    assert_eq!(fixture.progress().catching_up_since, None);
    // 19 wait: of them this one.
    fixture.answer(1..2, |_| Verdict::Delivered).await;
    let since = fixture.progress().catching_up_since.unwrap();
    assert!(fixture.progress().outage.is_none());
    // One that goes on failing is no part of an outage any more.
    fixture.answer(2..10, |n| if n == 5 { refused(None) } else { Verdict::Delivered }).await;
    assert_eq!(fixture.progress().catching_up_since, Some(since));
    fixture.answer(10..20, |_| Verdict::Delivered).await;
    assert_eq!(fixture.progress().catching_up_since, None);
}

#[tokio::test]
async fn a_sink_that_goes_down_again_does_not_catch_up() {
    let mut fixture = Fixture::new(20).await;
    fixture.answer(1..9, |_| refused(None)).await;
    fixture.answer(1..2, |_| Verdict::Delivered).await;
    assert!(fixture.progress().catching_up_since.is_some());
    fixture.answer(2..9, |_| refused(None)).await;
    let progress = fixture.progress();
    assert!(progress.outage.is_some() && progress.catching_up_since.is_none());
}

#[tokio::test]
async fn what_was_discarded_is_not_caught_up_with() {
    let mut fixture = Fixture::new(20).await;
    fixture.answer(1..9, |_| refused(None)).await;
    fixture.answer(1..2, |_| Verdict::Delivered).await;
    assert!(fixture.progress().catching_up_since.is_some());
    let records = fixture.events[2..].iter().map(|pending| DeliveryRecord {
        event: pending.id,
        outcome: DeliveryOutcome::Delivered,
        mirrored: Vec::new(),
    });
    let (journal, sink) = (fixture.delivery.journal.clone(), fixture.delivery.target.id);
    journal.record(sink, records.collect(), None, Utc::now()).await.unwrap();
    let written = fixture.delivery.count_pending().await;
    fixture.delivery.recorded(written).await;
    assert_eq!(fixture.progress().catching_up_since, None);
}

fn unreachable(is_down: bool) -> Verdict {
    let (error, fault) = ("404".to_owned(), Fault::Source { is_down });
    Verdict::Retry { error, after: None, fault }
}

#[tokio::test]
async fn what_fails_where_the_events_come_from_takes_no_sink_down() {
    let mut fixture = Fixture::new(30).await;
    let size = fixture.delivery.window.size();
    fixture.answer(1..29, |_| unreachable(false)).await;
    assert!(fixture.progress().outage.is_none(), "it is up");
    assert_eq!(fixture.progress().last_failure.unwrap().error, "404");
    assert_eq!(fixture.delivery.window.size(), size, "others get as many at once as before");
    fixture.answer(29..30, |_| Verdict::Delivered).await;
}

#[tokio::test]
async fn a_sink_that_is_down_is_probed_at_its_pauses_whatever_a_probe_fails_with() {
    let mut fixture = Fixture::new(30).await;
    fixture.answer(1..9, |_| refused(None)).await;
    fixture.delivery.breaker.probe_now(Instant::now());
    let hour = Some(Duration::from_secs(3600));
    let fault = Fault::Source { is_down: true };
    let elsewhere = || Verdict::Retry { error: "404".to_owned(), after: hour, fault };
    fixture.answer(9..10, |_| elsewhere()).await;
    let next = fixture.delivery.breaker.next_probe().unwrap();
    assert!(next > Instant::now() && next < Instant::now() + Duration::from_secs(10));
}

#[tokio::test]
async fn no_time_counts_against_an_event_while_the_place_it_comes_from_is_down() {
    let mut fixture = Fixture::new(3).await;
    let events = [1, 2].map(|index| fixture.failed(index, 0));
    fixture.delivery.uptime.on_success(fixture.at(1));
    let alone = fixture.outcome(&events[0], unreachable(false), 5);
    assert_eq!(charged(alone), 4, "others of that place are fetched");
    assert_eq!(charged(fixture.outcome(&events[1], unreachable(true), 5)), 0);
}

#[tokio::test]
async fn the_lag_of_a_redelivered_event_does_not_count() {
    let mut fixture = Fixture::untried(3, Duration::from_secs(600)).await;
    fixture.events[0].is_requeued = true;
    fixture.answer(0..1, |_| Verdict::Delivered).await;
    let progress = fixture.progress();
    assert_eq!((progress.lag_seconds, fixture.delivery.counters.lags.count()), (None, 0));
    assert!(progress.deliveries_per_second > 0.0, "it moves");
    fixture.answer(1..3, |_| Verdict::Delivered).await;
    assert!(fixture.progress().lag_seconds.is_some());
    assert_eq!(fixture.delivery.counters.lags.count(), 2);
}

/// A command of somebody who waits for nothing else.
async fn obeyed<T>(
    fixture: &mut Fixture,
    work: &mut InFlight,
    command: impl FnOnce(tokio::sync::oneshot::Sender<T>) -> SinkCommand,
) -> tokio::sync::oneshot::Receiver<T> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    fixture.delivery.obey(command(answer), work).await;
    answered
}

async fn set_paused(fixture: &mut Fixture, since: Option<DateTime<Utc>>) {
    let mut work = InFlight::default();
    let pause = |answer| SinkCommand::SetPaused(PauseRequest { since, answer });
    obeyed(fixture, &mut work, pause).await.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_time_of_a_pause_counts_neither_against_an_event_nor_as_lag() {
    let mut fixture = Fixture::new(30).await;
    let failed = fixture.failed(1, 1);
    fixture.outcome(&fixture.events[2].clone(), Verdict::Delivered, 2);
    assert_eq!(charged(fixture.outcome(&failed, refused(None), 4)), 3);
    set_paused(&mut fixture, Some(Utc::now())).await;
    // What is under way ends, and takes nothing down.
    fixture.answer(3..25, |_| refused(None)).await;
    assert!(fixture.progress().outage.is_none() && fixture.progress().paused_since.is_some());
    set_paused(&mut fixture, None).await;
    assert!(fixture.progress().catching_up_since.is_some());
    fixture.outcome(&fixture.events[25].clone(), Verdict::Delivered, 60);
    assert_eq!(charged(fixture.outcome(&failed, refused(None), 63)), 3, "from minute 60 on");
    let mut old = (*fixture.events[26].event).clone();
    old.first_pulled -= TimeDelta::days(3);
    fixture.events[26].event = Arc::new(old);
    let before = fixture.delivery.counters.lags.sum();
    fixture.answer(26..27, |_| Verdict::Delivered).await;
    assert!(fixture.delivery.counters.lags.sum() - before < 60.0);
}

#[tokio::test]
async fn a_brake_lasts_over_a_pause() {
    let mut fixture = Fixture::new(60).await;
    fixture.answer(1..41, |_| rejected()).await;
    set_paused(&mut fixture, Some(Utc::now())).await;
    assert!(
        fixture.progress().outage.is_none()
            && fixture.board.all().values().all(|of| of.outage.is_none())
    );
    assert_eq!(fixture.delivery.wake(&InFlight::default()), None);
    set_paused(&mut fixture, None).await;
    assert!(fixture.progress().outage.unwrap().is_braked);
}

#[tokio::test]
async fn what_came_of_a_retry_is_known_when_it_is_written() {
    let mut fixture = Fixture::new(10).await;
    let mut work = InFlight::default();
    let retry = |answer| SinkCommand::Retry(RetryRequest { accept_rejects: false, answer });
    let mut answered = obeyed(&mut fixture, &mut work, retry).await;
    let counted = work.writes.next().await.unwrap();
    fixture.delivery.recorded(counted).await;
    fixture.answer(1..9, |n| if n == 5 { refused(None) } else { Verdict::Delivered }).await;
    assert!(answered.try_recv().is_err());
    fixture.answer(9..10, |_| rejected()).await;
    let outcome = answered.try_recv().unwrap().unwrap();
    let counts = (outcome.delivered, outcome.failed, outcome.dead, outcome.pending);
    assert_eq!((counts, outcome.is_over), ((7, 1, 1, 1), true));
}

#[tokio::test]
async fn a_brake_that_is_on_at_the_start_is_on_the_board_with_its_cause() {
    let mut fixture = Fixture::new(60).await;
    fixture.answer(1..41, |_| rejected()).await;
    // As after a restart.
    fixture.delivery.board = fixture.board.enter("sink");
    fixture.delivery.outage = Outage::default();
    fixture.delivery.down_since = None;
    assert!(fixture.delivery.recover(&mut InFlight::default(), &DeliveryStop::default()).await);
    let outage = fixture.progress().outage.unwrap();
    assert!(outage.is_braked && outage.next_probe.is_some());
    assert_eq!(outage.error, "it accepted none of the last events");
}

/// The lines of what is logged while it lives.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn a_sink_that_is_down_is_an_error_after_a_minute_though_its_next_probe_is_far_away() {
    let mut fixture = Fixture::untried(2, Duration::from_secs(600)).await;
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let _logged = tracing::subscriber::set_default(lines.finish());
    assert_eq!(fixture.delivery.next_report(), None);
    fixture.answer(0..1, |_| refused(Some(Duration::from_secs(3600)))).await;
    let [begins] = &log.lines()[..] else { panic!("not one line") };
    assert!(begins.contains(" WARN ") && begins.contains("sink is down"), "{begins}");

    tokio::time::pause();
    let next = fixture.delivery.next_report().unwrap();
    assert!(fixture.delivery.breaker.next_probe().unwrap() > next);
    fixture.delivery.report();
    assert_eq!(log.lines(), [""; 0]);
    tokio::time::advance(next - Instant::now()).await;
    fixture.delivery.report();
    let [lasts] = &log.lines()[..] else { panic!("not one line") };
    assert!(lasts.contains("ERROR ") && lasts.contains("down_seconds=60"), "{lasts}");
    assert!(lasts.contains("error=\"refused\"") && lasts.contains("failures=1"), "{lasts}");
    assert!(fixture.delivery.next_report().unwrap() > next, "once a minute");
    // Nothing waits: nothing is wrong that somebody would have to be told of again.
    fixture.delivery.pending = 0;
    assert_eq!(fixture.delivery.next_report(), None);
}

#[tokio::test]
async fn a_probe_waits_for_a_test_in_the_only_place_and_nothing_spins_meanwhile() {
    let mut fixture = Fixture::new(60).await;
    fixture.answer(1..41, |_| rejected()).await;
    fixture.delivery.breaker.probe_now(Instant::now());
    fixture.delivery.queue.refill(fixture.delivery.breaker.next_probe(), true).await.unwrap();
    let work = InFlight::default();
    assert!(fixture.delivery.wake(&work).is_some());
    let places = fixture.delivery.target.sink.limits().max_in_flight;
    (0..places).for_each(|_| work.tests.push(Box::pin(std::future::pending())));
    assert_eq!(fixture.delivery.wake(&work), None);
}
