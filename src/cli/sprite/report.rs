//! What was found out about a sprite, for people and for programs.

use reqwest::Url;
use serde::Serialize;

use super::found::{FoundSheet, FoundSprite, SpriteContent};
use super::remote::shown;
use crate::cli::exit::Exit;
use crate::sanitize::one_line;
use crate::sprite::{self, Finding, Grid, TileSize, players};

/// What was found out about a sprite.
#[derive(Serialize)]
pub(super) struct SpriteReport {
    pub(super) source: String,
    /// Whether nothing is wrong, or only what is repaired.
    pub(super) ok: bool,
    /// Why it could not be checked.
    pub(super) error: Option<String>,
    pub(super) index: Option<IndexSummary>,
    #[serde(flatten)]
    pub(super) content: Option<ContentSummary>,
    /// Without content, those that the text alone shows.
    pub(super) findings: Vec<Finding>,
    pub(super) repairs: Vec<Finding>,
    /// What each makes of the index as it is.
    pub(super) players: Vec<PlayerSummary>,
}

#[derive(Serialize)]
pub(super) struct IndexSummary {
    pub(super) bytes: usize,
    pub(super) cues: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct ContentSummary {
    pub(super) count: usize,
    /// In seconds.
    pub(super) duration: f64,
    pub(super) tile: Option<TileSize>,
    pub(super) grid: Option<Grid>,
    pub(super) sheets: Vec<SheetSummary>,
    /// What each makes of the rewritten index, at the place of the index as it is.
    pub(super) rewritten_players: Vec<PlayerSummary>,
}

#[derive(Serialize)]
pub(super) struct SheetSummary {
    pub(super) name: String,
    pub(super) url: Option<String>,
    pub(super) format: &'static str,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) tiles: usize,
}

#[derive(Serialize)]
pub(super) struct PlayerSummary {
    pub(super) player: &'static str,
    pub(super) problem: Option<String>,
}

impl SpriteReport {
    pub(super) fn of(found: &FoundSprite) -> Self {
        let index = found.index.as_deref();
        let cues = index.and_then(|index| sprite::parse(index).ok());
        let index_summary = |bytes: &[u8]| IndexSummary {
            bytes: bytes.len(),
            cues: cues.as_ref().map(|index| index.cues.len()),
        };
        let url = found.url.as_ref();
        let content = found.content.as_ref().ok();
        let all = match (content, &cues) {
            (Some(content), _) => content.verified.findings.as_slice(),
            (None, Some(index)) => &index.findings,
            (None, None) => &[],
        };
        let (repairs, findings): (Vec<_>, Vec<_>) =
            all.iter().cloned().partition(|finding| finding.code.is_repair());
        Self {
            source: found.source.clone(),
            ok: content.is_some() && findings.is_empty(),
            error: found.content.as_ref().err().cloned(),
            index: index.map(index_summary),
            content: content.map(|content| ContentSummary::of(content, url)),
            findings,
            repairs,
            players: index.map(|index| judged(index, url)).unwrap_or_default(),
        }
    }

    pub(super) fn exit(&self) -> Exit {
        if self.ok { Exit::Success } else { Exit::Failure }
    }

    /// What may look wrong to a viewer, and why the sprite could not be checked.
    pub(super) fn complaints(&self) -> Vec<String> {
        let error = self.error.iter().map(|error| one_line(error));
        error.chain(self.findings.iter().map(line)).collect()
    }
}

fn line(finding: &Finding) -> String {
    format!("{}: {}", finding.code.as_str(), finding.text)
}

fn judged(text: &[u8], url: Option<&Url>) -> Vec<PlayerSummary> {
    let verdicts = players(text, url).into_iter();
    verdicts.map(|it| PlayerSummary { player: it.player, problem: it.problem }).collect()
}

impl ContentSummary {
    fn of(content: &SpriteContent, url: Option<&Url>) -> Self {
        let verified = &content.verified;
        let sheet = |(number, sheet): (usize, &FoundSheet)| SheetSummary {
            name: content.names.get(number).cloned().unwrap_or_default(),
            url: sheet.url.as_ref().map(shown),
            format: sheet.image.format.extension(),
            width: sheet.image.width,
            height: sheet.image.height,
            bytes: sheet.bytes,
            sha256: sheet.sha256_hex(),
            tiles: content.tiles_of(number),
        };
        Self {
            count: verified.tiles.len(),
            duration: verified.duration as f64 / 1000.0,
            tile: verified.tile,
            grid: verified.grid,
            sheets: content.sheets.iter().enumerate().map(sheet).collect(),
            rewritten_players: judged(content.rewritten_as_kept().as_bytes(), url),
        }
    }
}
