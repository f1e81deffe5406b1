//! The typed image sprite, from either kind of event that reports one in the format 3.0.
//!
//! Members are chosen by what is there, not by the event's type: the documents contradict each
//! other on the names of types, and any field may be null, absent or empty.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::json::{JsonKind, Node};
use super::key::Key;

/// The EventType of image sprites made through the API of 2017.
pub(super) const CREATE_COMPLETE: &str = "CreateImageSpriteComplete";

/// How far an image-sprite task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SpriteStatus {
    /// Still at work, or in a state that is not known. One without a state that has sheets is a
    /// success.
    Processing,
    /// The sheets are there.
    Success,
    /// It failed; [`ImageSprite::error`] says why.
    Fail,
}

/// One image sprite: sheets of thumbnails and their WebVTT index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageSprite {
    /// A hash of task, definition, status and URLs, as 32 hex digits: the same for one finished
    /// sprite in each event of its procedure that reports it.
    pub id: String,
    /// The task that made it, or the procedure it is part of; as in [`Event`](super::Event).
    pub task_id: Option<String>,
    /// The source media; as in [`Event`](super::Event). A string: it may exceed 64 bits.
    pub file_id: Option<String>,
    /// The sprite template.
    pub definition: Option<i64>,
    /// How far its task has come.
    pub status: SpriteStatus,
    /// Why it failed.
    pub error: Option<SpriteError>,
    /// TotalCount as received: the number of tiles of all sheets for CreateImageSpriteComplete,
    /// "per sheet" by the documents of ProcedureStateChanged.
    pub tile_count: Option<i64>,
    /// Width of a tile in pixels, where the event tells it.
    pub tile_width: Option<i64>,
    /// Height of a tile in pixels, where the event tells it.
    pub tile_height: Option<i64>,
    /// URLs of the sheets, in order.
    pub sheets: Vec<String>,
    /// URL of the WebVTT index.
    pub vtt_url: Option<String>,
    /// When its task ended, where the event tells a time. The envelope has it in the event.
    #[serde(skip)]
    pub finished: Option<DateTime<Utc>>,
    /// How long the source media is, where the event tells it. The envelope has it in the event.
    #[serde(skip)]
    pub media_duration: Option<Duration>,
}

/// Why a sprite failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpriteError {
    /// ErrCodeExt where there is one, else ErrCode.
    pub code: String,
    /// Message as received; may be empty.
    pub message: String,
}

impl ImageSprite {
    /// Whether its task is over, for better or worse.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.status != SpriteStatus::Processing
    }
}

/// The image sprites of an event, in the order of its payload.
pub(super) fn sprites_of(event: Node<'_>) -> Vec<ImageSprite> {
    let mut sprites = Vec::new();
    if let Some(task) = object(event, "CreateImageSpriteCompleteEvent") {
        sprites.push(of_task_2017(task));
    }
    if let Some(procedure) = object(event, "ProcedureStateChangeEvent") {
        // Once, not for each sprite: a payload of many members may hold many sprites.
        let ids = Ids::of(procedure);
        let media_duration = media_duration(procedure);
        let results = procedure.get("MediaProcessResultSet");
        let results = results.iter().flat_map(Node::elements);
        let tasks = results.filter_map(|result| object(result, "ImageSpriteTask"));
        let sprite = |task| ImageSprite { media_duration, ..of_procedure(&ids, task) };
        sprites.extend(tasks.map(sprite));
    }
    // Mostly it is one, in a list that grew to have room for four; thousands of events may wait.
    sprites.shrink_to_fit();
    sprites
}

/// CreateImageSpriteTask2017: no status of its own, `ErrCode` 0 is success.
fn of_task_2017(task: Node<'_>) -> ImageSprite {
    let sheets = texts(task.get("ImageSpriteUrlSet"));
    let status = match integer(task, "ErrCode") {
        Some(0) => SpriteStatus::Success,
        None if !sheets.is_empty() => SpriteStatus::Success,
        Some(_) | None => SpriteStatus::Fail,
    };
    let definition = integer(task, "Definition");
    build(&Ids::of(task), definition, status, sheets, || error_of(task), Some(task), OUTPUT)
}

/// MediaProcessTaskImageSpriteResult of a ProcedureTask.
fn of_procedure(ids: &Ids<'_>, task: Node<'_>) -> ImageSprite {
    let output = task.get("Output");
    let sheets = texts(output.and_then(|output| output.get("ImageUrlSet")));
    let status = match text(task, "Status").as_deref() {
        Some("SUCCESS") => SpriteStatus::Success,
        Some("FAIL") => SpriteStatus::Fail,
        None if !sheets.is_empty() => SpriteStatus::Success,
        Some(_) | None => SpriteStatus::Processing,
    };
    let definition = ["Input", "Output"].iter().find_map(|at| integer(task.get(at)?, "Definition"));
    let sprite = build(ids, definition, status, sheets, || error_of(task), output, OUTPUT);
    ImageSprite { finished: time(task, "FinishTime"), ..sprite }
}

/// Of which task and file an event is, as a payload says.
#[derive(Default)]
pub(super) struct Ids<'a> {
    pub(super) task_id: Option<Cow<'a, str>>,
    pub(super) file_id: Option<Cow<'a, str>>,
}

impl<'a> Ids<'a> {
    pub(super) fn of(payload: Node<'a>) -> Self {
        let id = |name| payload.get(name)?.id();
        Self { task_id: id("TaskId"), file_id: id("FileId") }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.task_id.is_none() && self.file_id.is_none()
    }
}

/// What a format calls the members of an output: TotalCount, Width, Height and WebVttUrl.
pub(super) type OutputNames = [&'static str; 4];

const OUTPUT: OutputNames = ["TotalCount", "Width", "Height", "WebVttUrl"];

/// The sprite whose sheets `output` describes by these names; `error` is asked of a failure.
pub(super) fn build(
    ids: &Ids<'_>,
    definition: Option<i64>,
    status: SpriteStatus,
    sheets: Vec<String>,
    error: impl FnOnce() -> SpriteError,
    output: Option<Node<'_>>,
    [tile_count, tile_width, tile_height, vtt_url]: OutputNames,
) -> ImageSprite {
    let output_integer = |name| integer(output?, name);
    let mut sprite = ImageSprite {
        id: String::new(),
        task_id: ids.task_id.as_deref().map(str::to_owned),
        file_id: ids.file_id.as_deref().map(str::to_owned),
        definition,
        status,
        error: (status == SpriteStatus::Fail).then(error),
        tile_count: output_integer(tile_count),
        tile_width: output_integer(tile_width),
        tile_height: output_integer(tile_height),
        sheets,
        vtt_url: output.and_then(|output| text(output, vtt_url)).map(Cow::into_owned),
        finished: None,
        media_duration: None,
    };
    sprite.id = id_of(&sprite);
    sprite
}

/// The texts of an array that are not empty.
pub(super) fn texts(array: Option<Node<'_>>) -> Vec<String> {
    let elements = array.iter().flat_map(Node::elements);
    elements.filter_map(|element| element.text()).map(Cow::into_owned).collect()
}

pub(super) fn object<'a>(node: Node<'a>, name: &str) -> Option<Node<'a>> {
    node.get(name).filter(|value| value.kind() == JsonKind::Object)
}

pub(super) fn text<'a>(node: Node<'a>, name: &str) -> Option<Cow<'a, str>> {
    node.get(name)?.text()
}

pub(super) fn integer(node: Node<'_>, name: &str) -> Option<i64> {
    node.get(name)?.integer()
}

/// A time; none of the forms that stand for "not yet", which name years before there were tasks.
fn time(node: Node<'_>, name: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(&text(node, name)?).ok()?.to_utc();
    (time > DateTime::UNIX_EPOCH).then_some(time)
}

/// The length of the media, which is a number of seconds with a fraction.
fn media_duration(procedure: Node<'_>) -> Option<Duration> {
    let duration = object(procedure, "MetaData")?.get("Duration")?;
    let seconds = duration.text_or_number()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero())
}

fn error_of(task: Node<'_>) -> SpriteError {
    let code = text(task, "ErrCodeExt").or_else(|| task.get("ErrCode")?.text_or_number());
    SpriteError {
        code: code.map_or_else(|| "Unknown".to_owned(), Cow::into_owned),
        message: text(task, "Message").unwrap_or_default().into_owned(),
    }
}

fn id_of(sprite: &ImageSprite) -> String {
    let parts =
        (&sprite.task_id, sprite.definition, sprite.status, &sprite.sheets, &sprite.vtt_url);
    // As JSON, in which no two different lists of texts look the same.
    let mut text = Vec::with_capacity(512);
    serde_json::to_writer(&mut text, &parts).expect("texts and numbers are always writable");
    Key::hash(b"sprite", &[&text]).to_string()
}
