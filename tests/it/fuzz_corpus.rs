//! What the fuzzer found worth keeping, through the functions that it calls. `fuzz/run` finds more.

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "they are another package's public functions")]
mod fuzzed;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus() -> PathBuf {
    root().join("tests/corpus")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// What is tried beside each input: an input cut short is what a broken connection leaves.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = corpus().join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let whole = catch_unwind(|| check(&bytes));
        let half = catch_unwind(|| check(&bytes[..bytes.len() / 2]));
        assert!(whole.is_ok() && half.is_ok(), "{} breaks a promise, see above", path.display());
        inputs += 1;
    }
    assert!(inputs >= 5, "{inputs} inputs in {}", folder.display());
}

#[test]
fn answers_of_any_bytes_lose_no_entry() {
    replay("answer", fuzzed::answer::check);
}

#[test]
fn entries_of_any_bytes_are_kept_token_for_token() {
    replay("event", fuzzed::event::check);
}

#[test]
fn configurations_of_any_text_are_refused_by_line() {
    replay("config", fuzzed::config::check);
}

#[test]
fn requests_of_any_bytes_are_answered() {
    replay("call", fuzzed::call::check);
}

#[test]
fn authorizations_of_any_bytes_are_refused() {
    replay("authorization", fuzzed::authorization::check);
}

#[test]
fn indexes_of_any_bytes_are_written_anew() {
    replay("vtt", fuzzed::vtt::check);
}

#[test]
fn every_target_is_replayed() {
    let targets = names(&root().join("fuzz/targets"));
    let replayed = ["answer", "authorization", "call", "config", "event", "vtt"];
    assert_eq!(targets, replayed.map(str::to_owned).into());
    assert_eq!(names(&corpus()), targets);
}
