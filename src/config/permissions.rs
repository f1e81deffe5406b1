//! What others could do with the files of a configuration, looked at as ssh looks at its keys.
//!
//! Nothing is refused for it: a file's mode may be as it is for a reason. It is told at the start
//! and by `check`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// What a file must not be open to everybody for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// What may be read by all.
    Settings,
    /// A secret among the settings, or nothing else.
    Secret,
    /// The events themselves.
    Events,
}

/// What is wrong with a file's mode, owner or folder; nothing if it is not there.
pub(super) fn exposures(path: &Path, holds: Holds) -> Vec<String> {
    // What is no file, a device say, has its mode from elsewhere.
    let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
    let Some(file) = file else { return Vec::new() };
    let (mode, name) = (file.mode() & 0o7777, path.display());
    let mut found = Vec::new();
    if mode & 0o004 != 0 && holds != Holds::Settings {
        let what = if holds == Holds::Secret { "holds a secret" } else { "holds the events" };
        found.push(format!(
            "{name} {what} and can be read by everybody (mode {mode:03o}); use chmod o-rwx"
        ));
    }
    if mode & 0o022 != 0 {
        found.push(format!(
            "{name} can be changed by others than its owner (mode {mode:03o}); use chmod go-w"
        ));
    }
    let (owner, own) = (file.uid(), geteuid().as_raw());
    if is_strange(owner, own) {
        found.push(format!(
            "{name} belongs to user {owner}, who can change it; use chown, to root or to user {own}"
        ));
    }
    found.extend(folder(path));
    found
}

/// Whether somebody else owns a file. Root looks at files of the service's user, as they should be.
fn is_strange(owner: u32, own: u32) -> bool {
    own != 0 && owner != 0 && owner != own
}

/// Whoever may write to a folder can put another file in the place of the one that is meant.
fn folder(path: &Path) -> Option<String> {
    let folder: PathBuf = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => return None,
    };
    let mode = std::fs::metadata(&folder).ok()?.mode() & 0o7777;
    let is_sticky = mode & 0o1000 != 0;
    (mode & 0o002 != 0 && !is_sticky).then(|| {
        format!(
            "{} can be replaced by everybody: its folder has mode {mode:03o}; use chmod o-w on it",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn found(mode: u32, folder_mode: u32, holds: Holds) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(folder_mode)).unwrap();
        exposures(&path, holds).len()
    }

    #[test]
    fn a_file_is_root_s_or_one_s_own() {
        assert!(is_strange(1000, 999));
        assert!(!is_strange(0, 999) && !is_strange(999, 999) && !is_strange(999, 0));
    }

    #[test]
    fn each_mode_has_its_exposures() {
        for (mode, folder, holds, expected) in [
            (0o600, 0o700, Holds::Secret, 0),
            (0o640, 0o755, Holds::Secret, 0),
            (0o644, 0o755, Holds::Settings, 0),
            (0o644, 0o755, Holds::Secret, 1),
            (0o644, 0o755, Holds::Events, 1),
            (0o660, 0o755, Holds::Settings, 1),
            (0o602, 0o755, Holds::Settings, 1),
            (0o666, 0o755, Holds::Secret, 2),
            (0o600, 0o777, Holds::Secret, 1),
            (0o600, 0o1777, Holds::Secret, 0),
        ] {
            assert_eq!(found(mode, folder, holds), expected, "{mode:o} in {folder:o}, {holds:?}");
        }
        assert!(exposures(Path::new("/nowhere/file"), Holds::Secret).is_empty());
        assert!(exposures(Path::new("/"), Holds::Settings).is_empty());
    }
}
