//! What a mirror made of the image sprites of an event, for a sink that comes after it.

use serde::{Deserialize, Serialize};

/// Bytes of JSON that the results of one event take at most.
const MAX_BYTES: usize = 64 * 1024;

/// What a mirror made of one image sprite: `data.sprites[i].mirror` of the envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorResult {
    /// The name of that sink.
    pub sink: String,
    /// What became of the sprite there.
    pub status: MirrorStatus,
    /// Why it is not there, in words for the operator. Holds no secret.
    pub error: Option<String>,
    /// URL of the manifest.
    pub manifest: Option<String>,
    /// URL of the WebVTT index.
    pub vtt: Option<String>,
    /// URLs of the sheets, in order; `None` also where they are too many for the envelope. The
    /// manifest has them all.
    pub sheets: Option<Vec<String>>,
    /// The size of a tile, where all have the same.
    pub tile: Option<MirrorTile>,
    /// How many tiles there are.
    pub count: Option<u64>,
    /// What is wrong with it, though it can be used.
    pub findings: Vec<MirrorFinding>,
}

/// What became of a sprite at a mirror, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MirrorStatus {
    /// The mirror has it.
    Ok,
    /// The mirror could not get it.
    Failed,
    /// There was nothing to get: its task failed or is still at work, or a newer sprite is there.
    Skipped,
}

/// The size of a tile in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorTile {
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

/// Something that is wrong with a sprite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorFinding {
    /// What kind of thing it is, for programs.
    pub code: String,
    /// What it is, for people.
    pub text: String,
}

/// Leaves out of the results of one event what would make them longer than an envelope should be:
/// first the lists of sheets, then the findings.
#[must_use]
pub(super) fn within_limit(mut results: Vec<MirrorResult>) -> Vec<MirrorResult> {
    let is_too_long = |results: &Vec<MirrorResult>| {
        serde_json::to_vec(results).is_ok_and(|text| text.len() > MAX_BYTES)
    };
    if is_too_long(&results) {
        results.iter_mut().for_each(|result| result.sheets = None);
    }
    if is_too_long(&results) {
        results.iter_mut().for_each(|result| result.findings.clear());
    }
    // Of hundreds of sprites, whose URLs alone are too long.
    while is_too_long(&results) {
        results.truncate(results.len() / 2);
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(sheets: usize, findings: usize) -> MirrorResult {
        MirrorResult {
            sink: "cdn".to_owned(),
            status: MirrorStatus::Ok,
            error: None,
            manifest: Some("https://img.example.com/10.json".to_owned()),
            vtt: Some("https://img.example.com/10-0/thumbnails.vtt".to_owned()),
            sheets: Some(vec!["https://img.example.com/10-0/0.jpg".to_owned(); sheets]),
            tile: Some(MirrorTile { width: 142, height: 80 }),
            count: Some(106),
            findings: vec![
                MirrorFinding { code: "count".to_owned(), text: "x".repeat(200) };
                findings
            ],
        }
    }

    #[test]
    fn what_is_too_long_loses_its_sheets_first_then_its_findings() {
        let short = vec![result(100, 10)];
        assert_eq!(within_limit(short.clone()), short);
        let [long] = <[_; 1]>::try_from(within_limit(vec![result(10_000, 10)])).unwrap();
        assert_eq!((long.sheets, long.findings.len()), (None, 10));
        let many = within_limit(vec![result(1, 100); 100]);
        assert!(many.len() == 100 && many.iter().all(|result| result.findings.is_empty()));
        let most = within_limit(vec![result(0, 0); 10_000]);
        assert!(!most.is_empty() && serde_json::to_vec(&most).unwrap().len() <= MAX_BYTES);
    }
}
