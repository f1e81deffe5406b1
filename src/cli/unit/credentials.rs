//! The credentials that a unit gives its service, read as the service manager reads them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{UnitFiles, below};
use super::syntax::{Assignment, unescaped};
use crate::secret::{self, SecretError, UnitCredential, UnitCredentials};

/// Where a credential is kept that the unit names without a path, the first first.
const STORES: [&str; 5] = [
    "/run/credentials/@system",
    "/etc/credstore",
    "/run/credstore",
    "/usr/local/lib/credstore",
    "/usr/lib/credstore",
];

const LOAD: [&str; 2] = ["LoadCredential", "LoadCredentialEncrypted"];
const SET: [&str; 2] = ["SetCredential", "SetCredentialEncrypted"];
const IMPORT: [&str; 1] = ["ImportCredential"];

/// The credentials of a unit, and where each is from.
#[derive(Debug)]
pub(super) struct FoundCredentials {
    pub(super) values: UnitCredentials,
    /// By the credential's name: `/usr/lib/systemd/system/sprited.service: /etc/sprited/secret_key`.
    pub(super) sources: BTreeMap<String, String>,
}

/// Reads every credential of the unit once. Blocks on the file system.
pub(super) fn read(root: &Path, unit: &UnitFiles) -> FoundCredentials {
    let otherwise = match unit.assigned(&IMPORT).first() {
        Some(import) => {
            withheld(format!("may be one of ImportCredential= in {}", import.file.display()), true)
        }
        None => {
            let name = &unit.name;
            let problem = format!(
                "is not given by {name}: add LoadCredential= with it (systemctl edit {name})"
            );
            withheld(problem, false)
        }
    };
    let mut found = FoundCredentials {
        values: UnitCredentials { otherwise, by_name: BTreeMap::new() },
        sources: BTreeMap::new(),
    };
    let set = by_name(unit, &SET);
    for (name, set) in &set {
        found.add(name, text(set), || format!("{}: {}=", set.file.display(), set.key));
    }
    for (name, load) in by_name(unit, &LOAD) {
        let loaded = Loading { root, load: &load, fallback: set.get(&name) };
        loaded.add(&name, &mut found);
    }
    found
}

/// An assignment that is about one credential; its value is what stands behind the name.
struct Named {
    key: String,
    file: PathBuf,
    value: String,
}

/// The last assignment to each name.
fn by_name(unit: &UnitFiles, keys: &[&str]) -> BTreeMap<String, Named> {
    let named = |Assignment { file, key, value }: &Assignment| {
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        let named =
            Named { key: key.clone(), file: file.clone(), value: unit.name.expanded(value) };
        (unit.name.expanded(name), named)
    };
    unit.assigned(keys).into_iter().map(named).collect()
}

fn withheld(problem: String, is_seen_by_service: bool) -> UnitCredential {
    UnitCredential::Withheld { problem, is_seen_by_service }
}

fn encrypted(Named { key, file, .. }: &Named) -> UnitCredential {
    withheld(format!("is encrypted, by {key}= in {}", file.display()), true)
}

/// The text that stands in the unit itself.
fn text(set: &Named) -> UnitCredential {
    let Named { key, file, value } = set;
    if key != SET[0] {
        return encrypted(set);
    }
    let place = format!("{key}= in {}", file.display());
    match unescaped(value).and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) => UnitCredential::Value { secret: secret::of_content(&text), place },
        None => withheld(format!("cannot be used: {place} is no text"), false),
    }
}

/// A credential that is to be loaded.
struct Loading<'a> {
    root: &'a Path,
    load: &'a Named,
    /// What stands for it where there is no file.
    fallback: Option<&'a Named>,
}

impl Loading<'_> {
    fn add(&self, name: &str, to: &mut FoundCredentials) {
        let unit = self.load.file.display();
        if self.load.key != LOAD[0] {
            to.add(name, encrypted(self.load), || unit.to_string());
            return;
        }
        let path = self.path(name);
        let source = |path: &Path| format!("{unit}: {}", path.display());
        match fs::metadata(below(self.root, &path)) {
            Ok(about) if about.is_dir() => {
                for entry in fs::read_dir(below(self.root, &path)).into_iter().flatten().flatten() {
                    let file = path.join(entry.file_name());
                    let name = format!("{name}_{}", entry.file_name().display());
                    to.add(&name, self.file(&file), || source(&file));
                }
            }
            Ok(about) if !about.is_file() => {
                let problem = format!("comes from {}, by {unit}", path.display());
                to.add(name, withheld(problem, true), || source(&path));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let absent = self.absent(&path);
                to.add(name, absent, || format!("{}, which does not exist", source(&path)));
            }
            _ => to.add(name, self.file(&path), || source(&path)),
        }
    }

    /// The file, be it there or not.
    fn path(&self, name: &str) -> PathBuf {
        let path = Path::new(&self.load.value);
        if path.is_absolute() {
            return path.to_owned();
        }
        let stored = if self.load.value.is_empty() { Path::new(name) } else { path };
        let mut places = STORES.map(|store| Path::new(store).join(stored)).into_iter();
        let found = places.find(|place| below(self.root, place).exists());
        found.unwrap_or_else(|| Path::new(STORES[1]).join(stored))
    }

    fn file(&self, path: &Path) -> UnitCredential {
        let place =
            format!("{} ({}= in {})", path.display(), self.load.key, self.load.file.display());
        match secret::read_file(&below(self.root, path)) {
            Ok(secret) => UnitCredential::Value { secret, place },
            Err(SecretError::File { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                withheld(format!("is for root alone: {place}"), true)
            }
            Err(SecretError::File { source, .. }) => {
                withheld(format!("cannot be read: {place}: {source}"), false)
            }
            Err(SecretError::Content { problem, .. }) => {
                withheld(format!("cannot be used: {place} {problem}"), false)
            }
            Err(error) => withheld(format!("cannot be read: {error}"), false),
        }
    }

    fn absent(&self, path: &Path) -> UnitCredential {
        let Named { key, file, .. } = self.load;
        let place = format!("{} ({key}= in {})", path.display(), file.display());
        match self.fallback.map(text) {
            // The one of the package is empty, so that the service starts without a key.
            Some(UnitCredential::Value { secret, .. }) => {
                UnitCredential::Value { secret, place: format!("{place}, which does not exist") }
            }
            Some(other) => other,
            None => withheld(format!("cannot be read: {place} does not exist"), false),
        }
    }
}

impl FoundCredentials {
    fn add(&mut self, name: &str, found: UnitCredential, source: impl Fn() -> String) {
        self.values.by_name.insert(name.to_owned(), found);
        self.sources.insert(name.to_owned(), source());
    }
}

#[cfg(test)]
mod tests {
    use super::super::name::UnitName;
    use super::*;

    const UNIT: &str = "/etc/systemd/system/sprited@.service";

    /// What is found of these credentials where the unit's service says this, in words.
    fn found(service: &str, files: &[(&str, &str)]) -> BTreeMap<String, String> {
        let root = tempfile::tempdir().unwrap();
        let unit = format!("[Service]\n{service}");
        for (path, text) in files.iter().chain(&[(UNIT, unit.as_str())]) {
            let path = below(root.path(), path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let unit = UnitFiles::read(root.path(), UnitName::parse("sprited@eu").unwrap()).unwrap();
        let FoundCredentials { values, sources } = read(root.path(), &unit);
        let in_words = |(name, found): (String, UnitCredential)| {
            let words = match found {
                UnitCredential::Value { secret, place } => {
                    format!("{:?} of {place}; by {}", secret.expose(), sources[&name])
                }
                UnitCredential::Withheld { problem, is_seen_by_service: true } => {
                    format!("{problem}, unseen")
                }
                UnitCredential::Withheld { problem, .. } => problem,
            };
            (name, words.replace(UNIT, "UNIT"))
        };
        values.by_name.into_iter().map(in_words).collect()
    }

    #[test]
    fn a_file_is_loaded_or_the_unit_s_text_stands_in_for_it() {
        let service = "LoadCredential=key:/etc/sprited/%i.key\nSetCredential=key:\\n\n";
        let key = |files: &[(&str, &str)]| found(service, files)["key"].clone();
        assert_eq!(
            key(&[("/etc/sprited/eu.key", "hunter2\n")]),
            "\"hunter2\" of /etc/sprited/eu.key (LoadCredential= in UNIT); \
             by UNIT: /etc/sprited/eu.key"
        );
        assert_eq!(
            key(&[]),
            "\"\" of /etc/sprited/eu.key (LoadCredential= in UNIT), which does not exist; \
             by UNIT: /etc/sprited/eu.key, which does not exist"
        );
        assert_eq!(
            key(&[("/etc/sprited/eu.key", "\n")]),
            "\"\" of /etc/sprited/eu.key (LoadCredential= in UNIT); by UNIT: /etc/sprited/eu.key"
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_and_what_only_the_service_sees() {
        let service = "LoadCredential=absent:/etc/absent\nSetCredential=text:a\\tb\n\
                       LoadCredentialEncrypted=sealed:/etc/sealed\nSetCredential=sealed:x\n\
                       SetCredentialEncrypted=box:AAAA\nSetCredential=odd:\\q\n\
                       LoadCredential=device:/dev/null\nLoadCredential=many:/etc/many\n\
                       LoadCredential=gone:/etc/gone\nLoadCredential=gone:/etc/found\n";
        // No device of this machine is below the root.
        let files = [("/etc/many/a", "1"), ("/etc/many/b", "2"), ("/etc/found", "3")];
        let found = found(service, &files);
        for (name, words) in [
            ("absent", "cannot be read: /etc/absent (LoadCredential= in UNIT) does not exist"),
            ("text", "\"a\\tb\" of SetCredential= in UNIT; by UNIT: SetCredential="),
            ("sealed", "is encrypted, by LoadCredentialEncrypted= in UNIT, unseen"),
            ("box", "is encrypted, by SetCredentialEncrypted= in UNIT, unseen"),
            ("odd", "cannot be used: SetCredential= in UNIT is no text"),
            ("many_a", "\"1\" of /etc/many/a (LoadCredential= in UNIT); by UNIT: /etc/many/a"),
            ("many_b", "\"2\" of /etc/many/b (LoadCredential= in UNIT); by UNIT: /etc/many/b"),
            ("gone", "\"3\" of /etc/found (LoadCredential= in UNIT); by UNIT: /etc/found"),
        ] {
            assert_eq!(found[name], words);
        }
        assert!(!found.contains_key("many"), "{found:?}");
    }

    #[test]
    fn a_name_alone_is_looked_for_in_the_stores() {
        let files = [("/run/credstore/key", "of run"), ("/usr/lib/credstore/other", "of usr")];
        let found = found("LoadCredential=key\nLoadCredential=a:other\nLoadCredential=b\n", &files);
        assert!(found["key"].starts_with("\"of run\" of /run/credstore/key "), "{found:?}");
        assert!(found["a"].starts_with("\"of usr\" of /usr/lib/credstore/other "), "{found:?}");
        assert!(found["b"].contains("/etc/credstore/b (LoadCredential= in UNIT) does not exist"));
    }
}
