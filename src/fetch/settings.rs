//! What the configuration says about fetching the files of a sprite.

use bytesize::ByteSize;
use reqwest::Url;
use reqwest::header::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;

use super::hosts::HostPattern;
use super::hotlink;
use crate::secret::SecretRef;
use crate::settings::SettingIssue;

/// The least of `max_sheet` and `max_total`: below that no sheet would come through.
const MIN_SIZE: ByteSize = ByteSize::kib(64);

/// What the configuration says about fetching the files of a sprite.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FetchSettings {
    /// The whole list of hosts that files may come from: names such as `media.example.com` or
    /// `*.example.com` and addresses, each at ports 80 and 443, or at the port behind its colon.
    /// What they lead to may be private.
    #[serde(default)]
    #[schemars(
        length(min = 1),
        extend("x-unset" = "any public address, at ports 80 and 443")
    )]
    pub hosts: Option<Vec<HostPattern>>,
    /// The KEY of the cloud's hot-link protection, with which the URLs are signed.
    #[serde(default)]
    #[schemars(extend("x-unset" = "URLs are not signed"))]
    pub hotlink_key: Option<SecretRef>,
    /// The Referer that is sent, where hot-link protection asks for one.
    #[serde(default)]
    #[schemars(extend("x-unset" = "none is sent"))]
    pub referer: Option<String>,
    /// The largest sheet that is fetched, 64KiB at least.
    #[serde(default = "default_max_sheet")]
    #[schemars(with = "crate::units::Size", range(min = MIN_SIZE.as_u64()))]
    pub max_sheet: ByteSize,
    /// The most that the files of one sprite may have together, `max_sheet` at least.
    #[serde(default = "default_max_total")]
    #[schemars(with = "crate::units::Size", range(min = MIN_SIZE.as_u64()))]
    pub max_total: ByteSize,
}

const fn default_max_sheet() -> ByteSize {
    ByteSize::mib(32)
}

const fn default_max_total() -> ByteSize {
    ByteSize::mib(512)
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self {
            hosts: None,
            hotlink_key: None,
            referer: None,
            max_sheet: default_max_sheet(),
            max_total: default_max_total(),
        }
    }
}

impl FetchSettings {
    /// What is wrong or doubtful in it, as far as that can be told without fetching anything. Reads the
    /// key where it is in a plain file, so it blocks.
    #[must_use]
    pub fn check(&self) -> Vec<SettingIssue> {
        let mut found = Vec::new();
        if self.hosts.as_ref().is_some_and(Vec::is_empty) {
            found
                .push(SettingIssue::mistake("hosts: the list is empty, so no file may be fetched"));
        }
        if let Some(referer) = &self.referer
            && let Some(problem) = problem_of_referer(referer)
        {
            found.push(SettingIssue::mistake(format!("referer: {referer:?} {problem}")));
        }
        if self.max_sheet < MIN_SIZE {
            found.push(SettingIssue::mistake("max_sheet: expected 64KiB or more"));
        }
        if self.max_total < self.max_sheet {
            found.push(SettingIssue::mistake("max_total: expected max_sheet or more"));
        }
        if self.hotlink_key.is_some() && self.hosts.is_none() {
            found.push(SettingIssue::warning(
                "hotlink_key: without hosts, every host that an event names gets signatures that are \
                 good for a day; list the domains that the KEY is for",
            ));
        }
        found.extend(self.check_key());
        found
    }

    fn check_key(&self) -> Option<SettingIssue> {
        match self.hotlink_key.as_ref()?.glance()? {
            Ok(key) => {
                let advice = hotlink::advice(&key)?;
                Some(SettingIssue::warning(format!("hotlink_key: {advice}")))
            }
            Err(error) if error.is_empty() => {
                Some(SettingIssue::mistake(format!("hotlink_key: {error}")))
            }
            // The service may be able to read it; opening says why it is not.
            Err(_) => None,
        }
    }

    /// Whether what it names can change while it stays the same.
    #[must_use]
    pub fn has_external_secrets(&self) -> bool {
        self.hotlink_key.as_ref().is_some_and(SecretRef::is_external)
    }
}

fn problem_of_referer(referer: &str) -> Option<&'static str> {
    let url = Url::parse(referer).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    if url.is_none() || HeaderValue::from_str(referer).is_err() {
        return Some("is no URL of http or https, such as https://www.example.com/");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issues(text: &str) -> Vec<String> {
        let settings: FetchSettings = toml::from_str(text).unwrap();
        settings.check().into_iter().map(|issue| issue.message).collect()
    }

    #[test]
    fn the_least_is_nothing_at_all() {
        let settings: FetchSettings = toml::from_str("").unwrap();
        assert_eq!(settings, FetchSettings::default());
        assert!(settings.check().is_empty() && !settings.has_external_secrets());
    }

    #[test]
    fn mistakes_are_told_by_their_key() {
        for (text, says) in [
            ("hosts = []", "hosts: the list is empty"),
            ("referer = 'www.example.com'", "referer: \"www.example.com\" is no URL"),
            ("referer = 'ftp://example.com'", "is no URL of http"),
            ("max_sheet = '1KiB'", "max_sheet: expected 64KiB"),
            ("max_sheet = '2MiB'\nmax_total = '1MiB'", "max_total: expected max_sheet"),
            ("hosts = ['a']\nhotlink_key = ''", "hotlink_key: the secret in the configuration is"),
            ("hosts = ['a']\nhotlink_key = 'hunter2 '", "hotlink_key: it does not look like a KEY"),
            ("hotlink_key = 'hunter2hunter2'", "hotlink_key: without hosts, every host that an"),
        ] {
            let found = issues(text);
            assert!(found.len() == 1 && found[0].contains(says), "{text}: {found:?}");
            assert!(!found[0].contains("hunter2"));
        }
        for text in ["hosts = ['a b']", "hosts = ['*']", "hosts = 'example.com'", "host = 1"] {
            assert!(toml::from_str::<FetchSettings>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_shows_the_key() {
        let settings: FetchSettings = toml::from_str("hotlink_key = 'hunter2'").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
