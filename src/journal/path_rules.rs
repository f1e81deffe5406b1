//! What the path of a journal may be: short enough for every file that it may need, and the only
//! name of its file.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::OpenError;
use super::side_files::{database, longest_copy_suffix};
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
    let path = database(path);
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
    let path = database(path);
    let Some(beside) = path.parent() else { return };
    if let Err(error) = folder::sync_or_tell(beside) {
        tracing::warn!(folder = %beside.display(), %error, "journal folder cannot be synced");
    }
}

/// Refuses a file with another name, be it by a hard link or by a mount. Each would have a
/// write-ahead log and a lock of its own: what goes in by one is missing by the other, and both are
/// damaged.
pub(super) fn refuse_second_name(path: &Path) -> Result<(), OpenError> {
    let Ok(about) = path.metadata() else { return Ok(()) };
    let path = database(path);
    if about.is_file() && about.nlink() > 1 {
        return Err(OpenError::Linked { path, names: about.nlink() });
    }
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    if is_mounted(&mounts, &path) { Err(OpenError::Mounted { path }) } else { Ok(()) }
}

/// Whether something is mounted right at `path`, by the text of `/proc/self/mountinfo`.
fn is_mounted(mounts: &[u8], path: &Path) -> bool {
    let mut name = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => name.extend(format!("\\{byte:03o}").bytes()),
            _ => name.push(*byte),
        }
    }
    mounts
        .split(|byte| *byte == b'\n')
        .any(|line| line.split(|byte| *byte == b' ').nth(4) == Some(name.as_slice()))
}

/// Refuses a path too long for the database, without which nothing can be opened, and a file with
/// another name.
pub(super) fn refuse(path: &Path) -> Result<(), OpenError> {
    refuse_second_name(path)?;
    let Some(why) = for_sqlite(path) else { return Ok(()) };
    let source = io::Error::other(format!("{why}; set journal.path to a shorter one"));
    Err(OpenError::File { path: path.to_owned(), source })
}

fn for_sqlite(path: &Path) -> Option<String> {
    let bytes = database(path).as_os_str().len();
    (bytes > MAX_PATH).then(|| format!("a path of {bytes} bytes, where SQLite takes {MAX_PATH}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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
    fn a_file_that_is_mounted_by_itself_is_found_by_its_whole_path() {
        let mounts = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                       60 22 254:0 /data/j.db /srv/x.db rw - ext4 /dev/vda rw\n\
                       61 22 254:0 /data/j.db /srv/a\\040b\\134.db rw - ext4 /dev/vda rw\n";
        for (path, is) in [
            ("/srv/x.db", true),
            ("/srv/a b\\.db", true),
            ("/data/j.db", false),
            ("/srv/x.db-wal", false),
            ("/srv", false),
        ] {
            assert_eq!(is_mounted(mounts, Path::new(path)), is, "{path}");
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
