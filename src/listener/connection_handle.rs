//! What a handler can learn of the connection that its request came over, and tell it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::slots::ConnectionSlot;

/// A request and its answer on their connection: among the request's extensions. Connections that
/// wait for their client can be evicted for others; a handler that reads a body says when it does.
#[derive(Clone, Debug)]
pub struct ConnectionHandle {
    peer: SocketAddr,
    slot: Arc<ConnectionSlot>,
}

impl ConnectionHandle {
    pub(super) fn new(peer: SocketAddr, slot: Arc<ConnectionSlot>) -> Self {
        Self { peer, slot }
    }

    pub(super) fn slot(&self) -> &Arc<ConnectionSlot> {
        &self.slot
    }

    /// Returns the other end of the connection.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The client has shown that it may be here: its connection is evicted only where no other can
    /// be.
    pub fn trust(&self) {
        self.slot.trust();
    }

    /// The rest of the request is read from here on: the client is waited for.
    pub fn reads_body(&self) {
        self.slot.reads_body();
    }

    /// All of the request is there: the client waits from here on.
    pub fn has_body(&self) {
        self.slot.has_body();
    }

    /// Whether the connection ends, or has ended, for another one.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.slot.is_evicted()
    }

    /// Returns what is told when all of this answer was handed to the system; it is dropped where
    /// the connection ends before. To be asked before the answer is returned.
    #[must_use]
    pub fn flushed(&self) -> oneshot::Receiver<()> {
        self.slot.tell_flushed()
    }
}
