//! The `[receive]` table.

use std::net::SocketAddr;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::MAX_BYTES_IN_HAND;
use crate::event::AppId;
use crate::net::is_loopback;
use crate::secret::{Secret, SecretRef};
use crate::settings::SettingIssue;

/// The least length of a token.
const MIN_TOKEN: usize = 20;
/// The greatest length of a SignKey: the cloud takes no longer one.
const MAX_SIGN_KEY: usize = 32;
/// The least of `max_body`: an event of the cloud may have some hundred KiB.
const MIN_MAX_BODY: ByteSize = ByteSize::kib(64);
/// The most of `max_connections`, below what the service may open.
const MAX_MAX_CONNECTIONS: usize = 4096;

/// The `[receive]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-unset" = "nothing is received"))]
pub struct ReceiveSettings {
    /// Where posted events are received. A socket that systemd passes takes its place.
    #[serde(default)]
    #[schemars(extend("default" = "127.0.0.1:9772"))]
    pub listen: ListenAddress,
    /// The last part of the URL that events are posted to: 20 characters or more of a-z, A-Z, 0-9,
    /// `-`, `.`, `_` and `~`.
    pub token: SecretRef,
    /// A second token that is accepted as well, while the URL changes from one to the other.
    #[serde(default)]
    #[schemars(extend("x-unset" = "no second token"))]
    pub previous_token: Option<SecretRef>,
    /// The SignKey that the cloud signs with. Without it no signature is verified.
    #[serde(default)]
    #[schemars(extend("x-unset" = "signatures are not verified"))]
    pub sign_key: Option<SecretRef>,
    /// A second SignKey that is accepted as well, while the cloud changes from one to the other.
    #[serde(default)]
    #[schemars(extend("x-unset" = "no second SignKey"))]
    pub previous_sign_key: Option<SecretRef>,
    /// What becomes of an event whose signature is missing, wrong or expired.
    #[serde(default)]
    pub verify: Verify,
    /// The largest event that is accepted, from 64KiB to 64MiB.
    #[serde(default = "default_max_body")]
    #[schemars(
        with = "crate::units::Size",
        range(min = MIN_MAX_BODY.as_u64(), max = MAX_BYTES_IN_HAND)
    )]
    pub max_body: ByteSize,
    /// Connections at once at most. For another, the one that has waited longest for its client is
    /// closed.
    #[serde(default = "default_max_connections")]
    #[schemars(range(min = 1, max = MAX_MAX_CONNECTIONS))]
    pub max_connections: usize,
}

/// An IP address with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct ListenAddress(#[schemars(with = "String")] pub SocketAddr);

/// What becomes of an event whose signature does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// It is refused.
    #[default]
    Require,
    /// It is accepted, counted and logged.
    Log,
}

impl Default for ListenAddress {
    fn default() -> Self {
        Self(SocketAddr::from(([127, 0, 0, 1], 9772)))
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!(
                "expected an IP address with a port, such as \"127.0.0.1:9772\"; found {text:?}"
            )
        })
    }
}

const fn default_max_body() -> ByteSize {
    ByteSize::mib(16)
}

const fn default_max_connections() -> usize {
    256
}

impl ReceiveSettings {
    /// Returns what is wrong or doubtful. Looks at the secrets as far as they can be read here.
    #[must_use]
    pub fn check(&self) -> Vec<SettingIssue> {
        let mut found = Vec::new();
        let ListenAddress(address) = self.listen;
        if !is_loopback(address.ip()) {
            found.push(SettingIssue::warning(format!(
                "listen: {address} can be reached from other machines by plain http, which shows \
                 token and events on the way; listen on 127.0.0.1 behind a proxy with TLS"
            )));
        }
        let secrets = [
            ("token", Some(&self.token), token as Rule),
            ("previous_token", self.previous_token.as_ref(), token),
            ("sign_key", self.sign_key.as_ref(), sign_key),
            ("previous_sign_key", self.previous_sign_key.as_ref(), sign_key),
        ];
        for (key, secret, rule) in secrets {
            let Some(glance) = secret.and_then(SecretRef::glance) else { continue };
            let problem = match glance {
                Ok(secret) => rule(&secret).err().map(str::to_owned),
                Err(error) if error.is_empty() => Some(error.to_string()),
                // The service may be able to read it; its start says why it is not.
                Err(_) => None,
            };
            found.extend(problem.map(|problem| SettingIssue::mistake(format!("{key}: {problem}"))));
        }
        if self.previous_sign_key.is_some() && self.sign_key.is_none() {
            found.push(SettingIssue::mistake("previous_sign_key is set without sign_key"));
        }
        if self.max_body < MIN_MAX_BODY || self.max_body.as_u64() > MAX_BYTES_IN_HAND as u64 {
            found.push(SettingIssue::mistake(format!(
                "max_body: {} is not between 64KiB and 64MiB",
                self.max_body
            )));
        }
        if !(1..=MAX_MAX_CONNECTIONS).contains(&self.max_connections) {
            found.push(SettingIssue::mistake(format!(
                "max_connections: {} is not between 1 and {MAX_MAX_CONNECTIONS}",
                self.max_connections
            )));
        }
        found
    }

    /// Returns the path that events of `app` are posted to, which is secret for its token. Blocks on
    /// the file that the token stands in.
    ///
    /// # Errors
    /// When the token cannot be read, or used.
    pub fn path(&self, app: AppId) -> Result<Secret, String> {
        let read = self.token.resolve().map_err(|error| error.to_string());
        let checked =
            read.and_then(|secret| token(&secret).map(|()| secret).map_err(str::to_owned));
        let secret = checked.map_err(|problem| format!("[receive] token: {problem}"))?;
        Ok(Secret::from(format!("/vod/{app}/{}", secret.expose())))
    }

    /// Returns the address to listen on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listen.0
    }
}

/// What has to hold of a secret.
type Rule = fn(&Secret) -> Result<(), &'static str>;

/// A token stands in a path as it is.
pub(super) fn token(token: &Secret) -> Result<(), &'static str> {
    let token = token.expose();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if token.len() < MIN_TOKEN {
        return Err("is shorter than 20 characters; `sprited receive token` makes one");
    }
    if !token.bytes().all(is_plain) {
        return Err("has characters other than a-z, A-Z, 0-9, -, ., _ and ~, which a URL cannot \
                    hold; `sprited receive token` makes one");
    }
    Ok(())
}

/// The cloud takes no other.
pub(super) fn sign_key(key: &Secret) -> Result<(), &'static str> {
    let key = key.expose();
    if key.len() > MAX_SIGN_KEY || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err("is not a SignKey of at most 32 letters and digits");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issues(text: &str) -> Vec<String> {
        let settings: ReceiveSettings = toml::from_str(text).unwrap();
        settings.check().into_iter().map(|issue| issue.message).collect()
    }

    #[test]
    fn a_token_is_enough() {
        let settings: ReceiveSettings = toml::from_str("token = 'abcdefghijklmnopqrst'").unwrap();
        assert!(settings.check().is_empty());
        assert_eq!(settings.address().to_string(), "127.0.0.1:9772");
        assert_eq!(settings.verify, Verify::Require);
        assert_eq!((settings.max_body, settings.max_connections), (ByteSize::mib(16), 256));
        assert!(toml::from_str::<ReceiveSettings>("listen = '127.0.0.1:1'").is_err());
    }

    #[test]
    fn a_path_is_made_of_a_token_that_can_be_used() {
        let path = |token: &str| {
            let settings: ReceiveSettings = toml::from_str(&format!("token = '{token}'")).unwrap();
            settings.path(AppId(7)).map(|path| path.expose().to_owned())
        };
        assert_eq!(path("abcdefghijklmnopqrst").unwrap(), "/vod/7/abcdefghijklmnopqrst");
        let error = path("hunter2/").unwrap_err();
        assert!(error.starts_with("[receive] token: ") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn mistakes_and_warnings_name_their_key_and_no_secret() {
        let found = issues(
            "listen = '0.0.0.0:9772'\ntoken = 'hunter2'\nprevious_token = 'hunter2/hunter2/hunter2'\n\
             previous_sign_key = 'hunter2!'\nmax_body = '65MiB'\nmax_connections = 0",
        );
        let keys: Vec<_> = found
            .iter()
            .map(|message| message.split([':', ' ']).next().unwrap_or_default())
            .collect();
        let expected = [
            "listen",
            "token",
            "previous_token",
            "previous_sign_key",
            "previous_sign_key",
            "max_body",
            "max_connections",
        ];
        assert_eq!(keys, expected, "{found:?}");
        assert!(!found.concat().contains("hunter2"), "{found:?}");
        for wrong in ["localhost:9772", "9772", "off"] {
            let text = format!("listen = '{wrong}'\ntoken = 'abcdefghijklmnopqrst'");
            assert!(toml::from_str::<ReceiveSettings>(&text).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_of_its_length_and_of_its_characters() {
        let of = |rule: Rule, text: &str| rule(&Secret::from(text)).is_ok();
        for (text, is_token) in [
            ("abcdefghijklmnopqrs", false),
            ("abcdefghijklmnopqrst", true),
            ("ABC-def_ghi.jkl~0123456789", true),
            ("abcdefghijklmnopqrst/", false),
            ("abcdefghijklmnopqrst ", false),
            ("abcdefghijklmnopqrst%20", false),
            ("äbcdefghijklmnopqrst", false),
        ] {
            assert_eq!(of(token, text), is_token, "{text}");
        }
        for (text, is_key) in
            [("a", true), (&"A1".repeat(16), true), (&"a".repeat(33), false), ("a-b", false)]
        {
            assert_eq!(of(sign_key, text), is_key, "{text}");
        }
    }
}
