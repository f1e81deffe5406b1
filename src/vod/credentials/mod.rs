//! What requests are signed with, and where it comes from.
//!
//! Owns [`Credentials`], the [`Provider`] trait and the choice of a provider. A provider
//! answers "not here", "broken" or "withheld": only "not here" lets the [`Chain`] look further.

mod assume_role;
mod chain;
mod environment;
mod fixed;
mod instance_role;
mod profile;
mod renewal;
mod settings;
mod sts;
mod web_identity;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use assume_role::AssumeRole;
pub use chain::Chain;
pub use environment::{Environment, Variables};
pub use fixed::Fixed;
pub use instance_role::InstanceRole;
pub use profile::Profile;
pub use settings::CredentialsSettings;
pub use web_identity::WebIdentity;

use crate::secret::Secret;
use crate::vod::endpoint::Endpoint;
use crate::vod::error::{Advice, VodError};

/// The provider for a configuration: its `[credentials]`, with the role that they name, or without
/// that table the [standard places](Chain::standard). Reads nothing yet.
///
/// # Errors
/// When the provider cannot be set up.
pub fn provider(
    settings: Option<&CredentialsSettings>,
) -> Result<Arc<dyn Provider>, ProviderError> {
    Ok(match settings {
        Some(settings) => match AssumeRole::new(settings)? {
            Some(role) => Arc::new(role),
            None => Arc::new(Fixed::new(settings.clone())),
        },
        None => Arc::new(Chain::standard()?),
    })
}

/// Where STS is asked for what [`provider`] hands out, if it is.
pub(super) fn sts_endpoint(settings: Option<&CredentialsSettings>) -> Option<Endpoint> {
    match settings {
        Some(settings) => settings.role().ok()?.map(|(_, endpoint)| endpoint),
        None => WebIdentity::endpoint(&Variables::of_process()),
    }
}

/// Where credentials come from. Called by the client for every request, so that an
/// implementation keeps what it has; called concurrently.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// The credentials to sign with now. Returns within seconds. May be dropped at any time.
    ///
    /// # Errors
    /// When there are none, or none that can be used.
    async fn credentials(&self) -> Result<Credentials, ProviderError>;

    /// Called when the service did not take `refused`: other credentials if there are any by
    /// now, else the same. Many callers may come at once with the same `refused`: whoever asks
    /// over the network lets them share one look.
    ///
    /// # Errors
    /// When the look failed; what the provider had stays.
    async fn refresh(&self, refused: &Credentials) -> Result<Credentials, ProviderError>;

    /// Where the credentials come from, in words for the operator.
    fn describe(&self) -> String;
}

/// Why a provider has no credentials. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Nobody has put any there: another place may have some.
    #[error("{0}")]
    NotHere(String),
    /// Somebody has, and they cannot be used: looking elsewhere would hide that.
    #[error("{0}")]
    Broken(String),
    /// Whoever hands them out was asked and did not: another time it may.
    #[error("{reason}")]
    Withheld {
        /// What happened; one line.
        reason: String,
        /// What to do: [`Advice::Credentials`] if what it was asked with or for is refused, else
        /// what kept it from answering.
        advice: Advice,
    },
}

impl ProviderError {
    /// A call of `source` for credentials that failed.
    fn withheld(source: &str, error: &VodError) -> Self {
        let advice = match error.advice() {
            // The advice is followed by the calls that wait for the credentials: of their own
            // parameters and pace nothing was said.
            Advice::Refused | Advice::InvalidParameters => Advice::Credentials,
            Advice::Throttled => Advice::Service,
            advice => advice,
        };
        Self::Withheld { reason: format!("{source}: {error}"), advice }
    }

    /// What to do about a call that could not be signed for this.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::NotHere(_) | Self::Broken(_) => Advice::Credentials,
            Self::Withheld { advice, .. } => *advice,
        }
    }
}

/// A key to sign with. `Debug` shows the id and the time of expiry only.
#[derive(Clone)]
pub struct Credentials {
    secret_id: String,
    secret_key: Secret,
    token: Option<Secret>,
    expires: Option<DateTime<Utc>>,
}

impl Credentials {
    /// Credentials of these parts.
    ///
    /// # Errors
    /// Which part cannot be right, without its value: an empty one, one with white space at an
    /// end (a slip of copying), an id or token that no HTTP header can hold.
    pub fn new(
        secret_id: &str,
        secret_key: Secret,
        token: Option<Secret>,
        expires: Option<DateTime<Utc>>,
    ) -> Result<Self, String> {
        let token = token.filter(|token| !token.expose().is_empty());
        let parts = [
            ("secret_id", Some(secret_id)),
            ("secret_key", Some(secret_key.expose())),
            ("token", token.as_ref().map(Secret::expose)),
        ];
        for (name, value) in parts {
            let Some(value) = value else { continue };
            if value.is_empty() {
                return Err(format!("{name} is empty"));
            }
            if value.trim() != value {
                return Err(format!("{name} begins or ends with white space"));
            }
            if name != "secret_key" && !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!("{name} holds characters other than printable ASCII"));
            }
        }
        Ok(Self { secret_id: secret_id.to_owned(), secret_key, token, expires })
    }

    /// The id of the key; no secret.
    #[must_use]
    pub fn secret_id(&self) -> &str {
        &self.secret_id
    }

    /// The key.
    #[must_use]
    pub fn secret_key(&self) -> &Secret {
        &self.secret_key
    }

    /// The session token of a temporary key.
    #[must_use]
    pub fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    /// When the service will stop taking them, as far as known.
    #[must_use]
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        self.expires
    }
}

/// Equal if they sign alike; when they expire does not count.
impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        let token = |credentials: &Self| credentials.token.as_ref().map(|t| t.expose().to_owned());
        self.secret_id == other.secret_id
            && self.secret_key.expose() == other.secret_key.expose()
            && token(self) == token(other)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("secret_id", &self.secret_id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Credentials read once and kept until they are refused.
#[derive(Debug, Default)]
struct Kept(Mutex<Option<Credentials>>);

impl Kept {
    fn get(&self) -> Option<Credentials> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is kept, if it is not what was refused.
    fn other_than(&self, refused: &Credentials) -> Option<Credentials> {
        self.get().filter(|kept| kept != refused)
    }

    fn put(&self, credentials: &Credentials) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(credentials.clone());
    }
}

/// Runs a function that reads small files away from the runtime's threads.
async fn off_the_runtime<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    tokio::task::spawn_blocking(read)
        .await
        .unwrap_or_else(|_| Err(ProviderError::Broken("reading credentials was broken off".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_copying_are_named_without_the_value() {
        let new = |id: &str, key: &str, token: Option<&str>| {
            Credentials::new(id, key.into(), token.map(Secret::from), None)
        };
        assert_eq!(
            new("AKID ", "k", None).unwrap_err(),
            "secret_id begins or ends with white space"
        );
        assert_eq!(
            new("AKID", "\tk", None).unwrap_err(),
            "secret_key begins or ends with white space"
        );
        assert_eq!(
            new("AKID", "k", Some("t\n")).unwrap_err(),
            "token begins or ends with white space"
        );
        assert_eq!(new("", "k", None).unwrap_err(), "secret_id is empty");
        assert_eq!(new("AKID", "", None).unwrap_err(), "secret_key is empty");
        assert!(new("AK\nID", "k", None).unwrap_err().contains("printable"));
        assert!(new("AKID", "k", Some("")).unwrap().token().is_none());
    }

    #[test]
    fn debug_shows_the_id_only() {
        let credentials =
            Credentials::new("AKIDx", "hunter2".into(), Some("t0ken".into()), None).unwrap();
        let text = format!("{credentials:?}");
        assert!(
            text.contains("AKIDx") && !text.contains("hunter2") && !text.contains("t0ken"),
            "{text}"
        );
    }
}
