//! The outcome of a call: success or refusal.

/// An error answer: the code is what a client may rely on, the message is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// The success of an action.
#[derive(Debug)]
pub(super) struct Success {
    /// How the ledger counts it.
    pub(super) name: &'static str,
    /// The members of the answer's Response, each followed by a comma.
    pub(super) fields: Vec<u8>,
}

impl Success {
    pub(super) fn ok(fields: String) -> Self {
        Self { name: "ok", fields: fields.into_bytes() }
    }
}
