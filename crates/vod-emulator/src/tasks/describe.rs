//! DescribeTasks and DescribeTaskDetail.
//!
//! Owns their parameters and the fields of their answers.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::index::{TASK_DURATION, TaskFilter, TaskPlace, TaskSpan};
use super::record::TaskRecord;
use crate::members::RequestMembers;
use crate::outcome::{Refusal, Success};
use crate::shared::Shared;
use crate::sprites::{PROCESSING_TIME, SourceApi, time};

/// The tasks of a page by default and at most.
const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 100;

const PROCEDURE: &str = "ProcedureTask";
const CREATE: &str = "CreateImageSpriteTask";

/// The members of a task's detail that describe it, one for each kind of task, in the cloud's order.
const DETAIL_MEMBERS: [&str; 43] = [
    PROCEDURE,
    "EditMediaTask",
    "WechatPublishTask",
    "ComposeMediaTask",
    "SplitMediaTask",
    "WechatMiniProgramPublishTask",
    "PullUploadTask",
    "TranscodeTask",
    "ConcatTask",
    "ClipTask",
    CREATE,
    "SnapshotByTimeOffsetTask",
    "RemoveWatermarkTask",
    "RebuildMediaTask",
    "ExtractTraceWatermarkTask",
    "ExtractCopyRightWatermarkTask",
    "ReviewAudioVideoTask",
    "ReduceMediaBitrateTask",
    "DescribeFileAttributesTask",
    "QualityInspectTask",
    "QualityEnhanceTask",
    "ComplexAdaptiveDynamicStreamingTask",
    "ProcessMediaByMPSTask",
    "AigcImageTask",
    "AigcVideoTask",
    "ImportMediaKnowledge",
    "SceneAigcImageTask",
    "SceneAigcVideoTask",
    "ProcessImageAsyncTask",
    "ExtractBlindWatermarkTask",
    "CreateAigcAdvancedCustomElementTask",
    "CreateAigcCustomVoiceTask",
    "CreateAigcSubjectTask",
    "AigcVideoRedrawTask",
    "AigcAudioTask",
    "CreateAigcAudioCloneTask",
    "DescribeAigcFaceInfoAsyncTask",
    "AigcHunyuan3DTask",
    "DesignVoiceAsyncTask",
    "CloneVoiceAsyncTask",
    "TextToSpeechAsyncTask",
    "VideoDubbingAsyncTask",
    "VideoDepthEstimationTask",
];

#[derive(Hash, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SentSpan {
    after: Option<String>,
    before: Option<String>,
}

#[derive(Hash, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SentSort {
    field: Option<String>,
    order: Option<String>,
}

/// Answers DescribeTasks for `app` at `now`.
///
/// Which code stands for which fault, and the order without a Sort, are not known: the codes are
/// those of the service that sound like it, and the latest comes first.
pub(crate) fn describe_tasks(
    shared: &Shared,
    app: u64,
    mut members: RequestMembers,
    now: DateTime<Utc>,
) -> Result<Success, Refusal> {
    let status = members.string("Status")?;
    let file_id = members.string("FileId")?;
    let created: Option<SentSpan> = members.get("CreateTime", "a range of time")?;
    let finished: Option<SentSpan> = members.get("FinishTime", "a range of time")?;
    let sort: Option<SentSort> = members.get("Sort", "an object with Field and Order")?;
    let limit: Option<i64> = members.get("Limit", "an integer")?;
    let token = members.string("ScrollToken")?.filter(|token| !token.is_empty());
    members.end(&shared.settings)?;

    // Whether a token is good for another list than its own is not known: not here.
    let mut hasher = DefaultHasher::new();
    (app, &status, &file_id, &created, &finished, &sort).hash(&mut hasher);
    let list = hasher.finish();
    if status.as_deref().is_some_and(|s| !matches!(s, "WAITING" | "PROCESSING" | "FINISH")) {
        return Err(wrong(".Status", "Status must be WAITING, PROCESSING or FINISH"));
    }
    let filter = TaskFilter {
        status,
        file_id,
        created: read_span(created)?,
        finished: read_span(finished)?,
        is_descending: is_descending(sort)?,
        behind: token.map(|token| read_token(&token, list)).transpose()?,
        limit: match limit.unwrap_or(DEFAULT_LIMIT) {
            // Checked to be in the range of any integer.
            limit @ 1..=MAX_LIMIT => limit as usize,
            ..=0 => return Err(wrong(".Limit", "Limit must be at least 1")),
            _ => return Err(wrong(".LimitTooLarge", "Limit must be at most 100")),
        },
    };
    let lag = TimeDelta::from_std(shared.settings.tasks.lag).unwrap_or_default();
    let page = shared.state().tasks(app).page(&filter, lag, now);
    let tasks: Vec<Value> = page.tasks.iter().map(summary).collect();
    let token = page.last.map_or_else(String::new, |place| write_token(place, list));
    let tasks = Value::from(tasks);
    Ok(Success::ok(format!("\"TaskSet\":{tasks},\"ScrollToken\":\"{token}\",")))
}

/// Answers DescribeTaskDetail for `app` at `now`.
pub(crate) fn describe_task_detail(
    shared: &Shared,
    app: u64,
    mut members: RequestMembers,
    now: DateTime<Utc>,
) -> Result<Success, Refusal> {
    let task_id = members.string("TaskId")?;
    members.end(&shared.settings)?;
    let task_id = task_id
        .ok_or_else(|| Refusal::new("MissingParameter", "the parameter TaskId is missing"))?;
    let task = shared.state().tasks(app).find(&task_id, now).cloned();
    let task = task.ok_or_else(|| {
        wrong(".TaskId", "there is no such task, or it was submitted more than three days ago")
    })?;
    let mut fields = String::new();
    let (task_type, own) = match task.source_api() {
        SourceApi::Procedure => ("Procedure", PROCEDURE),
        // Spelled differently in the list.
        SourceApi::Create => ("ImageSprite", CREATE),
    };
    let [created, began, finished] = times(&task);
    for (name, value) in [
        ("TaskType", task_type),
        ("Status", task.status()),
        ("CreateTime", &created),
        ("BeginProcessTime", &began),
        ("FinishTime", &finished),
    ] {
        fields.push_str(&format!("\"{name}\":{},", Value::from(value)));
    }
    let payload = task.payload(shared.settings.tasks.detail, &shared.base);
    for name in DETAIL_MEMBERS {
        let value = payload.as_deref().filter(|_| name == own).unwrap_or("null");
        fields.push_str(&format!("\"{name}\":{value},"));
    }
    Ok(Success::ok(fields))
}

fn wrong(which: &str, message: &str) -> Refusal {
    Refusal::new(format!("InvalidParameterValue{which}"), message)
}

fn read_span(span: Option<SentSpan>) -> Result<TaskSpan, Refusal> {
    let read = |text: Option<String>| {
        let time = text.map(|text| DateTime::parse_from_rfc3339(&text)).transpose();
        time.map(|time| time.map(|time| time.to_utc()))
            .map_err(|_| wrong("", "a time must be like 2026-11-30T02:00:00Z"))
    };
    let Some(SentSpan { after, before }) = span else { return Ok(TaskSpan::default()) };
    Ok(TaskSpan { after: read(after)?, before: read(before)? })
}

fn is_descending(sort: Option<SentSort>) -> Result<bool, Refusal> {
    let Some(SentSort { field, order }) = sort else { return Ok(true) };
    if !matches!(field.as_deref(), Some("CreateTime" | "FinishTime") | None) {
        return Err(wrong(".Sort", "Sort.Field must be CreateTime or FinishTime"));
    }
    match order.as_deref() {
        Some("Asc") => Ok(false),
        Some("Desc") | None => Ok(true),
        Some(_) => Err(wrong(".Sort", "Sort.Order must be Asc or Desc")),
    }
}

fn write_token((second, number): TaskPlace, list: u64) -> String {
    format!("{second:016x}{number:016x}{list:016x}")
}

fn read_token(token: &str, list: u64) -> Result<TaskPlace, Refusal> {
    let part = |at: usize| u64::from_str_radix(token.get(at..at + 16)?, 16).ok();
    let place = part(0).and_then(|second| Some((i64::try_from(second).ok()?, part(16)?)));
    place
        .filter(|_| token.len() == 48 && part(32) == Some(list))
        .ok_or_else(|| wrong("", "the ScrollToken is not one of this list"))
}

/// When the task was created, when it began and when it ended, as they are written.
fn times(task: &TaskRecord) -> [String; 3] {
    let ended = task.ended();
    let finished = if task.is_under_way() { String::new() } else { time(ended) };
    [time(ended - TASK_DURATION), time(ended - PROCESSING_TIME), finished]
}

fn summary(task: &TaskRecord) -> Value {
    let [created, began, finished] = times(task);
    json!({
        "TaskId": task.task_id(),
        "Status": task.status(),
        "FileId": task.file_id(),
        "TaskType": match task.source_api() {
            SourceApi::Procedure => "Procedure",
            SourceApi::Create => "ImageSprites",
        },
        "CreateTime": created,
        "BeginProcessTime": began,
        "FinishTime": finished,
        "SessionId": task.session_id(),
        "SessionContext": task.session_context(),
    })
}
