//! A body of the format 2.0, as the cloud posts it for accounts that are old enough.
//!
//! It has `version`, `eventType` and `data`; its EventTypes are those of the format 3.0.

use std::borrow::Cow;

use super::json::{JsonKind, Node};
use super::sprite::{
    CREATE_COMPLETE, Ids, ImageSprite, OutputNames, SpriteError, SpriteStatus, build, integer,
    object, text, texts,
};

/// The member that has the EventType.
pub(super) const LEGACY_TYPE: &str = "eventType";

/// An event in the format 2.0.
pub(super) struct LegacyEvent<'a> {
    event_type: Node<'a>,
    data: Node<'a>,
}

impl<'a> LegacyEvent<'a> {
    /// The event of a body that has no `EventType`, if it is of this format.
    pub(super) fn of(root: Node<'a>) -> Option<Self> {
        let event_type = root.get(LEGACY_TYPE).filter(|value| value.kind() == JsonKind::String)?;
        Some(Self { event_type, data: object(root, "data")? })
    }

    pub(super) fn event_type(&self) -> Option<Cow<'a, str>> {
        self.event_type.name()
    }

    /// The word for how far its task has come.
    pub(super) fn status(&self) -> Option<Cow<'a, str>> {
        text(self.data, "status")
    }

    pub(super) fn ids(&self) -> Ids<'a> {
        let id = |name| self.data.get(name)?.id();
        Ids { task_id: id("vodTaskId"), file_id: id("fileId").or_else(|| self.only_file()) }
    }

    /// The file of a FileDeleted. Where it is several files, none of them is what it is about.
    fn only_file(&self) -> Option<Cow<'a, str>> {
        let mut files = self.data.get("fileInfo")?.elements();
        let (only, None) = (files.next()?, files.next()) else { return None };
        only.get("fileId")?.id()
    }

    pub(super) fn sprites(&self) -> Vec<ImageSprite> {
        let ids = self.ids();
        let results = self.data.get("processTaskList");
        let results = results.iter().flat_map(Node::elements);
        let tasks = results.filter(|task| text(*task, "taskType").as_deref() == Some(SPRITES));
        let mut sprites: Vec<_> = tasks.map(|task| of_procedure(&ids, task)).collect();
        if self.event_type().as_deref() == Some(CREATE_COMPLETE) {
            sprites.push(of_task_2017(&ids, self.data));
        }
        sprites
    }
}

/// The type of a procedure's tasks that make image sprites.
const SPRITES: &str = "ImageSprites";

const OUTPUT: OutputNames = ["totalCount", "width", "height", "webVttUrl"];

/// `status` is a number, 0 for success.
fn of_task_2017(ids: &Ids<'_>, data: Node<'_>) -> ImageSprite {
    let sheets = texts(data.get("imageSpriteUrl"));
    let code = integer(data, "status").or_else(|| integer(data, "errCode"));
    let status = match code {
        Some(0) => SpriteStatus::Success,
        None if !sheets.is_empty() => SpriteStatus::Success,
        Some(_) | None => SpriteStatus::Fail,
    };
    let definition = integer(data, "definition");
    build(ids, definition, status, sheets, || error_of(data), Some(data), OUTPUT)
}

/// `status` is a word; where it is none of those that are known, `errCode` tells a failure.
fn of_procedure(ids: &Ids<'_>, task: Node<'_>) -> ImageSprite {
    let output = task.get("output");
    let sheets = texts(output.and_then(|output| output.get("urlList")));
    let status = match text(task, "status").as_deref() {
        Some("SUCCESS") => SpriteStatus::Success,
        Some("FAIL") => SpriteStatus::Fail,
        Some("PROCESSING") => SpriteStatus::Processing,
        Some(_) | None if integer(task, "errCode").is_some_and(|code| code != 0) => {
            SpriteStatus::Fail
        }
        None if !sheets.is_empty() => SpriteStatus::Success,
        Some(_) | None => SpriteStatus::Processing,
    };
    let definition = ["input", "output"].iter().find_map(|at| integer(task.get(at)?, "definition"));
    build(ids, definition, status, sheets, || error_of(task), output, OUTPUT)
}

/// The code is `errCode`, or `status` where that is the number of a failure.
fn error_of(task: Node<'_>) -> SpriteError {
    let code = task.get("errCode").and_then(|code| code.text_or_number());
    let code = code.filter(|code| code != "0").map(Cow::into_owned);
    let status = || integer(task, "status").map(|status| status.to_string());
    SpriteError {
        code: code.or_else(status).unwrap_or_else(|| "Unknown".to_owned()),
        message: text(task, "message").unwrap_or_default().into_owned(),
    }
}
