//! DescribeTasks and DescribeTaskDetail.

use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use vod_emulator::{
    ApiAction, DetailSpelling, EmulatorSettings, NotifyMode, ReportConfig, ReportMode, SourceApi,
    SpriteOrder, TaskSettings, TaskTotals,
};

use crate::receiver::ClosedPort;
use crate::server::{APP, Caller, Server, settings};
use crate::support;

const HOUR: u64 = 3_600;

async fn start() -> Server {
    Server::start(EmulatorSettings { rate_limit: None, ..settings() }).await
}

fn order(count: u32, source_api: SourceApi) -> SpriteOrder {
    SpriteOrder { count, source_api: Some(source_api), fail_every: 0, ..SpriteOrder::default() }
}

async fn list(caller: &Caller, body: Value) -> Value {
    let reply = caller.call("DescribeTasks", body).await;
    assert_eq!(reply.code(), "ok", "{}", reply.text);
    reply.response()
}

async fn detail(caller: &Caller, task_id: &str) -> Value {
    let reply = caller.call("DescribeTaskDetail", json!({ "TaskId": task_id })).await;
    assert_eq!(reply.code(), "ok", "{}", reply.text);
    reply.response()
}

/// The codes of both actions for this task: listed or not, and that of its detail.
async fn is_known(caller: &Caller, task_id: &str) -> (bool, String) {
    let tasks = ids(&list(caller, json!({ "Limit": 100 })).await);
    let reply = caller.call("DescribeTaskDetail", json!({ "TaskId": task_id })).await;
    (tasks.iter().any(|id| id == task_id), reply.code())
}

fn ids(page: &Value) -> Vec<String> {
    let tasks = page["TaskSet"].as_array().unwrap().iter();
    tasks.map(|task| task["TaskId"].as_str().unwrap().to_owned()).collect()
}

fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[tokio::test]
async fn the_detail_of_a_task_has_what_its_event_has() {
    let server = start().await;
    let caller = server.caller();
    for (source_api, event_member, member, types) in [
        (
            SourceApi::Create,
            "CreateImageSpriteCompleteEvent",
            "CreateImageSpriteTask",
            ["ImageSprites", "ImageSprite"],
        ),
        (
            SourceApi::Procedure,
            "ProcedureStateChangeEvent",
            "ProcedureTask",
            ["Procedure", "Procedure"],
        ),
    ] {
        let order = SpriteOrder { fail_every: 2, ..order(2, source_api) };
        let made = server.control.add_sprites(&order).unwrap();
        for (made, event) in made.iter().zip(caller.pull().await.events()) {
            let page = list(&caller, json!({ "FileId": made.file_id })).await;
            let task = &page["TaskSet"][0];
            assert_eq!(
                (ids(&page), &page["ScrollToken"]),
                (vec![made.task_id.clone()], &json!(""))
            );
            assert_eq!((&task["Status"], &task["TaskType"]), (&json!("FINISH"), &json!(types[0])));
            let detail = detail(&caller, &made.task_id).await;
            assert_eq!(detail["TaskType"], types[1]);
            assert_eq!(detail["Status"], "FINISH");
            assert_eq!(detail[member], event[event_member], "{member}");
            for name in ["CreateTime", "BeginProcessTime", "FinishTime"] {
                assert_eq!(detail[name], task[name], "{name}");
            }
            let objects = detail.as_object().unwrap().iter().filter(|(_, value)| value.is_object());
            assert_eq!(objects.count(), 1, "of one kind");
            assert_eq!(detail.as_object().unwrap().len(), 5 + 43 + 1);
        }
    }
}

#[tokio::test]
async fn a_list_comes_in_pages_and_what_is_added_meanwhile_breaks_none() {
    for ascending in [true, false] {
        let server = start().await;
        let caller = server.caller();
        let add = |count, age| {
            let order = SpriteOrder {
                age: Duration::from_secs(age),
                apart: Duration::from_millis(500),
                ..order(count, SourceApi::Create)
            };
            let made = server.control.add_sprites(&order).unwrap().into_iter();
            made.map(|made| made.task_id).collect::<Vec<_>>()
        };
        let made = add(250, HOUR);
        let mut body = json!({
            "Limit": 100,
            "Sort": { "Field": "FinishTime", "Order": if ascending { "Asc" } else { "Desc" } },
            "FinishTime": { "Before": iso(Utc::now() - TimeDelta::minutes(30)) },
        });
        let (mut found, mut pages) = (Vec::new(), Vec::new());
        loop {
            let page = list(&caller, body.clone()).await;
            pages.push(ids(&page).len());
            found.extend(ids(&page));
            body["ScrollToken"] = page["ScrollToken"].clone();
            if page["ScrollToken"] == "" {
                break;
            }
            // Outside the range, and in the part of it that has been read.
            add(3, 10);
            add(3, if ascending { HOUR + 60 } else { HOUR - 180 });
        }
        if !ascending {
            found.reverse();
        }
        assert_eq!(pages, [100, 100, 50]);
        assert_eq!(found, made);
        assert_eq!(ids(&list(&caller, json!({})).await).len(), 10, "by default");
        let latest = add(1, 0);
        assert_eq!(ids(&list(&caller, json!({ "Limit": 1 })).await), latest, "the latest first");
    }
}

#[tokio::test]
async fn a_range_holds_its_beginning_and_not_its_end() {
    let server = start().await;
    let caller = server.caller();
    let aged = SpriteOrder {
        age: Duration::from_secs(HOUR),
        apart: Duration::from_secs(1),
        ..order(5, SourceApi::Procedure)
    };
    let made: Vec<_> =
        server.control.add_sprites(&aged).unwrap().into_iter().map(|made| made.task_id).collect();
    let all = list(&caller, json!({ "Sort": { "Field": "CreateTime", "Order": "Asc" } })).await;
    assert_eq!(ids(&all), made);
    let time = |index: usize, name: &str| all["TaskSet"][index][name].clone();
    for name in ["FinishTime", "CreateTime"] {
        let range = json!({ "After": time(1, name), "Before": time(3, name) });
        let sort = json!({ "Field": name, "Order": "Asc" });
        let page = list(&caller, json!({ name: range, "Sort": sort })).await;
        assert_eq!(ids(&page), made[1..3], "{name}");
    }
    // The same moment, as another zone writes it.
    let after = DateTime::parse_from_rfc3339(time(4, "FinishTime").as_str().unwrap()).unwrap();
    let after = after.with_timezone(&chrono::FixedOffset::east_opt(8 * 3_600).unwrap());
    let page = list(&caller, json!({ "FinishTime": { "After": after.to_rfc3339() } })).await;
    assert_eq!(ids(&page), made[4..]);
    let empty = json!({ "FinishTime": { "After": iso(Utc::now() + TimeDelta::hours(1)) } });
    assert_eq!(ids(&list(&caller, empty).await), Vec::<String>::new());
}

#[tokio::test]
async fn tasks_of_the_last_72_hours_are_known_by_its_own_clock() {
    let server = start().await;
    let aged = |age| {
        let order = SpriteOrder { age: Duration::from_secs(age), ..order(1, SourceApi::Procedure) };
        server.control.add_sprites(&order).unwrap().remove(0).task_id
    };
    // Created ten seconds before it ended.
    let (young, old) = (aged(72 * HOUR - 70), aged(72 * HOUR - 9));
    let caller = server.caller();
    assert_eq!(is_known(&caller, &young).await, (true, "ok".to_owned()));
    let gone = (false, "InvalidParameterValue.TaskId".to_owned());
    assert_eq!(is_known(&caller, &old).await, gone);
    server.control.set_clock_offset(TimeDelta::minutes(2));
    let caller = Caller { clock: 120, ..caller };
    assert_eq!(is_known(&caller, &young).await, gone);
    // By the clock that is shown, a task ends now.
    let new = aged(0);
    let finished = detail(&caller, &new).await["FinishTime"].as_str().unwrap().to_owned();
    let ahead = DateTime::parse_from_rfc3339(&finished).unwrap().to_utc() - Utc::now();
    assert!((110..=121).contains(&ahead.num_seconds()), "{ahead}");
}

#[tokio::test]
async fn a_task_reports_as_its_mode_says_and_is_known_all_the_same() {
    let server = start().await;
    let caller = server.caller();
    for (notify_mode, name, statuses) in [
        (NotifyMode::Finish, "Finish", &["FINISH"][..]),
        (NotifyMode::Change, "Change", &["PROCESSING", "FINISH"]),
        (NotifyMode::None, "None", &[]),
    ] {
        let order = SpriteOrder { notify_mode, ..order(1, SourceApi::Procedure) };
        let made = server.control.add_sprites(&order).unwrap().remove(0);
        let reply = caller.pull().await;
        let events = reply.events();
        let seen: Vec<_> = events
            .iter()
            .map(|event| {
                let task = &event["ProcedureStateChangeEvent"];
                assert_eq!(task["TaskId"], made.task_id.as_str());
                let result = &task["MediaProcessResultSet"][0]["ImageSpriteTask"];
                let is_finished = task["Status"] == "FINISH";
                assert_eq!(result["Status"], if is_finished { "SUCCESS" } else { "PROCESSING" });
                assert_eq!(result["Output"].is_object(), is_finished);
                task["Status"].clone()
            })
            .collect();
        assert_eq!(seen, statuses, "{name}");
        let last = server.control.totals().added;
        assert_eq!(made.event, if notify_mode == NotifyMode::None { 0 } else { last });
        let detail = detail(&caller, &made.task_id).await;
        assert_eq!(detail["ProcedureTask"]["Status"], "FINISH");
        assert_eq!(detail["ProcedureTask"]["TasksNotifyMode"], name);
        caller.confirm(&reply.handles()).await;
    }
    // The API of 2017 has no modes.
    let order = SpriteOrder { notify_mode: NotifyMode::None, ..order(1, SourceApi::Create) };
    server.control.add_sprites(&order).unwrap();
    assert_eq!(caller.pull().await.events().len(), 1);
    let totals = server.control.totals().tasks;
    assert_eq!(totals, TaskTotals { finished: 4, silent: 1, ..TaskTotals::default() });
}

#[tokio::test]
async fn an_aborted_task_has_neither_event_nor_result() {
    let server = start().await;
    let caller = server.caller();
    let order = SpriteOrder { abort_every: 2, ..order(2, SourceApi::Procedure) };
    let made = server.control.add_sprites(&order).unwrap();
    assert_eq!((made[0].aborted, made[1].aborted), (false, true));
    assert_eq!((made[1].event, &made[1].sheets), (0, &Vec::new()));
    assert_eq!(caller.pull().await.events().len(), 1);
    let finished = list(&caller, json!({ "Status": "FINISH" })).await;
    assert_eq!(ids(&finished), [made[0].task_id.clone()]);
    let page = list(&caller, json!({})).await;
    let aborted =
        page["TaskSet"].as_array().unwrap().iter().find(|task| task["Status"] == "ABORTED");
    assert_eq!(aborted.unwrap()["TaskId"], made[1].task_id.as_str());
    let detail = detail(&caller, &made[1].task_id).await;
    assert_eq!((&detail["Status"], &detail["ProcedureTask"]), (&json!("ABORTED"), &Value::Null));
    assert_eq!(server.control.totals().tasks.aborted, 1);
}

#[tokio::test]
async fn a_task_whose_event_was_lost_is_known() {
    let server = start().await;
    let caller = server.caller();
    let order = SpriteOrder { lose_every: 2, ..order(4, SourceApi::Procedure) };
    let made = server.control.add_sprites(&order).unwrap();
    assert_eq!(made.iter().map(|made| made.event).collect::<Vec<_>>(), [1, 0, 2, 0]);
    assert_eq!(caller.pull().await.events().len(), 2);
    assert_eq!(ids(&list(&caller, json!({ "Status": "FINISH" })).await).len(), 4);
    let lost = detail(&caller, &made[1].task_id).await;
    assert_eq!(lost["ProcedureTask"]["TasksNotifyMode"], "Finish");
    assert_eq!(server.control.totals().tasks.lost, 2);

    // And one that nobody took.
    let nobody = ClosedPort::new();
    let push = ReportConfig {
        mode: ReportMode::Push,
        notification_url: nobody.url.clone(),
        ..ReportConfig::default()
    };
    server.control.set_event_config(None, push).unwrap();
    let made = server.control.add_sprites(&SpriteOrder::default()).unwrap();
    support::until(|| server.control.totals().pushed.lost == 1).await;
    assert_eq!(is_known(&caller, &made[0].task_id).await, (true, "ok".to_owned()));
}

#[tokio::test]
async fn the_task_of_an_added_event_is_told_token_for_token() {
    let server = start().await;
    let caller = server.caller();
    let payload = |status: &str| {
        format!(
            r#"{{"TaskId":"t-1", "FileId":"9","Status":"{status}","N":98.66159057617188,"B":12345678901234567890123,"S":"\u00e9","SessionContext":"c","SessionId":null}}"#
        )
    };
    let event = |status: &str| {
        let payload = payload(status);
        format!(r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{payload}}}"#)
    };
    server.control.add_copies(&event("PROCESSING"), 2, Duration::ZERO).unwrap();
    let page = list(&caller, json!({ "Status": "PROCESSING" })).await;
    let task = &page["TaskSet"][0];
    assert_eq!((ids(&page).len(), &task["FinishTime"]), (1, &json!("")));
    let any_end = json!({ "FinishTime": { "After": "2020-01-01T00:00:00Z" } });
    assert_eq!(ids(&list(&caller, any_end.clone()).await).len(), 0);
    server.control.add(&event("FINISH")).unwrap();
    let page = list(&caller, any_end).await;
    let task = &page["TaskSet"][0];
    assert_eq!((&task["Status"], &task["SessionContext"]), (&json!("FINISH"), &json!("c")));
    let reply = caller.call("DescribeTaskDetail", json!({ "TaskId": "t-1" })).await;
    let member = format!(r#""ProcedureTask":{},"#, payload("FINISH"));
    assert!(reply.text.contains(&member), "{}", reply.text);
}

#[tokio::test]
async fn a_list_can_lag_behind_and_a_detail_be_spelled_differently() {
    let tasks = TaskSettings { lag: Duration::from_secs(600), detail: DetailSpelling::Other };
    let server = Server::start(EmulatorSettings { tasks, ..settings() }).await;
    let caller = server.caller();
    let of_age = |age| SpriteOrder { age: Duration::from_secs(age), ..order(1, SourceApi::Create) };
    let old = server.control.add_sprites(&of_age(601)).unwrap().remove(0);
    let new = server.control.add_sprites(&of_age(500)).unwrap().remove(0);
    assert_eq!(ids(&list(&caller, json!({})).await), [old.task_id]);
    let task = detail(&caller, &new.task_id).await["CreateImageSpriteTask"].clone();
    let urls: Vec<_> =
        new.sheets.iter().map(|url| url.replacen("http://", "https://", 1)).collect();
    assert_eq!(task["ImageSpriteUrlSet"], json!(urls));
    assert_eq!(task["Message"], "SUCCESS");
    let event = &caller.pull().await.events()[1]["CreateImageSpriteCompleteEvent"];
    assert_eq!(event["ImageSpriteUrlSet"], json!(new.sheets));
    assert_eq!(event["Message"], "");
}

#[tokio::test]
async fn each_application_has_tasks_of_its_own() {
    let apps = vec![APP, APP + 1];
    let server = Server::start(EmulatorSettings { apps, ..settings() }).await;
    let caller = server.caller();
    let order = SpriteOrder { app: Some(APP + 1), ..order(1, SourceApi::Create) };
    let made = server.control.add_sprites(&order).unwrap().remove(0);
    assert_eq!(ids(&list(&caller, json!({})).await), Vec::<String>::new());
    let other = list(&caller, json!({ "SubAppId": APP + 1 })).await;
    assert_eq!(ids(&other), std::slice::from_ref(&made.task_id));
    assert_eq!(is_known(&caller, &made.task_id).await.1, "InvalidParameterValue.TaskId");
}

#[tokio::test]
async fn each_mistake_has_its_code() {
    let server = start().await;
    let caller = server.caller();
    server.control.add_sprites(&order(2, SourceApi::Create)).unwrap();
    let token = list(&caller, json!({ "Limit": 1 })).await["ScrollToken"].clone();
    for (code, body) in [
        ("ok", json!({ "ScrollToken": token, "Limit": 7 })),
        ("ok", json!({ "ScrollToken": "" })),
        ("ok", json!({ "Sort": { "Field": "CreateTime" }, "Status": null })),
        ("InvalidParameterValue", json!({ "ScrollToken": token, "Status": "FINISH" })),
        ("InvalidParameterValue", json!({ "ScrollToken": "x" })),
        ("InvalidParameterValue", json!({ "ScrollToken": format!("{}é", "0".repeat(46)) })),
        ("InvalidParameterValue", json!({ "FinishTime": { "After": "2026-11-30 02:00:00" } })),
        ("InvalidParameterValue.Limit", json!({ "Limit": 0 })),
        ("InvalidParameterValue.LimitTooLarge", json!({ "Limit": 101 })),
        ("InvalidParameterValue.Sort", json!({ "Sort": { "Field": "FileId" } })),
        ("InvalidParameterValue.Sort", json!({ "Sort": { "Order": "asc" } })),
        ("InvalidParameterValue.Status", json!({ "Status": "ABORTED" })),
        ("InvalidParameterValue.SubAppId", json!({ "SubAppId": 7 })),
        ("InvalidParameter", json!({ "Limit": "10" })),
        ("InvalidParameter", json!({ "FinishTime": "2026-11-30T02:00:00Z" })),
        ("InvalidParameter", json!({ "FinishTime": { "From": "2026-11-30T02:00:00Z" } })),
        ("UnknownParameter", json!({ "TaskId": "t" })),
    ] {
        assert_eq!(caller.call("DescribeTasks", body.clone()).await.code(), code, "{body}");
    }
    for (code, body) in [
        ("MissingParameter", json!({})),
        ("InvalidParameter", json!({ "TaskId": 7 })),
        ("InvalidParameterValue.TaskId", json!({ "TaskId": "t" })),
        ("UnknownParameter", json!({ "TaskId": "t", "Limit": 1 })),
    ] {
        assert_eq!(caller.call("DescribeTaskDetail", body.clone()).await.code(), code, "{body}");
    }
}

#[tokio::test]
async fn each_of_them_has_a_quota_of_its_own() {
    let server = Server::start(EmulatorSettings { rate_limit: Some(2), ..settings() }).await;
    let caller = server.caller();
    let began = Instant::now();
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(caller.call("DescribeTasks", json!({})).await.code());
    }
    let missing = caller.call("DescribeTaskDetail", json!({})).await.code();
    assert_eq!(missing, "MissingParameter");
    if began.elapsed() < Duration::from_secs(1) {
        assert_eq!(codes, ["ok", "ok", "RequestLimitExceeded"]);
        let totals = server.control.totals();
        assert_eq!(totals.calls_of(ApiAction::DescribeTasks, "ok"), 2);
    }
}
