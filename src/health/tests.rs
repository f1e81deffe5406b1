//! The table of situations: what each is told as.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

use super::daemon_health::Sinks;
use super::*;
use crate::confirmer::ApplicationConfirms;
use crate::delivery::{SinkBoard, SinkOutage, SinkProgress};
use crate::event::{AppId, Key};
use crate::journal::{
    DeadGroup, DeadLetters, DiskFault, FailingEvent, JournalError, JournalHealth, KnownSink,
    Overview, SinkId, SinkOverview, StateCounts,
};
use crate::metrics::{BySink, Metrics, Times};
use crate::puller::{ApplicationProgress, PollPacing, PullProgress};
use crate::receiver::ReceiveProgress;
use crate::sinks::SourceOutage;
use crate::vod::{Advice, CallFailure};

const REFUSED: &str = "talking to vod.tencentcloudapi.com: connection refused";

/// A daemon, and what tells its health.
struct Situation {
    health: DaemonHealth,
    pulls: Vec<watch::Sender<PullProgress>>,
    ready_rule: watch::Sender<ReadyRule>,
    last_reload: watch::Sender<Option<LastReload>>,
    confirms: watch::Sender<Option<Arc<CallFailure>>>,
    receiving: watch::Sender<ReceiveProgress>,
    journal: JournalHealth,
    sinks: Sinks,
    metrics: Metrics,
    overview: Overview,
    newest: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    _pacing: watch::Sender<PollPacing>,
}

impl Situation {
    /// A daemon that pulls from the applications 7, 8 and so on, none of which has answered yet.
    fn starting(applications: u64) -> Self {
        let (pulls, progress) = (7..7 + applications)
            .map(|app| {
                let (tell, progress) = watch::channel(PullProgress::default());
                (tell, ApplicationProgress { app: AppId(app), progress })
            })
            .unzip();
        let (tell_pacing, pacing) = watch::channel(PollPacing {
            settings: crate::puller::PollSettings::default(),
            good_for: Duration::from_secs(28),
            lease: Duration::from_secs(30),
            max_circulating: None,
        });
        let (ready_rule, ready) = watch::channel(ReadyRule::Any);
        let (last_reload, reload) = watch::channel(None);
        let (confirms, failure) = watch::channel(None);
        let (receiving, posts) = watch::channel(ReceiveProgress::default());
        let (journal, sinks) = (JournalHealth::default(), Sinks::new());
        let metrics = Metrics::new(&Times::new([1.0]));
        let health = DaemonHealth::new(HealthParts {
            apps: (7..7 + applications.max(1)).map(AppId).collect(),
            endpoint: "https://vod.tencentcloudapi.com".to_owned(),
            progress,
            receiving: Some(posts),
            confirming: vec![ApplicationConfirms { app: AppId(7), failure }],
            reconcile: Vec::new(),
            journal: journal.clone(),
            sinks: SinkBoard::default(),
            metrics: metrics.clone(),
            pacing,
            ready_rule: ready,
            last_reload: reload,
        });
        let overview = Overview::default();
        let (newest, now) = (None, "2026-12-01T02:14:05Z".parse().unwrap());
        let _pacing = tell_pacing;
        Self {
            health,
            pulls,
            ready_rule,
            last_reload,
            confirms,
            receiving,
            journal,
            sinks,
            metrics,
            overview,
            newest,
            now,
            _pacing,
        }
    }

    /// The same, after a good pull from each.
    fn pulling(applications: u64) -> Self {
        let this = Self::starting(applications);
        (0..applications).for_each(|at| this.pulled(at as usize));
        this
    }

    fn pulled(&self, at: usize) {
        self.pulls[at].send_modify(|progress| {
            progress.last_good = Some(Instant::now());
            progress.failure = None;
        });
    }

    fn failure(&self, advice: Advice, code: Option<&str>, message: &str) -> Arc<CallFailure> {
        Arc::new(CallFailure {
            advice,
            code: code.map(str::to_owned),
            message: message.to_owned(),
            request_id: code.map(|_| "a-1".to_owned()),
            remedy: advice.remedy(),
            since: self.ago(5),
            next_try: Some(self.now + TimeDelta::seconds(12)),
        })
    }

    /// The last pulls failed so.
    fn fails(&self, at: usize, advice: Advice, code: Option<&str>, message: &str) {
        let failure = self.failure(advice, code, message);
        self.pulls[at].send_modify(|progress| progress.failure = Some(failure));
    }

    fn ago(&self, seconds: i64) -> DateTime<Utc> {
        self.now - TimeDelta::seconds(seconds)
    }

    /// A sink with so many events pending, delivered and dead.
    fn sink(&mut self, name: &str, counts: [u64; 3], progress: SinkProgress) -> &mut SinkOverview {
        let [pending, delivered, dead] = counts;
        self.sinks.insert(name.to_owned(), progress);
        let at = self.overview.sinks.len();
        let id = SinkId(at as i64 + 1);
        self.overview.events.pending = self.overview.events.pending.max(pending);
        self.overview.sinks.push(SinkOverview {
            paused: None,
            sink: KnownSink { id, name: name.to_owned(), active: true },
            events: StateCounts { pending, delivered, dead },
            oldest_pending: (pending > 0).then(|| self.ago(7200)),
            oldest_due: (pending > 0).then(|| self.ago(300)),
            failing: Vec::new(),
            dead_letters: DeadLetters::default(),
        });
        &mut self.overview.sinks[at]
    }

    fn down(&self, error: &str, hint: Option<&str>) -> SinkProgress {
        let outage = SinkOutage {
            since: self.ago(180),
            error: error.to_owned(),
            failures: 9,
            next_probe: Some(self.now + TimeDelta::seconds(12)),
            hint: hint.map(str::to_owned),
            is_braked: false,
        };
        SinkProgress { outage: Some(outage), ..SinkProgress::default() }
    }

    fn state(&self) -> DaemonState {
        let facts = JournalFacts { overview: Ok(&self.overview), newest: self.newest };
        self.health.state_with(&self.sinks, facts, self.now)
    }

    /// What is told, and the state in a word; `ready` is whether it is.
    #[track_caller]
    fn is(&self, mood: Mood, ready: bool, sentence: &str) {
        let state = self.state();
        assert_eq!(state.sentence, sentence, "{:#?}", state.checks);
        assert_eq!((state.mood, state.ready), (mood, ready), "{:#?}", state.checks);
        match mood {
            Mood::Degraded => assert!(state.degraded),
            Mood::Good | Mood::Starting => assert!(!state.degraded),
            Mood::Bad | Mood::Stopping => {}
        }
    }

    /// The remedy of the first check of that name that has one.
    fn remedy(&self, name: &str) -> String {
        let checks = self.state().checks;
        let mut remedies = checks.into_iter().filter(|check| check.name == name);
        remedies.find_map(|check| check.remedy).unwrap_or_default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_healthy_start_on_an_empty_queue_is_starting_and_then_ok() {
    let starting = Situation::starting(1);
    starting.is(Mood::Starting, false, "Starting: waiting for the first answer of the cloud.");
    starting.pulled(0);
    let idle = "The queue is empty, nothing is pending; no event has come yet.";
    starting.is(Mood::Good, true, idle);
    // It has a minute.
    let silent = Situation::starting(1);
    tokio::time::advance(Duration::from_secs(61)).await;
    silent.is(Mood::Bad, false, "Nothing was pulled for 61 s.");
}

#[tokio::test(start_paused = true)]
async fn a_stop_tells_what_is_waited_for() {
    let mut stopping = Situation::pulling(1);
    stopping.sink("site", [3, 0, 0], SinkProgress::default());
    let labels = BySink { sink: "site".to_owned() };
    stopping.metrics.sink_in_flight.get_or_create(&labels).set(3);
    stopping.health.drain();
    let waits =
        "Stopping: waiting up to 15 s for 3 events in flight, then confirming what is safe.";
    stopping.is(Mood::Stopping, false, waits);
    stopping.metrics.sink_in_flight.get_or_create(&labels).set(0);
    stopping.is(Mood::Stopping, false, "Stopping: confirming what is safe.");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_rejects_everything_is_down_and_its_dead_letters_are_named() {
    let mut braked = Situation::pulling(1);
    let hint = "it rejected 20 different events in a row; correct the sink";
    let progress = braked.down("HTTP 422 Unprocessable Entity", Some(hint));
    let newest = braked.ago(170);
    let by_error = vec![DeadGroup { error: "HTTP 422: no".to_owned(), count: 20, newest }];
    braked.sink("site", [8_980, 0, 20], progress).dead_letters =
        DeadLetters { newest: Some(newest), by_error };
    braked.is(
        Mood::Degraded,
        true,
        "Sink site is down, 8,980 events wait in the journal: HTTP 422 Unprocessable Entity; for \
         3 min, next try in 12 s. Also: 20 dead letters at site.",
    );
    assert_eq!(braked.remedy("sinks"), hint);
    assert_eq!(
        braked.remedy("dead_letters"),
        "once the cause is fixed: sprited events redeliver --state dead --sink site"
    );
}

#[tokio::test(start_paused = true)]
async fn a_brake_that_is_on_at_the_start_is_told_with_the_error_of_the_dead_letters() {
    let mut braked = Situation::pulling(1);
    let mut progress = braked.down("it accepted none of the last events", None);
    progress.outage.as_mut().unwrap().is_braked = true;
    let newest = braked.ago(86_400);
    let by_error = vec![DeadGroup { error: "HTTP 422: no".to_owned(), count: 20, newest }];
    braked.sink("site", [0, 5, 20], progress).dead_letters =
        DeadLetters { newest: Some(newest), by_error };
    // Nothing waits: the next event is what it is tried with.
    braked.is(
        Mood::Degraded,
        true,
        "Sink site is down: it accepted none of the last events (HTTP 422: no); for 3 min. 20 dead \
         letters at site.",
    );
}

#[tokio::test(start_paused = true)]
async fn dead_letters_degrade_while_new_ones_come_and_stay_in_the_sentence() {
    let mut dead = Situation::pulling(1);
    let newest = dead.ago(60);
    let by_error = vec![DeadGroup { error: "HTTP 422: no".to_owned(), count: 10, newest }];
    dead.sink("site", [0, 5, 12], SinkProgress::default()).dead_letters =
        DeadLetters { newest: Some(newest), by_error };
    dead.is(
        Mood::Degraded,
        true,
        "12 dead letters at site, the newest 60 s old; 10 of them: HTTP 422: no.",
    );
    dead.overview.sinks[0].dead_letters.newest = Some(dead.ago(86_400 * 3));
    dead.newest = Some(dead.ago(180));
    dead.is(
        Mood::Good,
        true,
        "The queue is empty, nothing is pending; the last event came 3 min ago. 12 dead letters at \
         site.",
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_event_of_a_new_sink_that_fails_takes_it_down() {
    let mut new = Situation::pulling(1);
    let progress = new.down("HTTP 404 Not Found", None);
    new.sink("site", [1, 0, 0], progress);
    new.is(
        Mood::Degraded,
        true,
        "Sink site is down, 1 event waits in the journal: HTTP 404 Not Found; for 3 min, next try in \
         12 s.",
    );
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_is_named_with_its_error() {
    let mut poison = Situation::pulling(1);
    let key: Key = "3f9a2c0000000000000000000000000f".parse().unwrap();
    let event = FailingEvent {
        key,
        event_type: "CreateImageSpriteComplete".to_owned(),
        attempts: 3,
        error: "HTTP 500 Internal Server Error".to_owned(),
        first_failed: poison.ago(8),
        due: Some(poison.now + TimeDelta::seconds(4)),
    };
    poison.sink("site", [1, 9, 0], SinkProgress::default()).failing = vec![event];
    poison.overview.sinks[0].oldest_due = None;
    poison.is(
        Mood::Degraded,
        true,
        "Event 3f9a2c000000 (CreateImageSpriteComplete) has failed 3 times at site: HTTP 500 \
         Internal Server Error; for 8.0 s, next try in 4.0 s.",
    );
    assert_eq!(
        poison.remedy("events"),
        "sprited events show 3f9a2c000000 has its errors; if the event is bad: sprited events \
         discard 3f9a2c000000 --sink site"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_cannot_be_reached_degrades_at_once_and_is_not_ready_after_a_minute() {
    let mut cut = Situation::pulling(1);
    let sentence = "The cloud cannot be reached: talking to vod.tencentcloudapi.com: connection \
                    refused; for 5.0 s, next try in 12 s.";
    cut.fails(0, Advice::Transport, None, REFUSED);
    cut.is(Mood::Degraded, true, sentence);
    cut.now += TimeDelta::seconds(56);
    let later = sentence.replace("5.0 s, next try in 12 s", "61 s, next try now");
    cut.is(Mood::Bad, false, &later);
    assert!(cut.remedy("cloud").contains("HTTPS_PROXY"));
    // Before the first answer as well.
    let never = Situation::starting(1);
    never.fails(0, Advice::Transport, None, REFUSED);
    never.is(Mood::Degraded, false, sentence);
}

#[tokio::test(start_paused = true)]
async fn a_pause_by_hand_is_told_whatever_failed_before_and_is_critical_after_three_days() {
    let mut paused = Situation::pulling(2);
    paused.fails(1, Advice::Refused, Some("UnauthorizedOperation"), "no");
    let since = Some(paused.ago(3 * 3600));
    paused.pulls.iter().for_each(|pull| pull.send_modify(|progress| progress.paused = since));
    // Nothing is pulled, and that is no failure.
    tokio::time::advance(Duration::from_secs(3 * 3600)).await;
    let sentence = "Pulling is paused by hand (the cloud keeps an event for 4 days); for 3 h.";
    paused.is(Mood::Degraded, true, sentence);
    assert_eq!(paused.remedy("cloud"), "sprited resume");
    let cloud = |situation: &Situation| {
        let checks = situation.state().checks.into_iter();
        checks.filter(|check| check.name == "cloud").collect::<Vec<_>>()
    };
    let checks = cloud(&paused);
    assert_eq!((checks.len(), checks[0].since, checks[0].seconds), (1, since, Some(10_800.0)));
    paused.now += TimeDelta::hours(69) - TimeDelta::seconds(1);
    assert!(paused.state().ready);
    paused.now += TimeDelta::seconds(1);
    paused.is(Mood::Bad, false, &sentence.replace("3 h", "3 days"));
}

/// The first answer after a pause takes seconds: until then, and for a minute at most, nothing has
/// changed for the worse.
#[tokio::test(start_paused = true)]
async fn what_is_resumed_is_as_ready_as_it_was_until_a_minute_has_passed() {
    for resumed in [Situation::pulling(2), Situation::starting(2)] {
        tokio::time::advance(Duration::from_secs(3600)).await;
        for pull in &resumed.pulls {
            pull.send_modify(|progress| progress.resumed = Some(Instant::now()));
        }
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!((resumed.state().mood, resumed.state().ready), (Mood::Good, true));
        let told = resumed.state().checks.into_iter().find(|check| check.name == "cloud").unwrap();
        assert_eq!(
            told.detail,
            "application 7: pulling was resumed 59 s ago; its answer is awaited"
        );
        resumed.fails(0, Advice::Transport, None, REFUSED);
        assert!(resumed.state().ready && resumed.state().degraded);
        tokio::time::advance(Duration::from_secs(1)).await;
        resumed.pulls[0].send_modify(|progress| progress.failure = None);
        assert!(!resumed.state().ready);
        (0..2).for_each(|at| resumed.pulled(at));
        assert!(resumed.state().ready);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_is_told_with_code_and_request_id() {
    let refused = Situation::pulling(1);
    let code = "AuthFailure.SignatureFailure";
    refused.fails(0, Advice::Credentials, Some(code), "The signature is wrong.");
    refused.is(
        Mood::Bad,
        false,
        "The cloud refuses the credentials (https://vod.tencentcloudapi.com): \
         AuthFailure.SignatureFailure: The signature is wrong (RequestId a-1); for 5.0 s, next try \
         in 12 s.",
    );
    let check = refused.state().checks.into_iter().find(|check| check.name == "cloud").unwrap();
    assert_eq!((check.code.as_deref(), check.request_id.as_deref()), (Some(code), Some("a-1")));
}

#[tokio::test(start_paused = true)]
async fn one_of_several_applications_degrades_or_is_not_ready_as_configured() {
    let two = Situation::pulling(2);
    two.fails(1, Advice::Refused, Some("UnauthorizedOperation"), "no");
    let sentence = "Application 8: the cloud refuses the request \
                    (https://vod.tencentcloudapi.com): UnauthorizedOperation: no (RequestId a-1); \
                    for 5.0 s, next try in 12 s.";
    two.is(Mood::Degraded, true, sentence);
    two.ready_rule.send_replace(ReadyRule::All);
    two.is(Mood::Bad, false, sentence);
    two.ready_rule.send_replace(ReadyRule::Any);
    two.fails(0, Advice::Refused, Some("UnauthorizedOperation"), "no");
    assert_eq!((two.state().mood, two.state().ready), (Mood::Bad, false));
}

#[tokio::test(start_paused = true)]
async fn a_paused_sink_is_no_alarm_until_a_day_has_passed() {
    let mut paused = Situation::pulling(1);
    paused.pulled(0);
    let since = paused.ago(3600);
    let progress = SinkProgress { paused_since: Some(since), ..SinkProgress::default() };
    paused.sink("site", [3, 5, 0], progress);
    let state = paused.state();
    assert_eq!((state.mood, state.ready, state.degraded), (Mood::Good, true, false));
    let told = "3 events pending; none is delivered now. Sink site is paused by hand.";
    assert_eq!(state.sentence, told);
    let [check] = &state.problems()[..] else { panic!("{:#?}", state.problems()) };
    assert_eq!(
        check.told(paused.now),
        "sink site is paused by hand, 3 events wait in the journal; for 60 min"
    );
    assert_eq!(paused.remedy("paused_sinks"), "sprited sinks resume site");
    paused.now += TimeDelta::hours(24);
    paused.pulled(0);
    let told = "Sink site is paused by hand, 3 events wait in the journal; for 25 h.";
    assert!(paused.state().sentence.contains(told) && paused.state().degraded);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_a_sink_gets_nothing_from_is_told_and_the_sink_is_not_down() {
    let mut mirror = Situation::pulling(1);
    mirror.pulled(0);
    let of = |host: &str, minutes: i64| SourceOutage {
        host: host.to_owned(),
        since: mirror.ago(60 * minutes),
        error: "403 Forbidden".to_owned(),
    };
    let sources_down = vec![of("a.example.com", 30), of("b.example.com", 2)];
    let progress = SinkProgress { sources_down, ..SinkProgress::default() };
    mirror.sink("cdn", [0, 5, 0], progress);
    let state = mirror.state();
    assert_eq!((state.mood, state.ready), (Mood::Degraded, true));
    let [check] = &state.problems()[..] else { panic!("{:#?}", state.problems()) };
    assert_eq!(
        check.told(mirror.now),
        "sink cdn gets nothing from a.example.com and 1 other host: 403 Forbidden; its events of \
         these wait, the others go on; for 30 min"
    );
    assert_eq!(
        mirror.remedy("sources"),
        "see whether a.example.com serves the files: sprited sprite check URL"
    );
}

#[tokio::test(start_paused = true)]
async fn confirmations_that_fail_are_told() {
    let failing = Situation::pulling(1);
    let failure = failing.failure(Advice::Service, Some("InternalError"), "no");
    failing.confirms.send_replace(Some(failure));
    failing.is(
        Mood::Degraded,
        true,
        "Confirmations fail: the cloud reports an error of its own \
         (https://vod.tencentcloudapi.com): InternalError: no (RequestId a-1); for 5.0 s, next try in \
         12 s.",
    );
}

#[tokio::test(start_paused = true)]
async fn posted_events_that_were_turned_away_are_told_for_ten_minutes() {
    let mut posts = Situation::pulling(1);
    let at = Some(posts.ago(180));
    posts.receiving.send_replace(ReceiveProgress { lost: at, unstored: None });
    posts.is(
        Mood::Degraded,
        true,
        "Posted events are refused for their signature, the last one 3 min ago; the cloud may not \
         post them again.",
    );
    posts.receiving.send_replace(ReceiveProgress { lost: None, unstored: at });
    posts.is(
        Mood::Degraded,
        true,
        "Posted events could not be stored within 8 s, the last one 3 min ago; the cloud may not \
         post them again.",
    );
    assert!(posts.remedy("receive").contains("[reconcile]"));
    posts.now += TimeDelta::minutes(8);
    assert_eq!(posts.state().mood, Mood::Good);
}

#[tokio::test(start_paused = true)]
async fn of_two_applications_at_the_start_one_may_yet_answer() {
    let two = Situation::starting(2);
    two.fails(1, Advice::Refused, Some("UnauthorizedOperation"), "no");
    let state = two.state();
    assert_eq!((state.mood, state.ready), (Mood::Degraded, false), "{:#?}", state.checks);
    assert!(state.sentence.starts_with("Application 8: the cloud refuses"), "{}", state.sentence);
}

#[tokio::test(start_paused = true)]
async fn the_cloud_is_not_blamed_for_what_the_journal_cannot_take() {
    let full = Situation::pulling(1);
    let error = JournalError::Disk {
        fault: DiskFault::Full,
        reason: "database or disk is full".into(),
        found: None,
    };
    full.journal.failed(&error);
    tokio::time::advance(Duration::from_secs(600)).await;
    let state = full.state();
    assert_eq!((state.mood, state.ready), (Mood::Bad, false));
    assert_eq!(state.sentence, format!("{}.", capital(&error.to_string())));
    // The first pull after that is under way.
    full.journal.writable();
    full.pulls[0].send_modify(|progress| progress.started = Some(Instant::now()));
    full.is(Mood::Starting, false, "Waiting for an answer of the cloud.");
}

/// With a capital letter.
fn capital(text: &str) -> String {
    text[..1].to_uppercase() + &text[1..]
}

#[tokio::test(start_paused = true)]
async fn of_several_sinks_that_are_down_events_count_and_not_rows() {
    let mut six = Situation::pulling(1);
    let down = six.down("connection refused", None);
    for name in ["a", "b", "c", "d", "e", "f"] {
        six.sink(name, [21_012, 0, 0], down.clone());
    }
    six.is(
        Mood::Degraded,
        true,
        "6 sinks are down (a, b, c, d, e, f), 21,012 events wait in the journal, the oldest for 2 h; \
         none is lost.",
    );
    let each = six.state().checks.into_iter().filter(|check| check.subject.is_some());
    assert_eq!(each.filter(|check| check.name == "sinks" && check.degraded).count(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_back_is_catching_up() {
    let mut back = Situation::pulling(1);
    let progress = SinkProgress {
        catching_up_since: Some(back.ago(3)),
        deliveries_per_second: 470.0,
        ..SinkProgress::default()
    };
    back.sink("site", [4_693, 9, 0], progress.clone());
    back.is(Mood::Good, true, "Sink site is catching up: 4,693 events left, about 10 s.");
    // It hangs.
    let hangs = SinkProgress { deliveries_per_second: 0.0, ..progress };
    back.sinks.insert("site".to_owned(), hangs);
    assert_eq!(back.state().mood, Mood::Good);
    back.now += TimeDelta::seconds(5);
    back.is(Mood::Degraded, true, "Deliveries to site are 5 min late.");
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_written_is_told_in_its_own_words() {
    let full = Situation::pulling(1);
    let error = JournalError::Gone("/j was deleted or moved".into());
    let words = error.to_string();
    full.journal.failed(&error);
    let state = full.state();
    assert_eq!((state.mood, state.ready), (Mood::Bad, false));
    assert_eq!(state.sentence, format!("{words}."));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_is_told() {
    let wrong = Situation::pulling(1);
    wrong.metrics.clock_offset_seconds.set(1200);
    wrong.is(
        Mood::Degraded,
        true,
        "This machine's clock is 20 min behind the cloud's; the times that events are stored and \
         delivered with are as wrong.",
    );
    wrong.metrics.clock_offset_seconds.set(-59);
    assert_eq!(wrong.state().mood, Mood::Good);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_reload_is_told_until_one_is_taken_over() {
    let rejected = Situation::pulling(1);
    let mistakes = vec!["sprited.toml:6: [poll] intervall: unknown key".to_owned()];
    rejected.last_reload.send_replace(Some(LastReload { at: rejected.ago(60), mistakes }));
    rejected.is(
        Mood::Degraded,
        true,
        "Last reload rejected at 2026-12-01 02:13:05 UTC: sprited.toml:6: [poll] intervall: unknown \
         key; the previous configuration is active; for 60 s.",
    );
    rejected.last_reload.send_replace(Some(LastReload { at: rejected.now, mistakes: Vec::new() }));
    assert_eq!(rejected.state().mood, Mood::Good);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_gone_from_the_configuration_is_named_while_events_wait_for_it() {
    let mut renamed = Situation::pulling(1);
    renamed.sink("old", [12, 0, 0], SinkProgress::default()).sink.active = false;
    renamed.is(
        Mood::Degraded,
        true,
        "12 events wait for the sink old, which the configuration no longer has.",
    );
    assert_eq!(
        renamed.remedy("removed_sinks"),
        "hand them to another sink: sprited events redeliver --from old --sink NAME; then \
         discard them here: sprited events discard --sink old"
    );
}

#[tokio::test(start_paused = true)]
async fn what_moves_is_told_by_what_moves_now() {
    let mut busy = Situation::pulling(1);
    let moving = SinkProgress { deliveries_per_second: 167.0, ..SinkProgress::default() };
    busy.sink("site", [40, 0, 0], moving).oldest_due = None;
    busy.is(Mood::Good, true, "Delivering at 167/s; 40 events pending.");
    busy.sinks.insert("site".to_owned(), SinkProgress::default());
    busy.is(Mood::Good, true, "40 events pending; none is delivered now.");
    // What is due on a sink that is up, and is not delivered.
    busy.overview.sinks[0].oldest_due = Some(busy.ago(61));
    busy.is(Mood::Degraded, true, "Deliveries to site are 61 s late.");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_only_receives_waits_for_events() {
    let receiving = Situation::starting(0);
    receiving.is(
        Mood::Good,
        true,
        "Waiting for events, nothing is pending; no event has come yet.",
    );
}

#[tokio::test(start_paused = true)]
async fn the_line_of_the_service_manager_does_not_change_as_time_goes_by() {
    let mut cut = Situation::pulling(1);
    let down = cut.down("connection refused", None);
    cut.sink("site", [2, 9, 0], down);
    cut.fails(0, Advice::Transport, None, REFUSED);
    let line = cut.state().line;
    cut.now += TimeDelta::seconds(5);
    assert_eq!(cut.state().line, line);
    assert_eq!(line, "The cloud cannot be reached. Also: sink site is down.");
}

#[tokio::test(start_paused = true)]
async fn a_commit_under_way_for_half_a_minute_is_no_readiness() {
    let slow = Situation::pulling(1);
    let seen = || {
        slow.pulled(0);
        let state = slow.state();
        let commit = state.checks.into_iter().find(|check| check.name == "commit").unwrap();
        (state.ready, state.degraded, commit.seconds)
    };
    assert_eq!(seen(), (true, false, None));
    slow.journal.begins();
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(seen(), (true, true, Some(2.0)));
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(seen(), (false, false, Some(31.0)));
    slow.journal.ends();
    assert_eq!(seen(), (true, false, None));
}
