//! The manifest of a sprite that is mirrored: how it is made, what it names, and which of two is newer.

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::Url;

use super::public_url::PublicUrl;
use super::store::VTT_NAME;
use crate::event::{Event, ImageSprite, MirrorFinding, MirrorResult, MirrorStatus, MirrorTile};
use crate::fetch::FetchedSprite;
use crate::sprite::{MANIFEST_VERSION, MadeFrom, Manifest, ManifestSheet, Place};

/// Where the files of a sprite are, for players.
#[derive(Debug)]
pub(super) struct PublicPlace<'a> {
    pub(super) url: &'a PublicUrl,
    pub(super) place: &'a Place,
}

impl PublicPlace<'_> {
    /// The manifest of what was fetched for a sprite of the event, and is in that set.
    pub(super) fn manifest(
        &self,
        event: &Event,
        sprite: &ImageSprite,
        fetched: &FetchedSprite,
        set: &str,
    ) -> Manifest {
        let verified = &fetched.verified;
        let mut tiles = vec![0; fetched.sheets.len()];
        for tile in &verified.tiles {
            if let Some(count) = tiles.get_mut(tile.sheet) {
                *count += 1;
            }
        }
        let names = sheet_names(fetched);
        let sheets = fetched.sheets.iter().zip(names).zip(tiles);
        let findings = verified.findings.iter().filter(|finding| !finding.code.is_repair());
        Manifest {
            version: MANIFEST_VERSION,
            sprite: sprite.id.clone(),
            file_id: sprite.file_id.clone(),
            definition: sprite.definition,
            vtt: self.url.of(&format!("{set}/{VTT_NAME}")),
            sheets: sheets
                .map(|((sheet, name), tiles)| ManifestSheet {
                    url: self.url.of(&format!("{set}/{name}")),
                    width: sheet.image.width,
                    height: sheet.image.height,
                    bytes: sheet.bytes,
                    sha256: hex(&sheet.sha256),
                    tiles,
                })
                .collect(),
            tile: verified.tile,
            count: verified.tiles.len(),
            duration: seconds(verified.duration),
            grid: verified.grid,
            findings: findings.cloned().collect(),
            made_from: made_from(event, sprite),
        }
    }

    /// The set that a manifest of this place names, and its sheets; `None` if that is no name of ours.
    pub(super) fn named(&self, manifest: &Manifest) -> Option<NamedSet> {
        let (rest, vtt) = manifest.vtt.rsplit_once('/')?;
        let (_, set) = rest.rsplit_once('/')?;
        let sheets = manifest.sheets.iter().map(|sheet| {
            let (_, name) = sheet.url.rsplit_once('/')?;
            is_plain(name).then(|| (name.to_owned(), sheet.bytes))
        });
        let sheets: Vec<_> = sheets.collect::<Option<_>>()?;
        let is_ours = vtt == VTT_NAME && is_plain(set);
        is_ours.then(|| NamedSet { path: format!("{}/{set}", self.place.folder()), sheets })
    }

    /// The same manifest with the URLs that it would have now: those in the configuration can change.
    pub(super) fn with_present_urls(&self, manifest: &Manifest, set: &NamedSet) -> Manifest {
        let mut present = manifest.clone();
        present.vtt = self.url.of(&format!("{}/{VTT_NAME}", set.path));
        for (sheet, (name, _)) in present.sheets.iter_mut().zip(&set.sheets) {
            sheet.url = self.url.of(&format!("{}/{name}", set.path));
        }
        present
    }

    /// What the sinks that follow are told of a sprite with that manifest.
    pub(super) fn result(&self, sink: &str, manifest: &Manifest) -> MirrorResult {
        let finding = |finding: &crate::sprite::Finding| MirrorFinding {
            code: finding.code.as_str().to_owned(),
            text: finding.text.clone(),
        };
        MirrorResult {
            sink: sink.to_owned(),
            status: MirrorStatus::Ok,
            error: None,
            manifest: Some(self.url.of(&self.place.manifest())),
            vtt: Some(manifest.vtt.clone()),
            sheets: Some(manifest.sheets.iter().map(|sheet| sheet.url.clone()).collect()),
            tile: manifest.tile.map(|tile| MirrorTile { width: tile.width, height: tile.height }),
            count: Some(manifest.count as u64),
            findings: manifest.findings.iter().map(finding).collect(),
        }
    }
}

/// The files of a set, as a manifest names them.
#[derive(Debug)]
pub(super) struct NamedSet {
    /// In the store.
    pub(super) path: String,
    /// Names and lengths.
    pub(super) sheets: Vec<(String, u64)>,
}

/// What the sheets are called in their set: by their number, and by what their bytes are.
pub(super) fn sheet_names(fetched: &FetchedSprite) -> Vec<String> {
    let sheets = fetched.sheets.iter().enumerate();
    sheets.map(|(at, sheet)| format!("{at}.{}", sheet.image.format.extension())).collect()
}

/// Whether the sprite that a manifest is of is newer than that of the event: by when their tasks
/// ended, where that is known of both and differs, else by when their events came first.
pub(super) fn is_newer(there: &Manifest, event: &Event, sprite: &ImageSprite) -> bool {
    let time = |text: &str| Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc());
    let there = &there.made_from;
    if let (Some(there), Some(this)) = (there.finished.as_deref().and_then(time), sprite.finished)
        && there != this
    {
        return there > this;
    }
    // In milliseconds, as it is written.
    let this = time(&written(event.first_pulled));
    time(&there.first_pulled).zip(this).is_some_and(|(there, this)| there > this)
}

fn made_from(event: &Event, sprite: &ImageSprite) -> MadeFrom {
    MadeFrom {
        vtt_url: sprite.vtt_url.as_deref().map(without_signature).unwrap_or_default(),
        finished: sprite.finished.map(written),
        first_pulled: written(event.first_pulled),
        event: event.key.to_string(),
    }
}

/// Everybody can read a manifest; a query may be what opens a protected file.
fn without_signature(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return String::new() };
    url.set_query(None);
    url.set_fragment(None);
    // Of URLs that have no user at all both fail, which is as good.
    url.set_username("").ok();
    url.set_password(None).ok();
    url.into()
}

fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[allow(clippy::cast_precision_loss, reason = "exact up to 285,000 years")]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain)
}

/// The hash that 64 hex digits stand for.
pub(super) fn hash_of(hex: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    let bytes: Vec<u8> = digits?
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    bytes.try_into().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
