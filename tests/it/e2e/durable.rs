//! What the system is asked for, and in which order: a confirm leaves after the syncs that make
//! its event last.

use std::collections::HashMap;
use std::process::Command;

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
    // With -D it is the daemon that is this process's child, and strace stands beside it.
    let mut strace = Command::new("strace");
    strace
        .args(["-D", "-f", "-q", "-y", "-s", "4096", "-e"])
        .arg("trace=fsync,fdatasync,write,writev,pwrite64,sendto,sendmsg,read,readv,recvfrom")
        .arg("-o")
        .arg(site.path("trace"))
        .args([env!("CARGO_BIN_EXE_sprited"), "run"])
        .env_clear()
        .env("SPRITED_CONFIG", site.path("sprited.toml"));
    let daemon = Daemon::spawn(strace, site.folder.path());
    daemon.has_logged("started").await;
    site.add_sprites(1);
    site.drained().await;
    let pid = daemon.pid();
    until(|| site.lines("sprites.jsonl").len() == 1).await;
    daemon.stop().await;
    let trace = || std::fs::read_to_string(site.path("trace")).unwrap();
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
