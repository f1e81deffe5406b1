//! The files of a unit: the first of its name, and the drop-ins of every folder, as systemd reads
//! them.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::makedev;

use super::name::UnitName;
use super::syntax::{Assignment, assignments};

/// The folders of units, the first of which has the last word.
const FOLDERS: [&str; 7] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The number of `/dev/null`.
const NULL_DEVICE: u64 = makedev(1, 3);

/// What a unit and its drop-ins say of its service.
#[derive(Debug)]
pub(super) struct UnitFiles {
    pub(super) name: UnitName,
    /// In the order in which they hold.
    pub(super) assignments: Vec<Assignment>,
}

/// Why a unit is of no use.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub(super) enum UnitError {
    #[error("there is no unit {0}")]
    Missing(UnitName),
    #[error("{name} is masked by {}: it cannot start (systemctl unmask {name})", file.display())]
    Masked { name: UnitName, file: PathBuf },
    #[error("cannot read {}: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
}

/// The path below `root`, which is `/` but in tests.
pub(super) fn below(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}

impl UnitFiles {
    /// Reads the unit and its drop-ins. Blocks on the file system.
    pub(super) fn read(root: &Path, name: UnitName) -> Result<Self, UnitError> {
        let of_folder = |file: &String| FOLDERS.map(|folder| Path::new(folder).join(file));
        let candidates = name.files();
        let mut candidates = candidates.iter().flat_map(of_folder);
        let Some(main) = candidates.find(|file| below(root, file).symlink_metadata().is_ok())
        else {
            return Err(UnitError::Missing(name));
        };
        let read = |file: &Path| {
            let path = below(root, file);
            read_plain(&path)
                .map_err(|source| UnitError::Unreadable { file: file.to_owned(), source })
        };
        let text = read(&main)?;
        // A link to /dev/null, or an empty file.
        if text.is_empty() {
            return Err(UnitError::Masked { name, file: main });
        }
        let mut found = assignments(&main, &text);
        for drop_in in drop_ins(root, &name) {
            found.extend(assignments(&drop_in, &read(&drop_in)?));
        }
        Ok(Self { name, assignments: found })
    }

    /// The assignments to `keys` that hold: an empty one takes back those before it.
    pub(super) fn assigned<'a>(&'a self, keys: &'a [&str]) -> Vec<&'a Assignment> {
        let mut holding = Vec::new();
        for assignment in &self.assignments {
            if keys.contains(&assignment.key.as_str()) {
                if assignment.value.is_empty() {
                    holding.clear();
                } else {
                    holding.push(assignment);
                }
            }
        }
        holding
    }
}

/// The text of a plain file, or none of `/dev/null`. Nothing else is read: it may never end.
fn read_plain(path: &Path) -> io::Result<String> {
    let flags = OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let about = file.metadata()?;
    match about.is_file() {
        true => io::read_to_string(file),
        false if about.rdev() == NULL_DEVICE => Ok(String::new()),
        false => Err(io::Error::other("it is no plain file")),
    }
}

/// The drop-ins by the order of their names; of those with one name, the first that is found hides
/// the others.
fn drop_ins(root: &Path, name: &UnitName) -> Vec<PathBuf> {
    // Those for all services come last.
    let own = FOLDERS.iter().flat_map(|folder| name.files().into_iter().map(move |f| (folder, f)));
    let all = FOLDERS.iter().map(|folder| (folder, "service".to_owned()));
    let mut found = BTreeMap::new();
    for (folder, file) in own.chain(all) {
        let folder = Path::new(folder).join(format!("{file}.d"));
        for entry in fs::read_dir(below(root, &folder)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let path = folder.join(&name);
            if path.extension().is_some_and(|ending| ending == "conf") {
                found.entry(name).or_insert(path);
            }
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Files below a root of their own.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = below(root.path(), path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => symlink(target, path).unwrap(),
                None => fs::write(path, text).unwrap(),
            }
        }
        root
    }

    fn values(root: &Path, name: &str, keys: &[&str]) -> Vec<String> {
        let unit = UnitFiles::read(root, UnitName::parse(name).unwrap()).unwrap();
        unit.assigned(keys).iter().map(|assignment| assignment.value.clone()).collect()
    }

    #[test]
    fn drop_ins_of_all_folders_are_merged_by_their_names() {
        let root = root(&[
            ("/lib/systemd/system/sprited.service", "[Service]\nA=shipped\n"),
            ("/usr/lib/systemd/system/sprited.service", "[Service]\nA=vendor\nB=1\n"),
            ("/usr/lib/systemd/system/sprited.service.d/50.conf", "[Service]\nA=50, hidden\n"),
            ("/etc/systemd/system/sprited.service.d/50.conf", "[Service]\nA=50\n"),
            ("/run/systemd/system/sprited.service.d/10.conf", "[Service]\nA=10\n"),
            ("/usr/lib/systemd/system/sprited.service.d/20.conf", "[Service]\nA=20, masked\n"),
            ("/etc/systemd/system/sprited.service.d/20.conf", "-> /dev/null"),
            ("/etc/systemd/system/service.d/60.conf", "[Service]\nA=60\n"),
            ("/etc/systemd/system/service.d/10.conf", "[Service]\nA=hidden, too\n"),
            ("/etc/systemd/system/sprited.service.d/remark.txt", "[Service]\nA=no drop-in\n"),
            ("/etc/systemd/system/sprited.service.d/99.conf", "[Service]\nB=\nB=2\n"),
        ]);
        assert_eq!(values(root.path(), "sprited", &["A"]), ["vendor", "10", "50", "60"]);
        assert_eq!(values(root.path(), "sprited", &["B"]), ["2"]);
    }

    #[test]
    fn an_instance_has_the_template_s_file_and_drop_ins_of_both() {
        let root = root(&[
            ("/usr/lib/systemd/system/sprited@.service", "[Service]\nA=template\n"),
            ("/etc/systemd/system/sprited@.service.d/2.conf", "[Service]\nA=all\n"),
            ("/etc/systemd/system/sprited@eu.service.d/1.conf", "[Service]\nA=eu\n"),
            ("/etc/systemd/system/sprited@us.service.d/3.conf", "[Service]\nA=us\n"),
        ]);
        assert_eq!(values(root.path(), "sprited@eu", &["A"]), ["template", "eu", "all"]);
    }

    #[test]
    fn a_unit_that_is_masked_or_missing_is_named() {
        let root = root(&[
            ("/usr/lib/systemd/system/a.service", "[Service]\nA=1\n"),
            ("/etc/systemd/system/a.service", "-> /dev/null"),
            ("/etc/systemd/system/b.service", "-> nowhere"),
        ]);
        let error = |name| {
            UnitFiles::read(root.path(), UnitName::parse(name).unwrap()).unwrap_err().to_string()
        };
        assert_eq!(
            error("a"),
            "a.service is masked by /etc/systemd/system/a.service: it cannot start \
             (systemctl unmask a.service)"
        );
        assert_eq!(
            error("b"),
            "cannot read /etc/systemd/system/b.service: No such file or directory (os error 2)"
        );
        assert_eq!(error("c@d"), "there is no unit c@d.service");
        let fifo = below(root.path(), "/etc/systemd/system/e.service");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(error("e"), "cannot read /etc/systemd/system/e.service: it is no plain file");
    }
}
