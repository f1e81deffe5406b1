//! The event: what it is, which one it is, and how it leaves.
//!
//! Owns the reading of one EventSet entry ([`read()`]), the event's [`Key`], its typed image
//! sprites and the envelope a sink receives. Knows nothing of the rest of the crate and cannot
//! fail: what is not understood is kept, token for token.

mod after;
mod envelope;
mod event_type;
mod json;
mod key;
mod legacy;
mod mirror;
mod origin;
mod progress;
mod read;
mod report;
mod sample;
mod scan;
mod sprite;
mod types;
mod wanted;

pub use after::{AfterResult, AfterState};
pub use envelope::EventFormat;
pub use event_type::{UNKNOWN_TYPE, known_type, known_types};
pub use key::{AppId, Key, KeyError};
pub use mirror::{MirrorFinding, MirrorResult, MirrorStatus, MirrorTile};
pub use origin::EventOrigin;
pub use progress::TaskProgress;
pub use read::{Entry, EntryReader, PostedEntry, read};
pub use sample::{test_body, test_event};
pub use sprite::{ImageSprite, SpriteError, SpriteStatus};
pub use types::{Event, StoredEvent};
pub use wanted::Wanted;
