//! Credentials that stand in a file or in the configuration.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::provider::{CredentialsResult, Provider, read_blocking};
use crate::sync::lock;
use crate::vod::key::Credentials;

/// Credentials that are read once, kept, and read again when the service refuses them.
pub struct StoredCredentials {
    place: &'static str,
    read: Arc<dyn Fn() -> CredentialsResult + Send + Sync>,
    kept: Mutex<Option<Credentials>>,
}

impl StoredCredentials {
    /// Those that `read` finds at `place`. Reads nothing yet.
    pub(super) fn new(
        place: &'static str,
        read: impl Fn() -> CredentialsResult + Send + Sync + 'static,
    ) -> Self {
        Self { place, read: Arc::new(read), kept: Mutex::default() }
    }

    async fn other_than(&self, refused: Option<&Credentials>) -> CredentialsResult {
        let kept = lock(&self.kept).clone();
        if let Some(kept) = kept.filter(|kept| Some(kept) != refused) {
            return Ok(kept);
        }
        let read = self.read.clone();
        let found = read_blocking(move || read()).await?;
        *lock(&self.kept) = Some(found.clone());
        Ok(found)
    }
}

impl fmt::Debug for StoredCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoredCredentials").field(&self.place).finish()
    }
}

#[async_trait]
impl Provider for StoredCredentials {
    async fn credentials(&self) -> CredentialsResult {
        self.other_than(None).await
    }

    async fn refresh(&self, refused: &Credentials) -> CredentialsResult {
        self.other_than(Some(refused)).await
    }

    fn describe(&self) -> String {
        self.place.to_owned()
    }
}
