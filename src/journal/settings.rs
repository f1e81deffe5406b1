//! The `[journal]` table.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

const DAY: u64 = 24 * 60 * 60;

/// The time in which the cloud may still repeat an event: keys are kept at least this long.
pub(super) const MIN_RETENTION: Duration = Duration::from_secs(4 * DAY);

/// The least of `max_size`.
const MIN_MAX_SIZE: ByteSize = ByteSize::mib(16);

/// The `[journal]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JournalSettings {
    /// The database; its write-ahead log and lock stand beside it.
    pub path: PathBuf,
    /// How long delivered and unrouted events are kept: at least 4 days, the time in which a
    /// repeat may still come.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "crate::units::Duration")]
    pub retention: Duration,
    /// The most that database and write-ahead log may take together; at least 16 MiB.
    #[schemars(with = "crate::units::Size", range(min = MIN_MAX_SIZE.as_u64()))]
    pub max_size: ByteSize,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/sprited/journal.db"),
            retention: Duration::from_secs(14 * DAY),
            max_size: ByteSize::gib(16),
        }
    }
}

impl JournalSettings {
    /// Returns every mistake in the values, each naming its key.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !self.path.is_absolute() {
            mistakes.push(format!(
                "path: {:?} depends on the folder the daemon is started in; \
                 expected a path that begins with \"/\"",
                self.path
            ));
        }
        if self.retention < MIN_RETENTION {
            mistakes.push(format!(
                "retention: {} is too short; at least 4d, the time in which the cloud may \
                 still repeat an event",
                humantime::format_duration(self.retention)
            ));
        }
        if self.retention > Duration::from_secs(3660 * DAY) {
            mistakes.push("retention: more than ten years is not kept".to_owned());
        }
        if self.max_size < MIN_MAX_SIZE {
            mistakes.push(format!(
                "max_size: {} is too small for a journal; at least 16MiB",
                self.max_size
            ));
        }
        mistakes
    }
}
