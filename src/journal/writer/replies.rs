//! Who waits for the open transaction, and is answered at its end.

use tokio::sync::oneshot;

use crate::journal::error::Result;
use crate::journal::types::{Appended, NewEvent, SinkId};

/// Where an answer goes; whoever asked may be gone.
pub(in crate::journal) type Reply<T> = oneshot::Sender<Result<T>>;

/// Answers; whoever asked may be gone, which changes nothing about what was done.
pub(in crate::journal) fn answer<T>(reply: Reply<T>, result: Result<T>) {
    drop(reply.send(result));
}

/// An answer that waits, for the disk or for the other jobs of its group.
pub(super) enum PendingReply {
    Append {
        reply: Reply<Vec<Appended>>,
        appended: Vec<Appended>,
        /// New events, and the sinks that want each.
        new: Vec<(NewEvent, Vec<SinkId>)>,
    },
    /// That of any other write, given what became of the commit.
    Write(Box<dyn FnOnce(Result<()>) + Send>),
}

impl PendingReply {
    pub(super) fn new_events(&self) -> &[(NewEvent, Vec<SinkId>)] {
        match self {
            Self::Append { new, .. } => new,
            Self::Write(_) => &[],
        }
    }

    /// Whether the answer has to wait for the disk. That of an append of known events has not: what
    /// it says of them is there already.
    pub(super) fn needs_commit(&self) -> bool {
        match self {
            Self::Append { new, .. } => !new.is_empty(),
            Self::Write(_) => true,
        }
    }

    pub(super) fn answer(self, committed: Result<()>) {
        match self {
            Self::Append { reply, appended, .. } => answer(reply, committed.map(|()| appended)),
            Self::Write(reply) => reply(committed),
        }
    }
}
