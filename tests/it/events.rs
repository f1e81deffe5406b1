//! `sprited events` over the real binary, beside a journal that is open for writing.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sprited::event::{self, AppId, EntryReader, Event, Wanted};
use sprited::journal::{
    Closing, DeliveryOutcome, DeliveryRecord, EventId, Journal, JournalSettings, On, Route,
    RouteAfter, SinkId, feed,
};
use tempfile::TempDir;

use crate::cli::{Ended, ended, sprited};
use crate::support::data;

/// A journal as a daemon with the sinks `a`, `hook` and `sprites` has it open.
struct Bench {
    folder: TempDir,
    journal: Journal,
    closing: Closing,
    sinks: Vec<SinkId>,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            JournalSettings { path: folder.path().join("j.db"), ..JournalSettings::default() };
        write_config(folder.path(), &settings.path);
        let (journal, closing) = Journal::open(&settings).unwrap();
        let names = ["a", "hook", "sprites"].map(str::to_owned).to_vec();
        let sinks = journal.register(names).await.unwrap();
        let wanted: [&[&str]; 3] = [&["T"], &["*"], &["image-sprite"]];
        let route = |(sink, wanted): (&SinkId, &[&str])| Route {
            sink: *sink,
            wanted: Wanted::from(wanted.iter().map(ToString::to_string).collect::<Vec<_>>()),
            feed: feed().0,
            after: None,
        };
        journal
            .set_routes(sinks.iter().zip(wanted).map(route).collect(), Utc::now())
            .await
            .unwrap();
        Self { folder, journal, closing, sinks }
    }

    async fn append(&self, text: &str, pulled: DateTime<Utc>) -> (EventId, Arc<Event>) {
        let entry = event::read(AppId(1_500_012_345), text, false, pulled);
        let event = entry.event.clone();
        let appended = self.journal.append(vec![entry], pulled).await.unwrap();
        let key = appended[0].key;
        (appended[0].id, Arc::new(Event { key, ..Event::clone(&event) }))
    }

    async fn record(&self, sink: usize, event: EventId, outcome: DeliveryOutcome) {
        let records = vec![DeliveryRecord { event, outcome, mirrored: Vec::new() }];
        self.journal.record(self.sinks[sink], records, None, Utc::now()).await.unwrap();
    }

    /// Waits for what was recorded: it shares the commit of an append.
    async fn commit(&self) {
        self.journal.due_now(self.sinks[0], Utc::now()).await.unwrap();
    }

    fn events(&self, arguments: &[&str]) -> Ended {
        let config = self.folder.path().join("sprited.toml");
        let (command, rest) = arguments.split_first().unwrap();
        ended(sprited().args(["events", command, "--config"]).arg(config).args(rest))
    }

    fn lines(&self, arguments: &[&str]) -> Vec<String> {
        let Ended { code, out, err } = self.events(arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        out.lines().map(str::to_owned).collect()
    }

    /// The events of a list, without its header.
    fn rows(&self, arguments: &[&str]) -> Vec<String> {
        let mut lines = self.lines(arguments);
        assert!(lines[0].starts_with("KEY "), "{lines:#?}");
        lines.remove(0);
        lines
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments = [arguments, &["--json"]].concat();
        let lines = self.lines(&arguments);
        lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    async fn close(self) {
        drop(self.journal);
        self.closing.wait().await;
    }
}

fn write_config(folder: &Path, journal: &Path) -> PathBuf {
    let path = folder.join("sprited.toml");
    let journal = toml::Value::from(journal.to_str().unwrap());
    let text = format!("[journal]\npath = {journal}\n[[sinks]]\nname = \"a\"\ntype = \"stdout\"\n");
    std::fs::write(&path, text).unwrap();
    path
}

fn plain(number: u32) -> String {
    format!(r#"{{"EventType":"T","TEvent":{{"TaskId":"task-{number}","FileId":"file-{number}"}}}}"#)
}

fn ago(hours: i64) -> DateTime<Utc> {
    Utc::now() - TimeDelta::hours(hours)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_one_event_a_line_the_newest_first() {
    let bench = Bench::new().await;
    let (old, old_event) = bench.append(&plain(1), ago(5)).await;
    let (done, _) = bench.append(&plain(2), ago(3)).await;
    let (_, sprite) =
        bench.append(&data("create_image_sprite_complete.success.json"), ago(1)).await;
    for sink in [0, 1] {
        bench.record(sink, done, DeliveryOutcome::Delivered).await;
    }
    let retry = |error: &str| DeliveryOutcome::Retry {
        due: Utc::now() + TimeDelta::hours(1),
        charged: Duration::ZERO,
        error: error.to_owned(),
    };
    bench.record(0, old, DeliveryOutcome::Delivered).await;
    bench.record(1, old, retry("first")).await;
    bench.record(1, old, DeliveryOutcome::Dead { error: "second".to_owned() }).await;
    bench.commit().await;

    let lines = bench.rows(&["list"]);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>().join(" ");
    let short = |event: &Event| event.key.to_string()[..12].to_owned();
    let time = |event: &Event| event.first_pulled.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let file = sprite.file_id.as_deref().unwrap();
    assert_eq!(
        words(0),
        format!(
            "{} {} CreateImageSpriteComplete {file} pending hook: not tried, sprites: not tried",
            short(&sprite),
            time(&sprite)
        )
    );
    assert!(words(1).ends_with(" T file-2 delivered"), "{lines:#?}");
    assert_eq!(
        words(2),
        format!(
            "{} {} T file-1 dead hook: dead after 2 attempts, first: first, last: second",
            short(&old_event),
            time(&old_event)
        )
    );
    assert!(lines.iter().all(|line| line.trim_end() == line), "{lines:#?}");

    let files = |arguments: &[&str]| -> Vec<String> {
        let arguments = [&["list"], arguments].concat();
        let found = bench.json(&arguments);
        found.iter().map(|line| line["file_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(files(&["--state", "dead"]), ["file-1"]);
    assert_eq!(files(&["--state", "delivered"]), ["file-2"]);
    assert_eq!(files(&["--state", "pending"]), [file]);
    assert_eq!(files(&["--state", "unrouted"]), [""; 0]);
    assert_eq!(files(&["--sink", "sprites"]), [file]);
    assert_eq!(files(&["--type", "T"]), ["file-2", "file-1"]);
    assert_eq!(files(&["--file", "file-1"]), ["file-1"]);
    assert_eq!(files(&["--task", "task-2"]), ["file-2"]);
    assert_eq!(files(&["--since", "2h"]), [file]);
    assert_eq!(files(&["--since", "4h", "--until", "2h"]), ["file-2"]);
    assert_eq!(files(&["--until", &ago(4).to_rfc3339()]), ["file-1"]);
    assert_eq!(files(&["--limit", "2"]), [file, "file-2"]);

    let all = bench.json(&["list"]);
    assert_eq!(all[2]["key"], old_event.key.to_string());
    assert_eq!((&all[2]["state"], &all[2]["type"]), (&"dead".into(), &"T".into()));
    assert_eq!((&all[2]["app"], &all[2]["task_id"]), (&1_500_012_345_u64.into(), &"task-1".into()));
    let sinks = &all[2]["sinks"];
    assert_eq!((&sinks[0]["sink"], &sinks[0]["state"]), (&"a".into(), &"delivered".into()));
    assert_eq!((&sinks[1]["sink"], &sinks[1]["attempts"]), (&"hook".into(), &2.into()));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_read_to_its_limit_and_says_what_it_leaves_out() {
    let bench = Bench::new().await;
    for number in 0..250 {
        bench.append(&plain(number), Utc::now()).await;
    }
    let found = bench.json(&["list", "--limit", "1000"]);
    let files: Vec<_> = found.iter().map(|line| line["file_id"].clone()).collect();
    let expected: Vec<_> = (0..250).rev().map(|number| format!("file-{number}")).collect();
    assert_eq!(files, expected);
    for (arguments, listed, says) in [
        (&["list"][..], 20, "20 of 250 events; the next: --before "),
        (&["list", "--limit", "230"], 230, "230 of 250 events; the next: --before "),
        (&["list", "--limit", "1", "--since", "1h"], 1, "1 of 250 events; the next: --before "),
    ] {
        let Ended { code, out, err } = bench.events(arguments);
        assert_eq!((code, out.lines().count()), (0, 1 + listed), "{arguments:?}");
        let key = out.lines().last().unwrap().split_whitespace().next().unwrap();
        assert_eq!(err, format!("{says}{key}\n"));
    }
    assert_eq!(bench.events(&["list", "--limit", "0"]).err, "0 of 250 events\n");
    assert_eq!(bench.rows(&["list", "--limit", "250"]).len(), 250);
    assert_eq!(bench.json(&["list"]).len(), 20);

    // Page by page, as the last line of each says.
    let mut rows = Vec::new();
    let mut before: Option<String> = None;
    loop {
        let mut page = vec!["list", "--limit", "100"];
        page.extend(before.iter().flat_map(|key| ["--before", key]));
        let Ended { code, out, err } = bench.events(&page);
        assert_eq!(code, 0, "{err}");
        rows.extend(out.lines().skip(1).map(|line| line.split("file-").nth(1).unwrap().to_owned()));
        before = err.trim_end().split_once("--before ").map(|(_, key)| key.to_owned());
        let left = 250 - rows.len();
        let said = match rows.len() {
            100 => "100 of 250 events; ".to_owned(),
            200 => "100 of 150 older events; ".to_owned(),
            _ => String::new(),
        };
        assert!(err.starts_with(&said) && err.is_empty() == (left == 0), "{err}");
        if before.is_none() {
            break;
        }
    }
    let files: Vec<_> = rows.iter().map(|row| row.split_whitespace().next().unwrap()).collect();
    assert_eq!(files, (0..250).rev().map(|number| number.to_string()).collect::<Vec<_>>());
    let Ended { code, err, .. } = bench.events(&["list", "--before", &"0".repeat(32)]);
    assert!(code == 1 && err.contains("no event whose key begins with 000"), "{err}");
    bench.close().await;
}

/// In cron, nothing would be sent by mail.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_all_there_is_says_so_at_a_terminal_alone() {
    let bench = Bench::new().await;
    bench.append(&plain(1), Utc::now()).await;
    let pty = "import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    for (more, says) in [
        (&[][..], "1 event"),
        (&["--state", "dead"], "no events"),
        (&["--group", "error"], "no dead letters"),
    ] {
        let arguments = [&["list"], more].concat();
        bench.lines(&arguments);
        let mut command = std::process::Command::new("python3");
        command.args(["-c", pty, env!("CARGO_BIN_EXE_sprited"), "events"]).args(&arguments);
        command.arg("--config").arg(bench.folder.path().join("sprited.toml"));
        let Ended { code, out, err } = ended(command.stdin(Stdio::null()));
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
        assert_eq!(out.lines().last(), Some(says), "{arguments:?}: {out}");
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_begins_at_midnight_in_utc() {
    let bench = Bench::new().await;
    for (number, pulled) in [(1, "2026-11-29T23:59:59.999Z"), (2, "2026-11-30T00:00:00Z")] {
        bench.append(&plain(number), pulled.parse().unwrap()).await;
    }
    for (option, file) in [("--since", "file-2"), ("--until", "file-1")] {
        let found = bench.json(&["list", option, "2026-11-30"]);
        assert!(found.len() == 1 && found[0]["file_id"] == file, "{option}: {found:?}");
    }
    let Ended { code, err, .. } = bench.events(&["list", "--since", "2026-11-31"]);
    assert!(code == 64 && err.contains("a date such as 2026-01-31 (midnight in UTC)"), "{err}");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_no_event_can_have_meant_is_named() {
    let bench = Bench::new().await;
    let unknown = |arguments: &[&str], says: &str| {
        let Ended { code, out, err } = bench.events(arguments);
        assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}: {err}");
        let expected = format!(": no event has it, and it is not documented; {says}\n");
        assert!(err.starts_with("sprited: unknown type \"") && err.ends_with(&expected), "{err}");
    };
    unknown(&["list", "--type", "Q"], "the journal has no events yet");
    bench.append(&plain(1), Utc::now()).await;
    bench.append(r#"{"EventType":"MediaCastStart"}"#, Utc::now()).await;
    let meant = "did you mean \"CreateImageSpriteComplete\"?";
    for slip in ["createimagespritecomplete", "CreateImageSpriteCompleted"] {
        unknown(&["list", "--type", slip], meant);
        unknown(&["list", "--type", slip, "--json"], meant);
        unknown(&["redeliver", "--type", slip, "--sink", "a", "--yes"], meant);
        unknown(&["discard", "--type", slip, "--yes"], meant);
    }
    unknown(&["list", "--type", "MediaCastStarted"], "did you mean \"MediaCastStart\"?");
    unknown(&["list", "--type", "Gadget"], "the journal has MediaCastStart, T");
    // One that is documented may come yet, and one that came need not be documented.
    assert_eq!(bench.json(&["list", "--type", "PullComplete"]), [Value::Null; 0]);
    assert_eq!(bench.json(&["list", "--type", "T"]).len(), 1);

    // Whoever follows events may wait for the first.
    let mut tail = sprited();
    tail.args(["tail", "--type", "Gadget", "--config"])
        .arg(bench.folder.path().join("sprited.toml"));
    let mut tail = tail.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(tail.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.ends_with("the journal has MediaCastStart, T; waiting for the first\n"), "{said}");
    bench.append(r#"{"EventType":"Gadget"}"#, Utc::now()).await;
    let mut line = String::new();
    BufReader::new(tail.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("  Gadget  "), "{line}");
    tail.kill().unwrap();
    tail.wait().unwrap();
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_an_event_arrived_is_listed_unless_it_was_pulled() {
    let bench = Bench::new().await;
    let (_, pulled) = bench.append(&plain(1), ago(3)).await;
    let lines = bench.rows(&["list"]);
    assert!(lines[0].contains("Z  T     file-1"), "{lines:#?}");
    let mut reader = EntryReader::default();
    let app = AppId(1_500_012_345);
    let entries = [
        reader.read_posted(app, &plain(2), false, ago(2)).entry,
        reader.read_reconciled(app, &plain(3), ago(1)),
    ];
    bench.journal.append(entries.to_vec(), ago(1)).await.unwrap();
    let lines = bench.rows(&["list"]);
    let origins = lines.iter().map(|line| line.split_whitespace().nth(2).unwrap());
    assert_eq!(origins.collect::<Vec<_>>(), ["reconcile", "callback", "-"], "{lines:#?}");

    let all = bench.json(&["list"]);
    let origins: Vec<_> = all.iter().map(|line| line["origin"].clone()).collect();
    assert_eq!(origins, ["reconcile".into(), "callback".into(), Value::Null]);
    for (origin, file) in [("queue", 1), ("callback", 2), ("reconcile", 3)] {
        let found = bench.json(&["list", "--origin", origin]);
        assert_eq!(found.len(), 1, "{origin}: {found:?}");
        assert_eq!(found[0]["file_id"], format!("file-{file}"));
    }
    assert_eq!(bench.events(&["list", "--origin", "mail"]).code, 64);

    let show = |key: &str| bench.lines(&["show", key]);
    let posted = show(&entries[0].event.key.to_string());
    for said in ["origin        callback", "confirmed     -"] {
        assert!(posted.iter().any(|line| line == said), "{said} is missing from {posted:#?}");
    }
    let shown = show(&pulled.key.to_string());
    assert!(shown.iter().any(|line| line == "confirmed     not yet"), "{shown:#?}");
    assert!(!shown.iter().any(|line| line.starts_with("origin")), "{shown:#?}");
    let Ended { out, .. } = bench.events(&["show", &entries[1].event.key.to_string(), "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["origin"], "reconcile");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_shown_with_all_that_became_of_it() {
    let bench = Bench::new().await;
    let text = data("procedure_state_changed.two_sprites_mixed.json");
    let (id, event) = bench.append(&text, ago(1)).await;
    bench.record(2, id, DeliveryOutcome::Delivered).await;
    for error in ["no answer", "answered 500\u{1b}[2J"] {
        let due = "2030-01-01T00:00:00Z".parse().unwrap();
        let outcome =
            DeliveryOutcome::Retry { due, charged: Duration::ZERO, error: error.to_owned() };
        bench.record(1, id, outcome).await;
    }
    bench.journal.confirmed(vec![id], "2026-01-02T03:04:05.678Z".parse().unwrap()).await.unwrap();
    bench.commit().await;

    let key = event.key.to_string();
    let lines = bench.lines(&["show", &key[..12]]);
    for said in [
        &format!("key           {key}"),
        "type          ProcedureStateChanged",
        "state         pending",
        "application   1500012345",
        "confirmed     2026-01-02T03:04:05.678Z",
        "  sprites: delivered",
        "  hook: pending after 2 attempts, next try 2030-01-01T00:00:00Z",
    ] {
        assert!(lines.iter().any(|line| line == said), "{said} is missing from {lines:#?}");
    }
    let shown = lines.join("\n");
    assert!(shown.contains("    failed ") && shown.contains(": no answer\n"), "{shown}");
    assert!(shown.contains(r": answered 500\u{1b}[2J"), "{shown}");
    assert!(shown.contains("  done, definition ") && shown.contains("  failed, "), "{shown}");
    assert!(shown.contains("    sheet http"), "{shown}");
    let (_, body) = shown.split_once("\nevent\n").unwrap();
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(value(body), value(&event.body));
    assert!(body.lines().count() > 20, "{body}");

    let Ended { code, out, .. } = bench.events(&["show", &key, "--json"]);
    let whole = value(&out);
    assert_eq!((code, &whole["key"]), (0, &key.clone().into()));
    assert_eq!(whole["event"], value(&event.body));
    assert_eq!(whole["sprites"].as_array().map(Vec::len), Some(event.sprites.len()));
    assert_eq!(whole["sinks"][0]["last_error"], "answered 500\u{1b}[2J");
    assert_eq!(whole["replaced"], false);
    // The beginning in capitals is the same beginning.
    assert_eq!(bench.events(&["show", &key[..12].to_uppercase()]).code, 0);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_which_sinks_get_an_event_after_another() {
    let bench = Bench::new().await;
    let [a, hook, sprites] = bench.sinks[..].try_into().unwrap();
    let route = |sink, after: Option<SinkId>| Route {
        sink,
        wanted: Wanted::from(vec!["*".to_owned()]),
        feed: feed().0,
        after: after.map(|sink| RouteAfter { sink, on: On::Settled }),
    };
    let routes = vec![route(a, None), route(hook, Some(a)), route(sprites, Some(a))];
    bench.journal.set_routes(routes, Utc::now()).await.unwrap();
    let (id, event) = bench.append(&plain(1), ago(1)).await;
    let key = event.key.to_string();
    let shown = bench.lines(&["show", &key]);
    let said = "  a: pending, not tried, then hook and sprites";
    assert!(shown.iter().any(|line| line == said), "{shown:#?}");
    assert!(!shown.iter().any(|line| line.starts_with("  hook")), "{shown:#?}");
    let listed = bench.rows(&["list"]);
    assert!(listed[0].ends_with(" pending  a: not tried, then hook and sprites"), "{listed:#?}");
    let then = serde_json::json!(["hook", "sprites"]);
    assert_eq!(bench.json(&["list"])[0]["sinks"][0]["then"], then);

    let failed = DeliveryOutcome::Retry {
        due: Utc::now() + TimeDelta::hours(1),
        charged: Duration::ZERO,
        error: "no answer".to_owned(),
    };
    bench.record(0, id, failed).await;
    bench.commit().await;
    let shown = bench.lines(&["show", &key]);
    let said = |line: &String| {
        line.starts_with("  a: pending after 1 attempt, next try 20")
            && line.ends_with("Z, then hook and sprites")
    };
    assert!(shown.iter().any(said), "{shown:#?}");
    let listed = bench.rows(&["list"]);
    assert!(listed[0].ends_with(" pending  a: 1 attempt, then hook and sprites"), "{listed:#?}");

    bench.record(0, id, DeliveryOutcome::Delivered).await;
    bench.commit().await;
    let shown = bench.lines(&["show", &key]).join("\n");
    assert!(shown.contains("\n  a: delivered "), "{shown}");
    assert!(shown.contains("\n  hook: pending") && !shown.contains("then"), "{shown}");
    assert!(bench.json(&["list"])[0]["sinks"][0].get("then").is_none());
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_is_shown_with_its_time_and_its_error_where_that_changes() {
    let bench = Bench::new().await;
    let (id, event) = bench.append(&plain(1), ago(1)).await;
    let (_, at_once) = bench.append(&plain(2), ago(1)).await;
    let key = event.key.to_string();
    let at = |time: &str| -> DateTime<Utc> { format!("2026-{time}Z").parse().unwrap() };
    let record = async |outcome, time: &str| {
        let records = vec![DeliveryRecord { event: id, outcome, mirrored: Vec::new() }];
        bench.journal.record(bench.sinks[1], records, None, at(time)).await.unwrap();
    };
    let due = at("12-02T01:00:00");
    let failed = |error: &str| DeliveryOutcome::Retry {
        due,
        charged: Duration::ZERO,
        error: error.to_owned(),
    };
    let hook = async || -> Vec<String> {
        bench.journal.prune(Utc::now()).await.unwrap();
        let lines = bench.lines(&["show", &key]).into_iter();
        let lines = lines.skip_while(|line| !line.starts_with("  hook"));
        lines.take_while(|line| !line.is_empty()).map(|line| line.trim_start().to_owned()).collect()
    };

    record(failed("answered 503"), "12-01T23:59:30").await;
    record(failed("answered 503"), "12-01T23:59:50").await;
    record(failed("answered 503"), "12-02T00:00:20").await;
    record(failed("no answer"), "12-02T00:01:00").await;
    let mut expected = vec![
        "hook: pending after 4 attempts, next try 2026-12-02T01:00:00Z",
        "failed 2026-12-01T23:59:30Z, 23:59:50Z, 2026-12-02T00:00:20Z: answered 503",
        "failed 2026-12-02T00:01:00Z: no answer",
    ];
    assert_eq!(hook().await, expected);
    record(DeliveryOutcome::Dead { error: "gone".to_owned() }, "12-02T01:00:00").await;
    expected[0] = "hook: dead after 5 attempts";
    expected.push("failed 2026-12-02T01:00:00Z: gone");
    assert_eq!(hook().await, expected);

    // What it failed with before stays known, and is not told from what comes after.
    assert_eq!(bench.events(&["redeliver", &key, "--sink", "hook", "--yes"]).code, 0);
    let pending = "hook: pending, not tried since it was redelivered, next try ";
    assert!(hook().await[0].starts_with(pending), "{:#?}", hook().await);
    assert_eq!(hook().await[1..], expected[1..]);
    record(failed("gone"), "12-02T02:00:00").await;
    record(DeliveryOutcome::Delivered, "12-02T02:00:10").await;
    expected[0] = "hook: delivered 2026-12-02T02:00:10Z";
    expected[3] = "failed 2026-12-02T01:00:00Z, 02:00:00Z: gone";
    assert_eq!(hook().await, expected);

    let Ended { out, .. } = bench.events(&["show", &key, "--json"]);
    let shown = serde_json::from_str::<Value>(&out).unwrap();
    let sink = &shown["sinks"][1];
    assert_eq!(sink["delivered"], "2026-12-02T02:00:10Z");
    let attempts = sink["last_attempts"].as_array().unwrap();
    let attempt = |at: &str, error: Option<&str>| serde_json::json!({ "at": at, "error": error });
    assert_eq!(attempts.len(), 7);
    assert_eq!(attempts[2], attempt("2026-12-02T00:00:20Z", Some("answered 503")));
    assert_eq!(attempts[6], attempt("2026-12-02T02:00:10Z", None));

    // No more of them are kept than anybody reads.
    assert_eq!(bench.events(&["redeliver", &key, "--sink", "hook", "--yes"]).code, 0);
    for minute in 0..25 {
        record(failed("down"), &format!("12-03T00:{minute:02}:00")).await;
        // Once the delivery is the oldest one that is kept.
        if minute == 18 {
            let shown = hook().await;
            assert_eq!(shown[1], "delivered 2026-12-02T02:00:10Z", "{shown:#?}");
            let path = bench.folder.path().join("j.db");
            let found = sprited::journal::audit(&path).unwrap().unwrap();
            assert!(found.ok(), "{found:#?}");
        }
    }
    let shown = hook().await;
    assert_eq!(shown[0], "hook: pending after 25 attempts, next try 2026-12-02T01:00:00Z");
    assert_eq!(shown[1], "first failure 2026-12-03T00:00:00Z: down");
    assert!(shown[2].starts_with("failed 2026-12-03T00:05:00Z, 00:06:00Z, "), "{shown:#?}");
    assert!(shown[2].ends_with(", 00:24:00Z: down") && shown.len() == 3, "{shown:#?}");
    assert_eq!(shown[2].matches("Z").count(), 20);

    // The others have none.
    let shown = bench.lines(&["show", &at_once.key.to_string()]).join("\n");
    assert!(shown.contains("\n  hook: pending, not tried\n"), "{shown}");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_pruned_is_said_to_be() {
    let bench = Bench::new().await;
    let (_, event) = bench.append(&plain(1), Utc::now()).await;
    let connection = rusqlite::Connection::open(bench.folder.path().join("j.db")).unwrap();
    connection.execute("DELETE FROM bodies", []).unwrap();
    drop(connection);
    let key = event.key.to_string();
    let lines = bench.lines(&["show", &key]);
    assert!(lines.last().unwrap().contains("pruned for space"), "{lines:#?}");
    let Ended { out, .. } = bench.events(&["show", &key, "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["event"], Value::Null);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_stay_and_escape_sequences_never_reach_the_terminal() {
    let bench = Bench::new().await;
    let text = "{\"EventType\":\"T\",\"TEvent\":{\"FileId\":\"\u{202e}txt.exe\",\
                \"Name\":\"\u{9b}2J \\u001b[31m \u{7f}ü\",\"N\":123456789012345678901234567890.10}}";
    let (_, event) = bench.append(text, Utc::now()).await;
    let key = event.key.to_string();
    for arguments in
        [&["list"][..], &["list", "--json"], &["show", &key], &["show", &key, "--json"]]
    {
        let Ended { code, out, .. } = bench.events(arguments);
        assert_eq!(code, 0);
        let unseen = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!out.contains(unseen), "{arguments:?}: {out:?}");
        if arguments[0] == "show" {
            assert!(out.contains(r#""Name": "\u009b2J \u001b[31m \u007fü""#), "{out}");
            assert!(out.contains("\"N\": 123456789012345678901234567890.10"), "{out}");
        }
    }
    assert!(bench.rows(&["list"])[0].contains(r"\u{202e}txt.exe"));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_of_several_keys_names_them() {
    let bench = Bench::new().await;
    let mut keys = Vec::new();
    for number in 0..40 {
        keys.push(bench.append(&plain(number), Utc::now()).await.1.key.to_string());
    }
    keys.sort();
    // Of 40 keys two begin with the same of 16 digits.
    let shared = keys.windows(2).find(|pair| pair[0][..1] == pair[1][..1]).unwrap();
    let Ended { code, out, err } = bench.events(&["show", &shared[0][..1]]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains(&shared[0]) && err.contains(&shared[1]), "{err}");
    assert!(err.contains("T  pending"), "{err}");

    let missing =
        (0..=0xfff).map(|n| format!("{n:03x}")).find(|n| keys.iter().all(|k| !k.starts_with(n)));
    let missing = missing.unwrap();
    let Ended { code, out, err } = bench.events(&["show", &missing]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("no event whose key begins with") && err.contains(&missing), "{err}");
    for wrong in ["", "xyz", "0123456789abcdef0123456789abcdef0"] {
        let Ended { code, err, .. } = bench.events(&["show", wrong]);
        assert_eq!(code, 64, "{wrong}: {err}");
    }
    assert_eq!(bench.events(&["list", "--since", "yesterday"]).code, 64);
    bench.close().await;
}

#[test]
fn without_a_journal_it_says_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("none.db");
    let config = write_config(folder.path(), &journal);
    let list = || ended(sprited().args(["events", "list", "--config"]).arg(&config));
    let Ended { code, out, err } = list();
    assert_eq!((code, out.as_str()), (74, ""));
    assert!(err.contains(journal.to_str().unwrap()) && err.contains("sprited run"), "{err}");
    assert!(!journal.exists());

    std::fs::write(&journal, "this is a letter, and no journal at all".repeat(100)).unwrap();
    let Ended { code, err, .. } = list();
    assert_eq!(code, 74);
    assert!(err.contains(journal.to_str().unwrap()), "{err}");

    std::fs::write(&config, "[journal]\npth = 1\n").unwrap();
    let Ended { code, err, .. } = list();
    assert_eq!(code, 78);
    assert!(err.contains("sprited.toml:2: unknown key \"pth\""), "{err}");
}

#[tokio::test]
async fn mistakes_elsewhere_in_the_file_are_told_and_hold_up_nothing() {
    let bench = Bench::new().await;
    bench.append(&plain(1), ago(1)).await;
    let config = bench.folder.path().join("sprited.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    let unknown: String = (1..=6).map(|n| format!("colour{n} = 'red'\n")).collect();
    let broken = format!("{good}[http]\nlisten = '127.0.0.1:1'\n[vod]\nsub_app_id = []\n{unknown}");
    std::fs::write(&config, broken).unwrap();
    let backup = bench.folder.path().join("backup.db");
    let backup = backup.to_str().unwrap();
    let commands: [&[&str]; 6] = [
        &["events", "list"],
        &["events", "show", "0"],
        &["audit"],
        &["journal", "check"],
        &["journal", "backup", backup],
        &["status"],
    ];
    for command in commands {
        let Ended { code, err, .. } = ended(sprited().args(command).env("SPRITED_CONFIG", &config));
        let warning = "sprited.toml has 7 mistakes in what this command does not use\n";
        assert!(
            err.starts_with("sprited: warning: ") && err.contains(warning),
            "{command:?}: {err}"
        );
        assert!(err.contains("\n  and 2 more; `sprited check --offline` lists all\n"), "{err}");
        let is_found = !["status", "show"].iter().any(|name| command.contains(name));
        assert_eq!(code == 0, is_found, "{command:?}: {err}");
        assert!(code != 78, "{command:?}: {err}");
        if command == ["status"] {
            assert!(err.contains("no daemon answers at 127.0.0.1:1 "), "{err}");
        }
    }
    // The sinks' events are looked up there.
    let redelivery =
        ended(sprited().args(["events", "redeliver", "0000"]).env("SPRITED_CONFIG", &config));
    assert_eq!(redelivery.code, 78, "{}", redelivery.err);
}
