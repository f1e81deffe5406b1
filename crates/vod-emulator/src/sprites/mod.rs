//! Image-sprite tasks whose results can be looked at.
//!
//! Owns the sprite events of both source APIs, and the files of their URLs: a sheet is drawn, and a
//! WebVTT file written, on request, from its URL alone. What is unusual about them, by order, is a part of the URL as well;
//! only what depends on earlier requests is remembered. Knows nothing of the rest of the emulator
//! but how numbers are scrambled.

mod event;
mod files;
mod history;
mod layout;
mod legacy;
mod png;
mod protection;
mod quirks;
mod sheet;
mod task;
mod vtt;

pub(super) use event::{PROCESSING_TIME, time};
pub(super) use files::{SPRITES_PATH, SpriteFile};
pub(super) use history::{SpriteAnswer, SpriteHistory};
pub use protection::SpriteProtection;
pub(super) use protection::{FileRequest, Forbidden};
pub(super) use quirks::SpriteFileFault;
pub use quirks::SpriteQuirks;
pub use task::{CreatedSprite, NotifyMode, SourceApi, SpriteOrder};
pub(super) use task::{Sprites, Task, TaskReport};
