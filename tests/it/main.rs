//! The integration tests: one binary, one file per subject.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers as well")]

mod emulator;
mod emulator_faults;
mod support;
