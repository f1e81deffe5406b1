//! Secrets and where they are kept.
//!
//! Owns the configuration's way to name a secret ([`SecretRef`]) and the value it stands for
//! ([`Secret`]). Neither ever shows the value through `Debug` or an error. Knows nothing else
//! of the crate.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// The largest file a secret is read from, in bytes: a key is short, and a wrong path may lead
/// to something that is not.
const MAX_SECRET_FILE: u64 = 64 * 1024;

/// A secret's value. `Debug` hides it and its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The value itself: for signing and for request headers only.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Returns the text of what a target said, trimmed, with the values of `hidden` masked: it may echo
/// what it was sent.
#[must_use]
pub fn mask(text: &[u8], hidden: &[Secret]) -> String {
    let mut text = String::from_utf8_lossy(text).trim().to_owned();
    // The longest first: one may be a part of another, of which the rest would stay.
    let mut hidden: Vec<_> = hidden.iter().filter(|secret| !secret.expose().is_empty()).collect();
    hidden.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    for secret in hidden {
        text = text.replace(secret.expose(), "[secret]");
    }
    text
}

/// For telling a changed configuration from the same one; not for checking what a stranger sent.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value.into())
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Where a secret comes from, as the configuration writes it: `"text"`, `{ file = "/path" }`,
/// `{ env = "NAME" }` or `{ credential = "name" }` (a file in systemd's credentials folder).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a secret: \"text\", { file = \"/path\" }, { env = \"NAME\" } or { credential = \"name\" }"
)]
#[schemars(extend("writeOnly" = true))]
pub enum SecretRef {
    /// The value stands in the configuration itself.
    Literal(
        #[serde(deserialize_with = "literal")]
        #[schemars(with = "String")]
        Secret,
    ),
    /// The value stands elsewhere.
    Place(SecretSource),
}

/// Where the value of a secret stands.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// In a file; one line end at its close is not part of the value.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
    /// In a file of that name in the folder `$CREDENTIALS_DIRECTORY`, which systemd sets.
    Credential(String),
}

fn literal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::from)
}

/// Why a secret could not be read. Names the place, never the value.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum SecretError {
    #[error("cannot read the secret file {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the secret file {} {problem}", path.display())]
    Content { path: PathBuf, problem: &'static str },
    #[error(
        "the environment variable {0} is not set (or is not UTF-8); a secret was expected in it"
    )]
    Env(String),
    /// The program was not started with systemd credentials.
    #[error(
        "the credential {0:?} cannot be found: CREDENTIALS_DIRECTORY is not set; \
         is the service started by systemd with LoadCredential={0}:/path?"
    )]
    NoCredentials(String),
    /// A credential name that would lead out of the folder.
    #[error("the credential name {0:?} must be a plain file name")]
    CredentialName(String),
    #[error("the secret {0} is empty")]
    Empty(String),
    /// The same of a credential: the unit has an empty one where there is no file.
    #[error("the credential {name:?} is empty: fill {place}")]
    EmptyCredential { name: String, place: String },
    /// The unit that was read in the service's place does not give it.
    #[error("the credential {name:?} {problem}")]
    Withheld { name: String, problem: String, is_seen_by_service: bool },
}

impl SecretError {
    /// Whether a value was found, and nothing is in it.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty(_) | Self::EmptyCredential { .. })
    }

    /// Whether the service may find a value all the same: nothing is known then.
    pub fn is_unseen(&self) -> bool {
        let is_seen = matches!(self, Self::Withheld { is_seen_by_service: true, .. });
        is_seen || matches!(self, Self::NoCredentials(_))
    }
}

/// What a unit gives its service, as found by a command that systemd did not start.
#[derive(Debug)]
pub struct UnitCredentials {
    /// What is said of a name that the unit does not have, behind that name.
    pub otherwise: UnitCredential,
    /// Each, by its name.
    pub by_name: BTreeMap<String, UnitCredential>,
}

/// A credential that a unit gives its service.
#[derive(Clone, Debug)]
pub enum UnitCredential {
    /// It could be read.
    Value {
        /// What was read.
        secret: Secret,
        /// Where, in words.
        place: String,
    },
    /// It could not be read.
    Withheld {
        /// Why, as it stands behind the name.
        problem: String,
        /// Whether the service may find a value all the same.
        is_seen_by_service: bool,
    },
}

static OF_UNIT: OnceLock<UnitCredentials> = OnceLock::new();

/// Has every `{ credential = … }` of this process read as its unit gives it, unless systemd has given
/// them to the process itself. For a command that looks at the service from outside, before it reads
/// any; only the first call counts.
pub fn stand_in_for_service(credentials: UnitCredentials) {
    OF_UNIT.set(credentials).ok();
}

/// Whether systemd has given credentials to this process.
#[must_use]
pub fn has_credentials() -> bool {
    std::env::var_os(CREDENTIALS_FOLDER).is_some()
}

/// The variable that names the folder of systemd's credentials.
const CREDENTIALS_FOLDER: &str = "CREDENTIALS_DIRECTORY";

impl SecretRef {
    /// Reads the value, anew at every call, so that a changed file is seen. Blocks on the file
    /// system for at most one small file.
    ///
    /// # Errors
    /// When the place does not exist, cannot be read, or holds no text.
    pub fn resolve(&self) -> Result<Secret, SecretError> {
        let (value, place) = match self {
            Self::Literal(secret) => (secret.clone(), "in the configuration".to_owned()),
            Self::Place(SecretSource::File(path)) => {
                (read_file(path)?, format!("file {}", path.display()))
            }
            Self::Place(SecretSource::Env(name)) => {
                let value = std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?;
                (Secret::from(value), format!("variable {name}"))
            }
            Self::Place(SecretSource::Credential(name)) => read_credential(name)?,
        };
        if value.expose().is_empty() {
            return Err(match self {
                Self::Place(SecretSource::Credential(name)) => {
                    SecretError::EmptyCredential { name: name.clone(), place }
                }
                _ => SecretError::Empty(place),
            });
        }
        Ok(value)
    }

    /// The value, if looking takes nothing from whoever reads it later: of a pipe, or of any other
    /// file that is not a plain one, nothing would be left. `None` where it is so, and where there
    /// is no file.
    pub fn glance(&self) -> Option<Result<Secret, SecretError>> {
        let file = match self {
            Self::Place(SecretSource::File(path)) => Some(path.clone()),
            Self::Place(SecretSource::Credential(name)) => match credential(name).ok()? {
                CredentialPlace::File(path) => Some(path),
                CredentialPlace::Unit(_) => None,
            },
            Self::Literal(_) | Self::Place(SecretSource::Env(_)) => None,
        };
        let is_plain = |path: PathBuf| path.metadata().is_ok_and(|file| file.is_file());
        file.is_none_or(is_plain).then(|| self.resolve())
    }

    /// Whether the value can change while the configuration stays the same.
    pub fn is_external(&self) -> bool {
        !matches!(self, Self::Literal(_))
    }
}

/// Where a credential is.
enum CredentialPlace {
    File(PathBuf),
    Unit(&'static UnitCredential),
}

fn credential(name: &str) -> Result<CredentialPlace, SecretError> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(SecretError::CredentialName(name.to_owned()));
    }
    if let Some(folder) = std::env::var_os(CREDENTIALS_FOLDER) {
        return Ok(CredentialPlace::File(Path::new(&folder).join(name)));
    }
    let unit = OF_UNIT.get().ok_or_else(|| SecretError::NoCredentials(name.to_owned()))?;
    Ok(CredentialPlace::Unit(unit.by_name.get(name).unwrap_or(&unit.otherwise)))
}

/// The value, and where to put one if it is empty.
fn read_credential(name: &str) -> Result<(Secret, String), SecretError> {
    match credential(name)? {
        CredentialPlace::File(path) => {
            let place = format!("the file that LoadCredential={name}: names in the unit");
            Ok((read_file(&path)?, place))
        }
        CredentialPlace::Unit(UnitCredential::Value { secret, place }) => {
            Ok((secret.clone(), place.clone()))
        }
        CredentialPlace::Unit(UnitCredential::Withheld { problem, is_seen_by_service }) => {
            Err(SecretError::Withheld {
                name: name.to_owned(),
                problem: problem.clone(),
                is_seen_by_service: *is_seen_by_service,
            })
        }
    }
}

/// Reads the secret that is kept in a file. Blocks on the file system.
///
/// # Errors
/// When it cannot be read, is larger than 64 KiB, or no text.
pub fn read_file(path: &Path) -> Result<Secret, SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    let content = |problem| SecretError::Content { path: path.to_owned(), problem };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    // Not by its length: a device has none, and an end neither.
    file.take(MAX_SECRET_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_SECRET_FILE {
        return Err(content("is larger than 64 KiB; a secret was expected in it"));
    }
    let text = String::from_utf8(bytes).map_err(|_| content("is not UTF-8 text"))?;
    Ok(of_content(&text))
}

/// Returns the secret in the content of a file, of which one line end at its close is no part.
#[must_use]
pub fn of_content(text: &str) -> Secret {
    let line = text.strip_suffix('\n').map_or(text, |l| l.strip_suffix('\r').unwrap_or(l));
    Secret::from(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug)]
    struct Holder {
        key: SecretRef,
    }

    fn parse(text: &str) -> Result<Holder, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_file_is_read_again_and_loses_one_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let holder = parse(&format!("key = {{ file = {path:?} }}")).unwrap();
        assert!(matches!(holder.key.resolve(), Err(SecretError::File { .. })));
        std::fs::write(&path, "first\n").unwrap();
        assert_eq!(holder.key.resolve().unwrap().expose(), "first");
        std::fs::write(&path, "second\r\n").unwrap();
        assert_eq!(holder.key.resolve().unwrap().expose(), "second");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(holder.key.resolve(), Err(SecretError::Empty(_))));
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(matches!(holder.key.resolve(), Err(SecretError::Content { .. })));
        let endless = parse("key = { file = '/dev/zero' }").unwrap();
        assert!(matches!(endless.key.resolve(), Err(SecretError::Content { .. })));
    }

    /// It would take from the pipe what the sink is to read, or wait for somebody to write.
    #[test]
    fn a_glance_takes_nothing_away() {
        let folder = tempfile::tempdir().unwrap();
        let glance = |name: &str| {
            let path = folder.path().join(name);
            SecretRef::Place(SecretSource::File(path)).glance().map(|found| found.is_ok())
        };
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::write(folder.path().join("file"), "text\n").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        assert_eq!(
            ["pipe", "missing", "", "file", "empty"].map(glance),
            [None, None, None, Some(true), Some(false)]
        );
    }

    /// A process's variables are fixed while it runs: the test starts itself in a process where
    /// they are set.
    #[test]
    fn blanks_belong_to_a_secret_wherever_it_is_kept() {
        const VALUE: &str = " \t blanks on both sides\u{a0} ";
        const NAME: &str = "SPRITED_TEST_SECRET";
        let resolved = |place: &str| {
            let holder = parse(&format!("key = {place}")).unwrap();
            holder.key.resolve().unwrap().expose().to_owned()
        };
        if std::env::var_os(NAME).is_some() {
            assert_eq!(resolved(&format!("{{ env = {NAME:?} }}")), VALUE);
            assert_eq!(resolved("{ credential = 'key' }"), VALUE);
            return;
        }
        assert_eq!(resolved(&format!("{VALUE:?}").replace("\\u{a0}", "\\u00a0")), VALUE);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for (content, value) in [
            (format!("{VALUE}\n"), VALUE.to_owned()),
            (VALUE.to_owned(), VALUE.to_owned()),
            (format!("{VALUE}\r\n"), VALUE.to_owned()),
            // One line end, and no more.
            (format!("{VALUE}\n\n"), format!("{VALUE}\n")),
            (format!("\n{VALUE}"), format!("\n{VALUE}")),
            ("  \n".to_owned(), "  ".to_owned()),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(resolved(&format!("{{ file = {path:?} }}")), value);
        }
        std::fs::write(&path, format!("{VALUE}\n")).unwrap();
        let itself = "secret::tests::blanks_belong_to_a_secret_wherever_it_is_kept";
        let ran = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", itself])
            .envs([(NAME, VALUE), ("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap())])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    fn debug_and_errors_hide_the_value() {
        let holder = parse("key = \"hunter2\"").unwrap();
        assert_eq!(holder.key.resolve().unwrap().expose(), "hunter2");
        assert!(!format!("{holder:?} {:?}", holder.key.resolve()).contains("hunter2"));
        let error = parse("key = [\"hunter2\"]").unwrap_err();
        assert!(!error.message().contains("hunter2"), "{}", error.message());
        assert!(error.message().contains("expected a secret"), "{}", error.message());
    }

    #[test]
    fn a_masked_text_holds_nothing_of_the_secrets() {
        let text = b"  no \nkey hunter2\xff ";
        assert_eq!(mask(text, &["hunter2".into(), "".into()]), "no \nkey [secret]\u{fffd}");
        let hidden = ["hunter2".into(), "me:hunter2@home".into()];
        assert_eq!(mask(b"no me:hunter2@home", &hidden), "no [secret]");
    }

    #[test]
    fn a_credential_name_cannot_leave_its_folder() {
        for name in ["", "..", "a/b", "/etc/passwd"] {
            let holder = parse(&format!("key = {{ credential = {name:?} }}")).unwrap();
            assert!(matches!(holder.key.resolve(), Err(SecretError::CredentialName(_))), "{name}");
        }
    }
}
