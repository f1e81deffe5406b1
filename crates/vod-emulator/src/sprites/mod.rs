//! Image-sprite tasks whose results can be looked at.
//!
//! Owns the sprite events of both source APIs, and the files of their URLs: a sheet is drawn, and a
//! WebVTT file written, on request, from its URL alone. Knows nothing of the rest of the emulator
//! but how numbers are scrambled.

mod event;
mod files;
mod legacy;
mod png;
mod task;

pub(super) use event::{PROCESSING_TIME, time};
pub(super) use files::{SPRITES_PATH, file};
pub use task::{CreatedSprite, NotifyMode, SourceApi, SpriteOrder};
pub(super) use task::{Sprites, Task, TaskReport};
