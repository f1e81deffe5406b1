//! A journal that an earlier version has left: it opens, adds up and is delivered to the end.
//!
//! `tests/data/journals` has one of each released version, made by that version itself, and
//! some of before the first release:
//!
//! ```sh
//! cargo test --test it -- --ignored makes_a_journal_of_this_version
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sprited::event::{self, AppId, Entry, Event, Wanted};
use sprited::journal::{
    ConfirmPermission, DeliveryOutcome, DeliveryRecord, EventId, EventState, HandleConfirmation,
    Journal, JournalReader, JournalSettings, OpenError, Overview, Route, SinkId, feed,
};

use super::{Site, file};
use crate::cli::ended;
use crate::support::data;

const CAST: &str = r#"{"EventType":"CastStart","CastStartEvent":{"CastId":"cast-1"}}"#;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/journals")
}

fn begin() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn read(text: &str, pulled: DateTime<Utc>) -> Arc<Event> {
    event::read(AppId(1_500_012_345), text, false, pulled).event
}

/// The sinks of the fixture, and what they want.
const SINKS: [(&str, &[&str]); 4] = [
    ("taken", &["image-sprite", "CastStart"]),
    ("failing", &["image-sprite"]),
    ("refusing", &["NewFileUpload"]),
    ("gone", &["NewFileUpload", "CastStart"]),
];

/// Writes the fixture of this version: events in every state, some of them for a sink that is
/// gone, one seen again, and one that has occurred twice.
#[tokio::test]
#[ignore = "a step of each release: writes tests/data/journals/<version>.db"]
async fn makes_a_journal_of_this_version() {
    let target = fixtures().join(concat!(env!("CARGO_PKG_VERSION"), ".db"));
    assert!(!target.exists(), "{} is there: what is released stays", target.display());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let (journal, closing) =
        Journal::open(&JournalSettings { path: path.clone(), ..JournalSettings::default() })
            .unwrap();
    let names = SINKS.map(|(name, _)| name.to_owned());
    let sinks = journal.register(names.to_vec()).await.unwrap();
    let wanted =
        |names: &[&str]| Wanted::from(names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let route = |(sink, (_, names)): (&SinkId, (&str, &[&str]))| Route {
        sink: *sink,
        wanted: wanted(names),
        feed: feed().0,
        after: None,
    };
    journal.set_routes(sinks.iter().zip(SINKS).map(route).collect(), Utc::now()).await.unwrap();

    let at = |minutes| begin() + TimeDelta::minutes(minutes);
    let events = [
        data("create_image_sprite_complete.success.json"),
        data("create_image_sprite_complete.failure.json"),
        data("procedure_state_changed.two_sprites_mixed.json"),
        data("new_file_upload.json"),
        data("file_deleted.json"),
        data("unknown_future_event.json"),
        CAST.to_owned(),
    ]
    .map(|text| read(&text, at(0)));
    let under = |handle: &str, event: &Arc<Event>| Entry {
        handle: Some(Arc::from(handle)),
        event: event.clone(),
    };
    let mut entries = events.map(Entry::from);
    entries[6] = under("1", &entries[6].event);
    let appended = journal.append(entries.to_vec(), at(0)).await.unwrap();
    let ids: Vec<EventId> = appended.iter().map(|appended| appended.id).collect();
    let record = async |sink: usize, event: EventId, outcome| {
        journal
            .record(
                sinks[sink],
                vec![DeliveryRecord { event, outcome, mirrored: Vec::new() }],
                None,
                at(1),
            )
            .await
            .unwrap();
    };
    for event in [0, 1, 2, 6] {
        record(0, ids[event], DeliveryOutcome::Delivered).await;
    }
    let error = "the endpoint answered 503".to_owned();
    record(
        1,
        ids[0],
        DeliveryOutcome::Retry { due: at(2), charged: Duration::from_secs(7), error },
    )
    .await;
    record(1, ids[1], DeliveryOutcome::Delivered).await;
    record(2, ids[3], DeliveryOutcome::Dead { error: "exit code 65".to_owned() }).await;
    record(3, ids[6], DeliveryOutcome::Delivered).await;
    let confirm = async |handle: &str, event: EventId, now| {
        let handle = HandleConfirmation { handle: Arc::from(handle), events: vec![event] };
        let permissions = journal.begin_confirm(vec![handle]).await.unwrap();
        assert_eq!(permissions, [ConfirmPermission::Granted(vec![event])]);
        journal.confirmed(vec![event], now).await.unwrap();
    };
    journal.confirmed(vec![ids[1], ids[4], ids[5]], at(1)).await.unwrap();
    confirm("1", ids[6], at(1)).await;
    // The first comes again; the cast starts anew.
    journal
        .append(
            vec![read(&data("create_image_sprite_complete.success.json"), at(20)).into()],
            at(20),
        )
        .await
        .unwrap();
    let again = journal.append(vec![under("2", &read(CAST, at(20)))], at(20)).await.unwrap();
    assert!(again[0].is_new, "it is an occurrence of its own");
    record(0, again[0].id, DeliveryOutcome::Delivered).await;
    confirm("2", again[0].id, at(21)).await;
    journal.register(names[..3].to_vec()).await.unwrap();
    drop(journal);
    closing.wait().await;

    assert!(!folder.path().join("journal.db-wal").exists(), "all of it is in the one file");
    std::fs::create_dir_all(fixtures()).unwrap();
    std::fs::copy(&path, &target).unwrap();
}

fn overview(path: &Path) -> Overview {
    JournalReader::open(path).unwrap().overview(Utc::now(), EventId(0)).unwrap()
}

/// Pending, delivered and dead at each sink, by its name.
fn at_sinks(overview: &Overview) -> Vec<(String, [u64; 3])> {
    let states = overview.sinks.iter();
    states
        .map(|s| (s.sink.name.clone(), [s.events.pending, s.events.delivered, s.events.dead]))
        .collect()
}

fn expected(states: [(&str, [u64; 3]); 4]) -> Vec<(String, [u64; 3])> {
    states.map(|(name, states)| (name.to_owned(), states)).to_vec()
}

#[tokio::test]
async fn the_journals_of_all_versions_open_add_up_and_drain() {
    let mut seen = 0;
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("db"), "{}", path.display());
        drain(&path).await;
        seen += 1;
    }
    assert!(seen >= 6);
}

/// Version 0.1.0 took the note of a confirmation back that had been taken in part. What such an event
/// reads like is another one when it comes.
#[tokio::test]
async fn an_event_that_0_1_0_delivered_swallows_no_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    std::fs::copy(fixtures().join("0.1.0.db"), &path).unwrap();
    let sqlite = rusqlite::Connection::open(&path).unwrap();
    let is_cast = "event IN (SELECT id FROM events WHERE type = 'CastStart')";
    for table in ["confirmations", "pending"] {
        sqlite.execute(&format!("DELETE FROM {table} WHERE {is_cast}"), []).unwrap();
    }
    drop(sqlite);
    let settings = JournalSettings { path, ..JournalSettings::default() };
    let (journal, closing) = Journal::open(&settings).unwrap();
    let again = journal.append(vec![read(CAST, Utc::now()).into()], Utc::now()).await.unwrap();
    assert!(again[0].is_new && again[0].may_be_duplicate, "{again:?}");
    drop(journal);
    closing.wait().await;
}

/// The sink of the fixture with this index, as a file.
fn sink(index: usize) -> String {
    let (name, events) = SINKS[index];
    file(name, &events.join("', '"))
}

async fn drain(fixture: &Path) {
    let all: Vec<String> = (0..4).map(sink).collect();
    let site = Site::new(&all[..3].concat()).await;
    // What is there is older than by default is kept.
    site.edit("[http]", "retention = '3650d'\n[http]");
    let journal = site.path("journal.db");
    std::fs::copy(fixture, &journal).unwrap();
    let program = |arguments: &[&str]| {
        let mut program = std::process::Command::new(super::daemon::PROGRAM);
        ended(program.args(arguments).env("SPRITED_CONFIG", site.path("sprited.toml")))
    };

    // Its tables are changed by the daemon alone.
    if let Err(older) = JournalReader::open(&journal) {
        assert!(matches!(older, OpenError::Older { .. }), "{older}");
        let audit = program(&["audit"]);
        assert_eq!((audit.code, &*audit.out), (74, ""), "{}", audit.err);
        assert!(audit.err.contains("when it starts; start it"), "{}", audit.err);
        let check = program(&["check"]);
        assert!(
            check.out.contains("warn") && check.out.contains("when it starts"),
            "{}",
            check.out
        );
        let (opened, closing) =
            Journal::open(&JournalSettings { path: journal.clone(), ..JournalSettings::default() })
                .unwrap();
        drop(opened);
        closing.wait().await;
    }
    let audit = program(&["audit"]);
    assert_eq!(audit.code, 0, "{}{}", audit.out, audit.err);
    let before = overview(&journal);
    assert_eq!(
        at_sinks(&before),
        expected([
            ("failing", [2, 1, 0]),
            ("gone", [2, 1, 0]),
            ("refusing", [0, 0, 1]),
            ("taken", [0, 5, 0]),
        ])
    );
    assert_eq!(before.unrouted, 2);
    let casts: Vec<_> = site
        .journaled(None)
        .into_iter()
        .filter(|found| found.event.event_type == "CastStart")
        .collect();
    assert!(casts.len() == 2 && casts[0].event.key != casts[1].event.key, "{casts:?}");

    // The cloud repeats what it had not been told, token for token.
    for text in [
        data("create_image_sprite_complete.success.json"),
        data("procedure_state_changed.two_sprites_mixed.json"),
        data("new_file_upload.json"),
    ] {
        site.cloud.control.add(&text).unwrap();
    }
    let redelivered = program(&["events", "redeliver", "--state", "dead", "--yes"]);
    assert_eq!(redelivered.code, 0, "{}{}", redelivered.out, redelivered.err);
    let run = site.run(&["run", "--once"]).await;
    assert_eq!(run.code, 0, "{}", run.log);
    site.assert_once("failing.jsonl", 2);
    site.assert_once("refusing.jsonl", 1);
    assert_eq!(site.lines("taken.jsonl"), [] as [serde_json::Value; 0], "it had them all");
    assert_eq!(site.confirmed(), 3);

    // The sink returns, and gets what is its own.
    site.configure("", &all.concat());
    site.edit("[http]", "retention = '3650d'\n[http]");
    let run = site.run(&["run", "--once"]).await;
    assert_eq!(run.code, 0, "{}", run.log);
    site.assert_once("gone.jsonl", 2);
    let after = overview(&journal);
    assert_eq!(
        at_sinks(&after),
        expected([
            ("failing", [0, 3, 0]),
            ("gone", [0, 3, 0]),
            ("refusing", [0, 1, 0]),
            ("taken", [0, 5, 0]),
        ])
    );
    assert_eq!(site.journaled(None).len(), site.journaled(Some(EventState::Delivered)).len() + 2);
    assert_eq!(site.journaled(Some(EventState::Unrouted)).len(), 2);
}
