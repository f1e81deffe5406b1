//! Temporary credentials of a CAM role, for a key that may assume it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::renewal::{PAUSE, Renewal};
use super::settings::RoleSettings;
use super::sts::{AssumeRoleParameters, Sts, margin};
use super::{Credentials, CredentialsSettings, Fixed, Provider, ProviderError};
use crate::vod::Action;
use crate::vod::advice::Advice;
use crate::vod::error::VodError;
use crate::vod::exchange::Proof;

/// STS wants one, and its answers do not depend on it.
const REGION: &str = "ap-guangzhou";

/// The role of the `[credentials]` table, assumed through STS with the key of that table and
/// renewed in the last fifth of its credentials' life. While that fails the old ones are used for
/// as long as they are valid, and STS is asked again 10 s apart.
#[derive(Debug)]
pub struct AssumeRole {
    source: String,
    renewal: Renewal,
}

struct Assumer {
    sts: Sts,
    role: RoleSettings,
    key: Fixed,
}

impl AssumeRole {
    /// A provider for the role that `settings` name; `None` if they name none. Asks nothing yet.
    ///
    /// # Errors
    /// When the settings are wrong or no HTTP client can be set up.
    pub fn new(settings: &CredentialsSettings) -> Result<Option<Self>, ProviderError> {
        Self::pausing(settings, PAUSE)
    }

    /// As [`AssumeRole::new`], with another pause between attempts.
    ///
    /// # Errors
    /// As [`AssumeRole::new`].
    pub fn pausing(
        settings: &CredentialsSettings,
        pause: Duration,
    ) -> Result<Option<Self>, ProviderError> {
        let invalid = |problem| ProviderError::Invalid(format!("[credentials] {problem}"));
        let Some((role, endpoint)) = settings.role().map_err(invalid)? else { return Ok(None) };
        let sts = Sts::new(endpoint).map_err(ProviderError::Invalid)?;
        let source = format!("role {} through STS ({})", role.arn, sts.host());
        let assumer = Arc::new(Assumer { sts, role, key: Fixed::new(settings.clone()) });
        let name = source.clone();
        let ask = move || {
            let (assumer, name) = (assumer.clone(), name.clone());
            async move { assumer.ask(&name).await }
        };
        Ok(Some(Self { source, renewal: Renewal::new(ask, margin, pause) }))
    }
}

impl Assumer {
    async fn ask(&self, source: &str) -> Result<Credentials, ProviderError> {
        let failed = |error| ProviderError::unavailable(source, &error);
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

#[async_trait]
impl Provider for AssumeRole {
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
