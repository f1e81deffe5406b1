//! Root that stays root, and writes where somebody else has a say.

use crate::config;
use crate::identity::{self, IdentityError, Owner};

/// Warns of each sink whose file is in such a place. Blocks on the file system.
///
/// # Errors
/// When it cannot be told of one.
pub fn warn_astray(sinks: &[config::SinkConfig]) -> Result<(), IdentityError> {
    for sink in sinks {
        if let Some(user) = sink.file().as_deref().map(Owner::of).transpose()?.flatten() {
            let place = user.place().display();
            tracing::warn!(sink = sink.name, %user, %place, "{}", identity::ASTRAY);
        }
    }
    Ok(())
}
