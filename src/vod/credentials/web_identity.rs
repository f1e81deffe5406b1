//! Temporary credentials of the CAM role that a TKE cluster gives to a pod's service account.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::provider::read_blocking;
use super::renewal::RenewedCredentials;
use super::settings::DEFAULT_SESSION_NAME;
use super::sts::{self, AssumeRoleParameters, Sts};
use super::{Credentials, ProviderError, Variables};
use crate::secret::{Secret, SecretRef, SecretSource};
use crate::vod::Action;
use crate::vod::exchange::Proof;
use crate::vod::http::{Endpoint, STS_ENDPOINT};

const REGION: &str = "TKE_REGION";
const PROVIDER: &str = "TKE_PROVIDER_ID";
const TOKEN_FILE: &str = "TKE_WEB_IDENTITY_TOKEN_FILE";
const ROLE: &str = "TKE_ROLE_ARN";

/// What the official tools ask for, in seconds.
const DURATION: u64 = 7200;

struct Bearer {
    sts: Sts,
    variables: Variables,
}

struct Identity {
    region: String,
    provider: String,
    token_file: PathBuf,
    role: String,
}

/// The role that a TKE cluster names in a pod's environment, assumed through STS at `endpoint` with
/// the token of the pod's service account. Variables and token file are read anew at each renewal,
/// in the last fifth of the credentials' life. Attempts are `pause` apart. Asks nothing yet.
///
/// # Errors
/// When `endpoint` cannot be used, or no HTTP client can be set up.
pub fn web_identity(
    variables: Variables,
    endpoint: &str,
    pause: Duration,
) -> Result<RenewedCredentials, ProviderError> {
    let endpoint = Endpoint::parse(endpoint, STS_ENDPOINT).map_err(ProviderError::Invalid)?;
    let sts = Sts::new(endpoint).map_err(ProviderError::Invalid)?;
    let source = format!("the web identity of a TKE pod ({ROLE}) through STS ({})", sts.host());
    let bearer = Arc::new(Bearer { sts, variables });
    let ask = move || {
        let bearer = bearer.clone();
        async move { bearer.ask().await }
    };
    Ok(RenewedCredentials::new(source, ask, sts::margin, pause))
}

/// Where STS is asked, if there is a role in `variables`.
pub(super) fn endpoint(variables: &Variables) -> Option<Endpoint> {
    variables.text(ROLE).ok()??;
    Endpoint::parse(STS_ENDPOINT, STS_ENDPOINT).ok()
}

impl Bearer {
    async fn ask(&self) -> Result<Credentials, ProviderError> {
        let Identity { region, provider, token_file, role } = Identity::read(&self.variables)?;
        let token = read_token(token_file).await?;
        let parameters = AssumeRoleParameters {
            role_arn: &role,
            role_session_name: DEFAULT_SESSION_NAME,
            duration_seconds: DURATION,
            provider_id: Some(&provider),
            web_identity_token: Some(token.expose()),
        };
        let action = Action::AssumeRoleWithWebIdentity;
        let asking = self.sts.ask(action, &region, &parameters, Proof::Token(&token));
        asking.await.map_err(|error| {
            let source = format!("role {role} through STS ({})", self.sts.host());
            ProviderError::unavailable(&source, &error)
        })
    }
}

impl Identity {
    /// A region alone says nothing of an identity; any of the others does.
    fn read(variables: &Variables) -> Result<Self, ProviderError> {
        let names = [ROLE, PROVIDER, TOKEN_FILE, REGION];
        let mut values = names.iter().map(|name| variables.text(name));
        let mut next = || values.next().unwrap_or(Ok(None));
        let (role, provider, token_file, region) = (next()?, next()?, next()?, next()?);
        match (role, provider, token_file, region) {
            (Some(role), Some(provider), Some(token_file), Some(region)) => {
                Ok(Self { region, provider, token_file: token_file.into(), role })
            }
            (None, None, None, _) => {
                Err(ProviderError::NotFound(format!("{ROLE} and its like are not set")))
            }
            (role, provider, token_file, region) => {
                let values = [role, provider, token_file, region];
                let unset = names.iter().zip(values).filter(|(_, value)| value.is_none());
                let unset: Vec<&str> = unset.map(|(name, _)| *name).collect();
                Err(ProviderError::Invalid(format!(
                    "{} not set, of {}: all four are needed",
                    unset.join(" and "),
                    names.join(", ")
                )))
            }
        }
    }
}

async fn read_token(path: PathBuf) -> Result<Secret, ProviderError> {
    let file = SecretRef::Place(SecretSource::File(path));
    read_blocking(move || {
        file.resolve().map_err(|error| ProviderError::Invalid(format!("{TOKEN_FILE}: {error}")))
    })
    .await
}
