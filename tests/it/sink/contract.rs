//! What every kind of sink promises.
//!
//! A mirror holds of an event the copies of its sprites, so it is offered events of sprites; what the
//! others are offered is text.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use sprited::event::{Event, EventFormat, Key};
use sprited::sinks::{Batch, KINDS, Plan, Sink, SinkKind, Verdict};
use tokio::task::JoinSet;

use super::receiver::{Answer, Receiver};
use super::{context, event, keys, keys_at, keys_in, mirror, plan};
use crate::local_server::LocalServer;

const SECRET: &str = "hunter2-is-nowhere";

/// A kind of sink with a target of its own, and a way to see what the target holds.
struct Subject {
    plan: Plan,
    sink: Arc<dyn Sink>,
    target: Target,
    _folder: tempfile::TempDir,
}

enum Target {
    /// Lines in a file.
    File(PathBuf),
    /// A file for each event.
    Folder(PathBuf),
    Receiver(Receiver),
    /// Copies of what the server has.
    Copies(PathBuf, LocalServer),
}

impl Subject {
    async fn of(kind: &SinkKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lines.jsonl");
        let (settings, target) = match kind.name {
            "stdout" => (String::new(), Target::File(file.clone())),
            "jsonl" => (format!("path = {file:?}"), Target::File(file.clone())),
            "webhook" => {
                let receiver = Receiver::start(|_| Answer::status(200)).await;
                let settings = format!(
                    "url = '{}/?{SECRET}'\nsecret = '{SECRET}'\nprevious_secret = '{SECRET}'\n\
                     headers = {{ X-Key = '{SECRET}' }}",
                    receiver.url
                );
                (settings, Target::Receiver(receiver))
            }
            "exec" => {
                let script = r#"cat > "$0/$SPRITED_EVENT_KEY""#;
                let settings = format!(
                    "command = ['/bin/sh', '-c', '{script}', {:?}]\nmax_in_flight = 3\n\
                     env = {{ KEY = '{SECRET}' }}",
                    folder.path()
                );
                (settings, Target::Folder(folder.path().to_owned()))
            }
            "mirror" => {
                let server = LocalServer::start(|request, _| mirror::usual(request)).await;
                let settings = format!(
                    "store = 'folder'\npath = {:?}\npublic_url = 'https://a.example/copies'\n\
                     hosts = ['{}']\nhotlink_key = '{SECRET}'",
                    folder.path(),
                    server.address()
                );
                (settings, Target::Copies(folder.path().to_owned(), server))
            }
            other => panic!("the contract has no target for the kind {other}: add one"),
        };
        let plan = plan(kind.name, &settings);
        let sink: Arc<dyn Sink> = if kind.name == "stdout" {
            // The test's own standard output belongs to the test.
            let file = std::fs::File::options().create(true).append(true).open(&file).unwrap();
            Arc::new(sprited::sinks::stdout::Stdout::on(file, &context(kind.name)))
        } else {
            plan.open(&context(kind.name)).await.unwrap()
        };
        Self { plan, sink, target, _folder: folder }
    }

    /// An event of its own for each text, of what the target can hold.
    fn event(&self, text: &str) -> Arc<Event> {
        match &self.target {
            Target::Copies(_, server) => {
                let folder = event(text).key.to_string();
                let of_sprite = mirror::sprite(&server.url(), &folder, "");
                // The file is called whatever it is called.
                let (named, file) = (serde_json::json!(folder), serde_json::json!(text));
                let body = of_sprite
                    .body
                    .replace(&format!("\"FileId\":{named}"), &format!("\"FileId\":{file}"));
                sprited::event::read(of_sprite.app, &body, false, of_sprite.first_pulled).event
            }
            _ => event(text),
        }
    }

    /// The events the target holds, each one whole record.
    fn held(&self) -> Vec<Key> {
        match &self.target {
            Target::File(path) if !path.exists() => Vec::new(),
            Target::File(path) => keys_at(path),
            Target::Folder(folder) => {
                let records = std::fs::read_dir(folder).unwrap();
                records
                    .flat_map(|record| {
                        let record = record.unwrap();
                        let keys = keys_at(&record.path());
                        assert_eq!(keys.len(), 1);
                        assert_eq!(record.file_name().to_str().unwrap(), keys[0].to_string());
                        keys
                    })
                    .collect()
            }
            Target::Copies(folder, _) => mirror::events_in(folder),
            Target::Receiver(receiver) => receiver
                .requests()
                .iter()
                .filter(|request| request.line.starts_with("POST "))
                .flat_map(|request| {
                    keys_in(&format!("{}\n", std::str::from_utf8(&request.body).unwrap()))
                })
                .collect(),
        }
    }

    async fn deliver(&self, events: &[Arc<Event>]) -> Option<String> {
        let (verdicts, mark) = self.sink.deliver(&Batch::new(events.to_vec())).await.into_parts();
        assert_eq!(verdicts, vec![Verdict::Delivered; events.len()], "{}", self.plan.kind());
        mark
    }
}

fn set(keys: &[Key]) -> HashSet<Key> {
    keys.iter().copied().collect()
}

#[tokio::test]
async fn an_empty_target_holds_nothing_and_a_probe_leaves_no_event() {
    for kind in KINDS {
        let subject = Subject::of(kind).await;
        subject.sink.probe().await.unwrap();
        assert_eq!(subject.held(), [], "{}", kind.name);
        let asked = [subject.event("a").key];
        for since in [None, Some("1:2:2:00000000"), Some("odd")] {
            let held = subject.sink.recover(since, &asked).await.unwrap();
            assert_eq!(held.keys, [], "{}", kind.name);
        }
        subject.sink.reopen().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_arrives_once_whole_and_with_a_verdict_up_to_the_limits() {
    for kind in KINDS {
        let subject = Subject::of(kind).await;
        let limits = subject.sink.limits();
        assert!(limits.max_batch >= 1 && limits.max_in_flight >= 1);
        let batch = limits.max_batch.min(20);
        let mut sent = Vec::new();
        let mut calls = JoinSet::new();
        for call in 0..limits.max_in_flight {
            let events: Vec<_> =
                (0..batch).map(|n| subject.event(&format!("{call} {n}"))).collect();
            sent.extend(keys(&events));
            let sink = Arc::clone(&subject.sink);
            calls.spawn(async move { sink.deliver(&Batch::new(events)).await.into_parts().0 });
        }
        for verdicts in calls.join_all().await {
            assert_eq!(verdicts, vec![Verdict::Delivered; batch], "{}", kind.name);
        }
        assert_eq!(subject.held().len(), sent.len(), "{}", kind.name);
        assert_eq!(set(&subject.held()), set(&sent), "{}", kind.name);
    }
}

#[tokio::test]
async fn an_odd_event_stays_one_record() {
    let large = "\u{1f3de}".repeat(512 * 1024);
    let odd = ["\0\u{1}\r\n\t\u{7f}\u{85}", "\u{2028}\u{2029}\u{feff}", "\"\\/", &large];
    for kind in KINDS {
        let subject = Subject::of(kind).await;
        let mut sent = Vec::new();
        for text in odd {
            let event = subject.event(text);
            sent.push(event.key);
            subject.deliver(&[event]).await;
        }
        assert_eq!(set(&subject.held()), set(&sent), "{}", kind.name);
        assert_eq!(subject.held().len(), odd.len(), "{}", kind.name);
    }
}

#[tokio::test]
async fn what_was_delivered_is_recovered_where_the_target_can_be_read() {
    for kind in KINDS {
        let subject = Subject::of(kind).await;
        let [first, second, third] = ["first", "second", "third"].map(|text| subject.event(text));
        // As every start does, before the first event.
        let began = subject.sink.recover(None, &[]).await.unwrap().checkpoint;
        let mark = subject.deliver(std::slice::from_ref(&first)).await;
        subject.deliver(std::slice::from_ref(&second)).await;
        let Subject { plan, sink, target: _target, _folder } = subject;
        drop(sink);
        let again = plan.open(&context(kind.name)).await.unwrap();
        let pending = [first.key, second.key, third.key];
        let all = again.recover(began.as_deref(), &pending).await.unwrap();
        if mark.is_none() {
            assert_eq!((all.keys, all.checkpoint), (vec![], None), "{} gives no mark", kind.name);
            continue;
        }
        assert_eq!((&all.keys[..], all.is_since), (&pending[..2], true), "{}", kind.name);
        let mut again = Some(again);
        // Without a mark, or with one that is of nothing, nothing is known as the sink's own.
        let asked = [
            (mark, 1..2, true),
            (all.checkpoint, 2..2, true),
            (Some("odd".into()), 0..0, false),
            (None, 0..0, false),
        ];
        for (mark, holds, is_since) in asked {
            drop(again.take());
            let sink = again.insert(plan.open(&context(kind.name)).await.unwrap());
            let held = sink.recover(mark.as_deref(), &pending).await.unwrap();
            assert_eq!(held.keys, pending[holds], "{}, {mark:?}", kind.name);
            assert_eq!(held.is_since, is_since, "{}, {mark:?}", kind.name);
        }
    }
}

#[tokio::test]
async fn no_secret_is_shown_and_plans_compare_by_their_settings() {
    for kind in KINDS {
        let subject = Subject::of(kind).await;
        subject.deliver(&[subject.event("a")]).await;
        let shown = format!("{:?} {:#?}", subject.plan, subject.sink);
        assert!(!shown.contains(SECRET), "{}: {shown}", kind.name);
        assert_eq!(subject.plan, subject.plan.clone());
        assert_eq!(subject.plan.kind(), kind.name);
    }
    let webhook = |key| plan("webhook", &format!("url = 'http://127.0.0.1/'\nsecret = '{key}'"));
    assert_eq!(webhook("a"), webhook("a"));
    assert_ne!(webhook("a"), webhook("b"));
}

#[tokio::test]
async fn the_format_callback_reaches_every_target() {
    // One has no other standard output than the test's, the other gets no events but what they name.
    for kind in KINDS.iter().filter(|kind| !matches!(kind.name, "stdout" | "mirror")) {
        let subject = Subject::of(kind).await;
        let mut context = context(kind.name);
        context.format = EventFormat::Callback;
        let sink = subject.plan.open(&context).await.unwrap();
        let sent = event("a");
        let verdicts = sink.deliver(&Batch::new(vec![sent.clone()])).await.into_parts().0;
        assert_eq!(verdicts, [Verdict::Delivered]);
        let bytes = match &subject.target {
            Target::File(path) => std::fs::read(path).unwrap(),
            Target::Folder(folder) => std::fs::read(folder.join(sent.key.to_string())).unwrap(),
            Target::Receiver(receiver) => receiver.requests().remove(0).body,
            Target::Copies(..) => unreachable!("it writes no events"),
        };
        assert_eq!(bytes.trim_ascii_end(), sent.body.as_bytes(), "{}", kind.name);
    }
}
