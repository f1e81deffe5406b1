//! The HTTP callback: events that are posted to a URL instead of waiting in a queue.
//!
//! Owns when an event is sent, how often, and in which form. `outbox` decides, `request` writes,
//! `sender` sends.

mod outbox;
mod outcome;
mod request;
mod sender;
mod settings;

pub(super) use outbox::{Outbox, OutgoingPush};
pub(super) use outcome::PushEnd;
pub use outcome::PushOutcome;
pub(super) use sender::{client, push_events};
pub use settings::{PushFormat, PushRetry, PushSettings, SignPlace};
