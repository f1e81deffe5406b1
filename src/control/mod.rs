//! How commands ask the running daemon: a Unix socket beside the journal, which only its user and
//! root can use.
//!
//! A client sends a request on a line of JSON and gets the answer on a line of JSON. Owns the
//! socket and the protocol; what a request does is for whoever answers it. Nothing that changes
//! anything goes over HTTP.

mod answers;
mod client;
mod protocol;
mod server;
mod socket;

pub use answers::{
    PauseReport, ReloadVerdict, SinkMood, SinkReport, SinkReports, SinkRetryReport, SinkTestReport,
    TestVerdict,
};
pub use client::{AskError, ask};
pub use protocol::{ControlRefusal, RefusalKind, Request, VERSION};
pub use server::serve;
