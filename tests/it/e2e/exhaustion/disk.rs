//! A disk without room, under the journal and under a sink.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use sprited::journal::{Filter, JournalReader};
use vod_emulator::{ApiAction, EmulatorSettings, FaultKind, InjectedFault};

use super::super::daemon::{Daemon, PROGRAM};
use super::super::receiver::{Answer, Receiver};
use super::super::{Site, file, settings};
use super::{check, within};

/// How a disk is made that can be filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::e2e) enum Disk {
    /// A file system in memory that the daemon alone sees, mounted by `unshare` with these flags.
    Mounted(&'static [&'static str]),
    /// No file of the daemon's may grow: writes fail with another error than on a full disk.
    Limited,
}

/// The folder under it.
pub(super) const FOLDER: &str = "disk";

impl Disk {
    /// What this machine can do: the limit always, a mount where it is allowed.
    #[allow(clippy::print_stdout, reason = "tells what was tested")]
    pub(in crate::e2e) fn all() -> Vec<Self> {
        let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
        let can = |flags: &&&[&str]| {
            let folder = tempfile::tempdir().unwrap();
            let mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"];
            let mut command = Command::new("unshare");
            command.args(**flags).args(mount).arg(folder.path());
            command.output().is_ok_and(|output| output.status.success())
        };
        let mounted = ways.iter().find(can).map(|flags| Self::Mounted(flags));
        let all: Vec<_> = mounted.into_iter().chain([Self::Limited]).collect();
        println!("ways to have a full disk here: {all:?}");
        all
    }

    /// Puts the journal of a site on such a disk.
    pub(in crate::e2e) fn make(self, site: &Site) {
        std::fs::create_dir(site.path(FOLDER)).unwrap();
        site.edit("journal.db", "disk/journal.db");
        // The log is a file as well, and must stay below the limit.
        site.edit("level = 'debug'", "level = 'info'");
    }

    pub(in crate::e2e) fn start(self, site: &Site) -> Daemon {
        let mut command = match self {
            Self::Mounted(flags) => {
                let mut command = Command::new("unshare");
                let script = "mount -t tmpfs -o size=4m tmpfs \"$0\" && exec \"$@\"";
                command.args(flags).args(["sh", "-c", script]).arg(site.path(FOLDER));
                command
            }
            Self::Limited => {
                let mut command = Command::new("sh");
                command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
                command
            }
        };
        command.args([PROGRAM, "run"]).env_clear().env("SPRITED_CONFIG", site.path("sprited.toml"));
        Daemon::spawn(command, site.folder.path())
    }

    /// Leaves no room in the file `name` of the disk.
    pub(in crate::e2e) fn fill(self, site: &Site, daemon: &Daemon, name: &str) {
        self.fill_but(site, daemon, name, 0);
    }

    /// Leaves so many bytes of room, and no more.
    pub(super) fn fill_but(self, site: &Site, daemon: &Daemon, name: &str, room: usize) {
        match self {
            Self::Mounted(_) => {
                let filler = File::create(self.path(site, daemon, "filler")).unwrap();
                while (&filler).write_all(&[b'x'; 4096]).is_ok() {}
                let full = filler.metadata().unwrap().len();
                filler.set_len(full.saturating_sub(room as u64)).unwrap();
            }
            Self::Limited => {
                let size = self.path(site, daemon, name).metadata().unwrap().len();
                limit(daemon, &format!("--fsize={}:", size + room as u64));
            }
        }
    }

    pub(in crate::e2e) fn free(self, site: &Site, daemon: &Daemon) {
        match self {
            Self::Mounted(_) => {
                std::fs::remove_file(self.path(site, daemon, "filler")).unwrap();
            }
            Self::Limited => limit(daemon, "--fsize=unlimited:"),
        }
    }

    /// A file of the disk, as others than the daemon reach it.
    fn path(self, site: &Site, daemon: &Daemon, name: &str) -> PathBuf {
        let path = site.path(FOLDER).join(name);
        match self {
            Self::Mounted(_) => {
                let root = format!("/proc/{}/root", daemon.pid());
                Path::new(&root).join(path.strip_prefix("/").unwrap())
            }
            Self::Limited => path,
        }
    }

    /// Runs a command of the program where the daemon's disk can be seen.
    pub(super) fn run(
        self,
        site: &Site,
        daemon: &Daemon,
        arguments: &[&str],
    ) -> (Option<i32>, String) {
        let mut command = match self {
            Self::Mounted(flags) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--target={}", daemon.pid())).arg("--mount");
                if flags.contains(&"--user") {
                    command.args(["--user", "--preserve-credentials"]);
                }
                command.arg(PROGRAM);
                command
            }
            Self::Limited => Command::new(PROGRAM),
        };
        command.args(arguments).env_clear().env("SPRITED_CONFIG", site.path("sprited.toml"));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Sets a soft limit of the daemon, as it runs.
pub(in crate::e2e) fn limit(daemon: &Daemon, limit: &str) {
    let pid = format!("--pid={}", daemon.pid());
    let output = Command::new("prlimit").args([&pid, limit]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

pub(super) const FULL: &str = "journal write failed; retrying";
pub(super) const FREE: &str = "journal writable again";
pub(super) const REFUSED: &str = "journal accepts no events; pulling paused";
const DOWN: &str = "sink is down; its events wait in the journal";

async fn under_the_journal(disk: Disk) {
    // It has what it holds by then, and says so when that cannot be written down any more.
    let hook = Receiver::start(Answer::TakeWhenReleased).await;
    let sinks = [hook.sink("hook", "timeout = '30s'"), file("sprites", "image-sprite")];
    let site = Site::new(&sinks.concat()).await;
    let control = &site.cloud.control;
    std::fs::create_dir(site.path(FOLDER)).unwrap();
    site.edit("journal.db", "disk/journal.db");
    // The log is a file as well, and must stay below the limit.
    site.edit("level = 'debug'", "level = 'info'");
    let mut daemon = disk.start(&site);
    daemon.has_logged("started").await;
    site.add_sprites(10);
    within(60, async || hook.count() == 8 && site.lines("sprites.jsonl").len() == 10).await;

    disk.fill(&site, &daemon, "journal.db-wal");
    site.add_sprites(20);
    within(60, async || daemon.get("/readyz").await.0 == 503).await;
    let (is_ok, why) = check(&daemon, "journal").await;
    let path = site.path("disk/journal.db").display().to_string();
    if disk == Disk::Limited {
        let begin = format!("the journal cannot be written: disk I/O error; {path} has ");
        assert!(why.starts_with(&begin), "{why}");
        assert!(why.ends_with(" free on its file system; check that disk"), "{why}");
    } else {
        let full = format!(
            "the journal's disk is full: {path} has 0 B free on its file system; make room there, \
             and set journal.max_size (16.0 GiB) to what that disk can hold (database or disk is \
             full)"
        );
        assert_eq!((is_ok, why), (false, full));
    }
    assert!(!is_ok);
    let logged = daemon.logged(FULL)[0].clone();
    assert_eq!(logged["level"], "ERROR", "{logged}");
    assert!(logged["error"].as_str().unwrap().contains(&path), "{logged}");
    assert_eq!(daemon.get("/healthz").await.0, 200);
    // What was under way has ended by the third failure; from then on nothing is pulled.
    let failures = async || daemon.metric("sprited_append_failures_total").await;
    within(60, async || failures().await > 2.5).await;
    let pulls = control.totals().calls["PullEvents"].clone();
    let failed = failures().await;
    hook.release();
    let delivered = "sprited_deliveries_total{sink=\"hook\",outcome=\"delivered\"}";
    within(30, async || daemon.metric(delivered).await > 7.5 && failures().await > failed + 2.5)
        .await;
    assert_eq!(control.totals().calls["PullEvents"], pulls, "it pulls on");
    assert_eq!(site.confirmed(), 0);
    assert!(!control.totals().calls.contains_key("ConfirmEvents"));
    assert_eq!((daemon.logged(FULL).len(), daemon.logged(REFUSED).len()), (1, 1));
    assert!(daemon.logged(FREE).is_empty(), "a commit of nothing says nothing of the disk");

    hook.set(Answer::Take);
    disk.free(&site, &daemon);
    within(60, async || control.totals().waiting == 0).await;
    within(60, async || daemon.get("/readyz").await.0 == 200).await;
    assert!(daemon.runs());
    assert_eq!((daemon.logged(FULL).len(), daemon.logged(FREE).len()), (1, 1));
    assert_eq!(site.confirmed(), 30);
    hook.assert_once(30);
    site.assert_once("sprites.jsonl", 30);
    let (code, said) = disk.run(&site, &daemon, &["audit"]);
    assert_eq!(code, Some(0), "{said}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_full_disk_under_the_journal_stops_pulling_until_there_is_room() {
    join_all(Disk::all().into_iter().map(under_the_journal)).await;
}

/// An equal event that happens anew would else pass for a repeat.
#[tokio::test]
async fn what_is_confirmed_while_the_disk_is_full_is_noted_when_there_is_room() {
    let cloud = EmulatorSettings { lease: Duration::from_secs(60), ..settings() };
    let site = Site::with(cloud, "", &file("sprites", "image-sprite")).await;
    let control = &site.cloud.control;
    std::fs::create_dir(site.path(FOLDER)).unwrap();
    site.edit("lease = '2500ms'", "lease = '60s'");
    site.edit("journal.db", "disk/journal.db");
    site.edit("level = 'debug'", "level = 'info'");
    control.fault(InjectedFault::rate(1.0, FaultKind::Hold).on(ApiAction::ConfirmEvents)).unwrap();
    let daemon = Disk::Limited.start(&site);
    site.add_sprites(3);
    within(60, async || control.held() == 1 && site.lines("sprites.jsonl").len() == 3).await;
    Disk::Limited.fill(&site, &daemon, "journal.db-wal");
    site.add_sprites(1);
    within(60, async || daemon.get("/readyz").await.0 == 503).await;
    control.clear_faults();
    control.release();
    within(60, async || site.confirmed() == 3).await;
    let failures = async || daemon.metric("sprited_append_failures_total").await;
    let failed = failures().await;
    within(60, async || failures().await > failed + 0.5).await;
    Disk::Limited.free(&site, &daemon);
    within(60, async || site.confirmed() == 4).await;
    let reader = JournalReader::open(&site.path("disk/journal.db")).unwrap();
    let all_noted = || {
        let events = reader.list(&Filter::default(), 10).unwrap();
        events.len() == 4 && events.iter().all(|event| event.confirmed.is_some())
    };
    within(60, async || all_noted()).await;
    assert_eq!(control.totals().handed_out_again, 0);
    daemon.stop().await;
}

async fn under_a_sink(disk: Disk) {
    let full = "[[sinks]]\nname = 'full'\ntype = 'jsonl'\npath = 'DIR/disk/full.jsonl'\n";
    let site = Site::new(&[full, &file("sprites", "image-sprite")].concat()).await;
    std::fs::create_dir(site.path(FOLDER)).unwrap();
    site.edit("level = 'debug'", "level = 'info'");
    if disk == Disk::Limited {
        // No other file of the daemon's grows as large.
        let line = format!("{{\"padding\":\"{}\"}}\n", "x".repeat(1000));
        std::fs::write(site.path("disk/full.jsonl"), line.repeat(8000)).unwrap();
    }
    let mut daemon = disk.start(&site);
    let lines = |daemon: &Daemon| {
        let text = std::fs::read_to_string(disk.path(&site, daemon, "full.jsonl"));
        let text = text.unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'), "it ends in the middle of a line");
        let whole = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let events = whole.filter(|line: &serde_json::Value| line.get("padding").is_none());
        super::super::ids(&events.collect::<Vec<_>>()).len()
    };
    site.add_sprites(5);
    within(60, async || site.confirmed() == 5).await;
    assert_eq!(lines(&daemon), 5);

    disk.fill(&site, &daemon, "full.jsonl");
    site.add_sprites(40);
    within(60, async || site.lines("sprites.jsonl").len() == 45).await;
    within(60, async || !daemon.logged(DOWN).is_empty()).await;
    let error = daemon.logged(DOWN)[0]["error"].as_str().unwrap().to_owned();
    let reason = if disk == Disk::Limited { "File too large" } else { "No space left on device" };
    assert!(error.contains("full.jsonl: ") && error.contains(reason), "{error}");
    // A whole lease goes by: nothing of it is confirmed, and the journal is well.
    within(60, async || site.cloud.control.totals().handed_out_again >= 35).await;
    // The last page of the file may have had room for a short line.
    let (confirmed, written) = (site.confirmed(), lines(&daemon) as u64);
    assert!(confirmed <= written && written < 10, "{confirmed} confirmed, {written} written");
    assert_eq!(daemon.get("/readyz").await.0, 200);

    disk.free(&site, &daemon);
    within(60, async || site.cloud.control.totals().waiting == 0).await;
    assert!(daemon.runs());
    assert_eq!(lines(&daemon), 45);
    site.assert_once("sprites.jsonl", 45);
    assert!(!daemon.logged("sink is up again").is_empty());
    assert!(daemon.logged("event given up; it is a dead letter of this sink").is_empty());
    let (code, said) = disk.run(&site, &daemon, &["audit"]);
    assert_eq!(code, Some(0), "{said}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_full_disk_under_a_sink_is_that_sinks_matter_alone() {
    join_all(Disk::all().into_iter().map(under_a_sink)).await;
}
