//! Credentials that are read from a file or the configuration.

use std::sync::Mutex;

use crate::sync::lock;
use crate::vod::key::Credentials;

/// Credentials that are read once and kept until they are refused.
#[derive(Debug, Default)]
pub(super) struct CachedCredentials(Mutex<Option<Credentials>>);

impl CachedCredentials {
    pub(super) fn get(&self) -> Option<Credentials> {
        lock(&self.0).clone()
    }

    /// What is kept, if it is not what was refused.
    pub(super) fn other_than(&self, refused: &Credentials) -> Option<Credentials> {
        self.get().filter(|kept| kept != refused)
    }

    pub(super) fn put(&self, credentials: &Credentials) {
        *lock(&self.0) = Some(credentials.clone());
    }
}
