//! What the log must not hold.

use super::receiver::{Answer, Receiver};
use super::{Site, file};

#[tokio::test]
async fn no_secret_and_no_signature_stand_in_the_log_at_any_level() {
    let hook = Receiver::start(Answer::Refuse(401)).await;
    let more = "secret = 'the-signing-secret'\nheaders = { authorization = 'the-bearer-token' }";
    let site =
        Site::new(&[file("sprites", "image-sprite"), hook.sink("hook", more)].concat()).await;
    let path = site.path("sprited.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let level = "trace,hyper=trace,hyper_util=trace,reqwest=trace,rustls=trace,h2=trace";
    std::fs::write(&path, config.replace("level = 'debug'", &format!("level = '{level}'")))
        .unwrap();
    site.add_sprites(3);
    let daemon = site.start();
    crate::support::until(|| hook.asked() >= 3).await;
    hook.set(Answer::Take);
    site.drained().await;
    let log = daemon.log();
    assert!(log.contains("TRACE"), "the level is not in force");
    for secret in
        ["emulator-secret-key", "the-signing-secret", "the-bearer-token", "Signature=", "v1,"]
    {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    daemon.stop().await;
}
