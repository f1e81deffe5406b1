//! A provider of credentials, and why it has none.

use std::fmt;

use async_trait::async_trait;

use crate::vod::advice::Advice;
use crate::vod::error::VodError;
use crate::vod::key::Credentials;

/// Where credentials come from. Called by the client for every request, so that an
/// implementation keeps what it has; called concurrently.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// The credentials to sign with now. Returns within seconds. May be dropped at any time.
    ///
    /// # Errors
    /// When there are none, or none that can be used.
    async fn credentials(&self) -> CredentialsResult;

    /// Called when the service did not take `refused`: other credentials if there are any by
    /// now, else the same. Many callers may come at once with the same `refused`: whoever asks
    /// over the network lets them share one look.
    ///
    /// # Errors
    /// When the look failed; what the provider had stays.
    async fn refresh(&self, refused: &Credentials) -> CredentialsResult;

    /// Where the credentials come from, in words for the operator.
    fn describe(&self) -> String;
}

/// What asking for credentials came to.
pub(super) type CredentialsResult = Result<Credentials, ProviderError>;

/// Why a provider has no credentials. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Nobody has put any there: another place may have some.
    #[error("{0}")]
    NotFound(String),
    /// Somebody has, and they cannot be used: looking elsewhere would hide that.
    #[error("{0}")]
    Invalid(String),
    /// Whoever hands them out was asked and did not: another time it may.
    #[error("{reason}")]
    Unavailable {
        /// What happened; one line.
        reason: String,
        /// What to do: [`Advice::Credentials`] if what it was asked with or for is refused, else
        /// what kept it from answering.
        advice: Advice,
    },
}

impl ProviderError {
    /// Returns the error of a call of `source` for credentials that failed.
    pub(super) fn unavailable(source: &str, error: &VodError) -> Self {
        let advice = match error.advice() {
            // The advice is followed by the calls that wait for the credentials: of their own
            // parameters and pace nothing was said.
            Advice::Refused | Advice::InvalidParameters => Advice::Credentials,
            Advice::Throttled => Advice::Service,
            advice => advice,
        };
        Self::Unavailable { reason: format!("{source}: {error}"), advice }
    }

    /// Returns what to do about a call that could not be signed for this.
    pub fn advice(&self) -> Advice {
        match self {
            Self::NotFound(_) | Self::Invalid(_) => Advice::Credentials,
            Self::Unavailable { advice, .. } => *advice,
        }
    }
}

/// Runs a function that reads small files away from the runtime's threads.
pub(super) async fn read_blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| {
        Err(ProviderError::Invalid("reading credentials was interrupted".into()))
    })
}
