//! What requests are signed with, and where it comes from.
//!
//! Owns the [`Provider`]s and the choice of one. A provider without any answers "not found",
//! "invalid" or "unavailable": only "not found" lets the [`Chain`] look further.

mod assume_role;
mod chain;
mod environment;
mod instance_role;
mod profile;
mod provider;
mod renewal;
mod settings;
mod stored;
mod sts;
mod web_identity;

use std::sync::Arc;

pub use assume_role::assume_role;
pub use chain::Chain;
pub use environment::{Environment, Variables};
pub use instance_role::instance_role;
pub use profile::profile;
pub use provider::{Provider, ProviderError};
pub use renewal::RenewedCredentials;
pub use settings::CredentialsSettings;
pub use stored::StoredCredentials;
pub use web_identity::web_identity;

pub use super::key::Credentials;
use crate::vod::http::Endpoint;

/// Returns the provider for a configuration: its `[credentials]`, with the role that they name, or
/// without that table the [standard places](Chain::standard). Reads nothing yet.
///
/// # Errors
/// When the provider cannot be set up.
pub fn provider(
    settings: Option<&CredentialsSettings>,
) -> Result<Arc<dyn Provider>, ProviderError> {
    Ok(match settings {
        Some(settings) => match assume_role(settings, renewal::PAUSE)? {
            Some(role) => Arc::new(role),
            None => Arc::new(settings.key()),
        },
        None => Arc::new(Chain::standard()?),
    })
}

/// Returns where STS is asked for what [`provider()`] hands out, if it is.
pub(super) fn sts_endpoint(settings: Option<&CredentialsSettings>) -> Option<Endpoint> {
    match settings {
        Some(settings) => settings.role().ok()?.map(|(_, endpoint)| endpoint),
        None => web_identity::endpoint(&Variables::of_process()),
    }
}
