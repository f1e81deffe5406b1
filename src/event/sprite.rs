//! The typed image sprite.

/// The EventType of image sprites made through the API of 2017.
pub(super) const CREATE_COMPLETE: &str = "CreateImageSpriteComplete";

/// How far an image-sprite task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpriteStatus {
    /// Still at work.
    Processing,
    /// The sheets are there.
    Success,
    /// It failed; [`ImageSprite::error`] says why.
    Fail,
}

/// One image sprite: sheets of thumbnails and their WebVTT index.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSprite {
    /// How far its task has come.
    pub status: SpriteStatus,
}

impl ImageSprite {
    /// Whether its task is over, for better or worse.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.status != SpriteStatus::Processing
    }
}
