//! Sinks, opened as the configuration opens them, against real targets.

mod contract;
mod exec;
mod jsonl;
pub(crate) mod mirror;
mod receiver;
mod stdout;
mod webhook;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use sprited::event::{self, AppId, Event, EventFormat, Key};
use sprited::sinks::{Batch, Plan, Sink, SinkContext, SinkKind, Verdict};

const APP: AppId = AppId(1_500_012_345);

fn context(name: &str) -> SinkContext {
    SinkContext {
        name: name.to_owned(),
        app: APP,
        format: EventFormat::CloudEvents,
        timeout: Duration::from_secs(10),
        others: Vec::new(),
        launcher: env!("CARGO_BIN_EXE_sprited").into(),
    }
}

fn plan(kind: &str, settings: &str) -> Plan {
    let table = toml::de::Deserializer::parse(settings).unwrap();
    let plan = (SinkKind::named(kind).unwrap().parse)(table).unwrap();
    assert!(plan.check().iter().all(|issue| !issue.is_mistake), "{:?}", plan.check());
    plan
}

async fn open(kind: &str, settings: &str) -> Arc<dyn Sink> {
    plan(kind, settings).open(&context(kind)).await.unwrap()
}

/// An event of its own for each text.
fn event(text: &str) -> Arc<Event> {
    let content = serde_json::json!({
        "EventType": "FileDeleted",
        "FileDeleteEvent": { "FileIdSet": [text] },
    });
    event::read(APP, &content.to_string(), false, Utc::now()).event
}

fn events(texts: &[&str]) -> Vec<Arc<Event>> {
    texts.iter().map(|text| event(text)).collect()
}

fn keys(events: &[Arc<Event>]) -> Vec<Key> {
    events.iter().map(|event| event.key).collect()
}

/// The verdicts on the events, and the mark.
async fn deliver(sink: &dyn Sink, events: &[Arc<Event>]) -> (Vec<Verdict>, Option<String>) {
    sink.prepare(&Batch::new(events.to_vec())).await;
    let (verdicts, mark) = sink.deliver(&Batch::new(events.to_vec())).await.into_parts();
    assert_eq!(verdicts.len(), events.len());
    (verdicts, mark)
}

/// The verdict on one event.
async fn offer(sink: &dyn Sink, event: &Arc<Event>) -> Verdict {
    deliver(sink, std::slice::from_ref(event)).await.0.remove(0)
}

fn retry_error(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Retry { error, .. } => error,
        other => panic!("not a retry: {other:?}"),
    }
}

/// The keys on the lines of a file, each line a whole envelope.
fn keys_in(text: &str) -> Vec<Key> {
    assert!(text.is_empty() || text.ends_with('\n'), "a partial line: {text:?}");
    text.split_terminator('\n')
        .map(|line| {
            let envelope: serde_json::Value = serde_json::from_str(line).unwrap();
            envelope["id"].as_str().unwrap().parse().unwrap()
        })
        .collect()
}

fn keys_at(path: &Path) -> Vec<Key> {
    keys_in(&std::fs::read_to_string(path).unwrap())
}

/// Waits until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a test says that is run by [`as_stranger`].
const CAME_TO_THE_END: &str = "came to the end";

/// Runs an ignored test of this program as a user who is not root and in no group of root's, with
/// temporary files in a folder for all.
fn as_stranger(test: &str) {
    const STRANGER: u32 = 65534;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command.env("TMPDIR", folder.path()).env("SPRITED_TEST_STRANGER", "1").current_dir("/");
    if nix::unistd::geteuid().is_root() {
        // Drops the other groups as well.
        command.uid(STRANGER).gid(STRANGER);
    }
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains(CAME_TO_THE_END), "{ended:?}");
}

/// Whether this is a test that [`as_stranger`] runs.
fn is_stranger() -> bool {
    std::env::var_os("SPRITED_TEST_STRANGER").is_some()
}
