//! The comparison of the cloud's finished tasks with a journal, against a server that answers as a
//! test says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use sprited::event::{AppId, EventOrigin, Wanted, read};
use sprited::ingest::Ingest;
use sprited::journal::{Closing, Filter, Journal, JournalReader, JournalSettings};
use sprited::metrics::{Metrics, Times};
use sprited::reconcile::{
    Comparison, KnownTasks, MissingEvents, ReconcileError, TaskFinding, TaskOutcome, TaskRequests,
    Window,
};
use sprited::vod::{Client, VodSettings};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::client::provider;
use crate::local_server::{LocalServer, Reply, Request};
use crate::support::data;

const APP: AppId = AppId(1_500_012_345);

fn now() -> DateTime<Utc> {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// What the cloud lists: id, type, status, end.
#[derive(Clone)]
struct Task(String, &'static str, &'static str, DateTime<Utc>);

fn task(id: &str, task_type: &'static str) -> Task {
    Task(id.to_owned(), task_type, "FINISH", now() - TimeDelta::hours(1))
}

/// The answer to DescribeTasks.
fn list(tasks: &[Task], request: &Value) -> Reply {
    let within = |time: &DateTime<Utc>| {
        let bound = |name: &str| -> DateTime<Utc> {
            request["FinishTime"][name].as_str().unwrap().parse().unwrap()
        };
        bound("After") <= *time && *time < bound("Before")
    };
    assert_eq!(request["Sort"], json!({ "Field": "FinishTime", "Order": "Asc" }));
    assert_eq!((&request["Limit"], &request["SubAppId"]), (&json!(100), &json!(APP.0)));
    let skip: usize = request["ScrollToken"].as_str().map_or(0, |token| token.parse().unwrap());
    let found: Vec<_> = tasks.iter().filter(|task| within(&task.3)).collect();
    let page = found.iter().skip(skip).take(100);
    let page: Vec<_> = page
        .map(|Task(id, task_type, status, end)| {
            json!({ "TaskId": id, "TaskType": task_type, "Status": status,
                    "FinishTime": time(*end), "CreateTime": time(*end), "SessionId": "" })
        })
        .collect();
    let token = if found.len() > skip + 100 { (skip + 100).to_string() } else { String::new() };
    answer(json!({ "TaskSet": page, "ScrollToken": token, "RequestId": "l" }))
}

fn answer(response: Value) -> Reply {
    Reply::json(&json!({ "Response": response }).to_string())
}

/// The answer to DescribeTaskDetail with these members, as text.
fn detail(members: &str) -> Reply {
    Reply::json(&format!(r#"{{"Response":{{"Status":"FINISH",{members},"RequestId":"d"}}}}"#))
}

fn action(request: &Request) -> (&str, Value) {
    (request.header("x-tc-action").unwrap(), serde_json::from_str(&request.body).unwrap())
}

/// The payload of a procedure with sprites of these templates.
fn procedure(id: &str, mode: &str, sprites: &[i64]) -> String {
    let sprites: Vec<_> = sprites
        .iter()
        .map(|definition| {
            json!({ "Type": "ImageSprites", "ImageSpriteTask": { "Status": "SUCCESS",
                    "Input": { "Definition": definition } } })
        })
        .collect();
    json!({ "TaskId": id, "Status": "FINISH", "FileId": "f", "MediaProcessResultSet": sprites,
            "TasksNotifyMode": mode })
    .to_string()
}

/// A journal in a folder of its own, and a cloud.
struct Bench {
    _folder: tempfile::TempDir,
    path: PathBuf,
    journal: Journal,
    _closing: Closing,
    server: LocalServer,
    client: Client,
    requests: TaskRequests,
}

impl Bench {
    async fn new(answer: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> Self {
        let server = LocalServer::start(move |request, _| {
            let (action, body) = action(request);
            answer(action, &body)
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let settings = JournalSettings { path: path.clone(), ..JournalSettings::default() };
        let (journal, closing) = Journal::open(&settings).unwrap();
        let settings = VodSettings { endpoint: server.url(), ..VodSettings::default() };
        let client = Client::new(&settings, provider()).unwrap().with_app(APP);
        let requests = TaskRequests::new(1_000_000);
        Self { _folder: folder, path, journal, _closing: closing, server, client, requests }
    }

    async fn store(&self, body: &str) {
        let entry = read(APP, body, false, now() - TimeDelta::hours(1));
        self.journal.append(vec![entry], now()).await.unwrap();
    }

    fn asked(&self, action: &str) -> usize {
        let seen = self.server.seen();
        seen.iter().filter(|request| request.header("x-tc-action") == Some(action)).count()
    }

    /// What was found of the last `hours`, and how it ended; what is missing is added if so told.
    async fn run(
        &self,
        hours: i64,
        wanted: &[&str],
        adds: bool,
    ) -> (Vec<TaskFinding>, Result<(), ReconcileError>) {
        let window = Window { from: now() - TimeDelta::hours(hours), until: now(), skipped: None };
        let reader = JournalReader::open(&self.path).unwrap();
        let known = KnownTasks::read(reader, APP, window.from).unwrap();
        let wanted: Vec<_> =
            wanted.iter().map(|wanted| Wanted::from(vec![(*wanted).to_owned()])).collect();
        let (leases, _queue) = mpsc::channel(1);
        let metrics = Metrics::new(&Times::new([1.0]));
        let ingest = Ingest::new(self.journal.clone(), leases, metrics);
        let stop = CancellationToken::new();
        let comparison = Comparison {
            client: &self.client,
            requests: &self.requests,
            wanted: &wanted,
            missing: match adds {
                true => MissingEvents::Add { ingest: &ingest, app_name: None, stop: &stop },
                false => MissingEvents::Report,
            },
        };
        let mut found = Vec::new();
        let ended = comparison.run(&window, known, |finding| found.push(finding)).await;
        (found, ended)
    }
}

fn outcomes(found: &[TaskFinding]) -> BTreeMap<&str, TaskOutcome> {
    found.iter().map(|finding| (finding.task.task_id.as_str(), finding.outcome)).collect()
}

#[tokio::test]
async fn three_days_of_a_task_a_second_take_at_most_2600_lists() {
    let begin = now() - TimeDelta::hours(72);
    let tasks: Vec<_> = (0..72 * 3600)
        .map(|second| {
            let end = begin + TimeDelta::seconds(second);
            let task_type = if second % 100 == 0 { "Procedure" } else { "Transcode" };
            Task(format!("t{second}"), task_type, "FINISH", end)
        })
        .collect();
    // What is asked for stands in the order of its end: no need to look through all of it.
    let bench = Bench::new(move |action, body| {
        assert_eq!(action, "DescribeTasks");
        let skip: usize = body["ScrollToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let page = &tasks[skip..(skip + 100).min(tasks.len())];
        let page: Vec<_> = page
            .iter()
            .map(|Task(id, task_type, status, end)| {
                json!({ "TaskId": id, "TaskType": task_type, "Status": status,
                        "FinishTime": time(*end) })
            })
            .collect();
        let next = skip + 100;
        let token = if next < tasks.len() { next.to_string() } else { String::new() };
        answer(json!({ "TaskSet": page, "ScrollToken": token }))
    })
    .await;
    let entries = (0..72 * 36).map(|second| {
        let second = second * 100;
        let body = format!(
            r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{{"TaskId":"t{second}","Status":"FINISH"}}}}"#
        );
        read(APP, &body, false, begin + TimeDelta::seconds(second))
    });
    bench.journal.append(entries.collect(), now()).await.unwrap();
    let (found, ended) = bench.run(72, &["image-sprite"], false).await;
    ended.unwrap();
    assert_eq!(found.len(), 72 * 36);
    assert!(found.iter().all(|finding| finding.outcome == TaskOutcome::Known));
    let lists = bench.asked("DescribeTasks");
    assert!(lists <= 2600, "{lists}");
}

#[tokio::test]
async fn what_is_added_is_the_event_that_would_have_come() {
    let procedure = data("callbacks/procedure_from_task_detail.json");
    let payload = |text: &str, member: &str| {
        let (_, rest) = text.split_once(&format!("\"{member}\":")).unwrap();
        rest.trim_end().strip_suffix('}').unwrap().to_owned()
    };
    let payload = payload(&procedure, "ProcedureStateChangeEvent");
    let sprite = data("callbacks/task_detail_image_sprite.json");
    let tasks = [task("asked-for", "Procedure"), task("sprite", "ImageSprites")];
    let bench = Bench::new(move |action, body| match (action, body["TaskId"].as_str()) {
        ("DescribeTasks", _) => list(&tasks, body),
        (_, Some("asked-for")) => detail(&format!("\"ProcedureTask\":{payload}")),
        _ => Reply::json(&sprite),
    })
    .await;
    let (found, ended) = bench.run(70, &["image-sprite"], true).await;
    ended.unwrap();
    assert!(found.iter().all(|finding| finding.outcome == TaskOutcome::Added), "{found:?}");
    let reader = JournalReader::open(&bench.path).unwrap();
    let rows = reader.list_oldest(&Filter::default(), 10).unwrap();
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.event.key.to_string(), row.event.sprites[0].id.clone(), row.event.origin))
        .collect();
    let expected = [
        ("1eb482c593ff9974aae5669675991bcd", "36d209b39cb872f885107ace7d0661cc"),
        ("7b6fcf25ccdc05e326af032112ac9b3b", "ccb2ae76d4594c559ab244064979350d"),
    ];
    let expected =
        expected.map(|(key, id)| (key.to_owned(), id.to_owned(), EventOrigin::Reconcile));
    assert_eq!(told, expected);
    // The seed's own event is no other one.
    bench.store(&data("callbacks/seed_pull_entry.json")).await;
    assert_eq!(reader.list_oldest(&Filter::default(), 10).unwrap().len(), 2);

    // Again, nothing is missing. What is listed under another id is known by its own.
    let (found, ended) = bench.run(70, &["*"], true).await;
    ended.unwrap();
    assert!(found.iter().all(|finding| finding.outcome == TaskOutcome::Known), "{found:?}");
    assert_eq!(bench.asked("DescribeTaskDetail"), 4);
}

#[tokio::test]
async fn each_task_has_one_outcome() {
    let aborted = Task("aborted".to_owned(), "Procedure", "ABORTED", now() - TimeDelta::hours(1));
    let running = Task("running".to_owned(), "Procedure", "PROCESSING", aborted.3);
    let ids = ["known", "part", "whole", "missing", "silent", "change", "none", "gone", "empty"];
    let mut tasks: Vec<_> = ids.iter().map(|id| task(id, "Procedure")).collect();
    tasks.extend([aborted, running, task("other", "Transcode")]);
    let bench = Bench::new(move |action, body| {
        if action == "DescribeTasks" {
            return list(&tasks, body);
        }
        let of = |mode: &str, sprites: &[i64]| {
            let task = procedure(body["TaskId"].as_str().unwrap(), mode, sprites);
            detail(&format!("\"ProcedureTask\":{task}"))
        };
        match body["TaskId"].as_str().unwrap() {
            "part" | "whole" => of("Change", &[10, 20]),
            "missing" => of("Finish", &[10]),
            "silent" => of("None", &[10]),
            "change" => of("Change", &[10]),
            "none" => of("Finish", &[]),
            "empty" => detail("\"ProcedureTask\":null,\"CreateImageSpriteTask\":null"),
            "gone" => Reply::error("InvalidParameterValue.TaskId"),
            id => panic!("{id} is known"),
        }
    })
    .await;
    let event = |task: &str| {
        format!(r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{task}}}"#)
    };
    bench.store(&event(&procedure("known", "Finish", &[10]))).await;
    let progress = |id: &str, sprites: &[i64]| {
        let task = procedure(id, "Change", sprites);
        event(&task.replace("\"Status\":\"FINISH\"", "\"Status\":\"PROCESSING\""))
    };
    bench.store(&progress("part", &[10])).await;
    bench.store(&progress("whole", &[10])).await;
    bench.store(&progress("whole", &[20])).await;
    let (found, ended) = bench.run(70, &["image-sprite"], false).await;
    ended.unwrap();
    use TaskOutcome::{Aborted, Gone, Known, Missing, Silent, Unwanted};
    let mut expected = BTreeMap::from([
        ("known", Known),
        ("part", Missing),
        ("whole", Known),
        ("missing", Missing),
        ("silent", Silent),
        ("change", Missing),
        ("none", Unwanted),
        ("gone", Gone),
        ("empty", Gone),
        ("aborted", Aborted),
    ]);
    assert_eq!(outcomes(&found), expected);
    assert_eq!(found.len(), expected.len());
    // Who wants every event wants the end, too.
    let (found, ended) = bench.run(70, &["image-sprite", "ProcedureStateChanged"], false).await;
    ended.unwrap();
    expected.extend([("none", Missing), ("whole", Missing)]);
    assert_eq!(outcomes(&found), expected);
}

#[tokio::test]
async fn a_list_ends_where_it_leads_no_further() {
    let bench = Bench::new(|action, body| {
        let id = body["TaskId"].as_str();
        match (action, body["ScrollToken"].as_str()) {
            ("DescribeTaskDetail", _) => {
                let task = procedure(id.unwrap(), "Finish", &[10]);
                detail(&format!("\"ProcedureTask\":{task}"))
            }
            // One page has only tasks that nothing is known of, the next one none.
            (_, None) => answer(json!({ "TaskSet": [{ "TaskId": null }], "ScrollToken": "1" })),
            (_, Some("1")) => answer(json!({ "TaskSet": [], "ScrollToken": "2" })),
            (_, Some(_)) => {
                let task = json!({ "TaskId": "last", "TaskType": "Procedure", "Status": "FINISH" });
                answer(json!({ "TaskSet": [task], "ScrollToken": "" }))
            }
        }
    })
    .await;
    let (found, ended) = bench.run(1, &["*"], false).await;
    ended.unwrap();
    assert_eq!(outcomes(&found), BTreeMap::from([("last", TaskOutcome::Missing)]));
}

#[tokio::test]
async fn a_list_that_lists_nothing_and_goes_on_fails() {
    let error = async |pages: fn(usize) -> Value| {
        let count = Mutex::new(0);
        let bench = Bench::new(move |_, _| {
            let mut count = count.lock().unwrap();
            *count += 1;
            answer(pages(*count))
        })
        .await;
        let (found, ended) = bench.run(1, &["*"], false).await;
        assert_eq!(found.len(), 0);
        (ended.unwrap_err().to_string(), bench.asked("DescribeTasks"))
    };
    let (same, asked) = error(|_| json!({ "TaskSet": [], "ScrollToken": "a" })).await;
    assert!(same.contains("lists no task") && asked == 2, "{same}, {asked}");
    let (other, asked) =
        error(|page| json!({ "TaskSet": [], "ScrollToken": page.to_string() })).await;
    assert!(other.contains("lists no task") && asked == 10, "{other}, {asked}");
    // Nothing says that it has no task.
    let (absent, _) = error(|_| json!({ "TaskSet": null })).await;
    assert!(absent.contains("it has no TaskSet"), "{absent}");
}

#[tokio::test]
async fn a_list_whose_place_was_forgotten_begins_anew_where_it_had_come_to() {
    for code in ["InvalidParameterValue.ScrollToken", "InternalError"] {
        forget_the_place(code).await;
    }
}

async fn forget_the_place(code: &'static str) {
    let tasks: Vec<_> = (0..350)
        .map(|number| {
            let end = now() - TimeDelta::seconds(1000 - number);
            Task(format!("t{number}"), "Procedure", "ABORTED", end)
        })
        .collect();
    let is_anew = AtomicBool::default();
    let begin = Mutex::new(None);
    let bench = Bench::new(move |_, body| {
        let after = body["FinishTime"]["After"].as_str().map(str::to_owned);
        if *begin.lock().unwrap().get_or_insert_with(|| after.clone()) != after {
            is_anew.store(true, Ordering::SeqCst);
        }
        if body["ScrollToken"] == "200" && !is_anew.load(Ordering::SeqCst) {
            return Reply::error(code);
        }
        list(&tasks, body)
    })
    .await;
    let (found, ended) = bench.run(1, &["*"], false).await;
    ended.unwrap();
    assert_eq!(outcomes(&found).len(), 350);
    assert!(found.len() <= 351, "{}", found.len());
}

#[tokio::test]
async fn a_parameter_that_is_refused_at_once_ends_it() {
    for code in ["InvalidParameterValue", "UnauthorizedOperation", "AuthFailure.SecretIdNotFound"] {
        let bench = Bench::new(move |_, _| Reply::error(code)).await;
        let (found, ended) = bench.run(1, &["*"], false).await;
        let ReconcileError::Cloud(error) = ended.unwrap_err() else { panic!("{code}") };
        assert_eq!((error.code(), found.len()), (Some(code), 0));
        assert!(bench.server.seen().len() <= 2, "{code}");
    }
}

#[tokio::test]
async fn one_task_that_the_service_fails_for_holds_up_none_beside_it() {
    let tasks = ["a", "bad", "c"].map(|id| task(id, "Procedure"));
    let bench = Bench::new(move |action, body| match (action, body["TaskId"].as_str()) {
        ("DescribeTasks", _) => list(&tasks, body),
        (_, Some("bad")) => Reply::error("InternalError"),
        (_, id) => {
            let task = procedure(id.unwrap(), "Finish", &[10]);
            detail(&format!("\"ProcedureTask\":{task}"))
        }
    })
    .await;
    let (found, ended) = bench.run(2, &["*"], false).await;
    assert_eq!(outcomes(&found).keys().copied().collect::<Vec<_>>(), ["a", "c"]);
    let error = ended.unwrap_err();
    assert!(matches!(error, ReconcileError::Undecided { tasks: 1, .. }), "{error}");
    assert_eq!(bench.asked("DescribeTaskDetail"), 2 + 5);
}

/// How it ends where the details of each of `count` tasks are answered so.
async fn details(
    count: usize,
    reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> (Vec<TaskFinding>, Result<(), ReconcileError>) {
    let tasks: Vec<_> = (0..count).map(|id| task(&format!("{id:02}"), "Procedure")).collect();
    let bench = Bench::new(move |action, body| match action {
        "DescribeTasks" => list(&tasks, body),
        _ => reply(body["TaskId"].as_str().unwrap()),
    })
    .await;
    bench.run(2, &["*"], true).await
}

#[tokio::test]
async fn only_a_task_that_the_cloud_does_not_know_is_gone() {
    let gone = ["InvalidParameterValue", "InvalidParameterValue.TaskId", "ResourceNotFound"];
    for code in gone {
        let (found, ended) = details(1, move |_| Reply::error(code)).await;
        ended.unwrap();
        assert_eq!(outcomes(&found)["00"], TaskOutcome::Gone, "{code}");
    }
    for code in ["InvalidParameterValue.Other", "MissingParameter", "LimitExceeded"] {
        let (found, ended) = details(1, move |_| Reply::error(code)).await;
        let error = ended.unwrap_err();
        assert!(matches!(error, ReconcileError::Undecided { tasks: 1, .. }), "{error}");
        assert_eq!(found.len(), 0, "{code}");
    }
    let (_, ended) = details(1, |_| Reply::error("UnauthorizedOperation")).await;
    assert!(matches!(ended, Err(ReconcileError::Cloud(_))), "{ended:?}");
}

#[tokio::test]
async fn a_cloud_that_describes_no_task_has_not_lost_them_all() {
    let unknown = || Reply::error("ResourceNotFound");
    let (found, ended) = details(25, move |_| unknown()).await;
    let error = ended.unwrap_err();
    assert!(matches!(error, ReconcileError::Undecided { tasks: 10, .. }), "{error}");
    assert_eq!(found.len(), 9);
    // Nor one that describes something else.
    let (_, ended) = details(25, |_| detail("\"ProcedureTask\":null")).await;
    assert!(matches!(ended, Err(ReconcileError::Undecided { tasks: 10, .. })), "{ended:?}");
    // Now and then one may be.
    let (found, ended) = details(25, move |id| match id.ends_with('5') {
        true => detail(&format!("\"ProcedureTask\":{}", procedure(id, "Finish", &[10]))),
        false => unknown(),
    })
    .await;
    ended.unwrap();
    assert_eq!(outcomes(&found).values().filter(|of| **of == TaskOutcome::Gone).count(), 23);
}

#[tokio::test]
async fn a_task_that_is_described_as_running_has_no_end_yet() {
    let (found, ended) = details(1, |id| {
        let task = procedure(id, "Finish", &[10]);
        let running = format!(r#"{{"Response":{{"Status":"PROCESSING","ProcedureTask":{task}}}}}"#);
        Reply::json(&running)
    })
    .await;
    let error = ended.unwrap_err();
    assert!(error.to_string().contains("described as running"), "{error}");
    assert_eq!(found.len(), 0);
}

#[tokio::test]
async fn each_application_begins_when_a_daemon_first_has_it() {
    let bench = Bench::new(|_, body| list(&[], body)).await;
    let (other, later) = (AppId(7), now() + TimeDelta::hours(1));
    bench.journal.set_begun(vec![APP], now()).await.unwrap();
    bench.journal.set_begun(vec![APP, other], later).await.unwrap();
    let reader = JournalReader::open(&bench.path).unwrap();
    let begun = [APP, other, AppId(8)].map(|app| reader.begun(app).unwrap());
    assert_eq!(begun, [Some(now()), Some(later), None]);
}

#[tokio::test]
async fn an_application_of_an_older_journal_begins_with_its_first_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let older =
        format!("{}/tests/data/journals/before-0.2.0-version-5.db", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(older, &path).unwrap();
    let settings = JournalSettings { path: path.clone(), ..JournalSettings::default() };
    let (journal, _closing) = Journal::open(&settings).unwrap();
    let reader = JournalReader::open(&path).unwrap();
    let rows = reader.list_oldest(&Filter::default(), 1000).unwrap();
    let app = rows[0].event.app;
    let first =
        rows.iter().filter(|row| row.event.app == app).map(|row| row.event.first_pulled).min();
    journal.set_begun(vec![app], now()).await.unwrap();
    assert!(first.is_some() && first < Some(now()));
    assert_eq!(reader.begun(app).unwrap(), first);
}

#[tokio::test]
async fn what_passes_is_repeated_and_the_rate_is_kept() {
    let failures = Arc::new(Mutex::new(vec!["RequestLimitExceeded", "InternalError"]));
    let bench = Bench::new(move |_, body| match failures.lock().unwrap().pop() {
        Some(code) => Reply::error(code),
        None => list(&[], body),
    })
    .await;
    let (found, ended) = bench.run(1, &["*"], false).await;
    ended.unwrap();
    assert_eq!((found.len(), bench.server.seen().len()), (0, 3));
}
