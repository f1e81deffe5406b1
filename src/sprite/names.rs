//! Which sheets an index names, and where they are.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use thiserror::Error;

use super::finding::{Finding, FindingCode, Findings, excerpt, excerpt_of_name};
use super::vtt::{Cue, Index};

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

/// Finds the sheets that the cues of an index name: among those that the event lists, by the whole URL
/// or by the last segment of its path; else beside the index. Without a list every sheet is beside the
/// index.
///
/// # Errors
///
/// If a name that the list does not have leads out of the folder of the index, to another host or to
/// another scheme; and if there are more than [`MAX_SHEETS`] sheets.
pub fn resolve(index: &Index, vtt_url: &Url, listed: &[String]) -> Result<Resolved, RefusedName> {
    let mut findings = Findings::default();
    let listed = Listed::of(listed, vtt_url, &mut findings);
    let mut beside: Vec<Url> = Vec::new();
    let mut known: HashMap<&str, Option<Found>> = HashMap::new();
    let mut of_cue = Vec::with_capacity(index.cues.len());
    for Cue { name, .. } in &index.cues {
        let found = match known.get(name.as_str()) {
            Some(found) => *found,
            None => {
                let found = match find(name, vtt_url, &listed, &mut findings)? {
                    Sought::Listed(at) => Some(Found::Listed(at)),
                    Sought::Beside(url) => Some(Found::Beside(place_of(url, &mut beside)?)),
                    Sought::Nowhere => None,
                };
                known.insert(name, found);
                found
            }
        };
        of_cue.push(found);
    }
    let mut is_used = vec![false; listed.sheets.len()];
    for found in &of_cue {
        if let Some(Found::Listed(at)) = found {
            is_used[*at] = true;
        }
    }
    // The place of each listed sheet among those that are used.
    let mut places = Vec::with_capacity(is_used.len());
    let mut sheets = Vec::new();
    for (url, is_used) in listed.sheets.into_iter().zip(is_used) {
        places.push(sheets.len());
        if is_used {
            sheets.push(SheetSource { url, is_listed: true });
        } else {
            findings.add(FindingCode::Unused, || {
                format!("no cue names {}", excerpt_of_name(url.as_str()))
            });
        }
    }
    let listed_used = sheets.len();
    sheets.extend(beside.into_iter().map(|url| SheetSource { url, is_listed: false }));
    if sheets.len() > MAX_SHEETS {
        return Err(too_many());
    }
    let place = |found| match found {
        Found::Listed(at) => places.get(at).copied(),
        Found::Beside(at) => Some(listed_used + at),
    };
    let of_cue = of_cue.into_iter().map(|found| found.and_then(place)).collect();
    Ok(Resolved { sheets, of_cue, findings: findings.into_vec() })
}

fn too_many() -> RefusedName {
    RefusedName(format!("the index names more than {MAX_SHEETS} sheets"))
}

/// Where a name leads: by place in the list, or among those beside the index.
#[derive(Clone, Copy)]
enum Found {
    Listed(usize),
    Beside(usize),
}

enum Sought {
    Listed(usize),
    Beside(Url),
    Nowhere,
}

fn place_of(url: Url, urls: &mut Vec<Url>) -> Result<usize, RefusedName> {
    if let Some(at) = urls.iter().position(|known| *known == url) {
        return Ok(at);
    }
    if urls.len() == MAX_SHEETS {
        return Err(too_many());
    }
    urls.push(url);
    Ok(urls.len() - 1)
}

/// The sheets that the event lists, once each.
struct Listed {
    sheets: Vec<Url>,
    by_url: HashMap<String, usize>,
    /// By the last segment of the path, decoded.
    by_segment: HashMap<String, Vec<usize>>,
}

impl Listed {
    fn of(listed: &[String], vtt_url: &Url, findings: &mut Findings) -> Self {
        let mut own =
            Self { sheets: Vec::new(), by_url: HashMap::new(), by_segment: HashMap::new() };
        for text in listed {
            let Ok(mut url) = vtt_url.join(text) else {
                findings.add(FindingCode::NameInvalid, || {
                    format!("the event lists {}, which is no URL", excerpt_of_name(text))
                });
                continue;
            };
            url.set_fragment(None);
            let at = own.sheets.len();
            if own.by_url.contains_key(url.as_str()) {
                continue;
            }
            own.by_url.insert(url.as_str().to_owned(), at);
            own.by_segment.entry(last_segment(&url)).or_default().push(at);
            own.sheets.push(url);
        }
        own
    }

    /// Returns those whose last segment this is.
    fn with_segment(&self, segment: &str) -> &[usize] {
        self.by_segment.get(segment).map_or(&[], Vec::as_slice)
    }
}

fn last_segment(url: &Url) -> String {
    let segment = url.path().rsplit('/').next().unwrap_or_default();
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// Finds the sheet of one name.
fn find(
    written: &str,
    vtt_url: &Url,
    listed: &Listed,
    findings: &mut Findings,
) -> Result<Sought, RefusedName> {
    let name = written.replace("&amp;", "&");
    // In a URL it begins a fragment; the list alone can tell that it is part of a name.
    if name.contains('#') {
        let segment = name.rsplit('/').next().unwrap_or_default();
        if let [at] = listed.with_segment(segment) {
            return Ok(Sought::Listed(*at));
        }
        findings.add(FindingCode::NameInvalid, || {
            format!("a cue names {}, which holds a # and is not listed", excerpt_of_name(written))
        });
        return Ok(Sought::Nowhere);
    }
    let Ok(url) = vtt_url.join(&name) else {
        findings.add(FindingCode::NameInvalid, || {
            format!("a cue names {}, which is no URL", excerpt_of_name(written))
        });
        return Ok(Sought::Nowhere);
    };
    check_scheme(written, &url, vtt_url)?;
    describe(written, findings);
    if let Some(at) = listed.by_url.get(url.as_str()) {
        return Ok(Sought::Listed(*at));
    }
    let segment = last_segment(&url);
    match listed.with_segment(&segment) {
        [] => {}
        [at] => return Ok(Sought::Listed(*at)),
        [first, ..] => {
            let several = listed.with_segment(&segment);
            let is_at = |at: &usize| {
                listed.sheets.get(*at).is_some_and(|sheet| is_at_same_place(sheet, &url))
            };
            let mut alike = several.iter().filter(|at| is_at(at));
            if let (Some(at), None) = (alike.next(), alike.next()) {
                return Ok(Sought::Listed(*at));
            }
            findings.add(FindingCode::Ambiguous, || {
                let count = several.len();
                format!(
                    "{} fits {count} listed sheets; the first is taken",
                    excerpt_of_name(written)
                )
            });
            return Ok(Sought::Listed(*first));
        }
    }
    if segment.is_empty() {
        findings.add(FindingCode::NameInvalid, || {
            format!("a cue names {}, which is a folder", excerpt_of_name(written))
        });
        return Ok(Sought::Nowhere);
    }
    check_folder(written, &url, vtt_url)?;
    if !listed.sheets.is_empty() {
        findings.add(FindingCode::Unlisted, || {
            format!("a cue names {}, which the event does not list", excerpt_of_name(written))
        });
    }
    Ok(Sought::Beside(url))
}

/// Whether two URLs differ in scheme and query at most.
fn is_at_same_place(one: &Url, other: &Url) -> bool {
    one.host() == other.host() && one.path() == other.path()
}

/// Notes how a name is written that leads somewhere.
fn describe(written: &str, findings: &mut Findings) {
    let (path, query) = written.split_once('?').map_or((written, None), |(p, q)| (p, Some(q)));
    let shown = || excerpt_of_name(written);
    if path.contains(['/', '\\']) {
        findings.add(FindingCode::Path, || format!("{} is no bare file name", shown()));
    }
    if query.is_some() {
        findings.add(FindingCode::Query, || format!("{} has a query", shown()));
    }
    if path.contains('%') || written.contains("&amp;") {
        findings.add(FindingCode::Encoded, || format!("{} is encoded", shown()));
    }
}

fn check_scheme(written: &str, url: &Url, vtt_url: &Url) -> Result<(), RefusedName> {
    let is_web = matches!(url.scheme(), "http" | "https") || url.scheme() == vtt_url.scheme();
    if is_web && url.has_host() == vtt_url.has_host() {
        return Ok(());
    }
    refuse(written, &format!("whose scheme is {}", excerpt(url.scheme())))
}

/// Only what is beside the index is fetched on its word alone.
fn check_folder(written: &str, url: &Url, vtt_url: &Url) -> Result<(), RefusedName> {
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(written, "which holds a user name");
    }
    let server = |url: &Url| {
        (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default())
    };
    if server(url) != server(vtt_url) {
        return refuse(written, "which is on another server than the index, and not listed");
    }
    let folder = vtt_url.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    if url.path().strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')) {
        return Ok(());
    }
    refuse(written, "which is outside the folder of the index, and not listed")
}

fn refuse(written: &str, why: &str) -> Result<(), RefusedName> {
    Err(RefusedName(format!("the index names {}, {why}", excerpt_of_name(written))))
}
