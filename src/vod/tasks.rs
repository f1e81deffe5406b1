//! The tasks of an application: which have finished, and what an event would say of one.
//!
//! Answers are read leniently: of a member that is absent, null or of another kind nothing is
//! known.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::action::Action;
use super::answer::MAX_REQUEST_ID;
use super::client::{Client, decoded, unexpected};
use super::error::VodError;
use super::http::excerpt;

/// The most tasks that one DescribeTasks lists.
pub const MAX_LISTED_TASKS: u32 = 100;

/// Which tasks are asked for: those that finished from `after` on and before `before`, those that
/// finished first first. Both times count in whole seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskQuery {
    /// The beginning.
    pub after: DateTime<Utc>,
    /// The end.
    pub before: DateTime<Utc>,
    /// Tasks at most, 1 to [`MAX_LISTED_TASKS`].
    pub limit: u32,
    /// Where to go on, by the page before.
    pub scroll_token: Option<String>,
}

/// A page of a list of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskListPage {
    /// The tasks that have an id.
    pub tasks: Vec<ListedTask>,
    /// Where the next page begins; `None` after the last.
    pub scroll_token: Option<String>,
}

/// A task in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTask {
    /// Its id.
    pub task_id: String,
    /// `FINISH`, `ABORTED` or another word.
    pub status: String,
    /// What it does, in one of several spellings.
    pub task_type: String,
    /// When it finished.
    pub finished: Option<DateTime<Utc>>,
}

/// What is known of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDetail {
    /// `FINISH`, `ABORTED` or another word.
    pub status: String,
    /// `None` where the task was to have no event; `Finish`, `Change`, or empty.
    pub notify_mode: String,
    /// The event that reports the task: what the answer has of it, word for word, as the payload
    /// of an EventContent. `None` for a task that makes no image sprites.
    pub event: Option<String>,
    /// The RequestId of the answer, empty if it had none.
    pub request_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TasksRequest<'a> {
    finish_time: TimeRange,
    sort: SortBy,
    limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    scroll_token: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TimeRange {
    after: String,
    before: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SortBy {
    field: &'static str,
    order: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DetailRequest<'a> {
    task_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TasksFields<'a> {
    #[serde(borrow)]
    task_set: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    scroll_token: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TaskFields<'a> {
    #[serde(borrow)]
    task_id: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    task_type: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_time: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DetailFields<'a> {
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    procedure_task: Option<&'a RawValue>,
    #[serde(borrow)]
    create_image_sprite_task: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProcedureFields<'a> {
    #[serde(borrow)]
    tasks_notify_mode: Option<&'a RawValue>,
}

impl Client {
    /// Lists a page of the tasks that have finished.
    ///
    /// # Errors
    /// See [`VodError::advice`]; it needs a permission of its own.
    pub async fn tasks(&self, query: &TaskQuery) -> Result<TaskListPage, VodError> {
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        // Of any status: one that was aborted is to be seen as well.
        let request = TasksRequest {
            finish_time: TimeRange { after: time(query.after), before: time(query.before) },
            sort: SortBy { field: "FinishTime", order: "Asc" },
            limit: query.limit,
            scroll_token: query.scroll_token.as_deref(),
        };
        let answer = self.call(Action::DescribeTasks, &request).await?;
        let fields: TasksFields<'_> = decoded(&answer, Action::DescribeTasks)?;
        let tasks = fields
            .task_set
            .ok_or_else(|| unexpected(&answer, Action::DescribeTasks, "it has no TaskSet"))?;
        Ok(TaskListPage {
            tasks: tasks.into_iter().filter_map(listed_task).collect(),
            scroll_token: text(fields.scroll_token).filter(|token| !token.is_empty()),
        })
    }

    /// Returns what is known of a task.
    ///
    /// # Errors
    /// See [`VodError::advice`]; it needs a permission of its own.
    pub async fn task_detail(&self, task_id: &str) -> Result<TaskDetail, VodError> {
        let request = DetailRequest { task_id };
        let answer = self.call(Action::DescribeTaskDetail, &request).await?;
        let fields: DetailFields<'_> = decoded(&answer, Action::DescribeTaskDetail)?;
        let procedure = object(fields.procedure_task);
        let notify_mode = procedure
            .and_then(|task| serde_json::from_str::<ProcedureFields<'_>>(task).ok())
            .and_then(|fields| text(fields.tasks_notify_mode));
        Ok(TaskDetail {
            status: text(fields.status).unwrap_or_default(),
            notify_mode: notify_mode.unwrap_or_default(),
            event: event(procedure, object(fields.create_image_sprite_task)),
            request_id: excerpt(answer.request_id.as_deref().unwrap_or_default(), MAX_REQUEST_ID),
        })
    }
}

/// The EventContent that has one of these as its payload.
fn event(procedure: Option<&str>, image_sprite: Option<&str>) -> Option<String> {
    let (event_type, member, payload) = match (procedure, image_sprite) {
        (Some(task), _) => ("ProcedureStateChanged", "ProcedureStateChangeEvent", task),
        (None, Some(task)) => ("CreateImageSpriteComplete", "CreateImageSpriteCompleteEvent", task),
        (None, None) => return None,
    };
    Some(format!(r#"{{"EventType":"{event_type}","{member}":{payload}}}"#))
}

fn listed_task(task: &RawValue) -> Option<ListedTask> {
    let fields: TaskFields<'_> = serde_json::from_str(task.get()).ok()?;
    let finished = text(fields.finish_time);
    let finished = finished.and_then(|time| DateTime::parse_from_rfc3339(&time).ok());
    Some(ListedTask {
        task_id: text(fields.task_id).filter(|id| !id.is_empty())?,
        status: text(fields.status).unwrap_or_default(),
        task_type: text(fields.task_type).unwrap_or_default(),
        finished: finished.map(DateTime::into),
    })
}

fn text(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

fn object(value: Option<&RawValue>) -> Option<&str> {
    value.map(RawValue::get).filter(|text| text.starts_with('{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_read_whatever_else_is_there() {
        let read = |text: &str| listed_task(&RawValue::from_string(text.to_owned()).unwrap());
        let task = read(
            r#"{"TaskId":"a","Status":"FINISH","FileId":null,"TaskType":"ImageSprites",
                "FinishTime":"2026-11-30T01:00:31+08:00","New":{}}"#,
        );
        let task = task.unwrap();
        assert_eq!((task.status.as_str(), task.task_type.as_str()), ("FINISH", "ImageSprites"));
        assert_eq!(task.finished.unwrap().to_rfc3339(), "2026-11-29T17:00:31+00:00");
        let bare = read(r#"{"TaskId":"a","Status":null,"FinishTime":"0000-00-00T00:00:00Z"}"#);
        let bare = bare.unwrap();
        assert_eq!((bare.status.as_str(), bare.finished), ("", None));
        for odd in ["null", "7", "[]", "{}", r#"{"TaskId":""}"#, r#"{"TaskId":7}"#] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_payload_stands_in_the_event_word_for_word() {
        let task = r#"{ "TaskId" : "a", "N":1e400 }"#;
        assert_eq!(
            event(Some(task), None).unwrap(),
            format!(
                r#"{{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{task}}}"#
            )
        );
        let sprite = event(None, Some(task)).unwrap();
        assert!(
            sprite.contains(r#""CreateImageSpriteCompleteEvent":{ "TaskId" : "a""#),
            "{sprite}"
        );
        assert_eq!(event(None, None), None);
    }
}
