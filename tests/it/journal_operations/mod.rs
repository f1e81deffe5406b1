//! What is left in the journal, and what the operator does about it: beside a journal that is
//! open for writing, as a daemon has it.

mod admin;
mod audit;
mod commands;
mod full;
mod maintenance;
mod overview;
mod paused;
mod restore;

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::Connection;
use serde_json::Value;
use sprited::event::{self, AppId, Key, Wanted};
use sprited::journal::{
    Closing, DeliveryOutcome, DeliveryRecord, EventId, Journal, JournalReader, JournalSettings,
    Route, SinkId, feed,
};
use tempfile::TempDir;

use crate::cli::{Ended, ended, sprited};

/// A journal with the sinks `a`, which wants events of type `T`, and `b`, which wants all.
struct Bench {
    folder: TempDir,
    journal: Journal,
    closing: Closing,
    sinks: Vec<SinkId>,
}

impl Bench {
    async fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap(), &["a", "b"]).await
    }

    /// With the sinks of these names; those beside `a` want all.
    async fn within(folder: TempDir, names: &[&str]) -> Self {
        let settings =
            JournalSettings { path: folder.path().join("j.db"), ..JournalSettings::default() };
        let (journal, closing) = Journal::open(&settings).unwrap();
        let mut config = format!("[journal]\npath = {:?}\n", settings.path);
        for name in names {
            let events = if *name == "a" { "T" } else { "*" };
            config.push_str(&format!(
                "[[sinks]]\nname = {name:?}\ntype = \"jsonl\"\npath = {:?}\nevents = [{events:?}]\n",
                folder.path().join(name)
            ));
        }
        std::fs::write(folder.path().join("sprited.toml"), config).unwrap();
        let sinks =
            journal.register(names.iter().map(ToString::to_string).collect()).await.unwrap();
        let bench = Self { folder, journal, closing, sinks };
        let wanted = |name: &&str| if *name == "a" { "T" } else { "*" };
        bench.route(&names.iter().map(wanted).collect::<Vec<_>>()).await;
        bench
    }

    /// What the sinks want from here on.
    async fn route(&self, wanted: &[&str]) {
        let route = |(sink, wanted): (&SinkId, &&str)| Route {
            sink: *sink,
            wanted: Wanted::from(vec![(*wanted).to_owned()]),
            feed: feed().0,
            after: None,
        };
        self.journal
            .set_routes(self.sinks.iter().zip(wanted).map(route).collect(), Utc::now())
            .await
            .unwrap();
    }

    async fn close(self) -> TempDir {
        drop(self.journal);
        self.closing.wait().await;
        self.folder
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("j.db")
    }

    fn reader(&self) -> JournalReader {
        JournalReader::open(&self.path()).unwrap()
    }

    /// Another connection, for looking and for doing harm.
    fn sqlite(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection
    }

    fn number(&self, sql: &str) -> i64 {
        self.sqlite().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Stores the event `number` of `kind`.
    async fn append_kind(&self, kind: &str, number: u32, pulled: DateTime<Utc>) -> (EventId, Key) {
        let text = format!(
            r#"{{"EventType":"{kind}","{kind}Event":{{"TaskId":"task-{number}","FileId":"file-{number}"}}}}"#
        );
        let event = event::read(AppId(1), &text, false, pulled).event;
        let appended = self.journal.append(vec![event.into()], pulled).await.unwrap();
        (appended[0].id, appended[0].key)
    }

    async fn append(&self, number: u32) -> EventId {
        self.append_kind("T", number, Utc::now()).await.0
    }

    async fn record(&self, sink: usize, event: EventId, outcome: DeliveryOutcome) {
        let records = vec![DeliveryRecord { event, outcome, mirrored: Vec::new() }];
        self.journal.record(self.sinks[sink], records, None, Utc::now()).await.unwrap();
    }

    async fn fail(&self, sink: usize, event: EventId, due: DateTime<Utc>) {
        let outcome = DeliveryOutcome::Retry {
            due,
            charged: Duration::from_secs(7),
            error: "refused".to_owned(),
        };
        self.record(sink, event, outcome).await;
    }

    async fn kill(&self, sink: usize, event: EventId, error: &str) {
        self.record(sink, event, DeliveryOutcome::Dead { error: error.to_owned() }).await;
    }

    /// Waits for what was recorded: it shares the commit of an append.
    async fn commit(&self) {
        self.journal.due_now(self.sinks[0], DateTime::UNIX_EPOCH).await.unwrap();
    }

    /// Events that are due at the sink.
    async fn due(&self, sink: usize) -> Vec<EventId> {
        let (part, _) = self.journal.due(self.sinks[sink], Utc::now(), 10_000).await.unwrap();
        part.events.iter().map(|pending| pending.id).collect()
    }

    fn sprited(&self, arguments: &[&str]) -> Ended {
        let config = self.folder.path().join("sprited.toml");
        ended(sprited().env("SPRITED_CONFIG", config).args(arguments))
    }

    /// What the command says where it does what it is asked.
    fn said(&self, arguments: &[&str]) -> String {
        let Ended { code, out, err } = self.sprited(arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
        out
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let out = self.said(&[arguments, &["--json"]].concat());
        serde_json::from_str(&out).expect(&out)
    }
}

fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
}
