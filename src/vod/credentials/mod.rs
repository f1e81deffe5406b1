//! What requests are signed with, and where it comes from.
//!
//! Owns the [`Provider`]s and the choice of one. A provider without any answers "not found",
//! "invalid" or "unavailable": only "not found" lets the [`Chain`] look further.

mod assume_role;
mod cache;
mod chain;
mod environment;
mod fixed;
mod instance_role;
mod profile;
mod provider;
mod renewal;
mod settings;
mod sts;
mod web_identity;

use std::sync::Arc;

pub use assume_role::AssumeRole;
pub use chain::Chain;
pub use environment::{Environment, Variables};
pub use fixed::Fixed;
pub use instance_role::InstanceRole;
pub use profile::Profile;
pub use provider::{Provider, ProviderError};
pub use settings::CredentialsSettings;
pub use web_identity::WebIdentity;

pub use super::key::Credentials;
use crate::vod::endpoint::Endpoint;

/// Returns the provider for a configuration: its `[credentials]`, with the role that they name, or
/// without that table the [standard places](Chain::standard). Reads nothing yet.
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

/// Returns where STS is asked for what [`provider()`] hands out, if it is.
pub(super) fn sts_endpoint(settings: Option<&CredentialsSettings>) -> Option<Endpoint> {
    match settings {
        Some(settings) => settings.role().ok()?.map(|(_, endpoint)| endpoint),
        None => WebIdentity::endpoint(&Variables::of_process()),
    }
}
