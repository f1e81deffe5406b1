//! An event, and what is stored of it.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::after::AfterResult;
use super::event_type;
use super::key::{AppId, Key};
use super::origin::EventOrigin;
use super::report::sprites_of_body;
use super::sprite::{self, ImageSprite};

/// One event as it was received, without the handle it came under. Shared, never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Tells this event from every other. As it is read, an event that
    /// [may repeat](Event::is_repeatable) has the key of its content, which equal ones share; the
    /// journal gives each occurrence a key of its own.
    pub key: Key,
    /// The application that it is of.
    pub app: AppId,
    /// Its EventType as received, or [`UNKNOWN_TYPE`](super::UNKNOWN_TYPE) where it has none or one
    /// that is no name: over 256 bytes or with control characters.
    pub event_type: String,
    /// The FileId of its payload, where it has one: text or the digits of a number, of at most
    /// 256 bytes without control characters.
    pub file_id: Option<String>,
    /// The TaskId of its payload, where it has one; of the same kind.
    pub task_id: Option<String>,
    /// Its image sprites, in the order of the payload; those still processing included.
    pub sprites: Vec<ImageSprite>,
    /// The EventContent without EventHandle and without white space outside strings: always
    /// one line of well-formed JSON.
    pub body: String,
    /// When it first came; kept with it, so that a retry sends the same bytes.
    pub first_pulled: DateTime<Utc>,
    /// Whether bytes that were not UTF-8 were replaced in it.
    pub replaced: bool,
    /// How it arrived first.
    pub origin: EventOrigin,
    /// What became of it at the sink before, where it is on its way to one that comes after that.
    pub after: Option<Arc<AfterResult>>,
}

impl Event {
    /// An event as it was stored; its sprites are read from `body` again.
    #[must_use]
    pub fn from_stored(stored: StoredEvent) -> Self {
        let sprites = sprites_of_body(&stored.body);
        Self {
            key: stored.key,
            app: stored.app,
            event_type: stored.event_type,
            file_id: stored.file_id,
            task_id: stored.task_id,
            sprites,
            body: stored.body,
            first_pulled: stored.first_pulled,
            replaced: stored.replaced,
            origin: stored.origin,
            after: None,
        }
    }

    /// Whether an event that reads the same may be another one: nothing in it tells them apart.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        event_type::is_repeatable(&self.event_type, self.task_id.is_some(), self.file_id.is_some())
    }

    /// Whether it reports at least one finished image sprite, successful or failed, or is a
    /// CreateImageSpriteComplete of any content.
    #[must_use]
    pub fn is_image_sprite(&self) -> bool {
        self.event_type == sprite::CREATE_COMPLETE
            || self.sprites.iter().any(ImageSprite::is_finished)
    }
}

/// What has to be stored of an event to have it again. The members are those of [`Event`].
#[allow(missing_docs, reason = "each is documented at Event")]
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub key: Key,
    pub app: AppId,
    pub event_type: String,
    pub file_id: Option<String>,
    pub task_id: Option<String>,
    pub body: String,
    pub first_pulled: DateTime<Utc>,
    pub replaced: bool,
    pub origin: EventOrigin,
}
