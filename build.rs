//! Says which commit the program is built from, for `--version` and the metrics.
//!
//! A packager names it in `SPRITED_COMMIT` where there is no repository. Without that a release
//! build asks git; any other build leaves it out, so that a commit alone makes nobody build again.
//! The time of the build is no part of the program: the same sources give the same one.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SPRITED_COMMIT");
    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    let commit = named().or_else(checked_out).unwrap_or_default();
    let version = if commit.is_empty() { version } else { format!("{version} ({commit})") };
    println!("cargo::rustc-env=SPRITED_VERSION={version}");
    println!("cargo::rustc-env=SPRITED_COMMIT={commit}");
}

fn named() -> Option<String> {
    let commit = env::var("SPRITED_COMMIT").ok().filter(|commit| !commit.is_empty())?;
    let is_plain = commit.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+/".contains(c));
    assert!(is_plain, "SPRITED_COMMIT is no name of a commit: {commit:?}");
    Some(commit)
}

fn checked_out() -> Option<String> {
    // Sources that were unpacked within another repository are not of its commit.
    let is_repository = Path::new(".git").exists();
    if !is_repository || env::var("PROFILE").is_ok_and(|profile| profile != "release") {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    // It grows with every commit, checkout and reset.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    let watched =
        if Path::new(&log).exists() { log } else { git(&["rev-parse", "--git-path", "HEAD"])? };
    println!("cargo::rerun-if-changed={watched}");
    Some(commit)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|o| o.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
