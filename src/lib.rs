//! sprited: delivers Tencent Cloud VOD events from the reliable-callback queue to where they are
//! wanted, and confirms them.

pub mod cli;
pub mod emulator;
pub mod event;
pub mod secret;
pub mod sinks;
