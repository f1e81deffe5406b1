//! sprited: delivers Tencent Cloud VOD events from the reliable-callback queue to where they are
//! wanted, and confirms them.

pub mod cli;
pub mod confirmer;
pub mod delivery;
pub mod emulator;
pub mod event;
pub mod journal;
pub mod lease;
pub mod metrics;
pub mod outage;
pub mod pace;
pub mod poller;
pub mod pulse;
pub mod retry;
pub mod secret;
pub mod sinks;
pub mod vod;
