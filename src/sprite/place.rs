//! Where a sprite's files stand in a store: in names of which none is the remote side's.

use sha2::{Digest, Sha256};

use crate::event::{AppId, ImageSprite};

/// The folder and names of one sprite, relative to the store's prefix. A later result of the same
/// template on the same medium has the same place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    folder: String,
    definition: String,
}

impl Place {
    /// Where the files of this sprite of an application stand.
    #[must_use]
    pub fn of(app: AppId, sprite: &ImageSprite) -> Self {
        let file = match &sprite.file_id {
            Some(id) if is_name(id) => id.clone(),
            Some(id) => hashed(b"file", id),
            // The same task run again writes the same URL.
            None => hashed(b"index", sprite.vtt_url.as_ref().unwrap_or(&sprite.id)),
        };
        let definition = sprite.definition.filter(|definition| *definition >= 0);
        Self {
            folder: format!("{app}/{file}"),
            definition: definition.map_or_else(|| "none".to_owned(), |number| number.to_string()),
        }
    }

    /// The folder that holds all of it: `<app>/<file_id>`.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// The manifest's file: `<app>/<file_id>/<definition>.json`.
    #[must_use]
    pub fn manifest(&self) -> String {
        format!("{}/{}.json", self.folder, self.definition)
    }

    /// The folder of a set of files: `<app>/<file_id>/<definition>-<12 hex digits>`. The digits hash the
    /// index as it is written and the SHA-256 of each sheet: the same files have the same name.
    #[must_use]
    pub fn set(&self, vtt: &str, sheets: &[[u8; 32]]) -> String {
        let mut hash = Sha256::new();
        hash.update(b"sprited/1/set\0");
        hash.update(Sha256::digest(vtt));
        sheets.iter().for_each(|sheet| hash.update(sheet));
        format!("{}/{}-{}", self.folder, self.definition, hex(&hash.finalize()[..6]))
    }
}

/// Whether an id may stand in a path as it is.
fn is_name(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A name for what may not stand in a path: `x-` and 32 hex digits.
fn hashed(domain: &[u8], text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"sprited/1/place/");
    hash.update(domain);
    hash.update([0]);
    hash.update(text);
    format!("x-{}", hex(&hash.finalize()[..16]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
