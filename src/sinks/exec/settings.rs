//! Settings of the sink `exec`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::SecretRef;
use crate::settings::SettingIssue;
use crate::sinks::{SinkOutput, warnings};

/// Settings of the sink `exec`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecSettings {
    /// The program, by its absolute path, and its arguments. No shell reads it.
    pub command: Vec<String>,
    /// Variables for its environment; their values are secrets. None by default.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub env: BTreeMap<String, SecretRef>,
    /// The daemon's own variables that it gets as well, where they are set. Default: `PATH`,
    /// `HOME`, `USER`, `LOGNAME`, `LANG`, `LC_ALL`, `TZ`, `TMPDIR`.
    #[serde(default = "default_pass_env")]
    pub pass_env: Vec<String>,
    /// The folder it runs in. Default `/`.
    #[serde(default = "default_directory")]
    pub directory: PathBuf,
    /// Programs at once. Default 1.
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: NonZeroUsize,
    /// What an exit code other than 0 (delivered) and 75 (retry) means. Default `retry`.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// What an exit code means that has no meaning of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// The event is offered again.
    #[default]
    Retry,
    /// The event becomes a dead letter.
    Reject,
}

fn default_pass_env() -> Vec<String> {
    ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR"].map(String::from).into()
}

fn default_directory() -> PathBuf {
    PathBuf::from("/")
}

const fn default_max_in_flight() -> NonZeroUsize {
    NonZeroUsize::MIN
}

/// Variables that speak of the daemon itself: with them a child could report in its name or
/// find its credentials.
fn is_the_daemons_own(name: &str) -> bool {
    ["NOTIFY_", "WATCHDOG_", "LISTEN_", "CREDENTIALS_", "TENCENTCLOUD_", "SPRITED_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

impl ExecSettings {
    pub(crate) fn output(&self) -> Option<SinkOutput> {
        None
    }

    pub(crate) fn check(&self) -> Vec<SettingIssue> {
        let mut mistakes = Vec::new();
        match self.command.first() {
            None => mistakes
                .push("command is empty; expected a program's path and its arguments".to_owned()),
            Some(program) if !Path::new(program).is_absolute() => mistakes.push(format!(
                "command: {program:?} must be an absolute path; no shell searches for it"
            )),
            Some(_) => {}
        }
        if self.command.iter().any(|word| word.contains('\0')) {
            mistakes.push("command: an argument cannot hold a NUL character".to_owned());
        }
        if !self.directory.is_absolute() {
            mistakes.push(format!("directory: {:?} must be an absolute path", self.directory));
        }
        for name in self.env.keys().chain(&self.pass_env) {
            if name.is_empty() || name.contains(['=', '\0']) {
                mistakes.push(format!("{name:?} is an invalid variable name"));
            }
        }
        for name in self.env.keys().filter(|name| name.starts_with("SPRITED_")) {
            mistakes.push(format!("env: {name} is set by the sink itself"));
        }
        for name in self.pass_env.iter().filter(|name| is_the_daemons_own(name)) {
            mistakes
                .push(format!("pass_env: {name} is reserved for the daemon and never passed on"));
        }
        let mistakes = mistakes.into_iter().map(SettingIssue::mistake);
        mistakes.chain(warnings::of_values("env", &self.env)).collect()
    }

    /// The daemon's variables that are passed on, whatever the list says of its own ones.
    pub(super) fn passed(&self) -> impl Iterator<Item = &String> {
        self.pass_env.iter().filter(|name| !is_the_daemons_own(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<SettingIssue> {
        toml::from_str::<ExecSettings>(text).unwrap().check()
    }

    #[test]
    fn mistakes_are_found_without_the_target() {
        assert!(mistakes("command = ['/bin/true', '$x']").is_empty());
        assert_eq!(mistakes("command = []").len(), 1);
        let text = "command = ['true']\ndirectory = 'x'\npass_env = ['NOTIFY_SOCKET', 'PATH']\n\
                    env = { 'A=B' = 'x', SPRITED_SINK = 'x' }";
        assert_eq!(mistakes(text).len(), 5, "{:?}", mistakes(text));
    }
}
