//! Which sheets an index names, and where they are.

use reqwest::Url;
use thiserror::Error;

use super::finding::{Finding, FindingCode, Findings, excerpt};
use super::vtt::Index;

/// How many sheets a sprite may have.
pub const MAX_SHEETS: usize = 1_000;

/// Where a sheet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetSource {
    /// Its URL. That of a listed one is what the event says and may be anything; another one lies in
    /// the folder of the index, or below it.
    pub url: Url,
    /// Whether the event lists it.
    pub is_listed: bool,
}

/// The sheets that an index names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The sheets that a cue names, at most [`MAX_SHEETS`]: those that the event lists in its order,
    /// then the others in the order in which they are named.
    pub sheets: Vec<SheetSource>,
    /// For each cue of the index its place in `sheets`; none for a cue that is dropped.
    pub of_cue: Vec<Option<usize>>,
    /// What is wrong with the names.
    pub findings: Vec<Finding>,
}

/// Why no sheet of a sprite is fetched: one of its names leads where none may, or there are too many.
/// The words are for an operator; fetching again does not help.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct RefusedName(pub(super) String);

/// Finds the sheets that the cues of an index name: among those that the event lists, by the last
/// segment of their path; else beside the index. Without a list every sheet is beside the index.
///
/// # Errors
///
/// If a name that the list does not have leads out of the folder of the index, to another host or to
/// another scheme; and if there are more than [`MAX_SHEETS`] sheets.
pub fn resolve(index: &Index, vtt_url: &Url, listed: &[String]) -> Result<Resolved, RefusedName> {
    let mut sheets: Vec<SheetSource> = Vec::new();
    let mut findings = Findings::default();
    let mut of_cue = Vec::with_capacity(index.cues.len());
    for cue in &index.cues {
        let url = vtt_url.join(&cue.name).map_err(|error| RefusedName(error.to_string()))?;
        let is_listed = listed.iter().any(|listed| listed == url.as_str());
        if !is_listed && !listed.is_empty() {
            findings.add(FindingCode::Unlisted, || {
                format!("the event does not list {}", excerpt(&cue.name))
            });
        }
        let at = sheets.iter().position(|sheet| sheet.url == url).unwrap_or_else(|| {
            sheets.push(SheetSource { url, is_listed });
            sheets.len() - 1
        });
        of_cue.push(Some(at));
    }
    Ok(Resolved { sheets, of_cue, findings: findings.into_vec() })
}
