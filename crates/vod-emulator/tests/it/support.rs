//! What the tests share.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The Python that has the official SDK; `tests/run` makes it.
pub(crate) fn python() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join("target/test-python/bin/python");
    assert!(python.exists(), "{} is missing: tests/run makes it", python.display());
    python
}

/// A client for plain HTTP to this machine, past any proxy.
pub(crate) fn http() -> reqwest::Client {
    // Only the first test of the process can install it; the others find it.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder()
        .no_proxy()
        .no_gzip()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client needs nothing from outside")
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within a minute: these machines may be busy.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited a minute in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
