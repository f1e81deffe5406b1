//! Standard output, stood in for by a pipe that the test holds the other end of.

use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use sprited::sinks::stdout::Stdout;
use sprited::sinks::{Sink, Verdict};

use super::{context, deliver, event, events, keys, keys_in, offer, retry_error};

fn pipe() -> (std::io::PipeReader, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, File::from(OwnedFd::from(writer)))
}

#[tokio::test]
async fn each_event_is_one_line() {
    let (mut reader, writer) = pipe();
    let sink = Stdout::on(writer, &context("out"));
    let sent = events(&["a", "line\nend\u{2028}", "c"]);
    sink.probe().await.unwrap();
    assert_eq!(deliver(&sink, &sent).await.0, vec![Verdict::Delivered; 3]);
    drop(sink);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(keys_in(&text), keys(&sent));
}

#[tokio::test]
async fn a_reader_that_left_means_retry() {
    let (reader, writer) = pipe();
    drop(reader);
    let sink = Stdout::on(writer, &context("out"));
    let verdict = offer(&sink, &event("a")).await;
    assert!(retry_error(&verdict).contains("closed it: restart sprited"), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reader_that_stalls_holds_up_the_sink_alone_and_gets_nothing_twice() {
    let (mut reader, writer) = pipe();
    let mut context = context("out");
    context.timeout = Duration::from_millis(100);
    let sink = Arc::new(Stdout::on(writer, &context));
    // More than a pipe holds.
    let large = event(&"x".repeat(300_000));
    for _ in 0..3 {
        let verdict = offer(&*sink, &large).await;
        assert!(retry_error(&verdict).contains("read nothing"), "{verdict:?}");
    }
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    let small = event("small");
    // Until the stalled write has ended, answers are Retry.
    while offer(&*sink, &large).await != Verdict::Delivered {}
    assert_eq!(offer(&*sink, &small).await, Verdict::Delivered);
    drop(sink);
    assert_eq!(keys_in(&reading.join().unwrap()), [large.key, small.key]);
}

/// What a pipe has taken of them goes with its reader.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lines_that_a_reader_has_not_read_when_it_leaves_are_not_delivered() {
    let (mut reader, writer) = pipe();
    let sink = Stdout::on(writer, &context("out"));
    // The first ones fit into a pipe, all of them do not.
    let texts: Vec<_> = (0..20).map(|n| format!("{n}{}", "x".repeat(10_000))).collect();
    let sent: Vec<_> = texts.iter().map(|text| event(text)).collect();
    let leaving = std::thread::spawn(move || reader.read_exact(&mut [0]).unwrap());
    let (verdicts, _) = deliver(&sink, &sent).await;
    leaving.join().unwrap();
    for verdict in &verdicts {
        assert!(retry_error(verdict).contains("closed it: restart sprited"), "{verdict:?}");
    }
    assert!(sink.gone().unwrap().is_cancelled());
}

/// As the shell opens it: `>>`.
fn appended(path: &std::path::Path) -> File {
    File::options().append(true).create(true).open(path).unwrap()
}

/// The ids of the lines of events among those of others.
fn events_in(text: &str) -> Vec<sprited::event::Key> {
    let lines = text.lines().filter(|line| line.starts_with('{') && line.ends_with('}'));
    keys_in(&lines.map(|line| format!("{line}\n")).collect::<String>())
}

#[tokio::test]
async fn an_event_begins_a_line_of_its_own_in_a_file_that_others_write_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("so.jsonl");
    fs::write(&path, "whole\ntorn").unwrap();
    let sink = Stdout::on(appended(&path), &context("out"));
    let sent = events(&["a", "b", "c", "d"]);
    assert_eq!(offer(&sink, &sent[0]).await, Verdict::Delivered);
    assert_eq!(offer(&sink, &sent[1]).await, Verdict::Delivered);
    appended(&path).write_all(b"torn again").unwrap();
    assert_eq!(offer(&sink, &sent[2]).await, Verdict::Delivered);
    appended(&path).write_all(b"whole again\n").unwrap();
    assert_eq!(offer(&sink, &sent[3]).await, Verdict::Delivered);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(events_in(&text), keys(&sent), "{text}");
    assert!(text.starts_with("whole\ntorn\n{") && text.contains("\ntorn again\n{"), "{text}");
    assert!(!text.contains("\n\n") && text.contains("\nwhole again\n{"), "{text}");
}

/// `(printf torn; sprited run) > FILE`: what stands before an event is at the place of the
/// descriptor, not at the end.
#[tokio::test]
async fn what_stands_before_the_place_of_the_descriptor_counts() {
    let folder = tempfile::tempdir().unwrap();
    for (before, expected) in [("torn", "torn\n{"), ("whole\n", "whole\n{"), ("", "{")] {
        let path = folder.path().join("so.jsonl");
        let mut file = File::create(&path).unwrap();
        file.write_all(before.as_bytes()).unwrap();
        let sink = Stdout::on(file, &context("out"));
        assert_eq!(offer(&sink, &event("a")).await, Verdict::Delivered);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(expected), "{text}");
    }
}
