//! The `[credentials]` table of the configuration.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::provider::{CredentialsResult, ProviderError};
use super::stored::StoredCredentials;
use crate::sanitize::{invisible_in, is_in_quotes};
use crate::secret::SecretRef;
use crate::settings::SettingIssue;
use crate::vod::http::{Endpoint, STS_ENDPOINT};
use crate::vod::key::{Credentials, PLACEHOLDER, is_placeholder};

/// What a session is called in the cloud's audit log if nothing else is said.
pub(super) const DEFAULT_SESSION_NAME: &str = "sprited";
const DEFAULT_ROLE_DURATION: Duration = Duration::from_secs(2 * 3600);

/// Shorter sessions would be renewed all the time; longer ones STS does not give.
const MIN_ROLE_DURATION: Duration = Duration::from_secs(15 * 60);
const MAX_ROLE_DURATION: Duration = Duration::from_secs(12 * 3600);

/// The `[credentials]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "x-unset" = "the environment, the profile file, TKE web identity and the instance role are tried"
))]
pub struct CredentialsSettings {
    /// The id of the key.
    pub secret_id: SecretRef,
    /// The key.
    pub secret_key: SecretRef,
    /// The session token that belongs to a temporary key.
    #[schemars(extend("x-unset" = "the key is not temporary"))]
    pub token: Option<SecretRef>,
    /// The CAM role to assume with the key; requests are signed with its temporary keys.
    #[schemars(extend("x-unset" = "no role is assumed"))]
    pub role_arn: Option<String>,
    /// What the sessions are called in the cloud's audit log; `sprited` if not said.
    #[schemars(extend("x-unset" = "with role_arn it is \"sprited\""))]
    pub role_session_name: Option<String>,
    /// How long the temporary keys are good for, 15 min to 12 h; 2 h if not said.
    #[serde(default, with = "humantime_serde")]
    #[schemars(
        with = "Option<crate::units::Duration>",
        extend("x-unset" = "with role_arn it is \"2h\"")
    )]
    pub role_duration: Option<Duration>,
    /// The URL of STS, without a path. Plain `http` only to loopback.
    #[schemars(extend("x-unset" = "with role_arn it is \"https://sts.tencentcloudapi.com\""))]
    pub sts_endpoint: Option<String>,
}

pub(super) struct RoleSettings {
    pub(super) arn: String,
    pub(super) session_name: String,
    pub(super) duration: Duration,
}

impl CredentialsSettings {
    /// Returns the mistakes in the values, and warnings of what the secrets look like. Blocks on
    /// the files that hold them.
    #[must_use]
    pub fn check(&self) -> Vec<SettingIssue> {
        let mistakes = self.mistakes().into_iter().map(SettingIssue::mistake);
        mistakes.chain(self.warnings()).collect()
    }

    fn mistakes(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let Some(role) = &self.role_arn else {
            let of_a_role = [
                ("role_session_name", self.role_session_name.is_some()),
                ("role_duration", self.role_duration.is_some()),
                ("sts_endpoint", self.sts_endpoint.is_some()),
            ];
            let alone = of_a_role.iter().filter(|(_, is_set)| *is_set);
            return alone.map(|(key, _)| format!("{key}: says nothing without role_arn")).collect();
        };
        if !role.starts_with("qcs::cam::") || !role.bytes().all(|byte| byte.is_ascii_graphic()) {
            problems.push(
                "role_arn: expected a role, such as \"qcs::cam::uin/100000000001:roleName/sprited\""
                    .to_owned(),
            );
        }
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        if let Some(name) = &self.role_session_name
            && !((2..=128).contains(&name.len()) && name.bytes().all(fit))
        {
            problems.push(
                "role_session_name: expected 2 to 128 letters, digits and characters of _+=,.@-"
                    .to_owned(),
            );
        }
        if let Some(duration) = self.role_duration
            && !(MIN_ROLE_DURATION..=MAX_ROLE_DURATION).contains(&duration)
        {
            problems.push(format!(
                "role_duration: {} is not between {} and {}",
                humantime::format_duration(duration),
                humantime::format_duration(MIN_ROLE_DURATION),
                humantime::format_duration(MAX_ROLE_DURATION)
            ));
        }
        problems.extend(self.sts_endpoint().err());
        problems
    }

    /// Of the secrets, as far as they can be read here. None is a mistake: the service alone knows
    /// its keys.
    fn warnings(&self) -> Vec<SettingIssue> {
        let secrets = [
            ("secret_id", Some(&self.secret_id)),
            ("secret_key", Some(&self.secret_key)),
            ("token", self.token.as_ref()),
        ];
        let mut warnings = Vec::new();
        for (key, secret) in secrets {
            let Some(Ok(secret)) = secret.and_then(SecretRef::glance) else { continue };
            let text = secret.expose();
            if key == "secret_id" && is_placeholder(text) {
                warnings.push(SettingIssue::warning(format!("{key} {PLACEHOLDER}")));
                continue;
            }
            let unseen = invisible_in(text).map(|what| format!("it {what}, which no key has"));
            let said = unseen.or_else(|| mistaken(key, text).map(str::to_owned));
            warnings.extend(said.map(|said| SettingIssue::warning(format!("{key}: {said}"))));
        }
        warnings
    }

    /// Returns a provider of the key that they name.
    pub(super) fn key(&self) -> StoredCredentials {
        let this = self.clone();
        StoredCredentials::new("the configuration's [credentials]", move || this.resolve())
    }

    fn resolve(&self) -> CredentialsResult {
        let invalid = |what: String| ProviderError::Invalid(format!("[credentials] {what}"));
        let read = |key, secret: &SecretRef| {
            secret.resolve().map_err(|problem| invalid(format!("{key}: {problem}")))
        };
        let (id, key) =
            (read("secret_id", &self.secret_id)?, read("secret_key", &self.secret_key)?);
        let token = self.token.as_ref().map(|token| read("token", token)).transpose()?;
        Credentials::new(id.expose(), key, token, None).map_err(invalid)
    }

    /// Returns the role and where to assume it, if there is one.
    pub(super) fn role(&self) -> Result<Option<(RoleSettings, Endpoint)>, String> {
        let problems = self.mistakes();
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        let Some(arn) = self.role_arn.clone() else { return Ok(None) };
        let session_name = self.role_session_name.clone();
        let role = RoleSettings {
            arn,
            session_name: session_name.unwrap_or_else(|| DEFAULT_SESSION_NAME.to_owned()),
            duration: self.role_duration.unwrap_or(DEFAULT_ROLE_DURATION),
        };
        Ok(Some((role, self.sts_endpoint()?)))
    }

    fn sts_endpoint(&self) -> Result<Endpoint, String> {
        let endpoint = self.sts_endpoint.as_deref().unwrap_or(STS_ENDPOINT);
        Endpoint::parse(endpoint, STS_ENDPOINT)
            .map_err(|problem| format!("sts_endpoint: {problem}"))
    }
}

/// What a text under `key` looks like, where that is clearly something else.
fn mistaken(key: &str, text: &str) -> Option<&'static str> {
    // Those of the domestic and of the international site.
    let is_id = text.len() > 20 && ["AKID", "IKID"].iter().any(|begin| text.starts_with(begin));
    let is_key = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_in_quotes(text) {
        return Some("it stands in quotes, which no key has");
    }
    if text.starts_with("whsec_") {
        return Some("it looks like the secret of a webhook");
    }
    match key {
        "secret_id" if is_key && !is_id => {
            Some("it looks like a secret_key; was it taken for the secret_id?")
        }
        "secret_key" if is_id => {
            Some("it looks like a secret_id; was it taken for the secret_key?")
        }
        "token" if is_id => Some("it looks like a secret_id; was it taken for the token?"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "secret_id = \"a\"\nsecret_key = { env = \"B\" }\n";
    const ROLE: &str = "role_arn = \"qcs::cam::uin/1:roleName/r\"\n";

    fn parse(text: &str) -> Result<CredentialsSettings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn misspelt_keys_are_refused() {
        assert!(parse(KEY).unwrap().mistakes().is_empty());
        assert!(parse(&format!("{KEY}tokn = \"c\"")).is_err());
        assert!(parse("secret_id = \"a\"").is_err());
    }

    #[test]
    fn what_is_clearly_something_else_is_told_without_the_value() {
        const ID: &str = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3aaaaaaa";
        const SECRET: &str = "Gu5t9xGARNpq86cd98joQYCN3abcdefg";
        let said = |id: &str, key: &str, token: &str| {
            let literal = |text: &str| SecretRef::Literal(text.into());
            let mut settings = parse(KEY).unwrap();
            (settings.secret_id, settings.secret_key) = (literal(id), literal(key));
            settings.token = Some(literal(token));
            let remarks = settings.warnings();
            assert!(remarks.iter().all(|remark| !remark.is_mistake));
            let said: Vec<_> = remarks.into_iter().map(|remark| remark.message).collect();
            let said = said.join("; ");
            assert!(!said.contains("z8krbs") && !said.contains("Gu5t9x"), "{said}");
            said
        };
        assert_eq!(said(ID, SECRET, "a-token"), "");
        assert_eq!(said("AKIDEMULATOR", "emulator-secret-key", "t"), "");
        let swapped = said(SECRET, ID, ID);
        assert!(swapped.contains("secret_id: it looks like a secret_key"), "{swapped}");
        assert!(swapped.contains("secret_key: it looks like a secret_id"), "{swapped}");
        assert!(swapped.contains("token: it looks like a secret_id"), "{swapped}");
        let odd = said(&format!("{ID}\u{200b}"), &format!("{SECRET}\n"), "\"quoted\"");
        assert!(odd.contains("secret_id: it holds a character that cannot be seen"), "{odd}");
        assert!(odd.contains("secret_key: it ends in a line end"), "{odd}");
        assert!(odd.contains("token: it stands in quotes"), "{odd}");
        let placeholder = said("AKID…", SECRET, "t");
        assert!(
            placeholder.starts_with("secret_id is the placeholder of the example"),
            "{placeholder}"
        );
        assert!(said(ID, "whsec_abc", "t").contains("secret of a webhook"));
    }

    #[test]
    fn a_role_has_what_it_needs() {
        let (role, endpoint) = parse(&format!("{KEY}{ROLE}")).unwrap().role().unwrap().unwrap();
        assert_eq!((role.session_name.as_str(), role.duration.as_secs()), ("sprited", 7200));
        assert_eq!(endpoint.host, "sts.tencentcloudapi.com");
        assert!(parse(KEY).unwrap().role().unwrap().is_none());
    }

    #[test]
    fn all_mistakes_of_a_role_are_found_at_once() {
        let mistakes = |text: &str| parse(&format!("{KEY}{text}")).unwrap().mistakes();
        let more = "role_session_name = \"a b\"\nrole_duration = \"13h\"\n\
                    sts_endpoint = \"http://user:hunter2@sts.example\"";
        let found = mistakes(&format!("role_arn = \"admin\"\n{more}"));
        let keys: Vec<_> = found.iter().filter_map(|mistake| mistake.split(':').next()).collect();
        assert_eq!(keys, ["role_arn", "role_session_name", "role_duration", "sts_endpoint"]);
        assert!(!found.concat().contains("hunter2"), "{found:?}");
        let alone = mistakes(more);
        assert_eq!(alone.len(), 3, "{alone:?}");
        assert!(alone.iter().all(|mistake| mistake.contains("without role_arn")), "{alone:?}");
        assert_eq!(mistakes(&format!("{ROLE}role_duration = \"1m\"")).len(), 1);
    }
}
