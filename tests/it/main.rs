//! The integration tests: one binary, one file per subject.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cli;
mod client;
mod config;
mod credentials;
mod e2e;
mod emulator;
mod emulator_faults;
mod event;
mod journal;
mod local_server;
mod signing;
mod structure;
mod support;
mod units;
