//! Credentials that are read from a file or the configuration.

use std::sync::{Mutex, PoisonError};

use crate::vod::key::Credentials;

/// Credentials that are read once and kept until they are refused.
#[derive(Debug, Default)]
pub(super) struct CachedCredentials(Mutex<Option<Credentials>>);

impl CachedCredentials {
    pub(super) fn get(&self) -> Option<Credentials> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is kept, if it is not what was refused.
    pub(super) fn other_than(&self, refused: &Credentials) -> Option<Credentials> {
        self.get().filter(|kept| kept != refused)
    }

    pub(super) fn put(&self, credentials: &Credentials) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(credentials.clone());
    }
}
