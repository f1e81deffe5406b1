//! The cloud's STS: temporary keys of a role.
//!
//! Owns who may assume the role, and what a session is.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::action::ApiAction;
use super::outcome::{Refusal, Success};
use super::settings::AssumableRole;
use super::shared::Shared;

/// The duration of a session by default and at most, in seconds.
const DEFAULT_SESSION: i64 = 7_200;
const MAX_SESSION: i64 = 43_200;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Parameters {
    role_arn: String,
    role_session_name: String,
    duration_seconds: Option<i64>,
    provider_id: Option<String>,
    web_identity_token: Option<String>,
}

/// Performs `action` for whoever has passed the checks of any request, by the clock that shows
/// `now`.
pub(super) fn perform(
    shared: &Shared,
    action: ApiAction,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Success, Refusal> {
    // The service's own message, and which code stands for which fault, are not known.
    let parameters: Parameters = serde_json::from_slice(body)
        .map_err(|error| Refusal::new("InvalidParameter.ParamError", error.to_string()))?;
    let mut state = shared.state();
    check(&state.role, action, &parameters)?;
    let asked = TimeDelta::seconds(parameters.duration_seconds.unwrap_or(DEFAULT_SESSION));
    let max = TimeDelta::from_std(state.role.max_session).unwrap_or(asked);
    let expired_time = (now + asked.min(max)).timestamp();
    let expires = DateTime::from_timestamp(expired_time, 0).unwrap_or(now);
    let account = state.keys.make(expires);
    drop(state);
    let fields = json!({
        "TmpSecretId": account.secret_id,
        "TmpSecretKey": account.secret_key.expose_secret(),
        "Token": account.token.as_ref().map(|token| token.expose_secret()),
    });
    let expiration = expires.to_rfc3339_opts(SecondsFormat::Secs, true);
    Ok(Success::ok(format!(
        "\"Credentials\":{fields},\"ExpiredTime\":{expired_time},\"Expiration\":\"{expiration}\","
    )))
}

fn check(role: &AssumableRole, action: ApiAction, parameters: &Parameters) -> Result<(), Refusal> {
    let wrong = |message: &str| Err(Refusal::new("InvalidParameter.ParamError", message));
    let name = &parameters.role_session_name;
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if !(2..=128).contains(&name.len()) || !name.bytes().all(fit) {
        return wrong("the parameter RoleSessionName is not one");
    }
    if parameters.duration_seconds.is_some_and(|seconds| !(1..=MAX_SESSION).contains(&seconds)) {
        let message = "DurationSeconds must be from 1 to 43200";
        return Err(Refusal::new("InvalidParameter.OverTimeError", message));
    }
    let token = match (action, &parameters.provider_id, &parameters.web_identity_token) {
        (ApiAction::AssumeRoleWithWebIdentity, Some(provider), Some(token)) => {
            Some((provider, token))
        }
        (ApiAction::AssumeRoleWithWebIdentity, _, _) => {
            return wrong("the parameters ProviderId and WebIdentityToken are needed");
        }
        (_, None, None) => None,
        _ => return wrong("there is no parameter ProviderId or WebIdentityToken in AssumeRole"),
    };
    if parameters.role_arn != role.arn {
        return Err(Refusal::new("ResourceNotFound.RoleNotFound", "there is no such role"));
    }
    let trusted = token.is_none_or(|(provider, token)| {
        role.identity.as_ref().is_some_and(|identity| {
            identity.provider_id == *provider && identity.token.expose_secret() == token
        })
    });
    if !trusted {
        let message = "the role does not trust this identity provider, or the token is not its";
        return Err(Refusal::new("UnauthorizedOperation", message));
    }
    Ok(())
}
