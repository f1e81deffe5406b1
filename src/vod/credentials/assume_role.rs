//! Temporary credentials of a CAM role, for a key that may assume it.

use std::sync::Arc;
use std::time::Duration;

use super::renewal::RenewedCredentials;
use super::settings::RoleSettings;
use super::stored::StoredCredentials;
use super::sts::{AssumeRoleParameters, Sts, margin};
use super::{Credentials, CredentialsSettings, Provider, ProviderError};
use crate::vod::Action;
use crate::vod::advice::Advice;
use crate::vod::error::VodError;
use crate::vod::exchange::Proof;

/// STS wants one, and its answers do not depend on it.
const REGION: &str = "ap-guangzhou";

struct Assumer {
    sts: Sts,
    role: RoleSettings,
    key: StoredCredentials,
    source: String,
}

/// The role that `settings` name, assumed through STS with their key and renewed in the last fifth
/// of its credentials' life; `None` if they name none. Attempts are `pause` apart. Asks nothing
/// yet.
///
/// # Errors
/// When the settings are wrong or no HTTP client can be set up.
pub fn assume_role(
    settings: &CredentialsSettings,
    pause: Duration,
) -> Result<Option<RenewedCredentials>, ProviderError> {
    let invalid = |problem| ProviderError::Invalid(format!("[credentials] {problem}"));
    let Some((role, endpoint)) = settings.role().map_err(invalid)? else { return Ok(None) };
    let sts = Sts::new(endpoint).map_err(ProviderError::Invalid)?;
    let source = format!("role {} through STS ({})", role.arn, sts.host());
    let key = settings.key();
    let assumer = Arc::new(Assumer { sts, role, key, source: source.clone() });
    let ask = move || {
        let assumer = assumer.clone();
        async move { assumer.ask().await }
    };
    Ok(Some(RenewedCredentials::new(source, ask, margin, pause)))
}

impl Assumer {
    async fn ask(&self) -> Result<Credentials, ProviderError> {
        let failed = |error| ProviderError::unavailable(&self.source, &error);
        let key = self.key.credentials().await?;
        let error = match self.assume(&key).await {
            Ok(credentials) => return Ok(credentials),
            Err(error) => error,
        };
        if error.advice() != Advice::Credentials {
            return Err(failed(error));
        }
        // The key may stand in a file that has another by now.
        match self.key.refresh(&key).await? {
            other if other != key => self.assume(&other).await.map_err(failed),
            _ => Err(failed(error)),
        }
    }

    async fn assume(&self, key: &Credentials) -> Result<Credentials, VodError> {
        let parameters = AssumeRoleParameters {
            role_arn: &self.role.arn,
            role_session_name: &self.role.session_name,
            duration_seconds: self.role.duration.as_secs(),
            provider_id: None,
            web_identity_token: None,
        };
        self.sts.ask(Action::AssumeRole, REGION, &parameters, Proof::Key(key)).await
    }
}
