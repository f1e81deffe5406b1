//! Settings of the sink `jsonl`.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rotation::is_rotated;
use crate::settings::SettingIssue;
use crate::sinks::{FileMode, SinkOutput};

/// Settings of the sink `jsonl`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonlSettings {
    /// The file, by its absolute path. Its folder has to exist.
    pub path: PathBuf,
    /// The permissions of files it creates, in octal. Default `"0640"`.
    #[serde(default)]
    #[schemars(with = "String", regex(pattern = r"^0*[67][0-7]{2}$"), extend("default" = "0640"))]
    pub mode: FileMode,
    /// The group of files it creates, by name. Default: the process's own.
    #[serde(default)]
    #[schemars(extend("x-unset" = "the group of the service"))]
    pub group: Option<String>,
    /// A file that would grow beyond this is rotated first; reckoned by the bodies of the events
    /// that come, without their envelopes. Off by default.
    #[serde(default)]
    #[schemars(
        with = "Option<crate::units::Size>",
        range(min = 1),
        extend("x-unset" = "not rotated by size")
    )]
    pub rotate_size: Option<ByteSize>,
    /// A file older than this is rotated before it is next written to. Off by default.
    #[serde(default, with = "humantime_serde")]
    #[schemars(
        with = "Option<crate::units::Duration>",
        extend("x-unset" = "not rotated by age")
    )]
    pub rotate_age: Option<Duration>,
    /// How many rotated files are kept; older ones are deleted. Default: all.
    #[serde(default)]
    #[schemars(range(min = 1), extend("x-unset" = "all rotated files"))]
    pub keep: Option<usize>,
    /// What becomes of a rotated file. Default `none`.
    #[serde(default)]
    pub compress: Compress,
}

/// What becomes of a rotated file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    /// It stays as it is.
    #[default]
    None,
    /// It is compressed beside the deliveries.
    Gzip,
}

impl JsonlSettings {
    /// Whether files are rotated.
    pub(super) fn rotates(&self) -> bool {
        self.rotate_size.is_some() || self.rotate_age.is_some()
    }

    pub(crate) fn output(&self) -> Option<SinkOutput> {
        let file = SinkOutput::file(&self.path);
        Some(SinkOutput { claims: self.rotates().then_some(is_rotated), ..file })
    }

    pub(crate) fn check(&self) -> Vec<SettingIssue> {
        let mut mistakes: Vec<String> = Vec::new();
        if !self.path.is_absolute() {
            mistakes.push(format!("path: {:?} must be an absolute path", self.path));
        }
        let name = self.path.file_name().and_then(|name| name.to_str());
        if name.is_none() || self.path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            mistakes.push(format!("path: {:?} does not name a file", self.path));
        }
        if self.rotate_size.is_some_and(|size| size.as_u64() == 0) {
            mistakes.push("rotate_size must be more than 0; leave it out to turn it off".into());
        }
        if self.rotate_age.is_some_and(|age| age.is_zero()) {
            mistakes.push("rotate_age must be more than 0s; leave it out to turn it off".into());
        }
        if !self.rotates() {
            if self.keep.is_some() {
                mistakes.push("keep has no effect without rotate_size or rotate_age".into());
            }
            if self.compress != Compress::None {
                mistakes.push("compress has no effect without rotate_size or rotate_age".into());
            }
        }
        if self.keep == Some(0) {
            mistakes.push("keep must be at least 1; leave it out to keep all".into());
        }
        mistakes.into_iter().map(SettingIssue::mistake).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<SettingIssue> {
        toml::from_str::<JsonlSettings>(text).unwrap().check()
    }

    #[test]
    fn values_carry_their_units() {
        let text = "path = '/x/y.jsonl'\nmode = '0600'\nrotate_size = '64MiB'\n\
                    rotate_age = '1h'\nkeep = 3\ncompress = 'gzip'";
        let settings: JsonlSettings = toml::from_str(text).unwrap();
        assert_eq!(settings.mode, FileMode(0o600));
        assert_eq!(settings.rotate_size, Some(ByteSize::mib(64)));
        assert_eq!(settings.rotate_age, Some(Duration::from_secs(3600)));
        assert!(mistakes(text).is_empty());
        for mode in ["'644x'", "'1777'", "'0444'", "''", "'+644'", "420"] {
            assert!(
                toml::from_str::<JsonlSettings>(&format!("path = '/x'\nmode = {mode}")).is_err()
            );
        }
    }

    #[test]
    fn mistakes_are_found_without_the_target() {
        assert_eq!(mistakes("path = 'x.jsonl'").len(), 1);
        assert_eq!(mistakes("path = '/x/'").len(), 1);
        assert_eq!(mistakes("path = '/x'\nkeep = 2\ncompress = 'gzip'").len(), 2);
        assert_eq!(mistakes("path = '/x'\nkeep = 0\nrotate_size = 0\nrotate_age = '0s'").len(), 3);
    }
}
