//! A journal whose write-ahead log ends early, as after a loss of power that took the last writes
//! with it: it opens, and holds what was there at one moment of its history.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use rusqlite::Connection;
use sprited::journal::{Journal, JournalSettings, audit, check};

use super::receiver::{Answer, Receiver};
use super::{Site, file};
use crate::support::until;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Where the commits in a write-ahead log end, in bytes.
fn commits(log: &[u8]) -> Vec<usize> {
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    assert_eq!(number(12), 0, "it was begun anew: a part of the history is gone");
    let page = number(8) as usize;
    let ends = (HEADER..)
        .step_by(FRAME_HEADER + page)
        .take_while(|at| at + FRAME_HEADER + page <= log.len());
    // The last frame of a commit says how many pages the file has then.
    let ends = ends.filter(|at| number(at + 4) > 0).map(|at| at + FRAME_HEADER + page);
    ends.collect()
}

/// All that stands in a journal, a row each; of the sums, that of the events.
fn rows(path: &Path) -> BTreeSet<String> {
    let journal = Connection::open(path).unwrap();
    let mut rows = BTreeSet::new();
    for (table, columns) in [
        ("events", "id || ' ' || hex(key) || ' ' || sinks"),
        ("bodies", "event || ' ' || hex(body)"),
        ("pending", "sink || ' ' || event || ' ' || attempts"),
        ("dead", "sink || ' ' || event"),
        ("confirmations", "event"),
        ("counters", "name || ' ' || sink || ' ' || value"),
        ("sinks", "id || ' ' || name || ' ' || ifnull(mark, '')"),
    ] {
        let mut select = journal.prepare(&format!("SELECT {columns} FROM {table}")).unwrap();
        let found = select.query_map([], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        rows.extend(found.map(|row| format!("{table} {:?}", row.unwrap())));
    }
    rows
}

/// Those of one table.
fn of(rows: &BTreeSet<String>, table: &str) -> BTreeSet<String> {
    rows.iter().filter(|row| row.starts_with(table)).cloned().collect()
}

/// Opens the journal with its log cut to `length` as the daemon does; what it holds then.
async fn cut(database: &[u8], log: &[u8], length: usize, folder: &Path) -> BTreeSet<String> {
    let path = folder.join("journal.db");
    for name in ["journal.db-wal", "journal.db-shm"] {
        fs::remove_file(folder.join(name)).ok();
    }
    fs::write(&path, database).unwrap();
    fs::write(folder.join("journal.db-wal"), &log[..length]).unwrap();
    let (journal, closing) =
        Journal::open(&JournalSettings { path: path.clone(), ..JournalSettings::default() })
            .unwrap_or_else(|error| panic!("cut to {length}: {error}"));
    drop(journal);
    closing.wait().await;
    let findings = audit(&path).unwrap().unwrap();
    assert!(findings.ok(), "cut to {length}: {findings:?}");
    let (said, faults) = check(&path).unwrap();
    assert!(said.is_empty() && faults.is_empty(), "cut to {length}: {said:?} {faults:?}");
    rows(&path)
}

#[tokio::test]
async fn cut_at_any_commit_the_journal_opens_and_holds_a_prefix_of_its_history() {
    // One sink takes all, the other refuses all for good.
    let hook = Receiver::start(Answer::Refuse(422)).await;
    let sinks =
        [file("sprites", "image-sprite"), hook.sink("hook", "max_rejects = 'off'")].concat();
    let site = Site::new(&sinks).await;
    let mut daemon = site.start();
    daemon.has_logged("started").await;
    for batch in 0..18 {
        site.add_sprites(batch % 3 + 1);
        site.drained().await;
    }
    site.add_sprites(20);
    until(|| site.lines("sprites.jsonl").len() > 40).await;
    daemon.signal(Signal::SIGKILL);
    daemon.ended_within(std::time::Duration::from_secs(5)).await;

    let database = fs::read(site.path("journal.db")).unwrap();
    let log = fs::read(site.path("journal.db-wal")).unwrap();
    let ends = commits(&log);
    assert!(ends.len() >= 20, "{} commits", ends.len());
    let folder = tempfile::tempdir().unwrap();
    let mut before = cut(&database, &log, HEADER, folder.path()).await;
    assert_eq!(of(&before, "events").len(), 0);
    for (from, to) in ends
        .iter()
        .enumerate()
        .map(|(at, to)| (at.checked_sub(1).map_or(HEADER, |at| ends[at]), *to))
    {
        let torn = cut(&database, &log, from + (to - from) / 2, folder.path()).await;
        assert_eq!(torn, before, "half a commit counts for nothing");
        let after = cut(&database, &log, to, folder.path()).await;
        for table in ["events", "bodies", "dead", "confirmations"] {
            assert!(of(&before, table).is_subset(&of(&after, table)), "{table} at {to}");
        }
        let known = of(&before, "pending");
        let come = |row: &&String| !known.contains(*row);
        let events: BTreeSet<_> = of(&before, "events");
        for row in of(&after, "pending").iter().filter(come) {
            let event = row.split(' ').nth(2).unwrap();
            let is_of_old = events.iter().any(|old| old.contains(&format!("(\"{event} ")));
            assert!(!is_of_old, "{row} at {to}: what is settled is never pending again");
        }
        before = after;
    }
    assert_eq!(cut(&database, &log, log.len(), folder.path()).await, before, "all of it");
    assert!(of(&before, "events").len() > 40);
    println!("cut at {} commits, and in the middle of each", ends.len());

    // What the cloud still has comes again, and the sums add up.
    let middle = ends[ends.len() / 2];
    fs::remove_file(site.path("journal.db-shm")).unwrap();
    fs::write(site.path("journal.db-wal"), &log[..middle]).unwrap();
    let daemon = site.start();
    site.drained().await;
    daemon.stop().await;
    assert_eq!(super::ids(&site.lines("sprites.jsonl")).len(), 56);
    assert_eq!(site.run(&["audit"]).await.code, 0);
}
