//! Permissions of the files of a configuration, checked as ssh checks its keys.
//!
//! Nothing is refused for them, since a file's mode may be as it is for a reason: the start and
//! `check` warn.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sensitivity {
    /// It holds settings, which everybody may read.
    Settings,
    Secret,
    Events,
}

/// Returns warnings about a file's mode, owner and folder; none if it is not there.
pub(super) fn warnings(path: &Path, sensitivity: Sensitivity) -> Vec<String> {
    // What is not a file, such as a device, has its mode from elsewhere.
    let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
    let Some(file) = file else { return Vec::new() };
    let (mode, name) = (file.mode() & 0o7777, path.display());
    let mut found = Vec::new();
    if mode & 0o004 != 0 && sensitivity != Sensitivity::Settings {
        let what =
            if sensitivity == Sensitivity::Secret { "holds a secret" } else { "holds the events" };
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
    if is_foreign_owner(owner, own) {
        found.push(format!(
            "{name} belongs to user {owner}, who can change it; use chown, to root or to user {own}"
        ));
    }
    found.extend(folder(path));
    found
}

/// Whether the owner of a file is neither root nor this user. Root checks files of the service's
/// user, as they should be.
fn is_foreign_owner(owner: u32, own: u32) -> bool {
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

    fn found(mode: u32, folder_mode: u32, sensitivity: Sensitivity) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(folder_mode)).unwrap();
        warnings(&path, sensitivity).len()
    }

    #[test]
    fn a_file_is_root_s_or_one_s_own() {
        assert!(is_foreign_owner(1000, 999));
        assert!(
            !is_foreign_owner(0, 999) && !is_foreign_owner(999, 999) && !is_foreign_owner(999, 0)
        );
    }

    #[test]
    fn each_mode_has_its_exposures() {
        for (mode, folder, sensitivity, expected) in [
            (0o600, 0o700, Sensitivity::Secret, 0),
            (0o640, 0o755, Sensitivity::Secret, 0),
            (0o644, 0o755, Sensitivity::Settings, 0),
            (0o644, 0o755, Sensitivity::Secret, 1),
            (0o644, 0o755, Sensitivity::Events, 1),
            (0o660, 0o755, Sensitivity::Settings, 1),
            (0o602, 0o755, Sensitivity::Settings, 1),
            (0o666, 0o755, Sensitivity::Secret, 2),
            (0o600, 0o777, Sensitivity::Secret, 1),
            (0o600, 0o1777, Sensitivity::Secret, 0),
        ] {
            assert_eq!(
                found(mode, folder, sensitivity),
                expected,
                "{mode:o} in {folder:o}, {sensitivity:?}"
            );
        }
        assert!(warnings(Path::new("/nowhere/file"), Sensitivity::Secret).is_empty());
        assert!(warnings(Path::new("/"), Sensitivity::Settings).is_empty());
    }
}
