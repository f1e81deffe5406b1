//! How a daemon ends, and why it does not start.

use crate::identity;
use crate::journal::{self, OpenError};
use crate::vod::credentials::ProviderError;

/// Why the daemon did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum DaemonError {
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The journal was opened and does not work.
    #[error("{0}")]
    JournalFailed(#[from] journal::JournalError),
    #[error("no usable credentials: {0}")]
    Credentials(ProviderError),
    /// Something in the configuration does not work on this machine.
    #[error("{0}")]
    Setup(String),
    /// The daemon is started as root and may not become the journal's owner.
    #[error(transparent)]
    Refused(#[from] identity::IdentityError),
    #[error(
        "[{table}] listen: cannot listen on {address}: {source}; end what uses it, or set another \
         address"
    )]
    Address { table: &'static str, address: std::net::SocketAddr, source: std::io::Error },
    /// A task ended though nobody stopped it: a bug.
    #[error("the {0} task ended by itself; this is a bug in sprited, please report it")]
    TaskEnded(String),
}

/// How a daemon ended after a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// Everything is done.
    Clean,
    /// With `once`: something stays pending.
    SomethingStays,
    /// With `once`: the cloud does not take the credentials.
    Credentials,
    /// With `once`: the cloud cannot be reached or refuses.
    Unreachable,
    /// With `once`: pulling is paused by hand.
    Paused,
    /// With `once`: the journal does not take what was pulled.
    Unwritable,
    /// By itself: the journal's files were deleted, moved or replaced, or another daemon has them.
    JournalGone,
    /// By itself: the target of the only sink is gone for good.
    SinkGone,
    /// The stop timed out; unfinished deliveries will be retried.
    Forced,
}
