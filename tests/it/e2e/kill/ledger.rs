//! What is known of the events without asking the daemon: from the cloud, the journal's file and
//! the sinks' own records. Events go by their tasks; those that have none and may happen again word
//! for word, by their casts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use vod_emulator::{EmulatorControl, SpriteOrder};

use super::hook::task_of;

/// The names of the two sinks.
pub(super) const FILE: &str = "file";
pub(super) const HOOK: &str = "hook";
/// The file's own.
pub(super) const FILE_NAME: &str = "file.jsonl";
/// What the sinks want.
pub(super) const WANTED: &str = "events = ['image-sprite', 'MediaCastStatusChanged']\n";
/// A type without a task.
const CAST: &str = "MediaCastStatusChanged";

/// The setting `confirm.after`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum After {
    Delivery,
    Journal,
}

impl After {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Journal => "journal",
        }
    }
}

pub(super) struct Ledger {
    after: After,
    journal: PathBuf,
    /// The tasks by the numbers of their events in the cloud.
    made: Mutex<HashMap<u64, String>>,
    folder: PathBuf,
    file: Mutex<Lines>,
    hook: Arc<Mutex<HashMap<String, u32>>>,
    stored: Mutex<Stored>,
    witnessed: AtomicUsize,
    early: Mutex<Vec<String>>,
}

/// Where the events are that are on their way.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Handed out by the cloud and not in the journal.
    pub(super) pulled: BTreeSet<String>,
    /// In the journal and not at this sink, which is to have them.
    pub(super) stored: HashMap<String, BTreeSet<String>>,
    /// At this sink, and to the journal they are not.
    pub(super) taken: HashMap<String, BTreeSet<String>>,
    /// Delivered to every sink, as the journal has it, and not confirmed.
    pub(super) recorded: BTreeSet<String>,
    /// Safe to confirm, by the setting, and not confirmed.
    pub(super) safe: BTreeSet<String>,
    /// Key and body of one that is not at the sink [`FILE`].
    pub(super) missing: Option<(String, String)>,
}

impl Ledger {
    /// Ledger over a daemon that confirms as `after` says; the hook's own record is `hook`.
    pub(super) fn new(
        after: After,
        folder: &Path,
        hook: Arc<Mutex<HashMap<String, u32>>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            after,
            journal: folder.join("journal.db"),
            made: Mutex::default(),
            file: Mutex::new(Lines { folder: folder.to_owned(), ..Lines::default() }),
            folder: folder.to_owned(),
            hook,
            stored: Mutex::default(),
            witnessed: AtomicUsize::new(0),
            early: Mutex::default(),
        })
    }

    /// Makes events in the cloud, and knows them before anybody can ask.
    pub(super) fn make(&self, control: &EmulatorControl, count: u32) {
        let mut made = self.made.lock().unwrap();
        let order = SpriteOrder { count, fail_every: 7, ..SpriteOrder::default() };
        let tasks = control.add_sprites(&order).unwrap();
        made.extend(tasks.into_iter().map(|task| (task.event, task.task_id)));
        let cast = format!("cast-{}", made.len());
        let event = format!(
            r#"{{"EventType":"{CAST}","{CAST}Event":{{"CastId":"{cast}","Status":"started"}}}}"#
        );
        made.extend(control.add(&event).unwrap().into_iter().map(|event| (event, cast.clone())));
    }

    /// How many the hook still has to take.
    pub(super) fn owed(&self) -> usize {
        self.made().saturating_sub(self.hook.lock().unwrap().len())
    }

    /// How many were made.
    pub(super) fn made(&self) -> usize {
        self.made.lock().unwrap().len()
    }

    /// Looks, while the cloud answers a ConfirmEvents, whether all it names are safe.
    pub(super) fn witness(&self, events: &[u64]) {
        let tasks: Vec<String> = {
            let made = self.made.lock().unwrap();
            events.iter().map(|event| made[event].clone()).collect()
        };
        self.witnessed.fetch_add(tasks.len(), Ordering::SeqCst);
        let early = |where_: &str, task: &String| {
            self.early.lock().unwrap().push(format!("{task} was not {where_}"));
        };
        let mut stored = self.stored.lock().unwrap();
        stored.read(&self.journal);
        tasks.iter().filter(|task| !stored.tasks.contains(*task)).for_each(|task| {
            early("in the journal", task);
        });
        if self.after == After::Delivery {
            let file = self.file();
            let hook = self.hook.lock().unwrap();
            for task in &tasks {
                if !file.contains(task) {
                    early("in the file", task);
                }
                if !hook.contains_key(task) {
                    early("at the hook", task);
                }
            }
        }
    }

    /// Events that a call asked to confirm, and those that were not safe then.
    pub(super) fn witnessed(&self) -> (usize, Vec<String>) {
        (self.witnessed.load(Ordering::SeqCst), self.early.lock().unwrap().clone())
    }

    /// Where the events are; the daemon is stopped or dead.
    pub(super) fn look(&self, control: &EmulatorControl) -> Look {
        let mut look = Look::default();
        let (file, hook) = (self.file(), self.hook.lock().unwrap().clone());
        let mut stored = self.stored.lock().unwrap();
        stored.read(&self.journal);
        let mut pending = HashSet::new();
        for (task, sink, key, body) in pending_rows(&self.journal) {
            let has = if sink == FILE { file.contains(&task) } else { hook.contains_key(&task) };
            if sink == FILE && !has {
                look.missing = Some((key, body));
            }
            let place = if has { &mut look.taken } else { &mut look.stored };
            place.entry(sink).or_default().insert(task.clone());
            pending.insert(task);
        }
        let made = self.made.lock().unwrap().clone();
        let open = control.ledger().events;
        let open = open.iter().filter(|record| record.times > 0 && record.confirmed.is_none());
        for task in open.filter_map(|record| made.get(&record.id)) {
            if !stored.tasks.contains(task) {
                look.pulled.insert(task.clone());
                continue;
            }
            let is_recorded = !pending.contains(task);
            if is_recorded {
                look.recorded.insert(task.clone());
            }
            if is_recorded || self.after == After::Journal {
                look.safe.insert(task.clone());
            }
        }
        look
    }

    /// How often each event stands in the files, read anew, and how often the hook took it. The
    /// daemon is at rest.
    pub(super) fn count(&self) -> [(&'static str, HashMap<String, u32>); 2] {
        [(FILE, count(&self.folder)), (HOOK, self.hook.lock().unwrap().clone())]
    }

    /// Of each cast, its occurrences in the journal, and how many of them no answer of the cloud said
    /// to be taken: each of these may have cost a repeat. The daemon is at rest.
    pub(super) fn occurrences(&self) -> HashMap<String, (u32, u32)> {
        let journal = open(&self.journal).expect("a journal");
        let mut select = journal
            .prepare(
                "SELECT body, confirmations.event IS NULL FROM occurrences
                 JOIN bodies ON bodies.event = occurrences.event
                 LEFT JOIN confirmations ON confirmations.event = occurrences.event",
            )
            .unwrap();
        let mut rows = select.query([]).unwrap();
        let mut counts: HashMap<_, (u32, u32)> = HashMap::new();
        while let Some(row) = rows.next().unwrap() {
            let cast = task_of_body(&body(row.get_ref(0).unwrap()));
            let (all, unacknowledged) = counts.entry(cast).or_default();
            *all += 1;
            *unacknowledged += row.get::<_, u32>(1).unwrap();
        }
        counts
    }

    /// Whether both sinks have all.
    pub(super) fn is_complete(&self) -> bool {
        let (file, hook) = (self.file(), self.hook.lock().unwrap());
        let made = self.made.lock().unwrap();
        made.values().all(|task| file.contains(task) && hook.contains_key(task))
    }

    fn file(&self) -> HashSet<String> {
        let mut file = self.file.lock().unwrap();
        file.read();
        file.tasks.clone()
    }
}

/// The events in the file and in those that were rotated away from it. Of a rotated file, once
/// read, nothing is read any more.
#[derive(Default)]
struct Lines {
    folder: PathBuf,
    known: HashSet<String>,
    tasks: HashSet<String>,
}

impl Lines {
    /// Reads what there is. The file itself first: what is in none of the others then is in it.
    fn read(&mut self) {
        let current = std::fs::read(self.folder.join(FILE_NAME)).unwrap_or_default();
        self.tasks.extend(tasks_in(&current));
        loop {
            let mut unread = rotated(&self.folder);
            unread.retain(|name, _| !self.known.contains(name));
            // One that is compressed right now is looked for once more.
            let read = unread.iter().find_map(|(name, path)| Some((name, content(path)?)));
            match read {
                Some((name, text)) => {
                    self.tasks.extend(tasks_in(&text));
                    self.known.insert(name.clone());
                }
                None if unread.is_empty() => return,
                None => {}
            }
        }
    }
}

/// How often each event stands in all files, read anew. The daemon is at rest.
fn count(folder: &Path) -> HashMap<String, u32> {
    let mut files: Vec<PathBuf> = rotated(folder).into_values().collect();
    files.push(folder.join(FILE_NAME));
    let mut counts = HashMap::new();
    for task in files.iter().flat_map(|path| tasks_in(&content(path).unwrap())) {
        *counts.entry(task).or_default() += 1;
    }
    counts
}

/// The rotated files by their names before they were compressed: where one is there in both
/// forms, as a crash may leave it, the compressed one.
fn rotated(folder: &Path) -> BTreeMap<String, PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut rotated = BTreeMap::new();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let plain = name.strip_suffix(".gz").unwrap_or(name);
        if !plain.starts_with(&format!("{FILE}-")) || !plain.ends_with(".jsonl") {
            continue;
        }
        let is_compressed = plain != name;
        let plain = plain.to_owned();
        if is_compressed || !rotated.contains_key(&plain) {
            rotated.insert(plain, path);
        }
    }
    rotated
}

/// What stands in a file, compressed or not; `None` if it is gone.
fn content(path: &Path) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok()?;
    if path.extension().is_none_or(|ending| ending != "gz") {
        return Some(bytes);
    }
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text).unwrap();
    Some(text)
}

/// The events on the whole lines of a text.
pub(in crate::e2e) fn tasks_in(text: &[u8]) -> Vec<String> {
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = text[..whole].split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| task_of(&serde_json::from_slice(line).expect("a whole line"))).collect()
}

/// The events in the journal, read on from where the last look ended.
#[derive(Default)]
pub(in crate::e2e) struct Stored {
    last: i64,
    pub(in crate::e2e) tasks: HashSet<String>,
}

impl Stored {
    pub(in crate::e2e) fn read(&mut self, journal: &Path) {
        let Some(journal) = open(journal) else { return };
        let mut select = journal
            .prepare("SELECT id, body FROM events JOIN bodies ON event = id WHERE id > ?1")
            .unwrap();
        let mut rows = select.query([self.last]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            self.last = self.last.max(row.get(0).unwrap());
            self.tasks.insert(task_of_body(&body(row.get_ref(1).unwrap())));
        }
    }
}

/// Task, sink, key and body of each pending row.
fn pending_rows(journal: &Path) -> Vec<(String, String, String, String)> {
    let Some(journal) = open(journal) else { return Vec::new() };
    let mut select = journal
        .prepare(
            "SELECT name, lower(hex(key)), body FROM pending
             JOIN events ON events.id = pending.event JOIN sinks ON sinks.id = sink
             JOIN bodies ON bodies.event = pending.event",
        )
        .unwrap();
    let rows = select
        .query_map([], |row| {
            let body = body(row.get_ref(2)?);
            Ok((task_of_body(&body), row.get(0)?, row.get(1)?, body))
        })
        .unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn task_of_body(body: &str) -> String {
    task_of(&serde_json::from_str(body).expect("a body"))
}

fn body(stored: ValueRef<'_>) -> String {
    match stored {
        ValueRef::Blob(compressed) => {
            let dictionary = include_bytes!("../../../../src/journal/sqlite/dictionary.txt");
            let (length, compressed) = compressed.split_first_chunk().unwrap();
            let length = u32::from_le_bytes(*length) - (1 << 31);
            let text =
                lz4_flex::block::decompress_with_dict(compressed, length as usize, dictionary);
            let text = text.unwrap();
            String::from_utf8(text).unwrap()
        }
        text => text.as_str().unwrap().to_owned(),
    }
}

/// The journal, for a moment; `None` if the daemon has not come so far as to make it.
fn open(journal: &Path) -> Option<Connection> {
    let journal = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    journal.busy_timeout(Duration::from_secs(5)).unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'counters'";
    let is_made = match journal.query_row(tables, [], |row| row.get::<_, i64>(0)) {
        // A kill came while it was being made: only who may write can take the half of it back. Or
        // whoever writes holds it since before its index was made, for as long as a reader tries.
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::ReadOnly | ErrorCode::FileLockingProtocolFailed)
            ) =>
        {
            false
        }
        tables => tables.unwrap() > 0,
    };
    is_made.then_some(journal)
}
