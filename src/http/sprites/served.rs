//! Which mirrors are looked into.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the pages of mirrored sprites are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SpritePages {
    /// Where other machines cannot reach them.
    #[default]
    Auto,
    /// To whoever reaches the address.
    On,
    /// Not at all.
    Off,
}

impl SpritePages {
    /// Whether a server on a loopback address, or on another one, serves them.
    #[must_use]
    pub fn are_served(self, is_loopback: bool) -> bool {
        match self {
            Self::Auto => is_loopback,
            Self::On => true,
            Self::Off => false,
        }
    }
}

/// A mirror whose files are in a folder of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorFolder {
    /// The name of its sink.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
    /// What stands before each name in it; may be empty, or several names with `/` between them.
    pub prefix: String,
    /// The URL by which players get what is in there, without a slash at its end.
    pub public_url: String,
}

impl MirrorFolder {
    /// The path below the folder of a file at `place`.
    pub(super) fn below(&self, place: &str) -> String {
        match self.prefix.trim_matches('/') {
            "" => place.to_owned(),
            prefix => format!("{prefix}/{place}"),
        }
    }
}

/// What the pages of sprites show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedSprites {
    /// `[http] sprites`.
    pub pages: SpritePages,
    /// The mirrors in the configuration, in its order.
    pub mirrors: Vec<MirrorFolder>,
}
