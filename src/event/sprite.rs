//! The typed image sprite, from both roads on which one arrives.
//!
//! Members are chosen by what is there, not by the event's type: the documents contradict each
//! other on the names of types, and any field may be null, absent or empty.

use serde::Serialize;

use super::Key;
use super::json::Node;

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
pub(super) fn sprites_of(event: &Node<'_>) -> Vec<ImageSprite> {
    let mut sprites = Vec::new();
    if let Some(task) = object(event, "CreateImageSpriteCompleteEvent") {
        sprites.push(of_task_2017(task));
    }
    if let Some(procedure) = object(event, "ProcedureStateChangeEvent") {
        // Once, not for each sprite: a payload of many members may hold many sprites.
        let origin = Origin::of(procedure);
        let results = procedure.get("MediaProcessResultSet").map_or(&[][..], Node::elements);
        let tasks = results.iter().filter_map(|result| object(result, "ImageSpriteTask"));
        sprites.extend(tasks.map(|task| of_procedure(origin, task)));
    }
    sprites
}

/// CreateImageSpriteTask2017: no status of its own, `ErrCode` 0 is success.
fn of_task_2017(task: &Node<'_>) -> ImageSprite {
    let sheets = texts(task.get("ImageSpriteUrlSet"));
    let status = match task.get("ErrCode").and_then(Node::integer) {
        Some(0) => SpriteStatus::Success,
        None if !sheets.is_empty() => SpriteStatus::Success,
        Some(_) | None => SpriteStatus::Fail,
    };
    let definition = task.get("Definition").and_then(Node::integer);
    build(Origin::of(task), definition, status, sheets, task, Some(task))
}

/// MediaProcessTaskImageSpriteResult of a ProcedureTask.
fn of_procedure(origin: Origin<'_>, task: &Node<'_>) -> ImageSprite {
    let output = task.get("Output");
    let sheets = texts(output.and_then(|output| output.get("ImageUrlSet")));
    let status = match task.get("Status").and_then(Node::text) {
        Some("SUCCESS") => SpriteStatus::Success,
        Some("FAIL") => SpriteStatus::Fail,
        None if !sheets.is_empty() => SpriteStatus::Success,
        Some(_) | None => SpriteStatus::Processing,
    };
    let definition =
        ["Input", "Output"].iter().find_map(|at| task.get(at)?.get("Definition")?.integer());
    build(origin, definition, status, sheets, task, output)
}

/// What a payload says of all its sprites.
#[derive(Clone, Copy)]
struct Origin<'n> {
    task_id: Option<&'n str>,
    file_id: Option<&'n str>,
}

impl<'n> Origin<'n> {
    fn of(payload: &'n Node<'_>) -> Self {
        let id = |name| payload.get(name).and_then(Node::id);
        Self { task_id: id("TaskId"), file_id: id("FileId") }
    }
}

fn build(
    origin: Origin<'_>,
    definition: Option<i64>,
    status: SpriteStatus,
    sheets: Vec<String>,
    task: &Node<'_>,
    output: Option<&Node<'_>>,
) -> ImageSprite {
    let output = |name| output.and_then(|output| output.get(name));
    let mut sprite = ImageSprite {
        id: String::new(),
        task_id: origin.task_id.map(str::to_owned),
        file_id: origin.file_id.map(str::to_owned),
        definition,
        status,
        error: (status == SpriteStatus::Fail).then(|| error_of(task)),
        tile_count: output("TotalCount").and_then(Node::integer),
        tile_width: output("Width").and_then(Node::integer),
        tile_height: output("Height").and_then(Node::integer),
        sheets,
        vtt_url: output("WebVttUrl").and_then(Node::text).map(str::to_owned),
    };
    sprite.id = id_of(&sprite);
    sprite
}

/// The texts of an array that are not empty.
fn texts(array: Option<&Node<'_>>) -> Vec<String> {
    let elements = array.map_or(&[][..], Node::elements);
    elements.iter().filter_map(Node::text).map(str::to_owned).collect()
}

fn object<'n, 'a>(node: &'n Node<'a>, name: &str) -> Option<&'n Node<'a>> {
    node.get(name).filter(|value| matches!(value, Node::Object(_)))
}

fn error_of(task: &Node<'_>) -> SpriteError {
    let code = task
        .get("ErrCodeExt")
        .and_then(Node::text)
        .or_else(|| task.get("ErrCode").and_then(Node::text_or_number));
    let message = task.get("Message").and_then(Node::text);
    SpriteError {
        code: code.unwrap_or("Unknown").to_owned(),
        message: message.unwrap_or_default().to_owned(),
    }
}

fn id_of(sprite: &ImageSprite) -> String {
    let parts =
        (&sprite.task_id, sprite.definition, sprite.status, &sprite.sheets, &sprite.vtt_url);
    // As JSON, in which no two different lists of texts look the same.
    let text = serde_json::to_vec(&parts).expect("texts and numbers are always writable as JSON");
    Key::hash(b"sprite", &[&text]).to_string()
}
