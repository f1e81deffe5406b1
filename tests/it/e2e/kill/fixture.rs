//! A daemon with a file and a webhook as its sinks, events that arrive all the time, and whatever
//! it takes to catch it at a point.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rusqlite::Connection;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use vod_emulator::{ApiAction, FaultKind, InjectedFault};

use super::Point;
use super::figures::Figures;
use super::hook::{Hook, Pause};
use super::ledger::{After, FILE, FILE_NAME, HOOK, Ledger, Look, WANTED};
use crate::e2e::daemon::Daemon;
use crate::e2e::{Site, file, settings, until};

/// How the daemon is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) after: After,
    /// Nothing is to be confirmed before what this says.
    pub(super) expected: After,
    /// Of the file.
    pub(super) format: &'static str,
    /// Of the webhook. Long, unless it is what is tried: what is held is not to be repeated for it.
    pub(super) timeout: &'static str,
    /// Whether the file gets an event after the webhook has taken it.
    pub(super) is_chain: bool,
}

impl Plan {
    pub(super) fn new(after: After, format: &'static str) -> Self {
        Self { after, expected: after, format, timeout: "60s", is_chain: false }
    }
}

/// A daemon that lives for moments on a busy machine gets no further behind than this.
const MAX_OWED: usize = 200;

/// A daemon that is killed, and all around it.
pub(super) struct Fixture {
    plan: Plan,
    pub(super) site: Site,
    pub(super) hook: Hook,
    pub(super) ledger: Arc<Ledger>,
    feeder: JoinHandle<()>,
    random: StdRng,
    figures: Figures,
    /// How often a kill caught an event at the hook and not recorded: as often it may be repeated.
    exposed: HashMap<String, u32>,
}

impl Fixture {
    pub(super) async fn new(plan: Plan, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let hook = Hook::start().await;
        // Rotated again and again, so that kills fall into that as well.
        let file = file(FILE, "image-sprite").replace("events = ['image-sprite']\n", WANTED);
        let file = file + "rotate_size = '20KB'\ncompress = 'gzip'\n";
        let file = format!("{file}format = '{}'\n", plan.format);
        let file = if plan.is_chain { format!("{file}after = '{HOOK}'\n") } else { file };
        let sinks = file + &hook.sink(HOOK, plan.timeout) + WANTED;
        let confirm = format!("after = '{}'", plan.after.name());
        let site = Site::with(settings(), &confirm, &sinks).await;
        let ledger = Ledger::new(plan.expected, site.folder.path(), hook.taken());
        let witness = ledger.clone();
        site.cloud.control.set_observer(move |events| witness.witness(events));
        let (feed, control) = (ledger.clone(), site.cloud.control.clone());
        let mut pauses = StdRng::seed_from_u64(random.random());
        let feeder = tokio::spawn(async move {
            loop {
                if feed.owed() < MAX_OWED {
                    feed.make(&control, pauses.random_range(1..5));
                }
                sleep(Duration::from_millis(pauses.random_range(5..50))).await;
            }
        });
        let (figures, exposed) = (Figures::default(), HashMap::new());
        Self { plan, site, hook, ledger, feeder, random, figures, exposed }
    }

    /// Starts the daemon, kills it at the point, and looks at what it left.
    pub(super) async fn kill(&mut self, point: Point) {
        let mut daemon = self.site.start();
        if point == Point::Anywhere {
            sleep(Duration::from_millis(self.random.random_range(0..400))).await;
        } else {
            self.reach(point, &mut daemon).await;
        }
        daemon.signal(Signal::SIGKILL);
        assert_eq!(daemon.ended_within(Duration::from_secs(5)).await, 128 + 9);
        self.site.cloud.control.clear_faults();
        self.site.cloud.control.release();
        self.hook.release();
        self.hook.is_left().await;
        let look = self.ledger.look(&self.site.cloud.control);
        for task in look.taken.get(HOOK).into_iter().flatten() {
            *self.exposed.entry(task.clone()).or_default() += 1;
            self.figures.exposed += 1;
        }
        if self.random.random() {
            self.tear(&look);
        }
        *self.figures.kills.entry(point.name()).or_default() += 1;
    }

    /// Waits, the daemon stopped, for events at the point.
    async fn reach(&mut self, point: Point, daemon: &mut Daemon) {
        let control = self.site.cloud.control.clone();
        daemon.has_logged("started").await;
        let confirmed = control.totals().confirmed;
        sleep(Duration::from_millis(self.random.random_range(0..150))).await;
        let hold = |fault: InjectedFault| control.fault(fault).unwrap();
        let mut lock = None;
        match point {
            Point::Anywhere | Point::Stored(FILE) | Point::Taken(FILE) => {}
            Point::Pulled => {
                hold(
                    InjectedFault::rate(1.0, FaultKind::Hold)
                        .on(ApiAction::PullEvents)
                        .after_effect(),
                );
            }
            Point::Appending => lock = Some(self.lock()),
            Point::Stored(_) => self.hook.pause(Pause::BeforeTaking),
            Point::Taken(_) => self.hook.pause(Pause::BeforeAnswer),
            Point::Recorded => {
                hold(InjectedFault::rate(1.0, FaultKind::Hold).on(ApiAction::ConfirmEvents))
            }
            Point::Confirming => {
                let fault = InjectedFault::next(1, FaultKind::Hold).on(ApiAction::ConfirmEvents);
                hold(if self.random.random() { fault.after_effect() } else { fault });
            }
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            sleep(Duration::from_millis(self.random.random_range(0..4))).await;
            if point == Point::Taken(FILE) {
                self.file_changes().await;
            }
            daemon.pause();
            let look = self.ledger.look(&control);
            if point.is_in(&look, control.totals().confirmed > confirmed) {
                break;
            }
            assert!(Instant::now() < deadline, "no event came to {point:?}: {look:?}");
            daemon.signal(Signal::SIGCONT);
        }
        drop(lock);
    }

    /// Keeps the journal from being written until the value is dropped.
    fn lock(&self) -> Connection {
        let journal = Connection::open(self.site.path("journal.db")).unwrap();
        journal.busy_timeout(Duration::from_secs(5)).unwrap();
        journal.execute_batch("BEGIN IMMEDIATE").unwrap();
        journal
    }

    async fn file_changes(&self) {
        let length = || std::fs::metadata(self.site.path(FILE_NAME)).map_or(0, |it| it.len());
        let before = length();
        let deadline = Instant::now() + Duration::from_secs(20);
        while length() == before {
            assert!(Instant::now() < deadline, "nothing is written");
            sleep(Duration::from_micros(200)).await;
        }
    }

    /// Leaves half a line at the end of the file, of an event that is still to come if there is
    /// one: what stands there must not count as delivered. All but the line's end is half, too.
    fn tear(&mut self, look: &Look) {
        let file = std::fs::File::options().append(true).open(self.site.path(FILE_NAME));
        let Ok(mut file) = file else { return };
        let line = match &look.missing {
            Some((_, body)) if self.plan.format == "callback" => body,
            Some((key, _)) => &format!(r#"{{"specversion":"1.0","id":"{key}","source":"/tencent"#),
            None => r#"{"specversion":"1.0","id":""#,
        };
        let cut = self.random.random_range(1..=line.len());
        file.write_all(&line.as_bytes()[..cut]).unwrap();
        self.figures.torn += 1;
    }

    /// No more events are made.
    pub(super) async fn dry_up(&mut self) {
        self.feeder.abort();
        drop((&mut self.feeder).await);
    }

    /// The last start: all arrives, and all adds up.
    pub(super) async fn end(mut self) -> Figures {
        let daemon = self.site.start();
        self.dry_up().await;
        let control = &self.site.cloud.control;
        until(async || control.totals().waiting == 0 && self.ledger.is_complete()).await;
        daemon.stop().await;

        let totals = control.totals();
        let made = self.ledger.made();
        assert_eq!((totals.confirmed, totals.expired), (made as u64, 0));
        let [(_, file), (_, hook)] = self.ledger.count();
        assert_eq!((file.len(), hook.len()), (made, made), "somebody got what was never made");
        // A cast stands there once for each of its occurrences, of which there is a further one only
        // where nobody could know that the one before was taken.
        let casts = self.ledger.occurrences();
        let of = |task: &str| casts.get(task).copied().unwrap_or((1, 0));
        let twice: Vec<_> = file.iter().filter(|(task, times)| **times != of(task).0).collect();
        assert!(twice.is_empty(), "twice in the file: {twice:?}");
        let anew: Vec<_> = casts.iter().filter(|(_, (all, lost))| all - 1 > *lost).collect();
        assert!(anew.is_empty(), "taken for new, and no lost answer explains it: {anew:?}");
        let further: u32 = casts.values().map(|(all, _)| all - 1).sum();
        let unexplained = |(task, times): &(&String, &u32)| {
            **times - of(task).0 > self.exposed.get(*task).copied().unwrap_or_default()
        };
        let repeated: Vec<_> = hook.iter().filter(unexplained).collect();
        assert!(repeated.is_empty(), "repeated, and no kill explains it: {repeated:?}");
        let (confirms, early) = self.ledger.witnessed();
        assert!(early.is_empty(), "confirmed too early: {early:?}");
        for command in [&["audit"][..], &["journal", "check"]] {
            assert_eq!(self.site.run(command).await.code, 0, "{command:?}");
        }
        let repeats = hook.values().map(|times| times - 1).sum::<u32>() - further;
        Figures { events: made, confirms, repeats, further, ..self.figures }
    }
}
