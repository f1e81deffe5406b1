//! One task.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::settings::DetailSpelling;
use crate::sprites::{SourceApi, Task, TaskReport};

/// A task that is known.
#[derive(Clone, Debug)]
pub(crate) enum TaskRecord {
    /// One that was made here.
    Sprite(Task),
    /// One that an added event is of, and when that was added.
    Added(Arc<AddedTask>, DateTime<Utc>),
}

/// What an added event says of its task.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AddedTask {
    source_api: SourceApi,
    members: AddedMembers,
    /// Token for token.
    payload: Box<str>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AddedMembers {
    task_id: String,
    file_id: Option<String>,
    status: Option<String>,
    session_id: Option<String>,
    session_context: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AddedEvent<'a> {
    event_type: String,
    #[serde(borrow)]
    create_image_sprite_complete_event: Option<&'a RawValue>,
    #[serde(borrow)]
    procedure_state_change_event: Option<&'a RawValue>,
}

impl AddedTask {
    /// Reads the task that the event `json` is of; `None` if it is of no task of these kinds.
    pub(crate) fn of(json: &str) -> Option<Self> {
        let event: AddedEvent<'_> = serde_json::from_str(json).ok()?;
        let (source_api, payload) = match event.event_type.as_str() {
            "CreateImageSpriteComplete" => {
                (SourceApi::Create, event.create_image_sprite_complete_event?)
            }
            "ProcedureStateChanged" => (SourceApi::Procedure, event.procedure_state_change_event?),
            _ => return None,
        };
        let members = serde_json::from_str(payload.get()).ok()?;
        Some(Self { source_api, members, payload: payload.get().into() })
    }

    pub(super) fn task_id(&self) -> &str {
        &self.members.task_id
    }
}

impl TaskRecord {
    pub(crate) fn task_id(&self) -> String {
        match self {
            Self::Sprite(task) => task.task_id(),
            Self::Added(task, _) => task.members.task_id.clone(),
        }
    }

    pub(super) fn file_id(&self) -> String {
        match self {
            Self::Sprite(task) => task.file_id(),
            Self::Added(task, _) => task.members.file_id.clone().unwrap_or_default(),
        }
    }

    pub(super) fn session_id(&self) -> &str {
        match self {
            Self::Sprite(_) => "",
            Self::Added(task, _) => task.members.session_id.as_deref().unwrap_or_default(),
        }
    }

    pub(super) fn session_context(&self) -> &str {
        match self {
            Self::Sprite(_) => "",
            Self::Added(task, _) => task.members.session_context.as_deref().unwrap_or_default(),
        }
    }

    pub(super) fn source_api(&self) -> SourceApi {
        match self {
            Self::Sprite(task) => task.source_api(),
            Self::Added(task, _) => task.source_api,
        }
    }

    pub(super) fn status(&self) -> &str {
        match self {
            Self::Sprite(task) if task.is_aborted() => "ABORTED",
            Self::Sprite(_) => "FINISH",
            Self::Added(task, _) => task.members.status.as_deref().unwrap_or("FINISH"),
        }
    }

    /// When the task ended; where it has not, when that became known.
    pub(super) fn ended(&self) -> DateTime<Utc> {
        match self {
            Self::Sprite(task) => task.finished(),
            Self::Added(_, added) => *added,
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.status(), "WAITING" | "PROCESSING")
    }

    /// The object that describes the task; `None` for one that was aborted. Whether the service has
    /// one for those is not known.
    pub(super) fn payload(&self, spelling: DetailSpelling, base: &str) -> Option<String> {
        match self {
            Self::Sprite(task) if task.is_aborted() => None,
            Self::Sprite(task) if spelling == DetailSpelling::Other => {
                let base = base.replacen("http://", "https://", 1);
                let mut payload = task.payload(TaskReport::End, &base);
                payload["Message"] = "SUCCESS".into();
                Some(payload.to_string())
            }
            Self::Sprite(task) => Some(task.payload(TaskReport::End, base).to_string()),
            Self::Added(task, _) => Some(task.payload.clone().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_added_event_is_of_a_task_if_it_says_so() {
        let json = r#"{"EventType":"ProcedureStateChanged","CreateImageSpriteCompleteEvent":null,
            "ProcedureStateChangeEvent":{"TaskId":"t-1", "Status":"PROCESSING","N":1.50}}"#;
        let task = AddedTask::of(json).unwrap();
        assert_eq!(&*task.payload, r#"{"TaskId":"t-1", "Status":"PROCESSING","N":1.50}"#);
        let record = TaskRecord::Added(Arc::new(task), Utc::now());
        assert_eq!((record.task_id(), record.file_id()), ("t-1".to_owned(), String::new()));
        assert_eq!((record.status(), record.is_under_way()), ("PROCESSING", true));
        for json in [
            "{}",
            "17",
            r#"{"EventType":"ProcedureStateChanged"}"#,
            r#"{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{"TaskId":7}}"#,
            r#"{"EventType":"X","ProcedureStateChangeEvent":{"TaskId":"t"}}"#,
            r#"{"EventType":"CreateImageSpriteComplete","ProcedureStateChangeEvent":{"TaskId":"t"}}"#,
        ] {
            assert_eq!(AddedTask::of(json), None, "{json}");
        }
    }
}
