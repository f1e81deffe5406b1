//! Settings of the sink `webhook`.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use super::advice;
use super::signature::SigningKey;
use crate::net;
use crate::secret::{Secret, SecretRef};
use crate::settings::SettingIssue;
use crate::sinks::{SinkOutput, warnings};

/// Settings of the sink `webhook`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where to post, http or https. Redirects are not followed.
    #[schemars(with = "String", url)]
    pub url: WebhookUrl,
    /// The secret that signs: `whsec_` and Base64, or any other text, whose own bytes are the key
    /// then. Unsigned without.
    #[serde(default)]
    #[schemars(extend("x-unset" = "requests are not signed"))]
    pub secret: Option<SecretRef>,
    /// A second secret that signs as well, while receivers change from it to `secret`.
    #[serde(default)]
    #[schemars(extend("x-unset" = "no second secret"))]
    pub previous_secret: Option<SecretRef>,
    /// Further headers; their values are secrets. None by default.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub headers: BTreeMap<String, SecretRef>,
    /// Requests at once at most: begins with 8, one more as they are taken, half as many after a
    /// failure. Default 32.
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: NonZeroUsize,
}

const fn default_max_in_flight() -> NonZeroUsize {
    NonZeroUsize::new(32).expect("32 is not zero")
}

/// Headers that the sink or the connection sets.
fn is_reserved(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("webhook-")
        || matches!(
            name,
            "connection"
                | "content-length"
                | "content-type"
                | "host"
                | "sprited-origin"
                | "transfer-encoding"
        )
}

impl WebhookSettings {
    pub(crate) fn output(&self) -> Option<SinkOutput> {
        None
    }

    pub(crate) fn check(&self) -> Vec<SettingIssue> {
        let mut found = Vec::new();
        if self.previous_secret.is_some() && self.secret.is_none() {
            let message = "previous_secret is set without secret";
            found.push(SettingIssue::mistake(message));
        }
        for name in self.headers.keys() {
            match HeaderName::try_from(name.as_str()) {
                Err(_) => found.push(SettingIssue::mistake(format!(
                    "headers: {name:?} is an invalid header name"
                ))),
                Ok(header) if is_reserved(&header) => found.push(SettingIssue::mistake(format!(
                    "headers: {name} is set by the sink itself"
                ))),
                Ok(_) => {}
            }
        }
        if self.url.is_unencrypted() {
            found.push(SettingIssue::warning(format!(
                "url: {} is plain http: events can be read and changed on the way",
                self.url.origin()
            )));
        }
        found.extend(self.check_secrets());
        found.extend(warnings::of_values("headers", &self.headers));
        found
    }

    /// Checks the signing secrets, as far as they can be read here.
    fn check_secrets(&self) -> Vec<SettingIssue> {
        let mut found = Vec::new();
        let keys = [("secret", &self.secret), ("previous_secret", &self.previous_secret)];
        for (key, secret) in keys {
            let Some(glance) = secret.as_ref().and_then(SecretRef::glance) else { continue };
            match glance.map(|secret| (SigningKey::new(&secret), secret)) {
                Err(error) if error.is_empty() => {
                    found.push(SettingIssue::mistake(format!("{key}: {error}")));
                }
                // The service may be able to read it; opening the sink says why it is not.
                Err(_) => {}
                Ok((Err(error), _)) => {
                    found.push(SettingIssue::mistake(format!("{key}: {error}")));
                }
                Ok((Ok(_), secret)) => found.extend(
                    advice::of(&secret)
                        .into_iter()
                        .map(|advice| SettingIssue::warning(format!("{key}: {advice}"))),
                ),
            }
        }
        found
    }

    pub(super) fn has_external_secrets(&self) -> bool {
        let secrets = [&self.secret, &self.previous_secret].into_iter().flatten();
        secrets.chain(self.headers.values()).any(SecretRef::is_external)
    }
}

/// The URL of a webhook. `Debug` shows its origin alone: user, path and query may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// The way to it, if that stays on this machine.
    pub(super) fn this_machine(&self) -> Option<net::ThisMachine> {
        self.0.host_str().and_then(net::ThisMachine::of)
    }

    /// Whether what is sent can be read on the way.
    fn is_unencrypted(&self) -> bool {
        self.0.scheme() == "http" && !self.0.host_str().is_some_and(net::is_this_machine)
    }

    /// Its parts that must not show up in an error, should a receiver echo them: as they are
    /// written, and as they are meant.
    fn secrets(&self) -> Vec<Secret> {
        let url = &self.0;
        let (path, query) = (url.path(), url.query().unwrap_or_default());
        let mut whole = vec![query.to_owned()];
        if path != "/" {
            whole.extend([path.to_owned(), decoded(path)]);
        }
        if let Some(password) = url.password() {
            let (user, clear) = (decoded(url.username()), decoded(password));
            whole.extend([password.to_owned(), STANDARD.encode(format!("{user}:{clear}")), clear]);
        } else if !url.username().is_empty() {
            whole.push(STANDARD.encode(format!("{}:", decoded(url.username()))));
        }
        let mut parts: Vec<&str> = path.split('/').chain([url.username()]).collect();
        // What has no name is a value as well.
        parts.extend(query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, v)| v)));
        let mut parts: Vec<String> =
            parts.into_iter().flat_map(|part| [part.to_owned(), decoded(part)]).collect();
        parts.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        parts.retain(|part| is_telling(part));
        whole.into_iter().chain(parts).map(Secret::from).collect()
    }
}

/// Whether a part of a secret is long enough to be masked by itself: shorter ones stand in any
/// text, and masking them would leave nothing to read.
fn is_telling(part: &str) -> bool {
    part.chars().count() >= 8
}

/// The text with its percent-encoding taken off.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

impl<'de> Deserialize<'de> for WebhookUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The text itself stays out of the errors: it may hold a password.
        let text = String::deserialize(deserializer)?;
        let url =
            Url::parse(&text).map_err(|e| de::Error::custom(format_args!("invalid url: {e}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(de::Error::custom("the url must begin with https:// or http://"));
        }
        Ok(Self(url))
    }
}

/// All that proves to the receiver who sends, as read at one moment.
#[derive(Debug)]
pub(super) struct WebhookCredentials {
    pub(super) keys: Vec<SigningKey>,
    pub(super) headers: HeaderMap,
    /// What must not show up in an error, should a receiver echo it.
    pub(super) hidden: Vec<Secret>,
}

impl WebhookCredentials {
    /// Reads every secret. Blocks on the files they stand in.
    pub(super) fn read(settings: &WebhookSettings) -> anyhow::Result<Self> {
        let mut hidden = settings.url.secrets();
        let mut keys = Vec::new();
        for secret in [&settings.secret, &settings.previous_secret].into_iter().flatten() {
            let secret = secret.resolve()?;
            keys.push(SigningKey::new(&secret)?);
            hidden.push(secret);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let secret = value.resolve()?;
            let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| {
                anyhow::anyhow!("the value of the header {name} holds invalid characters")
            })?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name.as_str())?, value);
            // Without what stands before it, such as `Bearer`.
            let words = secret.expose().split_whitespace().filter(|word| is_telling(word));
            hidden.extend(words.map(Secret::from));
            hidden.push(secret);
        }
        Ok(Self { keys, headers, hidden })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issues(text: &str) -> Vec<SettingIssue> {
        toml::from_str::<WebhookSettings>(text).unwrap().check()
    }

    #[test]
    fn mistakes_are_found_without_the_target() {
        assert_eq!(issues("url = 'https://x/'\nheaders = { Authorization = 'a' }").len(), 0);
        let text = "url = 'https://x/'\nprevious_secret = 'a'\n\
                    headers = { 'Webhook-Id' = 'a', 'a b' = 'a', Host = 'a', Sprited-Origin = 'a' }";
        assert_eq!(issues(text).len(), 5, "{:?}", issues(text));
    }

    #[test]
    fn nothing_shows_the_secrets_of_a_url() {
        let text = "url = 'https://me:hunter2@example.com/hunter2?key=hunter2'\nsecret = 'hunter2'";
        let settings: WebhookSettings = toml::from_str(text).unwrap();
        let shown = format!("{settings:?} {:?}", WebhookCredentials::read(&settings).unwrap());
        assert!(shown.contains("https://example.com") && !shown.contains("hunter2"), "{shown}");
        for url in ["hunter2", "ftp://hunter2@x/", "http://"] {
            let error = toml::from_str::<WebhookSettings>(&format!("url = '{url}'")).unwrap_err();
            assert!(!error.message().contains("hunter2"), "{}", error.message());
        }
    }

    #[test]
    fn percent_encoding_is_taken_off_wherever_it_is_one() {
        for (text, meant) in [
            ("a%20b%2Fc+d", "a b/c+d"),
            ("%", "%"),
            ("%2", "%2"),
            ("%zz%41%+5", "%zzA%+5"),
            ("%é", "%é"),
        ] {
            assert_eq!(decoded(text), meant);
        }
    }

    #[test]
    fn plain_http_is_unencrypted_unless_it_stays_here() {
        let open = |url| toml::from_str::<WebhookSettings>(&format!("url = '{url}'")).unwrap().url;
        assert!(open("http://example.com/").is_unencrypted());
        for url in
            ["https://example.com/", "http://127.0.0.1:1/", "http://[::1]/", "http://localhost/"]
        {
            assert!(!open(url).is_unencrypted(), "{url}");
        }
    }
}
