//! A sprite in a folder: the index in a file, its sheets beside it.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use reqwest::Url;
use sha2::{Digest, Sha256};

use super::found::{FoundSheet, FoundSprite, SheetFile, SpriteContent};
use crate::sprite::{
    self, Announced, Area, Cue, Finding, FindingCode, Index, MAX_TEXT_BYTES, Resolved, SheetFormat,
    SheetImage,
};
use crate::units::counted;

/// Where an index without a URL is taken to be, so that its names lead somewhere.
const BASE: &str = "http://beside.invalid/";

/// The sprite whose index is in this file.
pub(super) fn of_file(path: &Path) -> FoundSprite {
    let index = File::open(path).and_then(read);
    let folder = path.parent().unwrap_or(Path::new(""));
    found(path.display().to_string(), index, |index| content(index, Some(folder)))
}

/// The sprite whose index is the text on standard input.
pub(super) fn of_stdin() -> FoundSprite {
    found("standard input".to_owned(), read(io::stdin().lock()), |index| content(index, None))
}

fn found(
    source: String,
    index: io::Result<Vec<u8>>,
    content: impl FnOnce(&[u8]) -> Result<SpriteContent, String>,
) -> FoundSprite {
    let (index, content) = match index {
        Ok(index) => {
            let content = content(&index);
            (Some(index), content)
        }
        Err(error) => (None, Err(format!("cannot be read: {error}"))),
    };
    FoundSprite { source, url: None, index, content }
}

/// All of it, or so much that it is known to be too long.
fn read(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_TEXT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn content(bytes: &[u8], folder: Option<&Path>) -> Result<SpriteContent, String> {
    let index = sprite::parse(bytes).map_err(|problem| problem.to_string())?;
    let base = Url::parse(BASE).map_err(|error| error.to_string())?;
    // Whatever path or URL stands before it, the file is beside the index.
    let mut listed: Vec<String> = Vec::new();
    let mut last = None;
    let mut written: HashMap<String, &str> = HashMap::new();
    let mut merged = BTreeSet::new();
    for Cue { name, .. } in &index.cues {
        if last == Some(name) {
            continue;
        }
        last = Some(name);
        let Some(url) = file_name(name, &base).and_then(|file| url_of(&file, &base)) else {
            continue;
        };
        if *written.entry(url.clone()).or_insert(name) != name {
            merged.insert(url.clone());
        }
        if !listed.contains(&url) && listed.len() <= sprite::MAX_SHEETS {
            listed.push(url);
        }
    }
    let resolved = sprite::resolve(&index, &base, &listed).map_err(|error| error.to_string())?;
    let paths: Vec<PathBuf> = match folder {
        Some(folder) => resolved
            .sheets
            .iter()
            .filter_map(|sheet| Some(folder.join(file_name(sheet.url.as_str(), &base)?)))
            .collect(),
        None => Vec::new(),
    };
    let names = resolved.sheets.iter().map(|sheet| last_segment(&sheet.url)).collect();
    let (images, sheets): (Vec<SheetImage>, _) = if paths.iter().any(|path| path.exists()) {
        let sheets: Vec<FoundSheet> = paths.into_iter().map(look).collect::<Result<_, String>>()?;
        (sheets.iter().map(|sheet| sheet.image).collect(), sheets)
    } else {
        (assumed(&index, &resolved)?, Vec::new())
    };
    let mut verified = sprite::verify(index, resolved, &images, &Announced::default());
    for url in merged.iter().take(sprite::MAX_FINDINGS) {
        let file = url.strip_prefix(BASE).unwrap_or(url);
        let text = format!("several names of the index are taken for the one file {file}");
        verified.findings.insert(0, Finding::new(FindingCode::Ambiguous, &text));
    }
    if sheets.is_empty() {
        // How many tiles would fit on a sheet that nobody has seen says nothing.
        verified.grid = None;
    }
    if verified.tiles.is_empty() {
        let first = verified.findings.first().map(|finding| finding.text.as_str());
        return Err(format!("no cue can be used: {}", first.unwrap_or_default()));
    }
    Ok(SpriteContent { verified, sheets, names })
}

/// The name of the file beside the index that a cue means; none if it can be none.
fn file_name(written: &str, base: &Url) -> Option<String> {
    let url = base.join(&written.replace("&amp;", "&")).ok()?;
    let name = percent_decode_str(&last_segment(&url)).decode_utf8().ok()?.into_owned();
    let is_plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    is_plain.then_some(name)
}

fn last_segment(url: &Url) -> String {
    url.path().rsplit('/').next().unwrap_or_default().to_owned()
}

fn url_of(file: &str, base: &Url) -> Option<String> {
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().push(file);
    Some(url.into())
}

fn look(path: PathBuf) -> Result<FoundSheet, String> {
    let wrong =
        |problem: &dyn std::fmt::Display| format!("the sheet {}: {problem}", path.display());
    let mut file = File::open(&path).map_err(|error| wrong(&error))?;
    let length = file.metadata().map_err(|error| wrong(&error))?.len();
    let image = sprite::look_at(&mut file, length).map_err(|problem| wrong(&problem))?;
    let mut hash = Sha256::new();
    file.rewind().map_err(|error| wrong(&error))?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).map_err(|error| wrong(&error))? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    let sha256 = hash.finalize().into();
    Ok(FoundSheet { url: None, bytes: length, sha256, image, file: SheetFile::Own(path) })
}

/// Sheets that hold just what the cues say, where no sheet can be looked at.
fn assumed(index: &Index, resolved: &Resolved) -> Result<Vec<SheetImage>, String> {
    let nothing = SheetImage { format: SheetFormat::Jpeg, width: 1, height: 1 };
    let mut images = vec![nothing; resolved.sheets.len()];
    let mut unmeasured = 0;
    for (cue, sheet) in index.cues.iter().zip(&resolved.of_cue) {
        let Some(image) = sheet.and_then(|sheet| images.get_mut(sheet)) else { continue };
        match cue.area {
            Area::Pixels { x, y, width, height } => {
                image.width = image.width.max(x.saturating_add(width));
                image.height = image.height.max(y.saturating_add(height));
            }
            Area::Whole | Area::Percent { .. } => unmeasured += 1,
        }
    }
    if unmeasured > 0 {
        return Err(format!(
            "{} cannot be measured without the sheets: put them beside the index",
            counted(unmeasured, "tile")
        ));
    }
    Ok(images)
}
