//! Who is answered at the end of a group of jobs.

use super::job::{Reply, answer};
use super::{Appended, ConfirmPermission, NewEvent, Result, SinkId};

/// What they asked for, and what they are told.
pub(super) enum PendingReply {
    Append {
        reply: Reply<Vec<Appended>>,
        appended: Vec<Appended>,
        fresh: Vec<(NewEvent, Vec<SinkId>)>,
    },
    Sending {
        reply: Reply<Vec<ConfirmPermission>>,
        noted: Vec<ConfirmPermission>,
    },
    NotTaken {
        reply: Reply<()>,
    },
}

impl PendingReply {
    /// Fresh events, and the sinks that want each.
    pub(super) fn fresh(&self) -> &[(NewEvent, Vec<SinkId>)] {
        match self {
            Self::Append { fresh, .. } => fresh,
            Self::Sending { .. } | Self::NotTaken { .. } => &[],
        }
    }

    /// Whether the answer has to wait for the disk. That of an append of known events has not: what
    /// it says of them is there already.
    pub(super) fn needs_commit(&self) -> bool {
        match self {
            Self::Append { fresh, .. } => !fresh.is_empty(),
            Self::Sending { .. } | Self::NotTaken { .. } => true,
        }
    }

    /// Whether events are in it that were not there.
    pub(super) fn brings_events(&self) -> bool {
        !self.fresh().is_empty()
    }

    /// Tells what became of the commit.
    pub(super) fn answer(self, committed: Result<()>) {
        match self {
            Self::Append { reply, appended, .. } => answer(reply, committed.map(|()| appended)),
            Self::Sending { reply, noted } => answer(reply, committed.map(|()| noted)),
            Self::NotTaken { reply } => answer(reply, committed),
        }
    }
}
