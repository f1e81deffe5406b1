//! The integration tests: one binary, one file per subject.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod after;
mod check;
mod cli;
mod client;
mod config;
mod config_show;
mod confirmer;
mod credentials;
mod demo;
mod docs;
mod e2e;
mod emulated_sprites;
#[path = "../../crates/vod-emulator/tests/it/server.rs"]
#[allow(dead_code, reason = "its own tests use more of it")]
mod emulator;
mod event;
mod events;
mod fetch;
mod fuzz_corpus;
mod journal;
mod journal_model;
mod journal_operations;
mod local_server;
mod mirrored;
mod mirrors;
mod monitoring;
mod occurrences;
mod online_check;
mod players;
mod posted;
mod reconcile;
mod roles;
mod schema;
mod signing;
mod sink;
mod sprite;
mod sprite_check;
mod structure;
mod support;
mod units;
mod version;
