//! The rule by which equal events are told apart, against a cloud in memory that does whatever the
//! real one may: it loses answers, takes handles in part, ends leases early, hands out the same
//! message under other handles or the same, to one daemon or two, and forgets what nobody confirms; and
//! daemons are killed at any moment. The journals are real, and so is the time, but for its pace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sprited::event::{self, AppId, Entry, Wanted};
use sprited::journal::{
    Appended, Closing, ConfirmPermission, DeliveryOutcome, DeliveryRecord, EventId,
    HandleConfirmation, Journal, JournalSettings, PullReceipt, Receipt, Route, SinkId, feed,
};
use tempfile::TempDir;
use tokio::time::Instant;

/// The seeds of cases that failed once, to be committed with what mends them: each run begins with
/// them.
const SEEDS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/occurrences.proptest-regressions");

/// How long a message is lent out, in seconds.
const LEASE: u64 = 30;

/// What the cloud has to hand out.
#[derive(Debug)]
struct Message {
    content: u8,
    /// How often it was handed out.
    times: u32,
    /// In seconds.
    leased_until: u64,
    is_confirmed: bool,
    is_forgotten: bool,
}

#[derive(Debug)]
struct Cloud {
    same_handle: bool,
    /// In seconds.
    now: u64,
    messages: Vec<Message>,
}

/// A handle, which only this cloud can read.
type Handle = (usize, u32);

impl Cloud {
    fn pull(&mut self, most: usize) -> Vec<(Handle, u8)> {
        let (same_handle, now) = (self.same_handle, self.now);
        let visible = self.messages.iter_mut().enumerate().filter(|(_, message)| {
            message.leased_until <= now && !message.is_confirmed && !message.is_forgotten
        });
        let hand_out = |(number, message): (usize, &mut Message)| {
            message.leased_until = now + LEASE;
            message.times += 1;
            ((number, if same_handle { 1 } else { message.times }), message.content)
        };
        visible.take(most).map(hand_out).collect()
    }

    /// Whether the handle was good.
    fn confirm(&mut self, (number, times): Handle) -> bool {
        let newest = if self.same_handle { 1 } else { self.messages[number].times };
        let message = &mut self.messages[number];
        let is_leased = message.leased_until > self.now;
        let is_good = is_leased && !message.is_confirmed && times == newest;
        message.is_confirmed |= is_good;
        is_good
    }
}

/// What becomes of a call of ConfirmEvents.
#[derive(Clone, Copy, Debug)]
enum Call {
    /// It is carried out and answered.
    Answered,
    /// It is carried out, and its answer is lost.
    AnswerLost,
    /// It never arrives, and nobody knows.
    Lost,
    /// It is turned down for its rate.
    TurnedDown,
    /// One handle is bad, the others are taken, and the answer is an error.
    TakenInPart,
    /// The daemon is killed before it is sent.
    KilledBefore,
    /// It is carried out, and the daemon is killed.
    KilledAfter,
}

#[derive(Clone, Debug)]
enum Step {
    /// It happens, so many times.
    Happens(u8, usize),
    /// A daemon pulls; the answer is on its way.
    Pull {
        daemon: usize,
        most: usize,
    },
    /// An answer that is on its way is stored.
    Store {
        daemon: usize,
        which: usize,
    },
    /// A sink takes up to so many events.
    Deliver {
        daemon: usize,
        most: usize,
    },
    /// Up to so many handles whose events are safe are sent.
    Confirm {
        daemon: usize,
        most: usize,
        call: Call,
    },
    /// All leases end.
    AllLapse,
    /// One ends, early as the daemons see it.
    Lapses(usize),
    /// So many seconds pass.
    Wait(u64),
    /// For days no confirmation gets through, and the cloud forgets all that is in the queue.
    Forgets,
    Kill {
        daemon: usize,
    },
}

/// A daemon: a journal, and what is in its memory.
struct Daemon {
    _folder: TempDir,
    journal: Journal,
    _closing: Closing,
    sink: SinkId,
    /// Each with the second of its pull.
    answers: Vec<(u64, Vec<(Handle, u8)>)>,
    /// Handles, their events, and whether the journal has a say.
    leases: Vec<(Handle, EventId, bool)>,
    /// When each of these was pulled.
    pulled: BTreeMap<Handle, u64>,
    start: Instant,
    /// Answers that were stored.
    stored: u32,
    /// The second of the last pull that found the queue empty.
    empty: Option<u64>,
    /// Events that the sink has to take.
    pending: BTreeSet<EventId>,
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

impl Daemon {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            JournalSettings { path: folder.path().join("j.db"), ..JournalSettings::default() };
        let (journal, closing) = Journal::open(&settings).unwrap();
        let sink = journal.register(vec!["sink".to_owned()]).await.unwrap()[0];
        let route =
            Route { sink, wanted: Wanted::from(vec!["*".to_owned()]), feed: feed().0, after: None };
        journal.set_routes(vec![route], Utc::now()).await.unwrap();
        Self {
            _folder: folder,
            journal,
            _closing: closing,
            sink,
            answers: Vec::new(),
            leases: Vec::new(),
            pulled: BTreeMap::new(),
            start: Instant::now(),
            stored: 0,
            empty: None,
            pending: BTreeSet::new(),
        }
    }

    fn kill(&mut self) {
        self.answers.clear();
        self.leases.clear();
    }

    async fn store(&mut self, second: u64, answer: Vec<(Handle, u8)>) {
        let entry = |(handle, content): &(Handle, u8)| {
            let text = format!(
                r#"{{"EventHandle":"{}-{}","EventType":"MediaCastStatusChanged","E":{{"CastId":"{content}"}}}}"#,
                handle.0, handle.1
            );
            event::read(AppId(1), &text, false, now())
        };
        let entries: Vec<Entry> = answer.iter().map(entry).collect();
        let at = |second| self.start + Duration::from_secs(second);
        // No two answers come at one moment: one that does is the same, stored once more.
        self.stored += 1;
        let sent = at(second) + Duration::from_micros(self.stored.into());
        let lease = Duration::from_secs(LEASE);
        let receipt = Receipt { sent, received: sent, lease, empty: self.empty.map(at) };
        let from = PullReceipt { pulled: now(), receipt: Some(receipt), taken: Arc::default() };
        let appended = self.journal.append(entries, from).await.unwrap();
        for ((handle, _), appended) in answer.into_iter().zip(appended) {
            if appended.is_new {
                self.pending.insert(appended.id);
            }
            self.leases.retain(|(other, ..)| *other != handle);
            self.leases.push((handle, appended.id, appended.is_repeatable));
            self.pulled.insert(handle, second);
        }
    }
}

#[derive(Default)]
struct Sink {
    /// Of each content the ids that were delivered, each once at a daemon.
    delivered: BTreeMap<u8, Vec<String>>,
}

struct World {
    cloud: Cloud,
    daemons: Vec<Daemon>,
    sink: Sink,
    /// What may each have cost a repeat.
    excuses: usize,
    /// Messages that a daemon has stored.
    stored: BTreeSet<usize>,
}

impl World {
    async fn new(daemons: usize, same_handle: bool) -> Self {
        let mut all = Vec::new();
        for _ in 0..daemons {
            all.push(Daemon::new().await);
        }
        let cloud = Cloud { same_handle, now: 0, messages: Vec::new() };
        let (sink, stored) = Default::default();
        Self { cloud, daemons: all, sink, excuses: 0, stored }
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Happens(content, times) => {
                self.cloud.messages.extend((0..times).map(|_| Message {
                    content,
                    times: 0,
                    leased_until: 0,
                    is_confirmed: false,
                    is_forgotten: false,
                }));
            }
            Step::Pull { daemon, most } => {
                let (answer, now) = (self.cloud.pull(most), self.cloud.now);
                let daemon = self.daemon(daemon);
                if !answer.is_empty() {
                    daemon.answers.push((now, answer));
                } else if daemon.answers.is_empty() {
                    daemon.empty = Some(now);
                }
            }
            Step::Store { daemon, which } => {
                let daemon = self.daemon(daemon);
                if !daemon.answers.is_empty() {
                    let (second, answer) = daemon.answers.remove(which % daemon.answers.len());
                    let numbers: Vec<_> = answer.iter().map(|((number, _), _)| *number).collect();
                    daemon.store(second, answer).await;
                    self.stored.extend(numbers);
                }
            }
            Step::Deliver { daemon, most } => self.deliver(daemon, most).await,
            Step::Confirm { daemon, most, call } => self.confirm(daemon, most, call).await,
            Step::AllLapse => self.lapse(),
            Step::Lapses(which) => {
                let count = self.cloud.messages.len();
                if count > 0 {
                    self.cloud.messages[which % count].leased_until = 0;
                }
            }
            Step::Wait(seconds) => self.wait(seconds),
            Step::Forgets => self.forget().await,
            Step::Kill { daemon } => self.daemon(daemon).kill(),
        }
        self.look();
    }

    fn daemon(&mut self, which: usize) -> &mut Daemon {
        let count = self.daemons.len();
        &mut self.daemons[which % count]
    }

    fn lapse(&mut self) {
        self.wait(LEASE);
    }

    fn wait(&mut self, seconds: u64) {
        self.cloud.now += seconds;
        // No daemon sends a handle past its time.
        let now = self.cloud.now;
        for daemon in &mut self.daemons {
            let pulled = &daemon.pulled;
            daemon.leases.retain(|(handle, ..)| now < pulled[handle] + LEASE);
        }
    }

    /// The daemons pull on, one message at a time, and nothing is confirmed. All of it comes within half
    /// a lease: an equal message that comes later may be an earlier one under another handle, and where
    /// the cloud then forgets both, nothing tells.
    async fn forget(&mut self) {
        for _ in 0..2 {
            self.lapse();
            let (mut daemon, begun) = (0, self.cloud.now);
            while let answer @ [_, ..] = &*self.cloud.pull(1) {
                let (answer, now) = (answer.to_vec(), self.cloud.now);
                self.stored.extend(answer.iter().map(|((number, _), _)| *number));
                self.daemon(daemon).store(now, answer).await;
                if self.cloud.now + 1 < begun + LEASE / 2 {
                    self.cloud.now += 1;
                }
                daemon += 1;
            }
        }
        self.cloud.messages.iter_mut().for_each(|message| message.is_forgotten = true);
        self.wait(4 * 24 * 3600);
        for daemon in 0..self.daemons.len() {
            self.daemons[daemon].answers.clear();
            self.daemons[daemon].empty = Some(self.cloud.now);
        }
    }

    async fn deliver(&mut self, daemon: usize, most: usize) {
        let count = self.daemons.len();
        let daemon = &mut self.daemons[daemon % count];
        let sink = daemon.sink;
        let part = daemon.journal.untried(sink, EventId(0), most).await.unwrap();
        let delivered = |event| DeliveryRecord {
            event,
            outcome: DeliveryOutcome::Delivered,
            mirrored: Vec::new(),
        };
        let records = part.events.iter().map(|pending| delivered(pending.id)).collect();
        daemon.journal.record(sink, records, None, now()).await.unwrap();
        for pending in part.events {
            assert!(daemon.pending.remove(&pending.id), "delivered twice");
            let content = pending.event.body.split("CastId\":\"").nth(1).unwrap();
            let content: u8 = content[..1].parse().unwrap();
            let key = pending.event.key.to_string();
            self.sink.delivered.entry(content).or_default().push(key);
        }
    }

    async fn confirm(&mut self, daemon: usize, most: usize, call: Call) {
        let count = self.daemons.len();
        let (daemon, cloud) = (&mut self.daemons[daemon % count], &mut self.cloud);
        let safe = daemon.leases.iter().filter(|(_, event, _)| !daemon.pending.contains(event));
        let safe: Vec<_> = safe.take(most).copied().collect();
        let sending = |(handle, event, _): &(Handle, EventId, bool)| HandleConfirmation {
            handle: format!("{}-{}", handle.0, handle.1).into(),
            events: vec![*event],
        };
        assert!(safe.iter().all(|(_, _, is_repeatable)| *is_repeatable));
        let noted = daemon.journal.begin_confirm(safe.iter().map(sending).collect()).await.unwrap();
        let (mut handles, mut events, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        for ((handle, event, _), noted) in safe.iter().zip(noted) {
            match noted {
                ConfirmPermission::Superseded => {
                    daemon.leases.retain(|(other, ..)| other != handle)
                }
                ConfirmPermission::Granted(open) => {
                    handles.push(*handle);
                    events.push(*event);
                    closed.extend(open);
                }
            }
        }
        let done = |daemon: &mut Daemon| {
            daemon.leases.retain(|(handle, ..)| !handles.contains(handle));
        };
        match call {
            Call::Answered => {
                // Each is taken or not, whatever became of those before it.
                let good = handles.iter().filter(|handle| cloud.confirm(**handle)).count();
                if good == handles.len() {
                    daemon.journal.confirmed(events, now()).await.unwrap();
                } else {
                    self.excuses += handles.len();
                }
                done(daemon);
            }
            Call::AnswerLost | Call::TakenInPart => {
                for handle in &handles {
                    cloud.confirm(*handle);
                }
                self.excuses += handles.len();
                if matches!(call, Call::TakenInPart) {
                    done(daemon);
                }
            }
            Call::Lost => self.excuses += handles.len(),
            Call::TurnedDown => daemon.journal.abort_confirm(closed).await.unwrap(),
            Call::KilledBefore => {
                self.excuses += handles.len();
                daemon.kill();
            }
            Call::KilledAfter => {
                for handle in &handles {
                    cloud.confirm(*handle);
                }
                self.excuses += handles.len();
                daemon.kill();
            }
        }
    }

    /// At no moment more messages are confirmed than events were delivered, and no two events of
    /// a daemon have one id.
    fn look(&self) {
        let mut confirmed: BTreeMap<u8, usize> = BTreeMap::new();
        for message in self.cloud.messages.iter().filter(|message| message.is_confirmed) {
            *confirmed.entry(message.content).or_default() += 1;
        }
        for (content, confirmed) in confirmed {
            let ids = self.sink.delivered.get(&content).map_or(&[][..], Vec::as_slice);
            let different = ids.iter().collect::<BTreeSet<_>>().len();
            assert!(
                ids.len() >= confirmed,
                "{content}: {confirmed} confirmed, {} delivered",
                ids.len()
            );
            // Where a cloud keeps the handles, two daemons may give one id to equal events that
            // were pending together: see the decisions.
            if self.daemons.len() == 1 || !self.cloud.same_handle {
                assert_eq!(different, ids.len(), "{content}: an id stands for two events");
            }
        }
    }

    /// Lets it all come to an end, with nothing going wrong any more.
    async fn end(mut self, may_repeat: bool) {
        let daemons = self.daemons.len();
        for round in 0.. {
            let is_over = |message: &Message| message.is_confirmed || message.is_forgotten;
            if self.cloud.messages.iter().all(is_over) {
                break;
            }
            assert!(round < 40, "some are never confirmed: {:?}", self.cloud);
            self.lapse();
            for daemon in 0..daemons {
                self.step(&Step::Pull { daemon, most: 5 }).await;
                while !self.daemons[daemon].answers.is_empty() {
                    self.step(&Step::Store { daemon, which: 0 }).await;
                }
                self.step(&Step::Deliver { daemon, most: 100 }).await;
                self.step(&Step::Confirm { daemon, most: 100, call: Call::Answered }).await;
            }
        }
        for daemon in 0..daemons {
            self.step(&Step::Deliver { daemon, most: 1000 }).await;
        }
        let delivered: usize = self.sink.delivered.values().map(Vec::len).sum();
        if !may_repeat {
            let most = self.stored.len() + self.excuses;
            assert!(delivered <= most, "{delivered} delivered, {most} would be excused");
        }
        // What a daemon has stored is delivered, whatever the cloud then does with it. Two of them may
        // have one message each, which one of them confirms.
        if daemons == 1 {
            for content in 0..2 {
                let is_it = |number: &&usize| self.cloud.messages[**number].content == content;
                let stored = self.stored.iter().filter(is_it).count();
                let delivered = self.sink.delivered.get(&content).map_or(0, Vec::len);
                assert!(delivered >= stored, "{content}: {stored} stored, {delivered} delivered");
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let call = prop_oneof![
        4 => Just(Call::Answered),
        1 => Just(Call::AnswerLost),
        1 => Just(Call::Lost),
        1 => Just(Call::TurnedDown),
        1 => Just(Call::TakenInPart),
        1 => Just(Call::KilledBefore),
        1 => Just(Call::KilledAfter),
    ];
    prop_oneof![
        3 => (0..2_u8, 1..4_usize).prop_map(|(content, times)| Step::Happens(content, times)),
        5 => (0..2_usize, 1..5_usize).prop_map(|(daemon, most)| Step::Pull { daemon, most }),
        5 => (0..2_usize, 0..3_usize).prop_map(|(daemon, which)| Step::Store { daemon, which }),
        4 => (0..2_usize, 1..6_usize).prop_map(|(daemon, most)| Step::Deliver { daemon, most }),
        6 => (0..2_usize, 1..5_usize, call)
            .prop_map(|(daemon, most, call)| Step::Confirm { daemon, most, call }),
        2 => Just(Step::AllLapse),
        2 => (1..20_u64).prop_map(Step::Wait),
        1 => Just(Step::Forgets),
        2 => any::<usize>().prop_map(Step::Lapses),
        1 => (0..2_usize).prop_map(|daemon| Step::Kill { daemon }),
    ]
}

fn play(daemons: usize, same_handle: bool, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        ..ProptestConfig::with_cases(cases)
    };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..50))| {
        runtime.block_on(async {
            let mut world = World::new(daemons, same_handle).await;
            for step in &steps {
                world.step(step).await;
            }
            // A message that goes from one daemon to another is delivered by both; and one whose
            // lease ends while a confirmation of it is on its way comes again.
            let may_repeat =
                daemons > 1 || steps.iter().any(|step| matches!(step, Step::Lapses(_) | Step::Forgets));
            world.end(may_repeat).await;
        });
    });
}

#[test]
fn no_message_is_lost_under_handles_that_change() {
    play(1, false, 40);
}

#[test]
fn no_message_is_lost_under_handles_that_stay() {
    play(1, true, 40);
}

#[test]
fn no_message_is_lost_with_two_daemons() {
    play(2, false, 30);
    play(2, true, 30);
}

/// Not one of the entries of an answer is taken for another, in whatever order they come.
#[tokio::test]
async fn the_handle_of_an_entry_is_looked_at_before_what_is_open() {
    let mut daemon = Daemon::new().await;
    daemon.store(0, vec![((1, 1), 0), ((2, 1), 0)]).await;
    let first: BTreeMap<_, _> = daemon.leases.iter().map(|lease| (lease.0, lease.1)).collect();
    assert_ne!(first[&(1, 1)], first[&(2, 1)]);
    // The unknown one comes first; the others keep what they had.
    daemon.store(1, vec![((3, 1), 0), ((2, 1), 0), ((1, 1), 0)]).await;
    let again: BTreeMap<_, _> = daemon.leases.iter().map(|lease| (lease.0, lease.1)).collect();
    assert_eq!((again[&(1, 1)], again[&(2, 1)]), (first[&(1, 1)], first[&(2, 1)]));
    assert_eq!(again.values().collect::<BTreeSet<_>>().len(), 3);
}

/// An entry without a handle cannot be confirmed and comes for ever: it is the same each time.
#[tokio::test]
async fn entries_without_a_handle_are_as_many_as_an_answer_holds() {
    let daemon = Daemon::new().await;
    let entry = || event::read(AppId(1), r#"{"EventType":"X"}"#, false, now());
    let append = async |count| {
        let entries = std::iter::repeat_with(entry).take(count).collect();
        daemon.journal.append(entries, now()).await.unwrap()
    };
    let two = append(2).await;
    assert!(two.iter().all(|appended| appended.is_new) && two[0].key != two[1].key);
    for count in [1, 2, 1] {
        assert!(append(count).await.iter().all(|appended| !appended.is_new));
    }
    assert_eq!(append(3).await.iter().filter(|appended| appended.is_new).count(), 1);
}

/// A journal, and the time of the answers that it stores.
struct Timed {
    daemon: Daemon,
    start: Instant,
    /// When a pull last found the queue empty, in seconds.
    empty: Option<u64>,
}

impl Timed {
    async fn new() -> Self {
        Self { daemon: Daemon::new().await, start: Instant::now(), empty: None }
    }

    fn answer(&self, second: u64) -> PullReceipt {
        let at = |second| self.start + Duration::from_secs(second);
        let (sent, lease) = (at(second), Duration::from_secs(30));
        let receipt = Receipt { sent, received: sent, lease, empty: self.empty.map(at) };
        PullReceipt { pulled: now(), receipt: Some(receipt), taken: Arc::default() }
    }

    /// The one event comes under `handle` in this second.
    async fn comes(&self, handle: &str, second: u64) -> Appended {
        let text = format!(r#"{{"EventHandle":"{handle}","EventType":"FileDeleted"}}"#);
        let entry = event::read(AppId(1), &text, false, now());
        let appended = self.daemon.journal.append(vec![entry], self.answer(second)).await.unwrap();
        appended.into_iter().next().unwrap()
    }

    async fn delivered(&self, events: &[&Appended]) {
        let record = |of: &&Appended| DeliveryRecord {
            event: of.id,
            outcome: DeliveryOutcome::Delivered,
            mirrored: Vec::new(),
        };
        let records = events.iter().map(record).collect();
        self.daemon.journal.record(self.daemon.sink, records, None, now()).await.unwrap();
    }
}

/// Two that are equal wait for a sink that is down until the cloud has forgotten both: both are
/// there. Each is one event however often it comes.
#[tokio::test]
async fn of_two_that_come_within_a_lease_each_is_kept_though_neither_is_confirmed() {
    for apart in [1, 2, 10, 14, 15, 16, 20, 29] {
        let timed = Timed::new().await;
        let mut kept = BTreeSet::new();
        for lease in 0..5 {
            for (message, delay) in [("a", 0), ("b", apart)] {
                let handle = format!("{message}-{lease}");
                kept.insert(timed.comes(&handle, 30 * lease + delay).await.id);
            }
        }
        assert_eq!(kept.len(), 2, "{apart} s apart");
    }
}

#[tokio::test]
async fn what_comes_again_after_its_lease_is_one_however_long_that_goes_on() {
    let mut timed = Timed::new().await;
    let first = timed.comes("0", 0).await;
    for lease in 1..40 {
        // Between two leases there is nothing in the queue.
        timed.empty = Some(30 * lease - 5);
        assert_eq!(timed.comes(&lease.to_string(), 30 * lease).await.id, first.id);
    }
}

/// Its confirmation was refused each time, until the cloud forgot it; or another daemon confirmed
/// it. The next one is another, long after.
#[tokio::test]
async fn what_left_the_queue_unconfirmed_swallows_no_later_event() {
    let mut timed = Timed::new().await;
    let first = timed.comes("a", 0).await;
    timed.delivered(&[&first]).await;
    // With other events before it in the queue it may come late.
    assert_eq!(timed.comes("b", 1000).await.id, first.id);
    timed.empty = Some(1000 + 61);
    let second = timed.comes("c", 2000).await;
    assert!(second.is_new && second.pending && second.may_be_duplicate && second.id != first.id);
    // One that a sink still has to take may be given to another daemon for a while.
    timed.empty = Some(2000 + 600);
    assert_eq!(timed.comes("d", 4000).await.id, second.id);
    timed.empty = Some(4000 + 601);
    assert!(timed.comes("e", 9000).await.is_new);
}

/// It is stored in portions, and some of them once more.
#[tokio::test]
async fn each_entry_of_an_answer_takes_one_of_its_own_whatever_portion_it_is_in() {
    let timed = Timed::new().await;
    let entries = |handles: std::ops::Range<u32>| -> Vec<Entry> {
        let text = |n| format!(r#"{{"EventHandle":"{n}","EventType":"FileDeleted"}}"#);
        handles.map(|n| event::read(AppId(1), &text(n), false, now())).collect()
    };
    let mut seen = BTreeSet::new();
    for second in [0, 40] {
        let mut answer = timed.answer(second);
        for portion in 0..3 {
            let first = u32::try_from(second).unwrap() + 4 * portion;
            let portion = entries(first..first + 4);
            let journal = &timed.daemon.journal;
            let appended = journal.append(portion.clone(), answer.clone()).await.unwrap();
            let again = journal.append(portion.clone(), answer.clone()).await.unwrap();
            let ids = |of: &[Appended]| of.iter().map(|of| of.id).collect::<Vec<_>>();
            assert_eq!(ids(&appended), ids(&again));
            Arc::get_mut(&mut answer.taken).unwrap().add(&portion, &appended);
            seen.extend(ids(&appended));
        }
    }
    assert_eq!(seen.len(), 12);
}
