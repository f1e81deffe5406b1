//! The lock of a journal: its file is removed or replaced under the daemon, or the journal has a
//! second name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use super::daemon::{Daemon, PROGRAM};
use super::receiver::{Answer, Receiver};
use super::{Site, file, until};

const ANEW: &str = "journal lock file was removed or replaced; created and locked again";
const NOT_ANEW: &str = "journal lock file was removed or replaced and cannot be created again: move \
                        away what stands in its place";
const TAKEN: &str = "journal taken by another sprited; pulling and confirming stopped";

/// How long a daemon may take to notice and to end, on a machine that is busy.
const NOTICED: Duration = Duration::from_secs(20);

async fn site(hook: &Receiver) -> Site {
    Site::new(&hook.sink("hook", "events = ['*']")).await
}

fn lock(site: &Site) -> PathBuf {
    site.path("journal.db.lock")
}

/// Stops a daemon where no transaction of it is open: another daemon would wait for its end.
async fn pause_between_transactions(site: &Site, daemon: &Daemon) {
    let journal = rusqlite::Connection::open(site.path("journal.db")).unwrap();
    journal.busy_timeout(Duration::ZERO).unwrap();
    until(async || {
        daemon.pause();
        let is_free = journal.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok();
        if !is_free {
            daemon.signal(Signal::SIGCONT);
        }
        is_free
    })
    .await;
}

async fn refused(site: &Site) {
    let ended = site.run(&["run"]).await;
    assert_eq!(ended.code, 74, "{}", ended.log);
}

#[tokio::test]
async fn a_daemon_alone_makes_it_anew_and_goes_on() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 4] = [
        ("removed", |lock| fs::remove_file(lock).unwrap()),
        ("renamed", |lock| fs::rename(lock, lock.with_extension("old")).unwrap()),
        ("replaced by a file", |lock| {
            fs::remove_file(lock).unwrap();
            fs::write(lock, "another").unwrap();
        }),
        ("replaced by a copy", |lock| {
            let copy = lock.with_extension("copy");
            fs::copy(lock, &copy).unwrap();
            fs::rename(copy, lock).unwrap();
        }),
    ];
    for (what, harm) in harms {
        let hook = Receiver::start(Answer::Take).await;
        let site = site(&hook).await;
        let daemon = site.start();
        site.add_sprites(1);
        until(async || site.confirmed() == 1).await;
        harm(&lock(&site));
        daemon.has_logged(ANEW).await;
        assert!(lock(&site).is_file(), "{what}");
        refused(&site).await;
        site.add_sprites(2);
        until(async || site.confirmed() == 3).await;
        assert_eq!(daemon.logged(ANEW).len(), 1, "{what}");
        assert_eq!(daemon.get("/readyz").await.0, 200, "{what}");
        daemon.stop().await;
        hook.assert_once(3);
    }
}

#[tokio::test]
async fn what_can_be_no_lock_file_keeps_a_second_daemon_off_and_the_first_at_work() {
    type Harm = fn(&Path);
    let harms: [Harm; 3] = [
        |lock| fs::create_dir(lock).unwrap(),
        |lock| symlink(lock.with_extension("elsewhere"), lock).unwrap(),
        |lock| nix::unistd::mkfifo(lock, nix::sys::stat::Mode::S_IRWXU).unwrap(),
    ];
    for harm in harms {
        let hook = Receiver::start(Answer::Take).await;
        let site = site(&hook).await;
        let daemon = site.start();
        daemon.has_logged("started").await;
        let lock = lock(&site);
        fs::remove_file(&lock).unwrap();
        harm(&lock);
        until(async || !daemon.logged(NOT_ANEW).is_empty() || !daemon.logged(ANEW).is_empty())
            .await;
        if !daemon.logged(ANEW).is_empty() {
            // It was looked at between the two.
            daemon.stop().await;
            continue;
        }
        site.add_sprites(2);
        until(async || site.confirmed() == 2).await;
        refused(&site).await;
        let check = site.run(&["check", "--json"]).await;
        let said = fs::read_to_string(site.path("stdout")).unwrap();
        assert!(check.code != 0 && said.contains("no daemon can lock it"), "{said}");
        assert!(!lock.with_extension("elsewhere").exists(), "no link is followed");
        assert_eq!(daemon.logged(NOT_ANEW).len(), 1);
        fs::remove_file(&lock).or_else(|_| fs::remove_dir(&lock)).unwrap();
        daemon.has_logged(ANEW).await;
        refused(&site).await;
        daemon.stop().await;
        assert_eq!(site.confirmed(), 2);
    }
}

/// The first one stands still meanwhile, so that the second finds no lock.
#[tokio::test]
async fn of_two_daemons_the_one_that_was_passed_by_ends_with_74_and_writes_nothing_more() {
    let hook = Receiver::start(Answer::Take).await;
    let site = site(&hook).await;
    let mut first = site.start();
    site.add_sprites(3);
    // Nothing is left to be written, which it would go on with.
    let noted = || site.journaled(None).iter().filter(|event| event.confirmed.is_some()).count();
    until(async || site.confirmed() == 3 && noted() == 3).await;
    pause_between_transactions(&site, &first).await;
    fs::remove_file(lock(&site)).unwrap();
    let second = site.start();
    second.has_logged("started").await;
    site.add_sprites(5);
    until(async || site.confirmed() == 8).await;
    first.signal(Signal::SIGCONT);
    assert_eq!(first.ended_within(NOTICED).await, 74, "{}", first.log());
    assert_eq!(first.logged(TAKEN).len(), 1, "{}", first.log());
    let said = first.log();
    assert!(said.contains("a single daemon is started on a journal"), "{said}");
    assert!(!said.contains("rescued"), "there is nothing to rescue: {said}");
    site.add_sprites(2);
    until(async || site.confirmed() == 10).await;
    second.stop().await;
    hook.assert_once(10);
}

/// Its verdicts can be written nowhere, and it waits for none of that.
#[tokio::test]
async fn a_daemon_that_was_passed_by_with_deliveries_in_hand_ends_as_they_end() {
    let hook = Receiver::start(Answer::TakeWhenReleased).await;
    let site = site(&hook).await;
    let mut first = site.start();
    site.add_sprites(3);
    until(async || hook.count() == 3).await;
    pause_between_transactions(&site, &first).await;
    fs::remove_file(lock(&site)).unwrap();
    hook.set(Answer::Take);
    let second = site.start();
    second.has_logged("started").await;
    first.signal(Signal::SIGCONT);
    hook.release();
    assert_eq!(first.ended_within(NOTICED).await, 74, "{}", first.log());
    until(async || site.confirmed() == 3).await;
    second.stop().await;
    assert_eq!(hook.counts().len(), 3);
}

/// In the middle of the work, whichever of the two ends.
#[tokio::test]
async fn two_daemons_at_work_on_a_journal_lose_nothing_and_break_no_constraint() {
    for _ in 0..3 {
        let hook = Receiver::start(Answer::Take).await;
        let site = site(&hook).await;
        let mut first = site.start();
        first.has_logged("started").await;
        let mut added = 0;
        let mut add = || {
            let event =
                |n: usize| json!({ "EventType": "Some", "SomeEvent": { "TaskId": n.to_string() } });
            let events: Vec<_> = (added..added + 20).map(event).collect();
            added += events.len();
            site.cloud.control.add(&serde_json::Value::from(events).to_string()).unwrap();
            added
        };
        add();
        until(async || site.confirmed() > 0).await;
        fs::remove_file(lock(&site)).unwrap();
        let mut second = site.start();
        // Until one of them has ended.
        let ended = async |first: &mut Daemon, second: &mut Daemon| !first.runs() || !second.runs();
        let since = std::time::Instant::now();
        while !ended(&mut first, &mut second).await {
            assert!(since.elapsed() < NOTICED, "both are at work on it");
            add();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let count = add() as u64;
        let (mut gone, stays) = if first.runs() { (second, first) } else { (first, second) };
        assert_eq!(gone.ended_within(NOTICED).await, 74, "{}", gone.log());
        until(async || site.cloud.control.totals().waiting == 0).await;
        for daemon in [&gone, &stays] {
            assert!(!daemon.log().contains("UNIQUE"), "{}", daemon.log());
        }
        stays.stop().await;
        assert_eq!(site.confirmed(), count);
        assert_eq!(hook.counts().len() as u64, count, "each event came");
    }
}

/// Every command that opens the journal.
const COMMANDS: [&[&str]; 7] = [
    &["run", "--once"],
    &["audit"],
    &["events", "list"],
    &["events", "redeliver", "--state", "dead", "--yes"],
    &["events", "discard", "--sink", "hook", "--yes"],
    &["journal", "check"],
    &["journal", "compact"],
];

#[tokio::test]
async fn a_link_to_the_journal_is_the_same_journal() {
    let hook = Receiver::start(Answer::Take).await;
    let site = site(&hook).await;
    let daemon = site.start();
    site.add_sprites(1);
    until(async || site.confirmed() == 1).await;
    fs::create_dir(site.path("elsewhere")).unwrap();
    symlink("journal.db", site.path("first.db")).unwrap();
    symlink(site.path("first.db"), site.path("elsewhere/x.db")).unwrap();
    site.edit("journal.db'", "elsewhere/x.db'");
    let second = site.run(&["run"]).await;
    assert!(
        second.code == 74 && second.log.contains("in use by another sprited"),
        "{}",
        second.log
    );
    let named = format!("its lock file is {}", lock(&site).display());
    assert!(second.log.contains(&named), "{}", second.log);
    for command in COMMANDS {
        let ended = site.run(command).await;
        let expected =
            if matches!(command[0], "run") || command[1..].contains(&"compact") { 74 } else { 0 };
        assert_eq!(ended.code, expected, "{command:?}: {}", ended.log);
    }
    daemon.stop().await;
    // By that name alone it is the same one as well.
    let daemon = site.start();
    site.add_sprites(1);
    until(async || site.confirmed() == 2).await;
    site.edit("elsewhere/x.db'", "journal.db'");
    refused(&site).await;
    daemon.stop().await;
    hook.assert_once(2);
    for name in ["first.db-wal", "elsewhere/x.db-wal"] {
        assert!(!site.path(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn a_journal_with_a_second_name_is_refused_by_everybody() {
    let site = Site::new(&file("hook", "*")).await;
    let daemon = site.start();
    site.add_sprites(1);
    until(async || site.confirmed() == 1).await;
    fs::hard_link(site.path("journal.db"), site.path("hard.db")).unwrap();
    for (from, to) in [("journal.db'", "hard.db'"), ("hard.db'", "journal.db'")] {
        site.edit(from, to);
        for command in COMMANDS {
            let ended = site.run(command).await;
            assert_eq!(ended.code, 74, "{to} {command:?}: {}", ended.log);
            if to.starts_with("hard") || command[0] != "run" {
                let name = to.trim_end_matches('\'');
                for says in [name, "has 2 names", "-samefile"] {
                    assert!(ended.log.contains(says), "{to} {command:?}: {}", ended.log);
                }
            }
        }
        let check = site.run(&["check"]).await;
        let said = fs::read_to_string(site.path("stdout")).unwrap();
        assert!(check.code != 0 && said.contains("has 2 names"), "{said}");
    }
    // The first one goes on.
    site.add_sprites(1);
    until(async || site.confirmed() == 2).await;
    daemon.stop().await;
    assert!(!site.path("hard.db-wal").exists());
    fs::remove_file(site.path("hard.db")).unwrap();
    site.add_sprites(1);
    let daemon = site.start();
    until(async || site.confirmed() == 3).await;
    daemon.stop().await;
    site.assert_once("hook.jsonl", 3);
}

/// As in a container that was given the file alone. Only root can mount it so.
#[tokio::test]
async fn a_journal_that_is_mounted_by_itself_is_refused() {
    let hook = Receiver::start(Answer::Take).await;
    let site = site(&hook).await;
    let (journal, other) = (site.path("journal.db"), site.path("other.db"));
    let daemon = site.start();
    daemon.has_logged("started").await;
    fs::write(&other, "").unwrap();
    site.edit("journal.db'", "other.db'");
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$1\" \"$2\" || exit 99; exec \"$3\" run";
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
    command.args([&journal, &other]).arg(PROGRAM);
    command.env("SPRITED_CONFIG", site.path("sprited.toml"));
    let mut second = Daemon::spawn(command, site.folder.path());
    let code = second.ended_within(NOTICED).await;
    let log = second.log();
    if code == 99 || log.contains("unshare:") {
        eprintln!("left out: nothing can be mounted here: {log}");
    } else {
        assert!(code == 74 && log.contains("mount its folder instead"), "{code}: {log}");
    }
    daemon.stop().await;
}

/// As where the disk that it leads to is not mounted.
#[tokio::test]
async fn a_link_that_leads_nowhere_any_more_is_no_new_journal() {
    let hook = Receiver::start(Answer::Take).await;
    let site = site(&hook).await;
    let disk = site.path("disk");
    fs::create_dir(&disk).unwrap();
    symlink("disk/real.db", site.path("link.db")).unwrap();
    site.edit("journal.db'", "link.db'");
    let daemon = site.start();
    site.add_sprites(1);
    until(async || site.confirmed() == 1).await;
    daemon.stop().await;
    for name in ["real.db", "real.db.lock"] {
        assert!(disk.join(name).is_file(), "{name}");
    }
    // A copy is restored to where the link leads.
    let copy = site.path("copy.db");
    let backup = site.run(&["journal", "backup", copy.to_str().unwrap()]).await;
    assert_eq!(backup.code, 0, "{}", backup.log);
    let restore = site.run(&["journal", "restore", copy.to_str().unwrap(), "--yes"]).await;
    assert_eq!(restore.code, 0, "{}", restore.log);
    assert!(site.path("link.db").is_symlink() && disk.join("real.db").is_file());
    fs::rename(&disk, site.path("unmounted")).unwrap();
    fs::create_dir(&disk).unwrap();
    let ended = site.run(&["run", "--once"]).await;
    assert!(ended.code == 74 && ended.log.contains("--new-journal"), "{}", ended.log);
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 0, "nothing is made there");
    let ended = site.run(&["run", "--once", "--new-journal"]).await;
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert!(disk.join("real.db").is_file() && site.path("link.db").is_symlink());
    let ended = site.run(&["run", "--once"]).await;
    assert_eq!(ended.code, 0, "{}", ended.log);
}
