//! What was found of a sprite, saved: a folder that a web server can hand out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::found::FoundSprite;

const ORIGINAL: &str = "original.vtt";
const REWRITTEN: &str = "thumbnails.vtt";

/// Whether nothing was saved to that folder before, asked before anything is fetched for it.
pub(super) fn is_free(folder: &Path) -> Result<(), String> {
    let taken = [ORIGINAL, REWRITTEN].map(|name| folder.join(name));
    match taken.iter().find(|path| path.exists()) {
        Some(path) => Err(cannot_save(path, &io::ErrorKind::AlreadyExists.into())),
        None => Ok(()),
    }
}

/// Saves the index as it came, the sheets under names of their own, and the rewritten index of these.
/// Overwrites nothing. Fails with words for an operator.
pub(super) fn save(folder: &Path, found: &FoundSprite) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| cannot_save(folder, &error))?;
    let save = |name: &str, write: &dyn Fn(&mut File) -> io::Result<()>| {
        let path = folder.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        file.and_then(|mut file| write(&mut file)).map_err(|error| cannot_save(&path, &error))
    };
    if let Some(index) = &found.index {
        save(ORIGINAL, &|file| file.write_all(index))?;
    }
    let Ok(content) = &found.content else { return Ok(()) };
    for (number, sheet) in content.sheets.iter().enumerate() {
        let from = sheet.file.path();
        save(&sheet.kept_name(number), &|file| io::copy(&mut File::open(from)?, file).map(drop))?;
    }
    let rewritten = content.rewritten_as_kept();
    save(REWRITTEN, &|file| file.write_all(rewritten.as_bytes()))
}

fn cannot_save(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{} is there already, and is not overwritten", path.display())
        }
        _ => format!("cannot save {}: {error}", path.display()),
    }
}
