//! What the tests share.

use std::path::PathBuf;

/// A file of `tests/data`, whole.
#[allow(dead_code, reason = "used by some subjects only")]
pub(crate) fn data(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The Python that has the official SDK; `tests/run` makes it.
#[allow(dead_code, reason = "used by some subjects only")]
pub(crate) fn python() -> PathBuf {
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/test-python/bin/python");
    assert!(python.exists(), "{} is missing: tests/run makes it", python.display());
    python
}
