//! SIGKILL at each step of a delivery, again and again: no manifest ever names what is not there, and
//! in the end each sprite was told of once.
//!
//! How a step is reached: the source holds an answer; or the daemon is stopped and looked at, and goes
//! on for a moment if no sprite is at the step. No kill falls before that, however long it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::RngExt as _;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Daemon, sinks};
use crate::e2e::{Site, ids, settings};
use crate::local_server::{LocalServer, Reply};
use crate::sink::mirror::{sprite, usual, whole_manifests};
use crate::support::until;

/// The step that a kill falls into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// Wherever the daemon is, its start included.
    Anywhere,
    /// The index, a sheet, or the index once more is being fetched.
    Fetch(Wanted),
    /// A set has some of its files.
    Set,
    /// A set has all of them, and no manifest names it.
    Manifest,
    /// The manifest is there, and the journal does not know.
    Record,
    /// The journal knows, and the file does not have it.
    Release,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    Index,
    Sheet,
    IndexAgain,
}

const NAMED: [Step; 7] = [
    Step::Fetch(Wanted::Index),
    Step::Fetch(Wanted::Sheet),
    Step::Fetch(Wanted::IndexAgain),
    Step::Set,
    Step::Manifest,
    Step::Record,
    Step::Release,
];

/// A source that can hold its answers.
struct Source {
    server: LocalServer,
    gate: Arc<Mutex<Gate>>,
}

/// What requests meet.
#[derive(Default)]
struct Gate {
    holds: Option<Wanted>,
    released: CancellationToken,
    held: usize,
    /// Indexes that this daemon has asked for.
    asked: BTreeSet<String>,
}

impl Source {
    async fn start() -> Self {
        let gate: Arc<Mutex<Gate>> = Arc::default();
        let current = Arc::clone(&gate);
        let server = LocalServer::start(move |request, _| {
            let gate = &mut *current.lock().unwrap();
            let wanted = match request.target.ends_with(".vtt") {
                false => Wanted::Sheet,
                true if gate.asked.insert(request.target.clone()) => Wanted::Index,
                true => Wanted::IndexAgain,
            };
            if gate.holds == Some(wanted) {
                gate.held += 1;
                return Reply::When(gate.released.clone(), Box::new(Reply::Reset));
            }
            usual(request)
        })
        .await;
        Self { server, gate }
    }

    fn hold(&self, wanted: Wanted) {
        self.gate.lock().unwrap().holds = Some(wanted);
    }

    fn held(&self) -> usize {
        self.gate.lock().unwrap().held
    }

    /// Lets go what a daemon that is dead has asked for; the next one begins anew.
    fn release(&self) {
        std::mem::take(&mut *self.gate.lock().unwrap()).released.cancel();
    }
}

/// What came of the kills.
#[derive(Default)]
struct Figures {
    kills: BTreeMap<Step, usize>,
    /// How often the daemon was looked at for them.
    looks: usize,
    sprites: usize,
    manifests: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, looks, sprites, manifests } = self;
        let all: usize = kills.values().sum();
        write!(
            f,
            "{all} kills {kills:?} at {looks} looks; {manifests} manifests looked into, each with all \
             that it names; {sprites} sprites, each told of once"
        )
    }
}

struct Fixture {
    site: Site,
    source: Source,
    made: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    feeder: JoinHandle<()>,
    /// Where a kill has left something: not reached anew.
    left: BTreeSet<(Step, String)>,
    figures: Figures,
}

/// Sprites that are made and not told of yet, at most.
const MAX_OWED: usize = 24;

/// For a sprite at a step, before the test fails; a few looks are usual.
const MAX_WAIT: Duration = Duration::from_secs(60);

impl Fixture {
    async fn new() -> Self {
        let source = Source::start().await;
        let hosts = [source.server.address().to_string()];
        let site = Site::with(settings(), "", &sinks(&hosts, "timeout = '20s'")).await;
        fs::create_dir(site.path("copies")).unwrap();
        let (made, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ended) = (Arc::clone(&made), Arc::clone(&stop));
        let (control, base) = (site.cloud.control.clone(), source.server.url());
        let file = site.path("site.jsonl");
        let feeder = tokio::spawn(async move {
            while !ended.load(Ordering::SeqCst) {
                let told = fs::read(&file).unwrap_or_default();
                let told = told.iter().filter(|byte| **byte == b'\n').count();
                let number = count.load(Ordering::SeqCst);
                if (number as usize) < told + MAX_OWED {
                    let event = sprite(&base, &format!("528589{number:06}"), "");
                    control.add(&event.body).unwrap();
                    count.store(number + 1, Ordering::SeqCst);
                } else {
                    sleep(Duration::from_millis(5)).await;
                }
            }
        });
        let (left, figures) = (BTreeSet::new(), Figures::default());
        Self { site, source, made, stop, feeder, left, figures }
    }

    async fn kill(&mut self, step: Step) {
        let mut daemon = self.site.start();
        match step {
            Step::Anywhere => {
                let moment = rand::rng().random_range(0..300);
                sleep(Duration::from_millis(moment)).await;
            }
            Step::Fetch(wanted) => {
                self.source.hold(wanted);
                until(|| self.source.held() > 0).await;
            }
            step => self.reach(step, &daemon).await,
        }
        daemon.signal(Signal::SIGKILL);
        assert_eq!(daemon.ended_within(Duration::from_secs(5)).await, 128 + 9);
        self.source.release();
        *self.figures.kills.entry(step).or_default() += 1;
        self.left = self.look();
        self.figures.manifests += whole_manifests(&self.site.path("copies"));
    }

    /// Stops the daemon now and then until a sprite is at the step; it stays stopped then.
    async fn reach(&mut self, step: Step, daemon: &Daemon) {
        daemon.has_logged("started").await;
        let deadline = Instant::now() + MAX_WAIT;
        loop {
            sleep(Duration::from_micros(rand::rng().random_range(0..4000))).await;
            daemon.pause();
            self.figures.looks += 1;
            if self.look().difference(&self.left).any(|(at, _)| *at == step) {
                return;
            }
            assert!(Instant::now() < deadline, "no sprite was at {step:?} within {MAX_WAIT:?}");
            daemon.signal(Signal::SIGCONT);
        }
    }

    /// Which sprites are at which steps of those that leave something.
    fn look(&self) -> BTreeSet<(Step, String)> {
        let pending = self.pending();
        let mut found = BTreeSet::new();
        let all = fs::read_dir(self.site.path("copies/1500012345")).into_iter().flatten();
        for folder in all.map(|entry| entry.unwrap().path()) {
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            let manifest = fs::read(folder.join("10.json")).ok();
            let manifest = manifest.map(|text| serde_json::from_slice::<Value>(&text).unwrap());
            let Some(manifest) = manifest else {
                let sets = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
                for set in sets.filter(|path| path.is_dir()) {
                    let is_whole = set.join("thumbnails.vtt").exists();
                    found.insert((if is_whole { Step::Manifest } else { Step::Set }, name.clone()));
                }
                continue;
            };
            let event = manifest["made_from"]["event"].as_str().unwrap();
            match pending.get(event).map(String::as_str) {
                Some("cdn") => found.insert((Step::Record, name)),
                Some("site") => found.insert((Step::Release, name)),
                _ => false,
            };
        }
        found
    }

    /// The sink at which each event is pending.
    fn pending(&self) -> BTreeMap<String, String> {
        let path = self.site.path("journal.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let Ok(journal) = Connection::open_with_flags(path, flags) else { return BTreeMap::new() };
        journal.busy_timeout(Duration::from_secs(5)).unwrap();
        // One that a kill left while it was being made has no tables.
        let Ok(mut select) = journal.prepare(
            "SELECT lower(hex(key)), name FROM pending
             JOIN events ON events.id = pending.event JOIN sinks ON sinks.id = pending.sink",
        ) else {
            return BTreeMap::new();
        };
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().filter_map(Result::ok).collect()
    }

    async fn end(self) -> Figures {
        let Self { site, source, made, stop, feeder, mut figures, .. } = self;
        stop.store(true, Ordering::SeqCst);
        feeder.await.unwrap();
        let daemon = site.start();
        let made = made.load(Ordering::SeqCst) as usize;
        until(|| site.lines("site.jsonl").len() >= made).await;
        site.drained().await;
        daemon.stop().await;
        let lines = site.lines("site.jsonl");
        let sprites: BTreeSet<_> =
            lines.iter().map(|line| line["data"]["sprites"][0]["id"].to_string()).collect();
        assert_eq!((lines.len(), ids(&lines).len(), sprites.len()), (made, made, made));
        let is_there = |line: &Value| line["data"]["sprites"][0]["mirror"]["status"] == "ok";
        assert!(lines.iter().all(is_there));
        assert_eq!(whole_manifests(&site.path("copies")), made);
        let spools = fs::read_dir(site.path("copies/.sprited-tmp")).unwrap().count();
        assert_eq!(spools, 0, "a dead daemon's files stay");
        assert_eq!(site.run(&["audit"]).await.code, 0);
        figures.sprites = made;
        drop(source);
        figures
    }
}

#[allow(clippy::print_stdout, reason = "shown with the test that failed, and in a soak")]
async fn round(steps: &[Step]) {
    let mut fixture = Fixture::new().await;
    let mut wanted = BTreeMap::<Step, usize>::new();
    for step in steps {
        fixture.kill(*step).await;
        *wanted.entry(*step).or_default() += 1;
    }
    let figures = fixture.end().await;
    assert_eq!(figures.kills, wanted);
    println!("{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_no_manifest_names_what_is_not_there_and_each_sprite_is_told_of_once() {
    round(&[&NAMED[..], &[Step::Anywhere; 2]].concat()).await;
}

/// `tests/run --soak`. SPRITED_SOAK_KILLS says how many (200).
mod soak {
    use super::*;
    use crate::e2e::soak::number;

    /// In rounds of so many kills, since looking takes longer the more sprites there are.
    const ROUND: usize = 48;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "takes minutes; tests/run --soak"]
    async fn two_hundred_kills_of_a_mirror() {
        let kills = number("SPRITED_SOAK_KILLS").unwrap_or(200) as usize;
        let steps = NAMED.iter().copied().chain([Step::Anywhere]).cycle().take(kills);
        for steps in steps.collect::<Vec<_>>().chunks(ROUND) {
            round(steps).await;
        }
    }
}
