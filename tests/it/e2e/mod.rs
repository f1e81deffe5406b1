//! The daemon as it is run: the real program as a child process, the emulator as its cloud, real
//! receivers, real files, real signals.

mod after;
mod applications;
mod brake;
mod callbacks;
mod chains;
mod clocks;
mod confirming;
mod connections;
mod control;
mod credentials;
mod daemon;
mod durable;
mod exhaustion;
mod faults;
mod file_ownership;
mod folders;
mod foreign_text;
mod init;
mod journal_gone;
mod kill;
mod large;
mod locks;
mod metrics;
mod mirror;
mod occurrences;
mod once;
mod operator;
mod outages;
mod output;
mod pausing;
mod programs;
mod proxies;
mod receiver;
mod reconcile;
mod redelivery;
mod reload;
mod reload_command;
mod reporting;
mod root;
mod root_check;
mod rotation;
mod routing;
mod secrets;
mod service;
mod sink_controls;
mod situations;
mod soak;
mod start;
mod status_page;
mod stop;
mod truncated_wal;
mod upgrade;
mod watch;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use sprited::journal::{self, EventRow, EventState, Filter, JournalReader};
use vod_emulator::{CreatedSprite, EmulatorSettings, SpriteOrder};

use crate::emulator::Server;
use crate::support;
use daemon::{Daemon, Ended};

/// How long the emulator lends an event out here, and what the daemon is told of it.
const LEASE: Duration = Duration::from_millis(2500);

/// A cloud, a folder, and in it the configuration of a daemon.
struct Site {
    folder: tempfile::TempDir,
    cloud: Server,
}

impl Site {
    /// A site whose daemon has these `[[sinks]]`, and tables that nothing else is said of.
    async fn new(sinks: &str) -> Self {
        Self::with(settings(), "", sinks).await
    }

    /// A site with such a cloud; `confirm` are further lines of the `[confirm]` table.
    async fn with(cloud: EmulatorSettings, confirm: &str, sinks: &str) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap(), cloud: Server::start(cloud).await };
        site.set_key("emulator-secret-key");
        site.configure(confirm, sinks);
        site
    }

    fn configure(&self, confirm: &str, sinks: &str) {
        let sinks = sinks.replace("DIR", self.folder.path().to_str().unwrap());
        let text = format!(
            "[credentials]\nsecret_id = 'AKIDEMULATOR'\nsecret_key = {{ file = '{key}' }}\n\
             [vod]\nendpoint = '{url}'\nsub_app_id = 1500012345\n\
             [poll]\ninterval = '20ms'\n\
             [confirm]\nlease = '{lease}ms'\n{confirm}\n\
             [journal]\npath = '{journal}'\n\
             [http]\nlisten = '127.0.0.1:0'\n\
             [log]\nlevel = 'debug'\nformat = 'json'\n\
             {sinks}\n",
            key = self.path("key").display(),
            url = self.cloud.url,
            lease = LEASE.as_millis(),
            journal = self.path("journal.db").display(),
        );
        std::fs::write(self.path("sprited.toml"), text).unwrap();
    }

    /// Changes the configuration, in one step.
    fn edit(&self, from: &str, to: &str) {
        let path = self.path("sprited.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "there is no {from} in {text}");
        let next = self.path("sprited.toml.next");
        std::fs::write(&next, text.replace(from, to)).unwrap();
        std::fs::rename(next, path).unwrap();
    }

    /// Tells the daemon another lease than [`LEASE`], from its next start on.
    fn set_lease(&self, lease: Duration) {
        let written = |lease: Duration| format!("lease = '{}ms'", lease.as_millis());
        self.edit(&written(LEASE), &written(lease));
    }

    fn set_key(&self, key: &str) {
        let path = self.path("key");
        std::fs::write(&path, key).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the daemon.
    fn start(&self) -> Daemon {
        Daemon::start(self.folder.path(), &["run"], &[])
    }

    /// Runs the daemon to its own end.
    async fn run(&self, arguments: &[&str]) -> Ended {
        let mut daemon = Daemon::start(self.folder.path(), arguments, &[]);
        let code = daemon.ended_within(Duration::from_secs(30)).await;
        Ended { code, log: daemon.log() }
    }

    /// Makes as many sprite tasks, all of them successful.
    fn add_sprites(&self, count: u32) {
        self.make_sprites(count);
    }

    /// The same, and tells which.
    fn make_sprites(&self, count: u32) -> Vec<CreatedSprite> {
        let order = SpriteOrder { count, fail_every: 0, ..SpriteOrder::default() };
        self.cloud.control.add_sprites(&order).unwrap()
    }

    /// Waits until the cloud has nothing left.
    async fn drained(&self) {
        support::until(|| self.cloud.control.totals().waiting == 0).await;
    }

    fn confirmed(&self) -> u64 {
        self.cloud.control.totals().confirmed
    }

    /// The whole lines of a file, each an envelope.
    fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// Events in the journal, newest first.
    fn journaled(&self, state: Option<EventState>) -> Vec<EventRow> {
        // A daemon that has just started may be about to make it.
        let deadline = Instant::now() + Duration::from_secs(5);
        let reader = loop {
            match JournalReader::open(&self.path("journal.db")) {
                Ok(reader) => break reader,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        reader.list(&Filter { state, ..Filter::default() }, 1_000_000).unwrap()
    }

    /// Asserts that the file holds as many events, none of them twice.
    fn assert_once(&self, name: &str, count: usize) {
        let lines = self.lines(name);
        assert_eq!(ids(&lines).len(), lines.len(), "{name} holds an event twice");
        assert_eq!(lines.len(), count, "{name}");
    }

    /// Asserts that cloud, journal and sink tell the same of all tasks that were made: each
    /// event is confirmed, none has expired, each stands in the file once; besides them only
    /// `strays` entries of no event. For a daemon that has ended.
    fn assert_equal_ledgers(&self, name: &str, made: &[CreatedSprite], strays: usize) {
        let totals = self.cloud.control.totals();
        let count = made.len() as u64;
        assert_eq!((totals.added, totals.confirmed, totals.expired), (count, count, 0));
        self.assert_once(name, made.len() + strays);
        let lines = self.lines(name);
        let tasks = lines.iter().filter_map(|line| line["data"]["sprites"][0]["task_id"].as_str());
        let made: BTreeSet<_> = made.iter().map(|made| made.task_id.as_str()).collect();
        assert_eq!(tasks.collect::<BTreeSet<_>>(), made);
        let journaled: BTreeSet<_> =
            self.journaled(None).iter().map(|f| f.event.key.to_string()).collect();
        assert_eq!(ids(&lines), journaled);
        assert_eq!(self.journaled(Some(EventState::Delivered)).len(), lines.len());
    }
}

impl Drop for Site {
    /// No test ends with a journal that is damaged or does not add up.
    fn drop(&mut self) {
        let journal = self.path("journal.db");
        if std::thread::panicking() || !journal.exists() {
            return;
        }
        let found = journal::audit(&journal).unwrap().unwrap();
        assert!(found.ok(), "the journal does not add up: {found:#?}");
        let (damage, faults) = journal::check(&journal).unwrap();
        assert!(damage.is_empty() && faults.is_empty(), "{damage:?} {faults:?}");
    }
}

/// A sink that writes what it wants of `events` to `<name>.jsonl`.
fn file(name: &str, events: &str) -> String {
    format!(
        "[[sinks]]\nname = '{name}'\ntype = 'jsonl'\npath = 'DIR/{name}.jsonl'\n\
         events = ['{events}']\n"
    )
}

/// Strict, with short times.
fn settings() -> EmulatorSettings {
    EmulatorSettings {
        hold: Duration::from_millis(100),
        lease: LEASE,
        ..EmulatorSettings::default()
    }
}

/// The different ids of envelopes.
fn ids(envelopes: &[Value]) -> BTreeSet<String> {
    envelopes.iter().map(|envelope| envelope["id"].as_str().unwrap().to_owned()).collect()
}

/// Waits until `condition` holds, as [`support::until`], for conditions that ask somebody.
async fn until(condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited a minute in vain");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
