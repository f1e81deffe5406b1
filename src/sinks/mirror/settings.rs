//! Settings of the sink `mirror`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use super::prefix::Prefix;
use super::public_url::PublicUrl;
use crate::fetch::{FetchSettings, HostPattern};
use crate::secret::SecretRef;
use crate::settings::SettingIssue;
use crate::sinks::{FileMode, SinkOutput};

/// Settings of the sink `mirror`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorSettings {
    /// Where the copies are kept: in a folder of this machine.
    #[schemars(with = "String", extend("enum" = ["folder"]))]
    pub store: StoreKind,
    /// The folder, by its absolute path. It has to exist.
    pub path: PathBuf,
    /// The permissions of files that it creates, in octal; a folder is open to those who may read
    /// them. Default `"0644"`.
    #[serde(default = "public_files")]
    #[schemars(with = "String", regex(pattern = r"^0*[67][0-7]{2}$"), extend("default" = "0644"))]
    pub mode: FileMode,
    /// The group of files and folders that it creates, by name. Default: the process's own.
    #[serde(default)]
    #[schemars(extend("x-unset" = "the group of the service"))]
    pub group: Option<String>,
    /// A folder below `path` that the copies are put in, by its relative path.
    #[serde(default)]
    #[schemars(
        with = "Option<String>",
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}){0,7}$"),
        extend("x-unset" = "the copies are put in path itself")
    )]
    pub prefix: Option<Prefix>,
    /// The URL by which players get what is in that folder.
    #[schemars(with = "String", regex(pattern = "^https?://"))]
    pub public_url: PublicUrl,
    /// Deliveries at once at most. Default 8.
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: NonZeroUsize,
    /// Whether a sprite that looks wrong to a viewer is retried rather than taken with its findings.
    /// Default `false`.
    #[serde(default)]
    pub strict: bool,
    /// The whole list of hosts that files may come from: names such as `media.example.com` or
    /// `*.example.com` and addresses, each at ports 80 and 443, or at the port behind its colon.
    /// What they lead to may be private.
    #[serde(default)]
    #[schemars(length(min = 1), extend("x-unset" = "any public address, at ports 80 and 443"))]
    pub hosts: Option<Vec<HostPattern>>,
    /// The KEY of the cloud's hot-link protection, with which the URLs are signed.
    #[serde(default)]
    #[schemars(extend("x-unset" = "URLs are not signed"))]
    pub hotlink_key: Option<SecretRef>,
    /// The Referer that is sent, where hot-link protection asks for one.
    #[serde(default)]
    #[schemars(extend("x-unset" = "none is sent"))]
    pub referer: Option<String>,
    /// The largest sheet that is fetched. Default 32MiB.
    #[serde(default = "default_max_sheet")]
    #[schemars(with = "crate::units::Size")]
    pub max_sheet: ByteSize,
    /// The most that the files of one sprite may have together. Default 512MiB.
    #[serde(default = "default_max_total")]
    #[schemars(with = "crate::units::Size")]
    pub max_total: ByteSize,
}

fn public_files() -> FileMode {
    FileMode(0o644)
}

const fn default_max_in_flight() -> NonZeroUsize {
    NonZeroUsize::new(8).expect("8 is not zero")
}

fn default_max_sheet() -> ByteSize {
    FetchSettings::default().max_sheet
}

fn default_max_total() -> ByteSize {
    FetchSettings::default().max_total
}

/// What kind of store keeps the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A folder of this machine.
    Folder,
}

impl<'de> Deserialize<'de> for StoreKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "folder" => Ok(Self::Folder),
            "s3" => Err(de::Error::custom(
                "this version has no store \"s3\" yet; the only one is \"folder\"",
            )),
            other => Err(de::Error::custom(format_args!(
                "unknown store {other:?}; the only one is \"folder\""
            ))),
        }
    }
}

impl MirrorSettings {
    /// What it says about fetching.
    #[must_use]
    pub fn fetch(&self) -> FetchSettings {
        FetchSettings {
            hosts: self.hosts.clone(),
            hotlink_key: self.hotlink_key.clone(),
            referer: self.referer.clone(),
            max_sheet: self.max_sheet,
            max_total: self.max_total,
        }
    }

    /// The folder that the copies are put in: what [`MirrorSettings::public_url`] leads to.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        match &self.prefix {
            Some(prefix) => self.path.join(prefix.as_str()),
            None => self.path.clone(),
        }
    }

    pub(crate) fn output(&self) -> Option<SinkOutput> {
        Some(SinkOutput::file(&self.folder()))
    }

    pub(crate) fn check(&self) -> Vec<SettingIssue> {
        let mut found = Vec::new();
        if !self.path.is_absolute() {
            let message = format!("path: {:?} must be an absolute path", self.path);
            found.push(SettingIssue::mistake(message));
        } else if self.path.parent().is_none() {
            found.push(SettingIssue::mistake("path: expected a folder of its own, not \"/\""));
        }
        found.extend(self.public_url.warnings().map(SettingIssue::warning));
        found.extend(self.fetch().check());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::keys_of;

    const LEAST: &str = "store = 'folder'\npath = '/x'\npublic_url = 'https://img.example.com/s'\n";

    fn issues(more: &str) -> Vec<String> {
        let settings: MirrorSettings = toml::from_str(&format!("{LEAST}{more}")).unwrap();
        settings.check().into_iter().map(|issue| issue.message).collect()
    }

    #[test]
    fn the_least_has_the_defaults_of_fetching() {
        let settings: MirrorSettings = toml::from_str(LEAST).unwrap();
        assert_eq!(settings.fetch(), FetchSettings::default());
        assert_eq!(settings.mode, FileMode(0o644));
        assert!(settings.check().is_empty(), "{:?}", settings.check());
        assert_eq!(settings.folder(), PathBuf::from("/x"));
        let prefixed = format!("{LEAST}prefix = 'a/b'");
        let settings: MirrorSettings = toml::from_str(&prefixed).unwrap();
        assert_eq!(settings.folder(), PathBuf::from("/x/a/b"));
    }

    #[test]
    fn every_key_of_fetching_is_one_of_the_sink() {
        let own = keys_of::<MirrorSettings>();
        assert!(keys_of::<FetchSettings>().iter().all(|key| own.contains(key)), "{own:?}");
        let text = "hosts = ['a.example']\nhotlink_key = '24FEQmTzro4V5u3D5epW'\n\
                    referer = 'https://a.example/'\nmax_sheet = '1MiB'\nmax_total = '2MiB'\n";
        let alone: FetchSettings = toml::from_str(text).unwrap();
        let settings: MirrorSettings = toml::from_str(&format!("{LEAST}{text}")).unwrap();
        assert_eq!(settings.fetch(), alone);
        assert!(issues("max_sheet = '1KiB'").iter().any(|it| it.starts_with("max_sheet: ")));
    }

    #[test]
    fn mistakes_are_found_without_the_target() {
        for (from, to, says) in [
            ("'/x'", "'x'", "path: \"x\" must be an absolute path"),
            ("'/x'", "'/'", "path: expected a folder of its own"),
            ("https:", "http:", "public_url: "),
        ] {
            let text = LEAST.replace(from, to);
            let found = toml::from_str::<MirrorSettings>(&text).unwrap().check();
            assert!(found.len() == 1 && found[0].message.contains(says), "{to}: {found:?}");
        }
        for (from, to, says) in [
            ("'folder'", "'s3'", "no store \"s3\" yet; the only one is \"folder\""),
            ("'folder'", "'dir'", "unknown store \"dir\"; the only one is \"folder\""),
        ] {
            let error = toml::from_str::<MirrorSettings>(&LEAST.replace(from, to)).unwrap_err();
            assert!(error.message().contains(says), "{}", error.message());
        }
    }
}
