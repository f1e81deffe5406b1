//! What the tests share.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// A file of `tests/data`, whole.
#[allow(dead_code, reason = "used by some subjects only")]
pub(crate) fn data(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Letters and digits that no compression makes shorter.
#[allow(dead_code, reason = "used by some subjects only")]
pub(crate) fn noise(length: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(
            b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
                [(state >> 58) as usize],
        )
    };
    (0..length).map(|_| next()).collect()
}

/// The Python that has the official SDK; `tests/run` makes it.
#[allow(dead_code, reason = "used by some subjects only")]
pub(crate) fn python() -> PathBuf {
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/test-python/bin/python");
    assert!(python.exists(), "{} is missing: tests/run makes it", python.display());
    python
}

/// What was logged while the guard lived, one event a line.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Catches what this crate logs on this thread, at any level, until the guard is dropped. For
/// tests on a runtime of one thread.
pub(crate) fn capture_log() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("sprited=trace")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

/// A client for plain HTTP to this machine, past any proxy.
#[allow(dead_code, reason = "used by some subjects only")]
pub(crate) fn http() -> reqwest::Client {
    // Only the first test of the process can install it; the others find it.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().build().expect("a client needs nothing from outside")
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within a minute: these machines may be busy.
#[allow(dead_code, reason = "used by some subjects only")]
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "waited a minute in vain");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
