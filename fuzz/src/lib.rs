//! What is fuzzed: for each target a function that takes any bytes and panics where a promise is
//! broken. The program is seen from outside; what it says is held against a reading of its own.
//!
//! The tests replay `tests/corpus` through the same functions, on any Rust and without a fuzzer.

pub mod answer;
pub mod authorization;
pub mod call;
pub mod config;
pub mod event;
mod json;
mod request;
pub mod vtt;
