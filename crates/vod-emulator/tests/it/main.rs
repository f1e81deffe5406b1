//! The emulator over HTTP: one binary, one file per subject.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod protocol;
mod server;
mod support;
