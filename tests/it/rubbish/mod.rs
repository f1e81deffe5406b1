//! Rubbish: what the fuzzer has found.

mod corpus;
