//! The journal and its model side by side: whatever is done is done to both, and both are looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use futures_util::future::join_all;
use sprited::event::{Entry, Wanted};
use sprited::journal::{
    Appended, Closing, ConfirmPermission, DeliveryOutcome, DeliveryRecord, EventId, EventState,
    FeedReceiver, Filter, HandleConfirmation, Journal, JournalAdmin, JournalReader,
    JournalSettings, On, QueueEnd, Recorded, Route, RouteAfter, SinkId, Then, UnacknowledgedEvent,
    feed,
};
use tempfile::TempDir;

use super::plain::{At, Kept, LONGEST_WAIT, Plain, event_of};
use super::{Content, KINDS, SINKS, Said, Step, Verdict, Which, Write, time};

const RETENTION_DAYS: i64 = 14;
const START: i64 = 1_750_000_000_000;

pub(super) struct Bench {
    folder: TempDir,
    open: Option<(Journal, Closing)>,
    ids: BTreeMap<usize, SinkId>,
    feds: BTreeMap<usize, FeedReceiver>,
    now: i64,
    plain: Plain,
    /// What a crash may go back to: each state since the last one that is on disk for certain.
    past: Vec<Plain>,
    configured: [bool; 3],
    wanted: [[bool; 3]; 3],
    after: [Option<(usize, On)>; 3],
}

/// What a write was answered.
#[derive(Debug, PartialEq)]
enum Answer {
    Appended(Vec<Appended>),
    Recorded(Recorded),
    Sending(Vec<ConfirmPermission>),
    NotTaken,
    Confirmed,
}

fn settings(folder: &Path) -> JournalSettings {
    JournalSettings { path: folder.join("j.db"), ..JournalSettings::default() }
}

impl Bench {
    pub(super) async fn new() -> Self {
        let folder = new_folder();
        let open = Some(Journal::open(&settings(folder.path())).unwrap());
        let mut bench = Self {
            folder,
            open,
            ids: BTreeMap::new(),
            feds: BTreeMap::new(),
            now: START,
            plain: Plain::new(),
            past: Vec::new(),
            configured: [true, true, false],
            wanted: [[true, true, false], [true, true, true], [true, false, true]],
            after: [None; 3],
        };
        bench.configure().await;
        bench
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("j.db")
    }

    pub(super) async fn step(&mut self, step: &Step) {
        match step {
            Step::Together(writes) => self.write(writes).await,
            Step::Requeue { sink, events } => {
                if let Some(id) = self.ids.get(sink).copied() {
                    let events = self.events(events);
                    self.commit().await;
                    let mut editor = JournalAdmin::open(&self.path()).unwrap();
                    let done = editor.requeue(id, None, &events, time(self.now)).unwrap();
                    assert_eq!(done, self.plain.requeue(*sink, &events, self.now));
                    self.is_on_disk();
                }
            }
            Step::Discard { sink, events } => {
                if let Some(id) = self.ids.get(sink).copied() {
                    let events = self.events(events);
                    self.commit().await;
                    let mut editor = JournalAdmin::open(&self.path()).unwrap();
                    let done =
                        editor.discard(id, &events, Then::Followers, time(self.now)).unwrap();
                    assert_eq!(done, self.plain.discard(*sink, &events, self.now));
                    self.is_on_disk();
                }
            }
            Step::Prune => self.prune(false).await,
            Step::PruneForSpace => {
                self.reopen(&|settings| settings.max_size = ByteSize::b(1)).await;
                self.prune(true).await;
                self.reopen(&|_| {}).await;
            }
            Step::Configure { sinks, wanted, after } => {
                (self.configured, self.wanted, self.after) = (*sinks, *wanted, *after);
                self.configure().await;
            }
            Step::Clock(minutes) => self.now += minutes * 60_000,
            Step::Due { sink, limit } => self.due(*sink, *limit).await,
            Step::DueNow { sink } => {
                if let Some(id) = self.ids.get(sink) {
                    self.journal().due_now(*id, time(self.now)).await.unwrap();
                    self.plain.due_now(*sink, self.now);
                    self.is_on_disk();
                }
            }
            Step::Reopen => self.reopen(&|_| {}).await,
            Step::Crash => {
                let image = copy(self.folder.path());
                self.crash(image).await;
            }
            Step::CrashWhile(contents) => {
                let journal = self.journal().clone();
                let (events, now) = (self.contents(contents), time(self.now));
                let append = tokio::spawn(async move { journal.append(events, now).await });
                // Lets it be sent; how far it comes is chance.
                tokio::task::yield_now().await;
                let image = copy(self.folder.path());
                append.await.unwrap().unwrap();
                self.plain.append(contents, self.now);
                self.past.push(self.plain.clone());
                self.crash(image).await;
            }
        }
        self.look().await;
    }

    /// Looks at all there is to be seen, before and after the end of the process, and at the
    /// journal's own audit.
    pub(super) async fn end(mut self) {
        self.commit().await;
        assert_eq!(seen(&self.path()), expected(&self.plain));
        self.close().await;
        assert_eq!(seen(&self.path()), expected(&self.plain));
        self.look_by_state();
        let findings = sprited::journal::audit(&self.path()).unwrap().unwrap();
        assert!(findings.ok(), "{findings:#?}");
    }

    /// What the commands list, by state and sink.
    fn look_by_state(&self) {
        let reader = JournalReader::open(&self.path()).unwrap();
        for state in
            [EventState::Pending, EventState::Delivered, EventState::Dead, EventState::Unrouted]
        {
            let listed = |sink: Option<&str>| -> BTreeSet<i64> {
                let filter = Filter {
                    state: Some(state),
                    sink: sink.map(str::to_owned),
                    ..Filter::default()
                };
                let found = reader.list(&filter, 1_000_000).unwrap();
                found.into_iter().map(|found| found.id.0).collect()
            };
            let all = self.plain.events.iter();
            let over_all = all.filter(|(_, kept)| kept.state() == state).map(|(id, _)| *id);
            assert_eq!(listed(None), over_all.collect(), "{state:?}");
            for (sink, name) in SINKS.iter().enumerate() {
                let is = |(id, kept): (&i64, &Kept)| {
                    (kept.sinks.get(&sink)?.state() == state).then_some(*id)
                };
                let at_sink = self.plain.events.iter().filter_map(is).collect();
                assert_eq!(listed(Some(name)), at_sink, "{state:?} at {name}");
            }
        }
    }

    fn journal(&self) -> &Journal {
        &self.open.as_ref().unwrap().0
    }

    fn events(&self, which: &[Which]) -> Vec<EventId> {
        which.iter().map(|which| self.event(*which)).collect()
    }

    fn event(&self, which: Which) -> EventId {
        EventId(1 + i64::from(which) % self.plain.next_id)
    }

    fn contents(&self, contents: &[Content]) -> Vec<Entry> {
        let entry = |content: &Content| Entry {
            handle: Some(content.handle.to_string().into()),
            event: Arc::new(event_of(content, self.now)),
        };
        contents.iter().map(entry).collect()
    }

    /// What was done so far cannot be lost any more.
    fn is_on_disk(&mut self) {
        self.past = vec![self.plain.clone()];
    }

    /// Has all on disk that was answered before: the write for a sink that never was does nothing else.
    async fn commit(&mut self) {
        self.journal().due_now(SinkId(999), time(self.now)).await.unwrap();
        self.is_on_disk();
    }

    /// What stands in the configuration, as after a start or a reload.
    async fn configure(&mut self) {
        let sinks: Vec<usize> = (0..SINKS.len()).filter(|sink| self.configured[*sink]).collect();
        let names = sinks.iter().map(|sink| SINKS[*sink].to_owned()).collect();
        let ids = self.journal().register(names).await.unwrap();
        self.plain.register(&sinks, self.now);
        self.feds.clear();
        self.plain.routes.clear();
        self.plain.after.clear();
        let mut routes = Vec::new();
        for (sink, id) in sinks.into_iter().zip(ids) {
            assert_eq!(*self.ids.entry(sink).or_insert(id), id, "a sink keeps its number");
            let kinds: BTreeSet<u8> =
                (0..KINDS).filter(|kind| self.wanted[sink][usize::from(*kind)]).collect();
            let names = kinds.iter().map(|kind| format!("T{kind}")).collect::<Vec<_>>();
            let (feed, fed) = feed();
            fed.catch_up();
            // One that is not there is refused before it comes here.
            let after = self.after[sink].filter(|(before, _)| self.configured[*before]);
            let route_after = after.map(|(before, on)| RouteAfter { sink: self.ids[&before], on });
            self.plain.after.extend(after.map(|after| (sink, after)));
            routes.push(Route { sink: id, wanted: Wanted::from(names), feed, after: route_after });
            self.feds.insert(sink, fed);
            self.plain.routes.insert(sink, kinds);
        }
        self.journal().set_routes(routes, time(self.now)).await.unwrap();
        self.is_on_disk();
    }

    async fn write(&mut self, writes: &[Write]) {
        let now = time(self.now);
        let mut expected = Vec::new();
        let mut asked: Vec<Asked> = Vec::new();
        let mut fresh: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        for write in writes {
            let journal = self.journal().clone();
            match write {
                Write::Append(contents) => {
                    let events = self.contents(contents);
                    let appended = self.plain.append(contents, self.now);
                    for one in appended.iter().filter(|one| one.is_new) {
                        for sink in self.plain.events[&one.id.0].sinks.keys() {
                            fresh.entry(*sink).or_default().push(one.id.0);
                        }
                    }
                    if appended.iter().any(|one| one.is_new) {
                        // It will be on disk when this is answered, with all before it.
                        self.past.clear();
                    }
                    expected.push(Answer::Appended(appended));
                    asked.push(Box::pin(async move {
                        Answer::Appended(journal.append(events, now).await.unwrap())
                    }));
                }
                Write::Record { sink, said, mark } => {
                    // One that was never there has no loop that could say anything.
                    let Some(id) = self.ids.get(sink).copied() else { continue };
                    let verdicts: Vec<(EventId, Verdict)> = said
                        .iter()
                        .enumerate()
                        .map(|(at, (which, said))| (self.event(*which), self.verdict(at, *said)))
                        .collect();
                    let records = verdicts.iter().map(record).collect();
                    let mark = mark.map(|mark| mark.to_string());
                    let (settled, released) =
                        self.plain.record(*sink, &verdicts, mark.as_deref(), self.now);
                    if !released.is_empty() {
                        // On disk before they may take it.
                        self.past.clear();
                    }
                    let released = released.iter().map(|sink| self.ids[sink]).collect();
                    let pending = self.plain.owed(*sink).len() as u64;
                    expected.push(Answer::Recorded(Recorded { settled, pending, released }));
                    asked.push(Box::pin(async move {
                        Answer::Recorded(journal.record(id, records, mark, now).await.unwrap())
                    }));
                }
                Write::Sending(which) => {
                    let handles: Vec<(u8, Vec<EventId>)> =
                        which.iter().map(|(handle, which)| (*handle, self.events(which))).collect();
                    let noted = handles
                        .iter()
                        .map(|(handle, events)| self.plain.sending(*handle, events))
                        .collect();
                    expected.push(Answer::Sending(noted));
                    self.past.clear();
                    let sending = |(handle, events): (u8, Vec<EventId>)| HandleConfirmation {
                        handle: handle.to_string().into(),
                        events,
                    };
                    let handles = handles.into_iter().map(sending).collect();
                    asked.push(Box::pin(async move {
                        Answer::Sending(journal.begin_confirm(handles).await.unwrap())
                    }));
                }
                Write::NotTaken(which) => {
                    let events = self.events(which);
                    self.plain.not_taken(&events);
                    self.past.clear();
                    expected.push(Answer::NotTaken);
                    asked.push(Box::pin(async move {
                        journal.abort_confirm(events).await.unwrap();
                        Answer::NotTaken
                    }));
                }
                Write::Confirmed(which) => {
                    let events = self.events(which);
                    self.plain.confirm(&events, self.now);
                    expected.push(Answer::Confirmed);
                    asked.push(Box::pin(async move {
                        journal.confirmed(events, now).await.unwrap();
                        Answer::Confirmed
                    }));
                }
            }
            self.past.push(self.plain.clone());
        }
        // Each is sent at its first poll, so that they come in this order.
        let answers = join_all(asked).await;
        assert_eq!(answers, expected);
        for (sink, fed) in &mut self.feds {
            let fed: Vec<i64> = std::iter::from_fn(|| fed.try_next()).map(|it| it.id.0).collect();
            assert_eq!(fed, fresh.remove(sink).unwrap_or_default(), "fed to {}", SINKS[*sink]);
        }
    }

    fn verdict(&self, at: usize, said: Said) -> Verdict {
        let error = format!("failure {at}\n\u{1b}[31m");
        match said {
            Said::Delivered => Verdict::Delivered,
            Said::Retry(minutes) => Verdict::Retry { due: self.now + minutes * 60_000, error },
            Said::Dead => Verdict::Dead { error },
        }
    }

    async fn prune(&mut self, short_of_space: bool) {
        // A round begins where the last has ended: after three, all was looked at.
        for _ in 0..3 {
            let mut steps = 0;
            while self.journal().prune(time(self.now)).await.unwrap() {
                steps += 1;
                assert!(steps < 10, "it comes to an end");
            }
        }
        self.plain.prune(RETENTION_DAYS, short_of_space, self.now);
        self.is_on_disk();
    }

    async fn due(&mut self, sink: usize, limit: usize) {
        let Some(id) = self.ids.get(&sink).copied() else { return };
        let (part, next) = self.journal().due(id, time(self.now), limit).await.unwrap();
        let owed = self.plain.owed(sink);
        let mut due: Vec<(i64, i64, u32)> =
            owed.iter().filter_map(|(id, _, owed)| Some((owed.due?, *id, owed.attempts))).collect();
        due.sort_unstable();
        let mut later = due.split_off(due.partition_point(|(due, ..)| *due <= self.now));
        // What a clock that was set back has put off.
        let farthest = self.now + LONGEST_WAIT;
        due.extend(later.split_off(later.partition_point(|(due, ..)| *due <= farthest)));
        assert_eq!(part.is_all, due.len() < limit);
        due.truncate(limit);
        let found: Vec<_> = part.events.iter().map(|it| (it.id.0, it.attempts)).collect();
        let expected: Vec<_> = due.iter().map(|(_, id, attempts)| (*id, *attempts)).collect();
        assert_eq!(found, expected, "due at {}", SINKS[sink]);
        for pending in &part.events {
            let told = pending.event.after.as_deref().map(|after| {
                (after.sink.clone(), after.state, after.error.clone(), after.attempts)
            });
            let owed = owed.iter().find(|(id, ..)| *id == pending.id.0).unwrap().2;
            assert_eq!(told, owed.result, "{} at {}", pending.id.0, SINKS[sink]);
        }
        let expected =
            if part.is_all { later.first().map(|(due, ..)| *due) } else { Some(self.now) };
        assert_eq!(next.map(|next| next.timestamp_millis()), expected);
    }

    async fn reopen(&mut self, change: &dyn Fn(&mut JournalSettings)) {
        let mut settings = settings(self.folder.path());
        change(&mut settings);
        self.close().await;
        self.open = Some(Journal::open(&settings).unwrap());
        self.plain = std::mem::take(&mut self.plain).reopened();
        self.configure().await;
    }

    async fn close(&mut self) {
        self.feds.clear();
        let (journal, closing) = self.open.take().unwrap();
        drop(journal);
        closing.wait().await;
    }

    /// Goes on with what a crash has left: one of the states since the last that was certain, whole.
    async fn crash(&mut self, image: TempDir) {
        self.close().await;
        self.folder = image;
        let path = self.path();
        let (journal, closing) = Journal::open(&settings(self.folder.path())).unwrap();
        let seen = seen(&path);
        let at = self.past.iter().rposition(|plain| expected(plain) == seen);
        let Some(at) = at else {
            let past: Vec<_> = self.past.iter().map(expected).collect();
            panic!("none of {} states:\n{seen:#?}\nis one of\n{past:#?}", past.len());
        };
        self.plain = self.past[at].clone().reopened();
        self.open = Some((journal, closing));
        self.configure().await;
    }

    /// What the daemon reads, which sees all that was answered.
    async fn look(&self) {
        assert_eq!(self.journal().pending().await.unwrap(), self.plain.pending());
        let all: Vec<_> = (0..=self.plain.next_id).map(EventId).collect();
        let settled: Vec<_> =
            all.iter().copied().filter(|event| !self.plain.is_pending(event.0)).collect();
        assert_eq!(self.journal().settled(all.clone()).await.unwrap(), settled);
        for (sink, id) in &self.ids {
            let owed = self.plain.owed(*sink);
            let ids: Vec<_> = owed.iter().map(|(id, ..)| EventId(*id)).collect();
            assert_eq!(self.journal().outstanding(*id, all.clone()).await.unwrap(), ids);
            let unsure: Vec<_> = owed
                .iter()
                .map(|(id, kept, owed)| {
                    let is_requeued = owed.is_requeued();
                    UnacknowledgedEvent { id: EventId(*id), key: kept.key, is_requeued }
                })
                .collect();
            assert_eq!(self.journal().unacknowledged(*id, EventId(0), 1000).await.unwrap(), unsure);
            let untried: Vec<_> = owed.iter().filter(|(.., owed)| owed.due.is_none()).collect();
            let part = self.journal().untried(*id, EventId(0), 1000).await.unwrap();
            let found: Vec<_> = part.events.iter().map(|it| (it.id.0, &*it.event)).collect();
            let events: Vec<_> = untried
                .iter()
                .map(|(id, kept, _)| {
                    let event = event_of(&kept.content, kept.pulled);
                    (*id, sprited::event::Event { key: kept.key, ..event })
                })
                .collect();
            assert_eq!(found, events.iter().map(|(id, event)| (*id, event)).collect::<Vec<_>>());
            for (end, next) in
                [(QueueEnd::Oldest, untried.first()), (QueueEnd::Newest, untried.last())]
            {
                let probe = self.journal().probe(*id, EventId(0), end).await.unwrap();
                assert_eq!(
                    probe.as_ref().map(|it| it.attempts),
                    owed.iter().map(|(.., owed)| owed.attempts).min(),
                    "tried least at {}",
                    SINKS[*sink]
                );
                if let Some((id, ..)) = next {
                    assert_eq!(probe.unwrap().id, EventId(*id), "{end:?}");
                }
            }
            assert_eq!(
                self.journal().checkpoint(*id).await.unwrap().as_ref(),
                self.plain.marks.get(sink)
            );
        }
    }
}

type Asked = std::pin::Pin<Box<dyn Future<Output = Answer>>>;

fn record((event, verdict): &(EventId, Verdict)) -> DeliveryRecord {
    let outcome = match verdict.clone() {
        Verdict::Delivered => DeliveryOutcome::Delivered,
        Verdict::Retry { due, error } => {
            DeliveryOutcome::Retry { due: time(due), charged: Duration::from_secs(1), error }
        }
        Verdict::Dead { error } => DeliveryOutcome::Dead { error },
    };
    DeliveryRecord { event: *event, outcome, mirrored: Vec::new() }
}

/// In memory where that can be had: a process that ends loses nothing of a file system, and waiting
/// for a disk finds no fault.
fn new_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The files as they stand at one moment, as the end of the process would leave them.
fn copy(folder: &Path) -> TempDir {
    let read =
        || ["j.db", "j.db-wal"].map(|name| std::fs::read(folder.join(name)).unwrap_or_default());
    let mut files = read();
    loop {
        // What stands the same in two readings stood so in between, all of it at once.
        let again = read();
        if files == again {
            break;
        }
        files = again;
    }
    let image = new_folder();
    for (name, bytes) in ["j.db", "j.db-wal"].iter().zip(files) {
        std::fs::write(image.path().join(name), bytes).unwrap();
    }
    image
}

/// What is to be seen of an event at a sink.
type SeenAt =
    (String, EventState, u32, Option<i64>, [Option<String>; 2], Vec<Option<String>>, Vec<String>);

/// Number, key, state, when it was confirmed, whether its body is gone, and what is at the sinks.
type SeenEvent = (i64, String, EventState, Option<i64>, bool, Vec<SeenAt>);

/// All that another process sees.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<SeenEvent>,
    /// Each with its mark, and whether it is configured.
    sinks: Vec<(String, bool, Option<String>)>,
    sums: sprited::journal::JournalTotals,
}

fn seen(path: &Path) -> Seen {
    let reader = JournalReader::open(path).unwrap();
    let found = reader.list(&Filter::default(), 1_000_000).unwrap();
    let at = |id| -> Vec<SeenAt> {
        let states = reader.sinks_of(id).unwrap().into_iter();
        states
            .map(|at| {
                let due = at.due.map(|due| due.timestamp_millis());
                let attempts = at.last_attempts.into_iter().map(|attempt| attempt.error).collect();
                let errors = [at.first_error, at.last_error];
                (at.sink, at.state, at.attempts, due, errors, attempts, at.then)
            })
            .collect()
    };
    Seen {
        events: found
            .into_iter()
            .rev()
            .map(|found| {
                let confirmed = found.confirmed.map(|at| at.timestamp_millis());
                let key = found.event.key.to_string();
                (found.id.0, key, found.state, confirmed, found.is_pruned, at(found.id))
            })
            .collect(),
        sinks: sinks(path),
        sums: reader.sums().unwrap(),
    }
}

/// Only the daemon reads marks.
fn sinks(path: &Path) -> Vec<(String, bool, Option<String>)> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut select =
        connection.prepare("SELECT name, active, mark FROM sinks ORDER BY name").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn expected(plain: &Plain) -> Seen {
    let at = |kept: &Kept, (sink, at): (&usize, &At)| -> SeenAt {
        let name = SINKS[*sink].to_owned();
        let attempts = kept.attempts.get(sink).cloned().unwrap_or_default();
        match at.clone() {
            At::Delivered => (name, EventState::Delivered, 0, None, [None, None], attempts, vec![]),
            At::Pending(owed) => {
                let errors = [owed.first_error, owed.last_error];
                let then = owed.followers.0.iter().map(|(sink, ..)| SINKS[*sink].to_owned());
                let then = then.collect();
                (name, EventState::Pending, owed.attempts, owed.due, errors, attempts, then)
            }
            At::Dead { attempts: tried, first_error, last_error } => {
                let errors = [Some(first_error), Some(last_error)];
                (name, EventState::Dead, tried, None, errors, attempts, vec![])
            }
        }
    };
    let events = plain.events.iter().map(|(id, kept)| {
        let at = kept.sinks.iter().map(|at_sink| at(kept, at_sink)).collect();
        (*id, kept.key.to_string(), kept.state(), kept.confirmed, !kept.has_body, at)
    });
    let sinks = plain.active.iter();
    Seen {
        events: events.collect(),
        sinks: sinks
            .map(|(sink, active)| {
                (SINKS[*sink].to_owned(), *active, plain.marks.get(sink).cloned())
            })
            .collect(),
        sums: plain.sums(),
    }
}
