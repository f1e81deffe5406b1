//! Warnings at the start and at a reload: what somebody has to decide about.

use std::path::Path;

use crate::config;
use crate::identity::{self, IdentityError, Owner};
use crate::journal::{self, Backlog, Journal};

/// Warns of a copy of an earlier journal beside the one at `path`: what was pending in it may be in
/// neither this one nor the cloud.
pub(super) fn warn_of_rescued(path: &Path) {
    if let Some(copy) = journal::rescued(path).pop() {
        tracing::warn!(
            journal = %path.display(),
            rescued = %copy.display(),
            "rescued journal found beside another one: its pending events are delivered only after \
             `sprited journal restore`; move it away if none of them is needed"
        );
    }
}

/// Warns of sinks that are gone from the configuration and have events left.
pub(super) async fn warn_of_orphans(journal: &Journal) -> journal::Result<()> {
    for Backlog { sink, pending, dead } in journal.orphans().await? {
        tracing::warn!(
            sink,
            pending,
            dead,
            "the journal keeps events for a sink that is not configured: hand them to another one \
             with `sprited events redeliver --from OLD --sink NEW`, discard them with \
             `sprited events discard --sink OLD`, or configure one of that name"
        );
    }
    Ok(())
}

/// Warns, as root, of each sink whose file is in a folder where another user could plant links.
/// Blocks on the file system.
///
/// # Errors
/// When the owner of a folder cannot be found.
pub fn warn_of_foreign_folders(sinks: &[config::SinkConfig]) -> Result<(), IdentityError> {
    for sink in sinks {
        if let Some(user) = sink.file().as_deref().map(Owner::of).transpose()?.flatten() {
            let place = user.place().display();
            tracing::warn!(sink = sink.name, %user, %place, "{}", identity::ASTRAY);
        }
    }
    Ok(())
}
