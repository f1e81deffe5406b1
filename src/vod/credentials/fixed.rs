//! Credentials that the configuration names.

use async_trait::async_trait;

use super::cache::CachedCredentials;
use super::provider::read_blocking;
use super::{Credentials, CredentialsSettings, Provider, ProviderError};

/// Literals and references of the `[credentials]` table; references are read again when the
/// service refuses what was read before.
#[derive(Debug)]
pub struct Fixed {
    settings: CredentialsSettings,
    cache: CachedCredentials,
}

impl Fixed {
    /// A provider of what `settings` name. Reads nothing yet.
    #[must_use]
    pub fn new(settings: CredentialsSettings) -> Self {
        Self { settings, cache: CachedCredentials::default() }
    }

    async fn read(&self) -> Result<Credentials, ProviderError> {
        let settings = self.settings.clone();
        let credentials = read_blocking(move || resolve(&settings)).await?;
        self.cache.put(&credentials);
        Ok(credentials)
    }
}

fn resolve(settings: &CredentialsSettings) -> Result<Credentials, ProviderError> {
    let invalid = |key: &str, problem: &dyn std::fmt::Display| {
        ProviderError::Invalid(format!("[credentials] {key}: {problem}"))
    };
    let id = settings.secret_id.resolve().map_err(|e| invalid("secret_id", &e))?;
    let key = settings.secret_key.resolve().map_err(|e| invalid("secret_key", &e))?;
    let token = settings
        .token
        .as_ref()
        .map(|token| token.resolve().map_err(|e| invalid("token", &e)))
        .transpose()?;
    Credentials::new(id.expose(), key, token, None)
        .map_err(|problem| ProviderError::Invalid(format!("[credentials] {problem}")))
}

#[async_trait]
impl Provider for Fixed {
    async fn credentials(&self) -> Result<Credentials, ProviderError> {
        match self.cache.get() {
            Some(credentials) => Ok(credentials),
            None => self.read().await,
        }
    }

    async fn refresh(&self, refused: &Credentials) -> Result<Credentials, ProviderError> {
        match self.cache.other_than(refused) {
            Some(credentials) => Ok(credentials),
            None => self.read().await,
        }
    }

    fn describe(&self) -> String {
        "the configuration's [credentials]".to_owned()
    }
}
