//! Several providers asked in turn.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::instance_role::{METADATA, instance_role};
use super::profile::{SYSTEM_FILE, profile};
use super::provider::CredentialsResult;
use super::renewal::PAUSE;
use super::web_identity::web_identity;
use super::{Credentials, Environment, Provider, ProviderError, Variables};
use crate::sync::lock;
use crate::vod::http::STS_ENDPOINT;

/// Asks its providers in order and stays with the first that has credentials, for as long as
/// it has any. An invalid one ends the search: whoever put something there wants it used.
#[derive(Debug)]
pub struct Chain {
    providers: Vec<Arc<dyn Provider>>,
    found: Mutex<Option<Arc<dyn Provider>>>,
}

impl Chain {
    /// A chain of `providers`, asked in this order.
    #[must_use]
    pub fn new(providers: Vec<Arc<dyn Provider>>) -> Self {
        Self { providers, found: Mutex::new(None) }
    }

    /// The environment, the profile file, the web identity of a TKE pod and the instance role of
    /// this machine. The role that a pod was given goes before that of the machine below it, which
    /// is there for every pod and may do more.
    ///
    /// # Errors
    /// When an HTTP client for the last two cannot be set up.
    pub fn standard() -> Result<Self, ProviderError> {
        let variables = Variables::of_process();
        Ok(Self::new(vec![
            Arc::new(Environment::new(variables.clone())),
            Arc::new(profile(variables.clone(), SYSTEM_FILE.into())),
            Arc::new(web_identity(variables, STS_ENDPOINT, PAUSE)?),
            Arc::new(instance_role(METADATA, PAUSE)?),
        ]))
    }

    fn found(&self) -> Option<Arc<dyn Provider>> {
        lock(&self.found).clone()
    }

    async fn search(&self) -> Result<Credentials, ProviderError> {
        let mut tried = Vec::new();
        for provider in &self.providers {
            match provider.credentials().await {
                Ok(credentials) => {
                    self.stay_with(provider);
                    return Ok(credentials);
                }
                Err(ProviderError::NotFound(reason)) => {
                    tried.push(format!("{}: {reason}", provider.describe()));
                }
                Err(ProviderError::Invalid(reason)) => {
                    tried.push(format!("{}: {reason}", provider.describe()));
                    return Err(ProviderError::Invalid(format!(
                        "the credentials found cannot be used: {}",
                        tried.join("; ")
                    )));
                }
                Err(unavailable @ ProviderError::Unavailable { .. }) => return Err(unavailable),
            }
        }
        Err(ProviderError::NotFound(format!(
            "no credentials found, and no [credentials] in the configuration: {}",
            tried.join("; ")
        )))
    }

    async fn or_search(&self, found: CredentialsResult) -> CredentialsResult {
        if matches!(found, Err(ProviderError::NotFound(_))) { self.search().await } else { found }
    }

    fn stay_with(&self, provider: &Arc<dyn Provider>) {
        let mut found = lock(&self.found);
        if found.as_ref().is_none_or(|found| !Arc::ptr_eq(found, provider)) {
            tracing::info!(source = provider.describe(), "credentials found");
            *found = Some(provider.clone());
        }
    }
}

#[async_trait]
impl Provider for Chain {
    async fn credentials(&self) -> Result<Credentials, ProviderError> {
        match self.found() {
            Some(provider) => self.or_search(provider.credentials().await).await,
            None => self.search().await,
        }
    }

    async fn refresh(&self, refused: &Credentials) -> Result<Credentials, ProviderError> {
        match self.found() {
            Some(provider) => self.or_search(provider.refresh(refused).await).await,
            None => self.search().await,
        }
    }

    fn describe(&self) -> String {
        match self.found() {
            Some(provider) => provider.describe(),
            None => {
                let places: Vec<_> = self.providers.iter().map(|p| p.describe()).collect();
                format!("none found yet in: {}", places.join(", "))
            }
        }
    }
}
