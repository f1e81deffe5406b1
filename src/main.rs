//! The `sprited` program; everything is in the library, so that tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    sprited::cli::main(std::env::args_os())
}
