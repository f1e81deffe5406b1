//! What the system is asked for, and in which order: a confirm leaves after the syncs that make
//! its event last.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use sprited::event::EventFormat;
use sprited::journal::EventState;

use super::daemon::Daemon;
use super::{Site, file};
use crate::support::until;

/// A system call of the daemon.
#[derive(Debug)]
struct Call {
    /// The line of the trace on which it began, and the one on which it had ended.
    began: usize,
    ended: usize,
    /// Name, arguments and result.
    text: String,
}

impl Call {
    fn is(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.text.starts_with(&format!("{name}(")))
    }

    /// Whether its first argument is a file whose name ends so.
    fn is_on(&self, name: &str) -> bool {
        self.text
            .split(['(', ',', ')'])
            .nth(1)
            .is_some_and(|file| file.ends_with(&format!("{name}>")))
    }

    fn writes(&self, name: &str) -> bool {
        self.is(&["write", "writev", "pwrite64"]) && self.is_on(name)
    }

    /// Whether it opens such a file that was not there.
    fn makes(&self, name: &str) -> bool {
        self.is(&["openat"]) && self.text.contains(&format!("{name}\"")) && self.creates()
    }

    fn creates(&self) -> bool {
        self.text.contains("O_EXCL") && !self.text.contains("EEXIST")
    }

    /// Whether it gives such a file another name, which ends so.
    fn renames(&self, from: &str, to: &str) -> bool {
        self.is(&["rename", "renameat", "renameat2"])
            && self.text.contains(&format!("{from}\", "))
            && self.text.contains(&format!("{to}\""))
            && self.text.ends_with("= 0")
    }

    fn deletes(&self, name: &str) -> bool {
        self.is(&["unlink", "unlinkat"]) && self.text.contains(&format!("{name}\""))
    }

    fn syncs(&self, name: &str) -> bool {
        self.is(&["fsync", "fdatasync"]) && self.is_on(name) && self.text.ends_with("= 0")
    }
}

/// The calls of a trace by strace with `-f -y`, in the order in which they began.
fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (number, line) in trace.lines().enumerate() {
        let (thread, rest) = line.split_once(' ').expect(line);
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, rest) = resumed.split_once(" resumed>").expect(line);
            let Some(place) = unfinished.remove(thread) else { continue };
            calls[place].text.push_str(rest);
            calls[place].ended = number;
        } else if let Some(text) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, calls.len());
            calls.push(Call { began: number, ended: usize::MAX, text: text.to_owned() });
        } else {
            calls.push(Call { began: number, ended: number, text: rest.to_owned() });
        }
    }
    calls
}

/// The first call after the line `after` for which `is` holds.
fn first<'a>(calls: &'a [Call], after: usize, what: &str, is: impl Fn(&Call) -> bool) -> &'a Call {
    let found = calls.iter().find(|call| call.began > after && is(call));
    found.unwrap_or_else(|| panic!("{what} is not in the trace after line {after}"))
}

/// The calls of a daemon that pulls one event, brings it to a file and confirms it.
async fn traced(after: &str) -> Vec<Call> {
    let confirm = format!("after = '{after}'");
    let site = Site::with(super::settings(), &confirm, &file("sprites", "image-sprite")).await;
    let daemon = trace(&site);
    daemon.has_logged("started").await;
    site.add_sprites(1);
    site.drained().await;
    until(|| site.lines("sprites.jsonl").len() == 1).await;
    ended(&site, daemon).await
}

/// Starts the daemon with an eye on what it asks the system for.
fn trace(site: &Site) -> Daemon {
    // It keeps its memory from other programs of its user, but not from root, if only of a namespace.
    let mut strace = if geteuid().is_root() {
        Command::new("strace")
    } else {
        let mut within = Command::new("unshare");
        within.args(["--map-root-user", "strace"]);
        within
    };
    // With -D it is the daemon that is this process's child, and strace stands beside it.
    strace
        .args(["-D", "-f", "-q", "-y", "-s", "4096", "-e"])
        .arg(
            "trace=fsync,fdatasync,write,writev,pwrite64,sendto,sendmsg,read,readv,recvfrom,\
             openat,rename,renameat,renameat2,unlink,unlinkat",
        )
        .arg("-o")
        .arg(site.path("trace"))
        .args([env!("CARGO_BIN_EXE_sprited"), "run"])
        .env_clear()
        .env("SPRITED_CONFIG", site.path("sprited.toml"));
    Daemon::spawn(strace, site.folder.path())
}

/// Stops the daemon; what it has asked the system for.
async fn ended(site: &Site, daemon: Daemon) -> Vec<Call> {
    let pid = daemon.pid();
    daemon.stop().await;
    let trace = || fs::read_to_string(site.path("trace")).unwrap();
    until(|| trace().lines().any(|line| is_end(line, pid))).await;
    calls(&trace())
}

fn is_end(line: &str, pid: u32) -> bool {
    line.starts_with(&format!("{pid} ")) && line.ends_with("+++ exited with 0 +++")
}

/// When the event's append is on disk and the first confirm leaves, by line.
fn synced_and_confirmed(calls: &[Call]) -> (usize, usize) {
    let sends = ["write", "writev", "sendto", "sendmsg"];
    let reads = ["read", "readv", "recvfrom"];
    let pulled =
        first(calls, 0, "the event", |call| call.is(&reads) && call.text.contains("EventHandle"));
    let append = first(calls, pulled.ended, "its append", |call| call.writes("journal.db-wal"));
    let synced =
        first(calls, append.ended, "the append's sync", |call| call.syncs("journal.db-wal"));
    let confirm = first(calls, 0, "the confirm", |call| {
        call.is(&sends) && call.text.contains("ConfirmEvents")
    });
    (synced.ended, confirm.began)
}

#[tokio::test]
async fn a_confirm_leaves_after_the_journal_and_the_file_are_synced() {
    let calls = traced("delivery").await;
    let (synced, confirm) = synced_and_confirmed(&calls);
    let line = first(&calls, synced, "the line, after the append's sync", |call| {
        call.writes("sprites.jsonl")
    });
    let on_disk = first(&calls, line.ended, "the line's sync", |call| call.syncs("sprites.jsonl"));
    assert!(on_disk.ended < confirm, "confirmed in line {confirm}, before {on_disk:?} had ended");
}

#[tokio::test]
async fn a_confirm_on_the_journals_word_leaves_after_the_journal_is_synced() {
    let (synced, confirm) = synced_and_confirmed(&traced("journal").await);
    assert!(synced < confirm, "confirmed in line {confirm}, synced in line {synced}");
}

/// Asserts that a call that syncs `name` begins after one and has ended before the other.
fn assert_synced(calls: &[Call], name: &str, after: &Call, before: &Call) {
    let is_between = |call: &&Call| call.began > after.ended && call.ended < before.began;
    let mut syncs = calls.iter().filter(|call| call.syncs(name));
    assert!(
        syncs.any(|call| is_between(&call)),
        "{name} is not synced between {after:?} and {before:?}"
    );
}

const SPRITES: &str = "/sprites.jsonl";

/// A daemon that rotates its file and compresses the old one, in the order of what it does.
#[tokio::test]
async fn each_step_of_a_rotation_is_on_disk_before_the_next() {
    let sink = file("sprites", "image-sprite") + "rotate_size = '1KiB'\ncompress = 'gzip'\n";
    let site = Site::new(&sink).await;
    let daemon = trace(&site);
    daemon.has_logged("started").await;
    for _ in 0..2 {
        site.add_sprites(1);
        site.drained().await;
    }
    let gzips = || {
        let names = fs::read_dir(site.folder.path()).unwrap();
        names
            .filter(|entry| entry.as_ref().unwrap().path().extension() == Some("gz".as_ref()))
            .count()
    };
    until(|| gzips() == 1).await;
    let calls = ended(&site, daemon).await;
    let folder = site.folder.path().to_str().unwrap();
    let makes = |from| first(&calls, from, "a new file", |call| call.makes(SPRITES));
    let writes = |from| first(&calls, from, "a line", |call| call.writes(SPRITES));

    let made = makes(0);
    let line = writes(made.ended);
    let renamed = first(&calls, line.ended, "the rotation", |call| {
        call.renames(SPRITES, ".jsonl") && call.text.contains("/sprites-")
    });
    let made_anew = makes(renamed.ended);
    let next_line = writes(made_anew.ended);
    for (made, line) in [(made, line), (made_anew, next_line)] {
        assert_synced(&calls, SPRITES, made, line);
        assert_synced(&calls, folder, made, line);
        // The sink's own from the first line on.
        assert_synced(&calls, "journal.db-wal", made, line);
    }
    assert_synced(&calls, folder, renamed, made_anew);

    let compressing =
        first(&calls, renamed.ended, "the compression", |call| call.makes(".jsonl.gz.tmp"));
    let last = calls.iter().rfind(|call| call.writes(".jsonl.gz.tmp")).unwrap();
    assert!(last.began > compressing.ended);
    let named = first(&calls, last.ended, "its name", |call| call.renames(".gz.tmp", ".jsonl.gz"));
    assert_synced(&calls, ".jsonl.gz.tmp", last, named);
    let rotated = |call: &Call| call.deletes(".jsonl") && call.text.contains("/sprites-");
    let deletes: Vec<_> = calls.iter().filter(|call| rotated(call)).collect();
    assert_eq!(deletes.len(), 1, "{deletes:?}");
    assert!(named.ended < deletes[0].began, "deleted before {named:?}: {deletes:?}");
    assert_synced(&calls, folder, named, deletes[0]);
}

/// A line that a crash left behind may not be on disk yet.
#[tokio::test]
async fn what_is_found_after_a_crash_is_synced_before_it_counts_as_delivered() {
    for name in ["/sprites.jsonl", "/sprites.jsonl.1"] {
        let site = Site::new(&file("sprites", "image-sprite")).await;
        // From the first line on the file is known as the sink's own.
        let daemon = site.start();
        site.add_sprites(1);
        site.drained().await;
        daemon.stop().await;
        // As after a crash between the line and its record: the sink fails, the line stands there.
        let (path, away) = (site.path("sprites.jsonl"), site.path("away"));
        fs::rename(&path, &away).unwrap();
        fs::create_dir(&path).unwrap();
        let mut daemon = site.start();
        site.add_sprites(1);
        let pending = || site.journaled(Some(EventState::Pending));
        until(|| pending().len() == 1).await;
        daemon.signal(Signal::SIGKILL);
        daemon.ended_within(Duration::from_secs(5)).await;
        fs::remove_dir(&path).unwrap();
        let mut line = Vec::new();
        pending()[0].event.render(EventFormat::CloudEvents, &mut line);
        line.push(b'\n');
        fs::OpenOptions::new().append(true).open(&away).unwrap().write_all(&line).unwrap();
        fs::rename(&away, site.path(&name[1..])).unwrap();

        let daemon = trace(&site);
        daemon.has_logged("events found at the sink that were not recorded as delivered").await;
        site.drained().await;
        let calls = ended(&site, daemon).await;
        let opened = first(&calls, 0, "the file", |call| {
            call.is(&["openat"]) && call.text.contains(&format!("{name}\""))
        });
        let read =
            first(&calls, opened.ended, "the line", |call| call.is(&["read"]) && call.is_on(name));
        let recorded =
            first(&calls, read.ended, "the record", |call| call.writes("journal.db-wal"));
        assert_synced(&calls, name, opened, recorded);
        assert_eq!(site.lines(&name[1..]).len(), 2, "it is not repeated");
    }
}

/// What a start finds pending is written at once, with no commit of an event before it.
#[tokio::test]
async fn the_file_of_a_start_is_recorded_before_its_first_line() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    let path = site.path("sprites.jsonl");
    fs::create_dir(&path).unwrap();
    let mut daemon = site.start();
    site.add_sprites(1);
    until(|| site.journaled(None).len() == 1).await;
    daemon.signal(Signal::SIGKILL);
    daemon.ended_within(Duration::from_secs(5)).await;
    fs::remove_dir(&path).unwrap();

    let daemon = trace(&site);
    site.drained().await;
    let calls = ended(&site, daemon).await;
    let made = first(&calls, 0, "the file", |call| call.makes(SPRITES));
    let line = first(&calls, made.ended, "the line", |call| call.writes(SPRITES));
    assert_synced(&calls, "journal.db-wal", made, line);
}
