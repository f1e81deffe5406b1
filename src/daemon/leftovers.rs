//! What the start finds that earlier runs have left, and that somebody has to decide about.

use std::path::Path;

use crate::journal::{self, Backlog, Journal};

/// Tells of a copy of an earlier journal beside the one at `path`: what was pending in it may be in
/// neither this one nor the cloud.
pub(super) fn warn_of_rescued(path: &Path) {
    if let Some(copy) = journal::rescued(path).pop() {
        tracing::warn!(
            journal = %path.display(),
            rescued = %copy.display(),
            "a daemon rescued a journal that was gone, and this is another one: what was pending in it \
             is delivered only after `sprited journal restore`; if nothing of it is needed any more, \
             move it away"
        );
    }
}

/// Tells of sinks that are gone from the configuration and have events left.
pub(super) async fn warn_of_orphans(journal: &Journal) -> journal::Result<()> {
    for Backlog { sink, pending, dead } in journal.orphans().await? {
        tracing::warn!(
            sink,
            pending,
            dead,
            "the journal keeps events for a sink that is not in the configuration; name one so \
             to have them delivered, or discard them"
        );
    }
    Ok(())
}
