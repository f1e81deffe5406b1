//! The integration tests: one binary, one file per subject.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cli;
mod config;
mod structure;
mod support;
mod units;
