//! The event: what it is, which one it is, and how it leaves.
//!
//! Owns the reading of one EventSet entry ([`read()`]), the event's [`Key`], its typed image
//! sprites and the envelope a sink receives. Knows nothing of the rest of the crate and cannot
//! fail: what is not understood is kept, token for token.

mod envelope;
mod json;
mod key;
mod read;
mod scan;
mod sprite;
mod types;

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;

pub use envelope::EventFormat;
pub use key::{Key, KeyError};
pub use read::{Entry, EntryReader, read};
pub use sprite::{ImageSprite, SpriteError, SpriteStatus};
pub use types::{known_type, known_types};

/// The EventType under which entries go that have none.
pub const UNKNOWN_TYPE: &str = "Unknown";

/// A VOD application: the SubAppId events are pulled from. 0 stands for the account's primary
/// application, for which no SubAppId is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct AppId(pub u64);

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One event as it was received, without the handle it came under. Shared, never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Tells this event from every other. As it is read, an event that
    /// [may repeat](Event::is_repeatable) has the key of its content, which equal ones share; the
    /// journal gives each occurrence a key of its own.
    pub key: Key,
    /// The application it was pulled from.
    pub app: AppId,
    /// Its EventType as received, or [`UNKNOWN_TYPE`] where it has none or one that is no name:
    /// over 256 bytes or with control characters.
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
    /// When it was first pulled; kept with it, so that a retry sends the same bytes.
    pub first_pulled: DateTime<Utc>,
    /// Whether bytes that were not UTF-8 were replaced in it.
    pub replaced: bool,
}

impl Event {
    /// An event as it was stored; its sprites are read from `body` again.
    #[must_use]
    pub fn from_stored(stored: StoredEvent) -> Self {
        let StoredEvent { key, app, event_type, file_id, task_id, body, first_pulled, replaced } =
            stored;
        let sprites = read::sprites_of_body(&body);
        Self { key, app, event_type, file_id, task_id, sprites, body, first_pulled, replaced }
    }

    /// Whether an event that reads the same may be another one: nothing in it tells them apart.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        types::is_repeatable(self)
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
}

/// Which events a sink wants: `image-sprite`, EventType names, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "Vec<String>")]
pub struct Wanted {
    all: bool,
    image_sprites: bool,
    types: Vec<String>,
}

impl Wanted {
    /// Whether `event` is among them.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.all
            || (self.image_sprites && event.is_image_sprite())
            || self.types.contains(&event.event_type)
    }

    /// Whether events of this type are asked for by their name.
    #[must_use]
    pub fn names(&self, event_type: &str) -> bool {
        self.types.iter().any(|name| name == event_type)
    }

    /// Whether nothing can match.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && !self.image_sprites && self.types.is_empty()
    }
}

impl Default for Wanted {
    fn default() -> Self {
        Self { all: false, image_sprites: true, types: Vec::new() }
    }
}

impl From<Vec<String>> for Wanted {
    fn from(names: Vec<String>) -> Self {
        let all = names.iter().any(|name| name == "*");
        let image_sprites = names.iter().any(|name| name == "image-sprite");
        let types =
            names.into_iter().filter(|name| name != "*" && name != "image-sprite").collect();
        Self { all, image_sprites, types }
    }
}
