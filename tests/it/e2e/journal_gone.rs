//! The journal's file is deleted, moved or replaced under the daemon.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use serde_json::Value;
use sprited::journal::{self, EventState, Filter, JournalReader};
use vod_emulator::EmulatorSettings;

use super::daemon::{Daemon, Ended, PROGRAM};
use super::exhaustion::{check, limit};
use super::receiver::{Answer, Receiver};
use super::{Site, settings, until};
use crate::cli::{self, ended, sprited};
use crate::support;

/// The folder of the journal alone.
const FOLDER: &str = "state";

/// What somebody does to the files of a journal that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    DeleteAll,
    DeleteJournal,
    DeleteLog,
    Move,
    MoveAll,
    Replace,
    ReplaceLog,
}

const HARMS: [Harm; 7] = [
    Harm::DeleteAll,
    Harm::DeleteJournal,
    Harm::DeleteLog,
    Harm::Move,
    Harm::MoveAll,
    Harm::Replace,
    Harm::ReplaceLog,
];

/// Of a journal with its write-ahead log and its index.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

impl Harm {
    fn is_done_to(self, journal: &Path, other: &Path) {
        let rename = |suffix| {
            let to = beside(&journal.with_file_name("elsewhere.db"), suffix);
            std::fs::rename(beside(journal, suffix), to).unwrap();
        };
        let delete = |suffix| std::fs::remove_file(beside(journal, suffix)).unwrap();
        match self {
            Self::DeleteAll => SUFFIXES.into_iter().for_each(delete),
            Self::DeleteJournal => delete(""),
            Self::DeleteLog => delete("-wal"),
            Self::Move => rename(""),
            Self::MoveAll => SUFFIXES.into_iter().for_each(rename),
            Self::Replace => std::fs::rename(other, journal).unwrap(),
            Self::ReplaceLog => {
                let log = beside(journal, "-wal");
                let copy = beside(journal, "-wal.copy");
                std::fs::copy(&log, &copy).unwrap();
                std::fs::rename(copy, log).unwrap();
            }
        }
    }

    /// Whether a start finds a journal all the same.
    fn leaves_one(self) -> bool {
        matches!(self, Self::DeleteLog | Self::Replace | Self::ReplaceLog)
    }
}

/// A daemon whose journal stands in a folder of its own, with one sink.
async fn site(confirm: &str, hook: &Receiver) -> Site {
    // No event is handed out twice while a test goes on.
    let lease = Duration::from_secs(60);
    let cloud = EmulatorSettings { lease, ..settings() };
    let site = Site::with(cloud, confirm, &hook.sink("hook", "")).await;
    site.set_lease(lease);
    site.edit("journal.db", "state/journal.db");
    std::fs::create_dir(site.path(FOLDER)).unwrap();
    site
}

fn journal(site: &Site) -> PathBuf {
    site.path(FOLDER).join("journal.db")
}

/// Names of files in the journal's folder that hold this.
fn named(site: &Site, part: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(site.path(FOLDER)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap().to_str().unwrap().contains(part));
    paths.sort();
    paths
}

/// The one copy that the daemon made at its end; it is whole.
fn rescued(site: &Site) -> PathBuf {
    let found = named(site, "journal.db.rescued-");
    let [path] = found.as_slice() else { panic!("{found:?}") };
    assert!(journal::audit(path).unwrap().unwrap().ok());
    let (damage, faults) = journal::check(path).unwrap();
    assert!(damage.is_empty() && faults.is_empty(), "{damage:?} {faults:?}");
    // What the checks made beside it.
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(beside(path, suffix)).ok();
    }
    path.clone()
}

/// The keys of what is pending in it.
fn pending_keys(path: &Path) -> Vec<String> {
    let filter = Filter { state: Some(EventState::Pending), ..Filter::default() };
    let pending = JournalReader::open(path).unwrap().list(&filter, 1000).unwrap();
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(beside(path, suffix)).ok();
    }
    pending.iter().map(|found| found.event.key.to_string()).collect()
}

fn pending(path: &Path) -> usize {
    pending_keys(path).len()
}

/// Another journal, of a daemon that has stopped.
async fn other_journal(site: &Site) -> PathBuf {
    let path = site.path("other.db");
    let settings = journal::JournalSettings { path: path.clone(), ..Default::default() };
    let (journal, closing) = journal::Journal::open(&settings).unwrap();
    drop(journal);
    closing.wait().await;
    path
}

fn command(site: &Site, arguments: &[&str]) -> cli::Ended {
    ended(sprited().env("SPRITED_CONFIG", site.path("sprited.toml")).args(arguments))
}

/// The exit code of a command that may ask the cloud or a sink, and what it says.
async fn said(site: &Site, arguments: &[&str]) -> (i32, String) {
    let Ended { code, log } = site.run(arguments).await;
    let out = std::fs::read_to_string(site.path("stdout")).unwrap();
    (code, format!("{out}{log}"))
}

async fn nothing_is_confirmed_that_is_not_rescued(harm: Harm) {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let site = site("after = 'journal'", &hook).await;
    let other = other_journal(&site).await;
    let mut daemon = site.start();
    site.add_sprites(10);
    until(async || site.confirmed() == 10).await;
    harm.is_done_to(&journal(&site), &other);
    site.add_sprites(5);
    let code = daemon.ended_within(Duration::from_secs(30)).await;
    assert_eq!(code, 74, "{harm:?}: {}", daemon.log());
    let rescued = rescued(&site);
    let said = daemon.log();
    assert!(said.contains(rescued.to_str().unwrap()), "{harm:?}: {said}");
    let kept = pending_keys(&rescued);
    assert_eq!((site.confirmed(), kept.len()), (10, 10), "{harm:?}: nothing more was taken in");
    assert_eq!(daemon.logged("journal write failed; retrying").len(), 0);

    if harm == Harm::Replace {
        // The log of the one before is not written into it.
        assert!(journal::audit(&journal(&site)).unwrap().unwrap().ok());
        assert_eq!(journal::check(&journal(&site)).unwrap(), (Vec::new(), Vec::new()));
        assert_eq!(pending(&journal(&site)), 0);
    }
    let calls = site.cloud.control.totals().calls;
    if !harm.leaves_one() {
        let ended = site.run(&["run"]).await;
        assert_eq!(ended.code, 74, "{harm:?}: {}", ended.log);
        let restore = format!("`sprited journal restore {}`", rescued.display());
        for way in [restore.as_str(), "`sprited run --new-journal`"] {
            assert!(ended.log.contains(way), "{harm:?}: {}", ended.log);
        }
        assert!(!journal(&site).exists());
    }
    let done = command(&site, &["journal", "restore", rescued.to_str().unwrap(), "--yes"]);
    assert_eq!(done.code, 0, "{harm:?}: {}{}", done.out, done.err);
    assert_eq!(site.cloud.control.totals().calls, calls, "nothing was asked of the cloud");
    hook.set(Answer::Take);
    let daemon = site.start();
    // And of the others those that the daemon had not pulled before it noticed.
    support::until(|| {
        let taken = hook.counts();
        kept.iter().all(|key| taken.contains_key(key))
    })
    .await;
    daemon.stop().await;
    hook.assert_once(hook.count());
    assert!(journal::audit(&journal(&site)).unwrap().unwrap().ok());
}

#[tokio::test]
async fn what_was_confirmed_on_the_journals_word_is_rescued_and_delivered() {
    join_all(HARMS.map(nothing_is_confirmed_that_is_not_rescued)).await;
}

/// Be it what the link leads to that is deleted, or the link itself.
#[tokio::test]
async fn a_journal_behind_a_link_is_rescued_to_where_the_next_start_looks() {
    for is_link_deleted in [false, true] {
        let hook = Receiver::start(Answer::Refuse(503)).await;
        let site = site("after = 'journal'", &hook).await;
        let link = site.path("link.db");
        std::os::unix::fs::symlink(journal(&site), &link).unwrap();
        site.edit(journal(&site).to_str().unwrap(), link.to_str().unwrap());
        let mut daemon = site.start();
        site.add_sprites(2);
        until(async || site.confirmed() == 2).await;
        if is_link_deleted {
            std::fs::remove_file(&link).unwrap();
        } else {
            delete(&site);
        }
        assert_eq!(daemon.ended_within(NOTICED).await, 74, "{}", daemon.log());
        let told = &daemon.logged("journal gone; rescued to a copy; ending")[0];
        let copy = told["copy"].as_str().unwrap();
        let ended = site.run(&["run"]).await;
        let restore = format!("`sprited journal restore {copy}`");
        assert!(ended.code == 74 && ended.log.contains(&restore), "{copy}: {}", ended.log);
        let done = command(&site, &["journal", "restore", copy]);
        assert_eq!(done.code, 0, "{}{}", done.out, done.err);
        assert_eq!(link.is_symlink(), !is_link_deleted);
        hook.set(Answer::Take);
        let daemon = site.start();
        support::until(|| hook.counts().len() == 2).await;
        daemon.stop().await;
    }
}

/// How long a daemon may take from the harm to its end, on a machine that is busy.
const NOTICED: Duration = Duration::from_secs(20);

fn delete(site: &Site) {
    Harm::DeleteAll.is_done_to(&journal(site), Path::new("none"));
}

#[tokio::test]
async fn an_idle_daemon_notices_within_seconds_and_pulls_no_more() {
    let hook = Receiver::start(Answer::Take).await;
    let site = site("", &hook).await;
    // Its pages look as well.
    site.edit("listen = '127.0.0.1:0'", "listen = 'off'");
    let mut daemon = site.start();
    site.add_sprites(3);
    idle(&site, 3).await;
    delete(&site);
    assert_eq!(daemon.ended_within(NOTICED).await, 74, "{}", daemon.log());
    let rescued = rescued(&site);
    assert_eq!(pending(&rescued), 0);
    let gone = &daemon.logged("journal gone; pulling and confirming stopped")[0];
    let why = gone["why"].as_str().unwrap();
    let path = journal(&site).display().to_string();
    assert!(why.contains(&path) && why.contains("deleted or moved"), "{why}");
    let kept = &daemon.logged("journal gone; rescued to a copy; ending")[0];
    assert_eq!((kept["copy"].as_str(), &kept["pending"]), (rescued.to_str(), &Value::from(0)));
    // The code that the unit is not started again for, with all that goes with a stop.
    assert_eq!(daemon.logged("stopped").len(), 1);
}

#[tokio::test]
async fn what_is_in_hand_ends_and_is_in_the_copy_and_nothing_is_confirmed() {
    let hook = Receiver::start(Answer::TakeWhenReleased).await;
    let site = site("", &hook).await;
    let mut daemon = site.start();
    site.add_sprites(1);
    until(async || hook.count() == 1).await;
    delete(&site);
    until(async || daemon.get("/readyz").await.0 == 503).await;
    let (is_ok, why) = check(&daemon, "journal").await;
    assert!(!is_ok && why.contains("was deleted or moved under the daemon"), "{why}");
    assert_eq!(daemon.get("/healthz").await.0, 200);
    assert!(daemon.runs(), "the delivery goes on");
    site.add_sprites(2);
    hook.release();
    assert_eq!(daemon.ended_within(NOTICED).await, 74, "{}", daemon.log());
    assert!(!site.cloud.control.totals().calls.contains_key("ConfirmEvents"));
    let rescued = rescued(&site);
    assert_eq!(pending(&rescued), 0, "it knows what was delivered in the meantime");
    let done = command(&site, &["journal", "restore", rescued.to_str().unwrap()]);
    assert_eq!(done.code, 0, "nothing had to make way: {}", done.err);
    hook.set(Answer::Take);
    let daemon = site.start();
    until(async || hook.count() == 3).await;
    daemon.stop().await;
    hook.assert_once(3);
}

/// Between the last look and the call there may be more than a second: what is delivered meanwhile
/// is due at once.
#[tokio::test]
async fn no_confirm_leaves_after_the_journal_is_gone() {
    let hook = Receiver::start(Answer::TakeWhenReleased).await;
    let site = site("", &hook).await;
    site.add_sprites(1);
    let mut daemon = site.start();
    support::until(|| hook.count() == 1).await;
    delete(&site);
    // A confirmation may rely on a look at the files that is 20 ms old: any is older from then on.
    tokio::time::sleep(Duration::from_millis(100)).await;
    hook.release();
    assert_eq!(daemon.ended_within(NOTICED).await, 74, "{}", daemon.log());
    let totals = site.cloud.control.totals();
    assert!(!totals.calls.contains_key("ConfirmEvents"), "{totals:?}");
    assert_eq!(pending(&rescued(&site)), 0);
}

/// Waits until nothing is left to be written: the note of the last confirm is the last write.
async fn idle(site: &Site, events: usize) {
    site.drained().await;
    let reader = JournalReader::open(&journal(site)).unwrap();
    support::until(|| {
        let noted = reader.list(&Filter::default(), 100).unwrap();
        noted.len() == events && noted.iter().all(|found| found.confirmed.is_some())
    })
    .await;
}

#[tokio::test]
async fn a_stop_looks_a_last_time() {
    let hook = Receiver::start(Answer::Take).await;
    let site = site("", &hook).await;
    // Its pages look as well.
    site.edit("listen = '127.0.0.1:0'", "listen = 'off'");
    let mut daemon = site.start();
    site.add_sprites(2);
    idle(&site, 2).await;
    delete(&site);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended_within(NOTICED).await, 74, "{}", daemon.log());
    let kept = JournalReader::open(&rescued(&site)).unwrap().list(&Filter::default(), 10).unwrap();
    assert_eq!(kept.len(), 2);
}

#[tokio::test]
async fn a_journal_that_lost_its_log_alone_is_whole_by_itself() {
    for harm in [Harm::DeleteLog, Harm::ReplaceLog] {
        let hook = Receiver::start(Answer::Refuse(503)).await;
        let site = site("after = 'journal'", &hook).await;
        let mut daemon = site.start();
        site.add_sprites(5);
        until(async || site.confirmed() == 5).await;
        harm.is_done_to(&journal(&site), Path::new("none"));
        assert_eq!(daemon.ended_within(NOTICED).await, 74, "{harm:?}: {}", daemon.log());
        let aside = named(&site, ".replaced-");
        assert_eq!(aside.len(), usize::from(harm == Harm::ReplaceLog), "{harm:?}: {aside:?}");
        let (_, said) = said(&site, &["check"]).await;
        let rescued = rescued(&site);
        assert!(said.contains(rescued.to_str().unwrap()), "{said}");
        hook.set(Answer::Take);
        let daemon = site.start();
        until(async || hook.count() == 5).await;
        daemon.stop().await;
        hook.assert_once(5);
    }
}

#[tokio::test]
async fn where_the_folder_is_gone_as_well_the_log_says_what_the_cloud_still_has() {
    for moved in [false, true] {
        let hook = Receiver::start(Answer::Refuse(503)).await;
        let site = site("", &hook).await;
        site.add_sprites(2);
        let mut daemon = site.start();
        until(async || hook.asked() >= 1).await;
        let elsewhere = site.path("elsewhere");
        if moved {
            std::fs::rename(site.path(FOLDER), &elsewhere).unwrap();
        } else {
            std::fs::remove_dir_all(site.path(FOLDER)).unwrap();
        }
        assert_eq!(daemon.ended_within(NOTICED).await, 74, "{}", daemon.log());
        let told = daemon.log();
        let told = told.lines().find(|line| line.contains("journal and its folder gone"));
        let told: Value =
            serde_json::from_str(told.unwrap_or_else(|| panic!("{}", daemon.log()))).unwrap();
        let figures = ["pending", "unconfirmed", "lost"].map(|name| told[name].as_u64());
        assert_eq!(figures, [Some(2), Some(2), Some(0)]);
        assert!(!site.path(FOLDER).exists());
        if moved {
            // Whole where it is now, even without its log.
            let journal = elsewhere.join("journal.db");
            std::fs::remove_file(beside(&journal, "-wal")).unwrap();
            std::fs::remove_file(beside(&journal, "-shm")).unwrap();
            assert_eq!(pending(&journal), 2);
            assert_eq!(journal::check(&journal).unwrap(), (Vec::new(), Vec::new()));
        }
    }
}

#[tokio::test]
async fn a_new_journal_begins_only_where_it_is_asked_for() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let site = site("", &hook).await;
    let mut daemon = site.start();
    site.add_sprites(4);
    until(async || hook.asked() >= 4).await;
    delete(&site);
    assert_eq!(daemon.ended_within(NOTICED).await, 74, "{}", daemon.log());
    let rescued = rescued(&site);
    let before = std::fs::read(&rescued).unwrap();

    for arguments in [&["check"][..], &["events", "list"], &["audit"], &["status"]] {
        let (code, said) = said(&site, arguments).await;
        assert_ne!(code, 0, "{arguments:?}");
        assert!(said.contains(rescued.to_str().unwrap()), "{arguments:?}: {said}");
        assert!(said.contains("--new-journal"), "{arguments:?}: {said}");
    }
    hook.set(Answer::Take);
    let daemon = Daemon::start(site.folder.path(), &["run", "--new-journal"], &[]);
    daemon.has_logged("started").await;
    let told = "starting with a new journal; deliveries pending in the previous one are lost";
    assert!(daemon.logged(told)[0]["kept"].as_str().unwrap().contains(rescued.to_str().unwrap()));
    site.add_sprites(1);
    until(async || hook.count() == 1).await;
    daemon.stop().await;
    assert!(std::fs::read(&rescued).unwrap() == before, "it stays as it is");
    // From here on it is a journal like any other, with the option as well.
    for arguments in [&["run"][..], &["run", "--new-journal"]] {
        let daemon = Daemon::start(site.folder.path(), arguments, &[]);
        daemon.has_logged("started").await;
        assert_eq!(daemon.logged(told).len(), 0);
        daemon.stop().await;
    }
    let all = JournalReader::open(&journal(&site)).unwrap().list(&Filter::default(), 10).unwrap();
    assert_eq!(all.len(), 1);
}

/// A log without its database, as a kill leaves it where the database was deleted: SQLite would
/// delete it.
#[tokio::test]
async fn a_log_or_a_lock_tells_of_a_journal_and_a_first_start_that_was_cut_off_does_not() {
    let hook = Receiver::start(Answer::Take).await;
    let site = site("", &hook).await;
    let mut daemon = site.start();
    site.add_sprites(1);
    site.drained().await;
    daemon.signal(Signal::SIGKILL);
    daemon.ended_within(NOTICED).await;
    let log = beside(&journal(&site), "-wal");
    let kept = std::fs::read(&log).unwrap();
    assert!(!kept.is_empty());
    std::fs::remove_file(journal(&site)).unwrap();
    let refused = async |sign: &Path| {
        let ended = site.run(&["run"]).await;
        assert_eq!(ended.code, 74, "{}", ended.log);
        let said = format!("but {} tells that there was one", sign.display());
        assert!(ended.log.contains(&said), "{}", ended.log);
        assert!(ended.log.contains("`sprited journal restore FILE`"), "{}", ended.log);
    };
    refused(&log).await;
    std::fs::write(journal(&site), "").unwrap();
    refused(&log).await;
    assert!(std::fs::read(&log).unwrap() == kept);
    let daemon = Daemon::start(site.folder.path(), &["run", "--new-journal"], &[]);
    daemon.has_logged("started").await;
    daemon.stop().await;
    let aside = named(&site, ".replaced-");
    assert!(aside.iter().any(|file| std::fs::read(file).unwrap() == kept), "{aside:?}");

    std::fs::remove_file(journal(&site)).unwrap();
    let lock = beside(&journal(&site), ".lock");
    refused(&lock).await;
    assert!(!journal(&site).exists());
    std::fs::write(journal(&site), "").unwrap();
    refused(&lock).await;
    // What a first start leaves that is cut off before it has made the tables.
    std::fs::write(&lock, "").unwrap();
    let daemon = site.start();
    daemon.has_logged("started").await;
    daemon.stop().await;
}

/// That the system does not tell is no proof: it may again, and until then nothing is confirmed.
#[tokio::test]
async fn a_folder_that_may_not_be_looked_into_confirms_nothing_and_ends_nothing() {
    let hook = Receiver::start(Answer::Take).await;
    let site = site("after = 'journal'", &hook).await;
    let mut command = if nix::unistd::geteuid().is_root() {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--bounding-set=-dac_override,-dac_read_search", PROGRAM]);
        command
    } else {
        std::process::Command::new(PROGRAM)
    };
    command.arg("run").env_clear().env("SPRITED_CONFIG", site.path("sprited.toml"));
    let mut daemon = Daemon::spawn(command, site.folder.path());
    site.add_sprites(2);
    site.drained().await;
    until(async || daemon.get("/readyz").await.0 == 200).await;
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(site.path(FOLDER), PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(0o000);
    // Nothing is written: the look every other second finds it.
    until(async || daemon.get("/readyz").await.0 == 503).await;
    let (is_ok, why) = check(&daemon, "journal").await;
    assert!(!is_ok && why.contains("cannot see whether the journal is in place"), "{why}");
    assert!(why.contains("Permission denied"), "{why}");
    mode(0o700);
    until(async || daemon.get("/readyz").await.0 == 200).await;
    mode(0o000);
    site.add_sprites(3);
    let failed = "journal accepts no events; pulling paused";
    daemon.has_logged(failed).await;
    assert_eq!(site.confirmed(), 2);
    assert!(daemon.runs());
    mode(0o700);
    site.drained().await;
    assert_eq!(site.confirmed(), 5);
    until(async || hook.count() == 5).await;
    daemon.stop().await;
    hook.assert_once(5);
    assert!(named(&site, "rescued").is_empty());
}

/// What is open takes its room until the daemon ends, and is nowhere else.
#[tokio::test]
async fn a_disk_without_room_for_the_copy_is_waited_for() {
    let hook = Receiver::start(Answer::Refuse(503)).await;
    let site = site("after = 'journal'", &hook).await;
    // The log is a file as well, and must stay below the limit.
    site.edit("level = 'debug'", "level = 'info'");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", PROGRAM, "run"]);
    command.env_clear().env("SPRITED_CONFIG", site.path("sprited.toml"));
    let mut daemon = Daemon::spawn(command, site.folder.path());
    site.add_sprites(3);
    until(async || site.confirmed() == 3).await;
    limit(&daemon, "--fsize=50000:");
    delete(&site);
    daemon.has_logged("journal gone and not copied; retrying: make room on its disk").await;
    assert!(daemon.runs());
    assert!(named(&site, "rescued").is_empty() && named(&site, "backup").is_empty());
    assert_eq!(daemon.get("/readyz").await.0, 503);
    assert_eq!(daemon.get("/healthz").await.0, 200);
    limit(&daemon, "--fsize=unlimited:");
    assert_eq!(daemon.ended_within(NOTICED).await, 74, "{}", daemon.log());
    assert_eq!(pending(&rescued(&site)), 3);
}

#[tokio::test]
async fn a_daemon_from_cron_ends_so_as_well() {
    let hook = Receiver::start(Answer::TakeWhenReleased).await;
    let site = site("", &hook).await;
    site.add_sprites(1);
    let mut daemon = Daemon::start(site.folder.path(), &["run", "--once"], &[]);
    support::until(|| hook.count() == 1).await;
    delete(&site);
    // A confirmation may rely on a look that is some milliseconds old.
    daemon.has_logged("journal gone; pulling and confirming stopped").await;
    hook.release();
    assert_eq!(daemon.ended_within(NOTICED).await, 74, "{}", daemon.log());
    assert_eq!((pending(&rescued(&site)), site.confirmed()), (0, 0));
}
