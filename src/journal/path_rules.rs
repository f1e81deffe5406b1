//! How long the path of a journal may be, so that every file that it may need can be made.

use std::io;
use std::path::{Path, PathBuf};

use super::error::OpenError;
use super::side_files::longest_copy_suffix;
use crate::folder;

/// The longest path of a database that SQLite opens, in bytes: it keeps room for what it appends.
const MAX_PATH: usize = 504;

/// What of the path of a journal is too long for a file of it: of the database, of a copy that is
/// rescued when it is gone, or of one that makes way. `None` if all can be made. Blocks.
///
/// # Errors
/// When its folder cannot be read.
pub fn too_long(path: &Path) -> io::Result<Option<String>> {
    if let Some(why) = for_sqlite(path) {
        return Ok(Some(why));
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    Ok(folder::refuses(folder, name.len() + longest_copy_suffix())?
        .map(|why| format!("a copy of it that is made when it is gone would get {why}")))
}

/// Warns of a folder in which the journal can be used all the same.
pub(super) fn warn_of_folder(path: &Path) {
    if let Ok(Some(why)) = too_long(path) {
        let journal = path.display();
        tracing::warn!(%journal, why, "journal path too long; set a shorter one");
    }
    let Some(beside) = path.parent() else { return };
    if let Err(error) = folder::sync_or_tell(beside) {
        tracing::warn!(folder = %beside.display(), %error, "journal folder cannot be synced");
    }
}

/// The same for the database alone: without it nothing can be opened.
pub(super) fn refuse(path: &Path) -> Result<(), OpenError> {
    let Some(why) = for_sqlite(path) else { return Ok(()) };
    let source = io::Error::other(format!("{why}; set journal.path to a shorter one"));
    Err(OpenError::File { path: path.to_owned(), source })
}

fn for_sqlite(path: &Path) -> Option<String> {
    let bytes = real(path).as_os_str().len();
    (bytes > MAX_PATH).then(|| format!("a path of {bytes} bytes, where SQLite takes {MAX_PATH}"))
}

/// Where it leads to, as far as that is there.
fn real(path: &Path) -> PathBuf {
    let beside = |folder: &Path| Some(folder.canonicalize().ok()?.join(path.file_name()?));
    let real = path.canonicalize().ok().or_else(|| beside(path.parent()?));
    real.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Journal, JournalSettings};
    use super::*;

    fn in_folder(length: usize) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let mut folder = root.path().canonicalize().unwrap();
        while folder.as_os_str().len() + 1 < length {
            let left = length - folder.as_os_str().len() - 1;
            // No last folder without a name.
            folder.push("d".repeat(if left > 200 { 100 } else { left }));
        }
        std::fs::create_dir_all(&folder).unwrap();
        (root, folder)
    }

    #[tokio::test]
    async fn the_longest_path_is_opened_and_the_next_is_refused_by_its_length() {
        for (length, opens) in [(MAX_PATH, true), (MAX_PATH + 1, false)] {
            let (_root, folder) = in_folder(length - "/j.db".len());
            let path = folder.join("j.db");
            assert_eq!(path.as_os_str().len(), length);
            assert_eq!(too_long(&path).unwrap().is_none(), opens, "{length}");
            let opened = Journal::open(&JournalSettings { path, ..JournalSettings::default() });
            match opened {
                Ok((journal, closing)) => {
                    drop(journal);
                    closing.wait().await;
                    assert!(opens, "{length}");
                }
                Err(error) => {
                    assert!(!opens && error.to_string().contains("SQLite takes 504"), "{error}");
                    assert!(!error.may_pass());
                }
            }
        }
    }

    #[test]
    fn a_name_leaves_room_for_the_longest_that_is_made_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let fits = |length: usize| too_long(&folder.path().join("j".repeat(length))).unwrap();
        let longest = (1..).take_while(|length| fits(*length).is_none()).count();
        let name = "j".repeat(longest);
        for kind in [".rescued-", ".replaced-"] {
            let file = format!("{name}{kind}20260102T030405Z-100-wal");
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        assert!(
            fits(longest + 1).unwrap().contains("name of 256 bytes"),
            "{:?}",
            fits(longest + 1)
        );
    }
}
