//! Files beside a sink's own that look like it: another sink's, and those of other programs.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use sprited::journal::{EventRow, EventState, JournalReader};

use super::daemon::Daemon;
use super::{Site, file, ids};
use crate::support::until;

/// A sink `one` that gets nothing done, since a folder is in the place of its file, and a sink
/// `all` that has taken five events, in a daemon that was killed.
async fn blocked(one: &str, all: &str, more: &str) -> Site {
    let sink = |name: &str, file: &str| {
        format!(
            "[[sinks]]\nname = '{name}'\ntype = 'jsonl'\npath = 'DIR/{file}'\nevents = ['*']\n\
             {more}\n"
        )
    };
    let site = Site::new(&(sink("one", one) + &sink("all", all))).await;
    let mut daemon = site.start();
    daemon.has_logged("started").await;
    until(|| site.path(one).is_file()).await;
    block(&site, one);
    site.add_sprites(5);
    until(|| site.lines(all).len() == 5).await;
    // What the neighbour has is known: only the one that is blocked has to be asked after it.
    until(|| settled_at(&site, "all") == 5).await;
    kill(&mut daemon).await;
    site
}

fn block(site: &Site, file: &str) {
    fs::remove_file(site.path(file)).unwrap();
    fs::create_dir(site.path(file)).unwrap();
}

async fn kill(daemon: &mut Daemon) {
    daemon.signal(Signal::SIGKILL);
    assert_eq!(daemon.ended_within(Duration::from_secs(5)).await, 128 + 9);
}

/// How many events that sink has taken, as the journal has it.
fn settled_at(site: &Site, sink: &str) -> usize {
    let reader = JournalReader::open(&site.path("journal.db")).unwrap();
    let has = |found: &EventRow| {
        let states = reader.sinks_of(found.id).unwrap();
        states.iter().any(|at| at.sink == sink && at.state == EventState::Delivered)
    };
    site.journaled(None).iter().filter(|found| has(found)).count()
}

/// Takes the folder away, starts the daemon again, and waits until all is confirmed.
async fn unblocked(site: &Site, one: &str) {
    fs::remove_dir(site.path(one)).unwrap();
    finish(site).await;
}

async fn finish(site: &Site) {
    let daemon = site.start();
    site.drained().await;
    until(|| settled_at(site, "one") == 5).await;
    daemon.stop().await;
    assert_eq!(site.run(&["audit"]).await.code, 0);
}

#[tokio::test]
async fn what_a_neighbour_holds_is_not_delivered_however_its_file_is_named() {
    for (one, all) in [
        ("events", "events.all.jsonl"),
        ("events", "events-all"),
        ("events.jsonl", "events.jsonl.1"),
        ("events.jsonl", "events.jsonl-20260101"),
        ("events.jsonl", "events-20260102T030405.678Z.jsonl"),
    ] {
        for format in ["cloudevents", "callback"] {
            let site = blocked(one, all, &format!("format = '{format}'")).await;
            unblocked(&site, one).await;
            for file in [one, all] {
                let lines = fs::read_to_string(site.path(file)).unwrap().lines().count();
                assert_eq!(lines, 5, "in {file}, beside {one} and {all}, {format}");
            }
        }
    }
}

/// What the neighbour rotated holds the same events.
#[tokio::test]
async fn what_a_neighbour_rotated_is_not_delivered_either() {
    let more = "rotate_size = '1KiB'\ncompress = 'gzip'\nkeep = 100";
    let site = blocked("events", "events-all", more).await;
    unblocked(&site, "events").await;
    let mut lines = 0;
    for entry in fs::read_dir(site.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("events") && !name.starts_with("events-all") {
            lines += text(&path).lines().count();
        }
    }
    assert_eq!(lines, 5);
}

/// The text of a file, compressed or not.
fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let mut text = String::new();
    match path.extension() {
        Some(ending) if ending == "gz" => {
            flate2::read::MultiGzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
        }
        _ => text = String::from_utf8(bytes).unwrap(),
    }
    text
}

/// Somebody puts the neighbour's file in the place of the sink's own.
#[tokio::test]
async fn a_file_that_was_put_in_its_place_is_not_the_sinks_own() {
    let site = blocked("one.jsonl", "all.jsonl", "").await;
    fs::remove_dir(site.path("one.jsonl")).unwrap();
    fs::rename(site.path("all.jsonl"), site.path("one.jsonl")).unwrap();
    finish(&site).await;
    let lines = site.lines("one.jsonl");
    assert_eq!((lines.len(), ids(&lines).len()), (10, 5), "written again, beside the neighbour's");
}

/// Two files change their names with each other: what stood in one and was recorded is at the
/// other's place now, and the other goes on in it.
#[tokio::test]
async fn files_that_were_swapped_belong_to_nobody() {
    let site = blocked("one.jsonl", "all.jsonl", "").await;
    fs::remove_dir(site.path("one.jsonl")).unwrap();
    // A file of its own that the sink knows by its mark, in the neighbour's place.
    let mut daemon = site.start();
    site.drained().await;
    kill(&mut daemon).await;
    let swap = |a: &str, b: &str| {
        fs::rename(site.path(a), site.path("swap")).unwrap();
        fs::rename(site.path(b), site.path(a)).unwrap();
        fs::rename(site.path("swap"), site.path(b)).unwrap();
    };
    swap("one.jsonl", "all.jsonl");
    fs::rename(site.path("one.jsonl"), site.path("aside")).unwrap();
    fs::create_dir(site.path("one.jsonl")).unwrap();
    // The neighbour goes on in the file that the sink's mark names.
    let mut daemon = site.start();
    daemon.has_logged("started").await;
    site.add_sprites(3);
    until(|| settled_at(&site, "all") == 8).await;
    kill(&mut daemon).await;
    fs::remove_dir(site.path("one.jsonl")).unwrap();
    let daemon = site.start();
    site.drained().await;
    daemon.stop().await;
    site.assert_once("one.jsonl", 3);
    site.assert_once("all.jsonl", 8);
}

/// By another name, to the same file: refused by the check, at the start and at a reload.
#[tokio::test]
async fn a_file_of_two_sinks_is_refused_however_it_is_called() {
    let sink = |name: &str| file(name, "*");
    let site = Site::new(&(sink("one") + &sink("two"))).await;
    let daemon = site.start();
    daemon.has_logged("started").await;
    until(|| site.path("one.jsonl").exists() && site.path("two.jsonl").exists()).await;
    fs::remove_file(site.path("two.jsonl")).unwrap();
    fs::hard_link(site.path("one.jsonl"), site.path("two.jsonl")).unwrap();
    daemon.signal(Signal::SIGHUP);
    let refused = || daemon.log().contains("is the same file as");
    until(refused).await;
    site.add_sprites(3);
    until(|| site.lines("one.jsonl").len() == 3).await;
    daemon.stop().await;
    for arguments in [&["check", "--offline"][..], &["run"]] {
        let ended = site.run(arguments).await;
        assert_eq!(ended.code, 78, "{}", ended.log);
        let said = ended.log + &fs::read_to_string(site.path("stdout")).unwrap();
        assert!(said.contains("is the same file as"), "{said}");
    }
    assert_eq!(site.lines("one.jsonl").len(), 3, "nobody else has written to it");
    fs::remove_file(site.path("two.jsonl")).unwrap();
    let daemon = site.start();
    site.drained().await;
    daemon.stop().await;
    site.assert_once("one.jsonl", 3);
    site.assert_once("two.jsonl", 3);
}

/// The sink's file is moved away by another program, and a kill comes whenever it likes.
#[tokio::test]
async fn a_file_that_is_moved_again_and_again_repeats_nothing_through_kills() {
    let site = Site::new(&file("one", "*")).await;
    for round in 0..6 {
        let mut daemon = site.start();
        daemon.has_logged("started").await;
        for part in 0..3 {
            site.add_sprites(4);
            let lines = || site.lines("one.jsonl").len();
            until(|| lines() > 0).await;
            fs::rename(site.path("one.jsonl"), site.path(&format!("{round}.{part}"))).unwrap();
            daemon.signal(Signal::SIGHUP);
        }
        site.add_sprites(4);
        until(|| !site.lines("one.jsonl").is_empty()).await;
        kill(&mut daemon).await;
    }
    let daemon = site.start();
    site.drained().await;
    daemon.stop().await;
    let mut lines = site.lines("one.jsonl");
    for round in 0..6 {
        for part in 0..3 {
            lines.extend(site.lines(&format!("{round}.{part}")));
        }
    }
    assert_eq!((lines.len(), ids(&lines).len()), (96, 96));
}
