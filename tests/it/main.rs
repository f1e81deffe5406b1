//! The integration tests: one binary, one file per subject.

mod event;
mod sink;
mod support;
