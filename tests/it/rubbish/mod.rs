//! Rubbish and chance: what the fuzzer has found, and any order of what can happen to a journal.

mod corpus;
mod model;
