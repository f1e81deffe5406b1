//! Credentials that the cloud rejects while the daemon runs.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sprited::emulator::Action;

use super::{Site, file, until};

#[tokio::test]
async fn a_rejected_key_is_told_and_a_corrected_one_is_taken() {
    let site = Site::new(&file("sprites", "image-sprite")).await;
    site.set_key("another-secret-key");
    site.add_sprites(3);
    let mut daemon = site.start();
    let refused =
        || site.cloud.control.totals().calls_of(Action::PullEvents, "AuthFailure.SignatureFailure");
    until(async || refused() >= 2).await;
    let (status, page) = daemon.get("/readyz").await;
    assert_eq!(status, 503, "{page}");
    assert!(page.contains("credentials"), "{page}");
    assert_eq!(daemon.get("/healthz").await.0, 200);
    assert!(daemon.runs());
    let logged = daemon.logged("pulling fails");
    assert_eq!(logged.len(), 1, "once a minute at most");
    assert_eq!(logged[0]["code"], "AuthFailure.SignatureFailure");
    assert!(logged[0]["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{logged:?}");
    assert_eq!(refused(), 2, "a call that somebody has to mend is repeated slowly");

    site.set_key("emulator-secret-key");
    let corrected = Instant::now();
    daemon.signal(Signal::SIGHUP);
    daemon.has_logged("opened the sinks and read the credentials again").await;
    site.drained().await;
    assert!(corrected.elapsed() < Duration::from_secs(4), "whoever has mended it waits for it");
    until(async || daemon.get("/readyz").await.0 == 200).await;
    assert!(!daemon.log().contains("another-secret-key"));
    daemon.stop().await;
    site.assert_once("sprites.jsonl", 3);
}
