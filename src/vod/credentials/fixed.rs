//! Credentials that the configuration names.

use async_trait::async_trait;

use super::{Credentials, CredentialsSettings, Kept, Provider, ProviderError, off_the_runtime};

/// Literals and references of the `[credentials]` table; references are read again when the
/// service refuses what was read before.
#[derive(Debug)]
pub struct Fixed {
    settings: CredentialsSettings,
    kept: Kept,
}

impl Fixed {
    /// A provider of what `settings` name. Reads nothing yet.
    #[must_use]
    pub fn new(settings: CredentialsSettings) -> Self {
        Self { settings, kept: Kept::default() }
    }

    async fn read(&self) -> Result<Credentials, ProviderError> {
        let settings = self.settings.clone();
        let credentials = off_the_runtime(move || resolve(&settings)).await?;
        self.kept.put(&credentials);
        Ok(credentials)
    }
}

fn resolve(settings: &CredentialsSettings) -> Result<Credentials, ProviderError> {
    let broken = |key: &str, problem: &dyn std::fmt::Display| {
        ProviderError::Broken(format!("[credentials] {key}: {problem}"))
    };
    let id = settings.secret_id.resolve().map_err(|e| broken("secret_id", &e))?;
    let key = settings.secret_key.resolve().map_err(|e| broken("secret_key", &e))?;
    let token = settings
        .token
        .as_ref()
        .map(|token| token.resolve().map_err(|e| broken("token", &e)))
        .transpose()?;
    Credentials::new(id.expose(), key, token, None)
        .map_err(|problem| ProviderError::Broken(format!("[credentials] {problem}")))
}

#[async_trait]
impl Provider for Fixed {
    async fn credentials(&self) -> Result<Credentials, ProviderError> {
        match self.kept.get() {
            Some(credentials) => Ok(credentials),
            None => self.read().await,
        }
    }

    async fn refresh(&self, refused: &Credentials) -> Result<Credentials, ProviderError> {
        match self.kept.other_than(refused) {
            Some(credentials) => Ok(credentials),
            None => self.read().await,
        }
    }

    fn describe(&self) -> String {
        "the configuration's [credentials]".to_owned()
    }
}
