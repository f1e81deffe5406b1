//! How an event arrived.

/// How an event arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EventOrigin {
    /// It was pulled from the queue.
    #[default]
    Queue,
    /// The cloud posted it.
    Callback,
    /// It was made from a finished task that no event had reported.
    Reconcile,
}

impl EventOrigin {
    /// "callback" or "reconcile", as sinks see it; `None` for the queue.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(self.as_str()).filter(|_| self != Self::Queue)
    }

    /// "queue", "callback" or "reconcile".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Callback => "callback",
            Self::Reconcile => "reconcile",
        }
    }
}
