//! The `[credentials]` table of the configuration.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::sts;
use crate::secret::SecretRef;
use crate::vod::endpoint::Endpoint;

/// What a session is called in the cloud's audit log if nothing else is said.
pub(super) const SESSION_NAME: &str = "sprited";
const DURATION: Duration = Duration::from_secs(2 * 3600);

/// Shorter sessions would be renewed all the time; longer ones STS does not give.
const SHORTEST: Duration = Duration::from_secs(15 * 60);
const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// The `[credentials]` table of the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The id of the key.
    pub secret_id: SecretRef,
    /// The key.
    pub secret_key: SecretRef,
    /// The session token that belongs to a temporary key.
    pub token: Option<SecretRef>,
    /// The CAM role to assume with the key; requests are signed with its temporary keys.
    pub role_arn: Option<String>,
    /// What the sessions are called in the cloud's audit log; `sprited` if not said.
    pub role_session_name: Option<String>,
    /// How long the temporary keys are good for, 15 min to 12 h; 2 h if not said.
    #[serde(default, with = "humantime_serde")]
    #[schemars(with = "Option<crate::shape::Duration>")]
    pub role_duration: Option<Duration>,
    /// The URL of STS, without a path. Plain `http` only to loopback.
    pub sts_endpoint: Option<String>,
}

/// The role to assume.
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) session_name: String,
    pub(super) duration: Duration,
}

impl Settings {
    /// Every fault of the values, each naming its key; empty if there is none.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
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
            && !(SHORTEST..=LONGEST).contains(&duration)
        {
            problems.push(format!(
                "role_duration: {} is not between {} and {}",
                humantime::format_duration(duration),
                humantime::format_duration(SHORTEST),
                humantime::format_duration(LONGEST)
            ));
        }
        problems.extend(self.sts_endpoint().err());
        problems
    }

    /// The role and where to assume it, if there is one.
    pub(super) fn role(&self) -> Result<Option<(Role, Endpoint)>, String> {
        let problems = self.check();
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        let Some(arn) = self.role_arn.clone() else { return Ok(None) };
        let session_name = self.role_session_name.clone();
        let role = Role {
            arn,
            session_name: session_name.unwrap_or_else(|| SESSION_NAME.to_owned()),
            duration: self.role_duration.unwrap_or(DURATION),
        };
        Ok(Some((role, self.sts_endpoint()?)))
    }

    fn sts_endpoint(&self) -> Result<Endpoint, String> {
        let endpoint = self.sts_endpoint.as_deref().unwrap_or(sts::STANDARD);
        Endpoint::parse(endpoint, sts::STANDARD)
            .map_err(|problem| format!("sts_endpoint: {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "secret_id = \"a\"\nsecret_key = { env = \"B\" }\n";
    const ROLE: &str = "role_arn = \"qcs::cam::uin/1:roleName/r\"\n";

    fn parse(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn misspelt_keys_are_refused() {
        assert!(parse(KEY).unwrap().check().is_empty());
        assert!(parse(&format!("{KEY}tokn = \"c\"")).is_err());
        assert!(parse("secret_id = \"a\"").is_err());
    }

    #[test]
    fn a_role_has_what_it_needs() {
        let (role, endpoint) = parse(&format!("{KEY}{ROLE}")).unwrap().role().unwrap().unwrap();
        assert_eq!((role.session_name.as_str(), role.duration.as_secs()), ("sprited", 7200));
        assert_eq!(endpoint.host, "sts.tencentcloudapi.com");
        assert!(parse(KEY).unwrap().role().unwrap().is_none());
    }

    #[test]
    fn all_faults_of_a_role_are_found_at_once() {
        let faults = |text: &str| parse(&format!("{KEY}{text}")).unwrap().check();
        let more = "role_session_name = \"a b\"\nrole_duration = \"13h\"\n\
                    sts_endpoint = \"http://user:hunter2@sts.example\"";
        let found = faults(&format!("role_arn = \"admin\"\n{more}"));
        let keys: Vec<_> = found.iter().filter_map(|fault| fault.split(':').next()).collect();
        assert_eq!(keys, ["role_arn", "role_session_name", "role_duration", "sts_endpoint"]);
        assert!(!found.concat().contains("hunter2"), "{found:?}");
        let alone = faults(more);
        assert_eq!(alone.len(), 3, "{alone:?}");
        assert!(alone.iter().all(|fault| fault.contains("without role_arn")), "{alone:?}");
        assert_eq!(faults(&format!("{ROLE}role_duration = \"1m\"")).len(), 1);
    }
}
