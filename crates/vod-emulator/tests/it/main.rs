//! The emulator over HTTP: one binary, one file per subject.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod downloads;
mod faults;
mod life;
mod pages;
mod push;
mod queue;
mod receiver;
mod requests;
mod sdk;
mod server;
mod sprites;
mod support;
mod tasks;
