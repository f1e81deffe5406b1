//! Temporary credentials of the CAM role that a TKE cluster gives to a pod's service account.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::provider::read_blocking;
use super::renewal::{PAUSE, Renewal};
use super::settings::DEFAULT_SESSION_NAME;
use super::sts::{self, AssumeRoleParameters, Sts};
use super::{Credentials, Provider, ProviderError, Variables};
use crate::secret::{Secret, SecretRef, SecretSource};
use crate::vod::Action;
use crate::vod::endpoint::{Endpoint, STS_ENDPOINT};
use crate::vod::exchange::Proof;

const REGION: &str = "TKE_REGION";
const PROVIDER: &str = "TKE_PROVIDER_ID";
const TOKEN_FILE: &str = "TKE_WEB_IDENTITY_TOKEN_FILE";
const ROLE: &str = "TKE_ROLE_ARN";

/// What the official tools ask for, in seconds.
const DURATION: u64 = 7200;

/// The role that a TKE cluster names in a pod's environment, assumed through STS with the token
/// of the pod's service account. Variables and token file are read anew at each renewal, in the
/// last fifth of the credentials' life. While that fails the old ones are used for as long as they
/// are valid, and STS is asked again 10 s apart.
#[derive(Debug)]
pub struct WebIdentity {
    source: String,
    renewal: Renewal,
}

struct Bearer {
    sts: Sts,
    variables: Variables,
}

/// What the environment says.
struct Identity {
    region: String,
    provider: String,
    token_file: PathBuf,
    role: String,
}

impl WebIdentity {
    /// A provider that takes role and token from where `variables` say. Asks nothing yet.
    ///
    /// # Errors
    /// When no HTTP client can be set up.
    pub fn new(variables: Variables) -> Result<Self, ProviderError> {
        Self::at(variables, STS_ENDPOINT, PAUSE)
    }

    /// Where STS is asked, if there is a role in `variables`.
    pub(super) fn endpoint(variables: &Variables) -> Option<Endpoint> {
        variables.text(ROLE).ok()??;
        Endpoint::parse(STS_ENDPOINT, STS_ENDPOINT).ok()
    }

    /// As [`WebIdentity::new`], with another endpoint of STS and another pause between attempts.
    ///
    /// # Errors
    /// As [`WebIdentity::new`], and when `endpoint` cannot be used.
    pub fn at(
        variables: Variables,
        endpoint: &str,
        pause: Duration,
    ) -> Result<Self, ProviderError> {
        let endpoint = Endpoint::parse(endpoint, STS_ENDPOINT).map_err(ProviderError::Invalid)?;
        let sts = Sts::new(endpoint).map_err(ProviderError::Invalid)?;
        let source = format!("the web identity of a TKE pod ({ROLE}) through STS ({})", sts.host());
        let bearer = Arc::new(Bearer { sts, variables });
        let ask = move || {
            let bearer = bearer.clone();
            async move { bearer.ask().await }
        };
        Ok(Self { source, renewal: Renewal::new(ask, sts::margin, pause) })
    }
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

#[async_trait]
impl Provider for WebIdentity {
    async fn credentials(&self) -> Result<Credentials, ProviderError> {
        self.renewal.credentials().await
    }

    async fn refresh(&self, refused: &Credentials) -> Result<Credentials, ProviderError> {
        self.renewal.refresh(refused).await
    }

    fn describe(&self) -> String {
        self.source.clone()
    }
}
