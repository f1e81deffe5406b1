//! The command line.

pub mod emulator;
